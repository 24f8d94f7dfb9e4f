"""Time and memory of every detector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from objectomaly_ros.benchmark.street import draw_street
from tools.gpu import models
from tools.gpu.rows import Budget, Row, Settings, Task
from tools.gpu.timing import measure as timed

FORMS = ("float32", "half", "half, compiled")


def measure(task: Task, settings: Settings, budget: Budget) -> Iterator[Row]:
    """Time a detector at every size, from the image on the host to the score on the host."""
    options: dict[str, Any] = {}
    if task.form != "float32":
        options["precision"] = settings.half
    if "compiled" in task.form:
        options["compiled"] = True
    form = task.form.replace("half", settings.half)
    detector = models.detector(task.subject, settings.device, settings.tiny, **options)
    kind = models.weights(task.subject, settings.tiny)
    stand_in = task.subject == "semantic"
    note = "one convolution: the time of everything but a network" if stand_in else ""
    for number, (size, shape) in enumerate(settings.sizes.items()):
        image = draw_street(*shape)
        seconds = budget.left() / (len(settings.sizes) - number)
        yield Row(
            task.subject,
            form,
            size,
            timed(lambda image=image: detector.score(image), settings, seconds),  # type: ignore[misc]
            weights=kind,
            note=note,
        )
