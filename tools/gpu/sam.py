"""SAM's masks against the official generator: equality and speed of every option."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from objectomaly_ros.benchmark.masks import (
    Result,
    accelerated,
    official_options,
    run_official,
    run_ours,
    thresholds,
)
from objectomaly_ros.benchmark.measuring import PeakMemory
from objectomaly_ros.benchmark.street import draw_street
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.masks.sam.loading import mask_generator
from objectomaly_ros.masks.sam2 import Sam2Network
from objectomaly_ros.types import Image, Masks
from tools.benchmarks.sam_options import agreement
from tools.gpu import models
from tools.gpu.rows import STAND_IN, Budget, Row, Settings, Task
from tools.gpu.timing import figures
from tools.gpu.tiny import SAM2_SIDE

REFERENCE = "official"
PLAIN_FORMS = ("float32", "half")
FORMS: dict[str, dict[str, Any]] = {
    "float32": {},
    "half": {},
    "fused": {"fused_attention": True},
    "half, fused": {"fused_attention": True},
    "compiled": {"compiled": True},
    "half, fused, compiled": {"fused_attention": True, "compiled": True},
    "half, fused, CUDA graphs": {"fused_attention": True, "compiled": "reduce-overhead"},
}
"""Options of the image encoder; `half` is one of the generator."""

SAME = 0.99
"""Least mean IoU of a mask with its best match, both ways, for float32 masks to count as equal. A
logit within rounding of the cut moves a pixel, and one at a threshold a whole mask."""

_SHORT = {"encoder": "encoder", "decoder": "decoder", "post_processing": "rest"}
_STAGES = tuple(_SHORT)


@dataclass(frozen=True)
class Reference:
    """What the official generator found.

    Attributes:
        masks: (N, H, W) bool.
        ms: the median of its runs.
        options: of both generators.
    """

    masks: Masks
    ms: float
    options: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write it for the tasks of our forms."""
        with open_replacing(path) as file:
            np.savez(
                file,
                masks=np.packbits(self.masks, axis=-1),
                shape=self.masks.shape,
                ms=self.ms,
                options=json.dumps(self.options),
            )

    @classmethod
    def read(cls, path: Path) -> Reference | None:
        """Read it; None if the official generator was not measured."""
        if not path.is_file():
            return None
        with np.load(path) as data:
            masks = np.unpackbits(data["masks"], axis=-1, count=int(data["shape"][-1]))
            return cls(masks.astype(np.bool_), float(data["ms"]), json.loads(str(data["options"])))


def measure(task: Task, settings: Settings, budget: Budget) -> Iterator[Row]:
    """Run the official generator, or ours in one form.

    Raises:
        RuntimeError: after the rows of ours, if the official generator was not measured.
    """
    path = settings.out / "official" / f"{task.subject}.npz"
    is_sam2 = task.subject.startswith("sam2")
    if task.form == REFERENCE:
        path.unlink(missing_ok=True)
        yield (_transformers if is_sam2 else _official)(task, settings, budget, path)
        return
    if is_sam2:
        network = Sam2Network(models.sam2(task.subject, settings.device, settings.tiny))
        image, size = _square(settings)
    else:
        sam = models.sam(task.subject, settings.device, settings.tiny)
        network = accelerated(
            sam, **{"fused_attention": False, "compiled": False, **FORMS[task.form]}
        )
        del sam
        image, size = _street(settings)
    reference = Reference.read(path)
    options = reference.options if reference else _options(network, image, task.subject, settings)
    precision: dict[str, Any] = {"precision": settings.half} if "half" in task.form else {}
    generator = mask_generator(network, **options, **precision)
    found, memory = _repeat(
        lambda side: run_ours(generator, image, _score(image), side), settings, budget
    )
    yield _row(task, settings, size, found, memory, reference)
    if is_sam2:
        image, size = _street(settings)
        found, memory = _repeat(
            lambda side: run_ours(generator, image, _score(image), side), settings, budget
        )
        yield _row(task, settings, size, found, memory, None)
    if task.form == "float32" and (is_sam2 or task.subject == "mobile_sam"):
        yield Row(task.subject, "other options", note="fused, compiled, CUDA graphs: not offered")
    if reference is None:  # a failure, so that it is compared in the next run
        raise RuntimeError("not compared: the official generator was not measured")


def _official(task: Task, settings: Settings, budget: Budget, path: Path) -> Row:
    from segment_anything import SamAutomaticMaskGenerator

    image, size = _street(settings)
    sam = models.sam(task.subject, settings.device, settings.tiny)
    options = _options(sam, image, task.subject, settings)
    generator = SamAutomaticMaskGenerator(sam, **official_options(options))
    found, memory = _repeat(
        lambda side: run_official(generator, image, _score(image), side), settings, budget
    )
    Reference(found.masks, _median(found), options).write(path)
    return _row(task, settings, size, found, memory, None)


def _transformers(task: Task, settings: Settings, budget: Budget, path: Path) -> Row:
    """Run transformers' pipeline, on a square image: it misplaces points on others."""
    import transformers
    from PIL import Image as Pictures

    image, size = _square(settings)
    network = models.sam2(task.subject, settings.device, settings.tiny)
    options = _options(Sam2Network(network), image, task.subject, settings)
    side = image.shape[0]
    processor = transformers.Sam2ImageProcessor(size={"height": side, "width": side})
    pipeline = transformers.pipeline(
        "mask-generation", model=network, image_processor=processor, device=settings.device
    )
    calls = {
        "points_per_crop": options["points_per_side"],
        "pred_iou_thresh": options["pred_iou_thresh"],
        "stability_score_thresh": options["stability_score_thresh"],
        "crops_nms_thresh": options["box_nms_thresh"],
    }
    picture = Pictures.fromarray(image)

    def run(found: Result) -> None:
        began = time.perf_counter()
        masks = pipeline(picture, **calls)["masks"]
        found.add({"encoder": 0.0, "decoder": 0.0, "post_processing": time.perf_counter() - began})
        arrays = [np.asarray(mask, np.bool_) for mask in masks]
        found.masks = np.stack(arrays) if arrays else np.zeros((0, *image.shape[:2]), np.bool_)

    found, memory = _repeat(run, settings, budget)
    Reference(found.masks, _median(found), options).write(path)
    row = _row(task, settings, size, found, memory, None)
    figures = {name: row.figures[name] for name in row.figures if name not in _stage_names()}
    note = "transformers' generator in place of Meta's"
    return Row(row.subject, "transformers", size, figures, None, row.weights, note)


def _options(network: Any, image: Image, name: str, settings: Settings) -> dict[str, Any]:
    """Return the official grid; with stand-in weights also thresholds for about 100 masks."""
    # On a CPU, a full grid takes minutes.
    full = settings.on_gpu and not settings.tiny
    options: dict[str, Any] = {"points_per_side": 32 if full else 4}
    if models.weights(name, settings.tiny) == STAND_IN:
        return options | thresholds(network, image, options)
    if name.startswith("sam2"):
        return options | {"pred_iou_thresh": 0.8, "stability_score_thresh": 0.95,
                          "box_nms_thresh": 0.7}  # fmt: skip
    return options


def _repeat(
    run: Callable[[Result], None], settings: Settings, budget: Budget
) -> tuple[Result, float]:
    """Run once to warm up, then while the budget lasts, at least once."""
    run(Result())
    memory, found = PeakMemory(torch.device(settings.device)), Result()
    most = 2 if settings.tiny else 20
    runs, last = 0, 0.0
    while not runs or (runs < most and budget.left() > last):
        left = budget.left()
        run(found)
        last = left - budget.left()
        runs += 1
    return found, memory.megabytes() or 0.0


def _row(
    task: Task,
    settings: Settings,
    size: str,
    found: Result,
    memory: float,
    reference: Reference | None,
) -> Row:
    measured = figures(_totals(found)) | {"peak MB": memory}
    measured |= {f"{_SHORT[stage]} ms": found.milliseconds(stage) for stage in _STAGES}
    measured["masks"] = len(found.masks)
    holds = None
    if reference is not None:
        same = min(agreement(reference.masks, found.masks), agreement(found.masks, reference.masks))
        measured |= {"times official": reference.ms / measured["median ms"], "IoU": same}
        if len(reference.masks) == len(found.masks):
            measured["differing pixels"] = int((reference.masks != found.masks).sum())
        holds = same >= SAME if task.form == "float32" else None
    compiled = FORMS.get(task.form, {}).get("compiled")
    return Row(
        task.subject,
        task.form.replace("half", settings.half),
        size,
        measured,
        holds,
        models.weights(task.subject, settings.tiny),
        "not compiled under --tiny" if settings.tiny and compiled else "",
    )


def _totals(found: Result) -> list[float]:
    """Return the ms of masks in each run."""
    stages = (found.seconds[stage] for stage in _STAGES)
    return [1e3 * sum(run) for run in zip(*stages, strict=True)]


def _median(found: Result) -> float:
    return figures(_totals(found))["median ms"]


def _stage_names() -> list[str]:
    return [f"{short} ms" for short in _SHORT.values()]


def _street(settings: Settings) -> tuple[Image, str]:
    size, shape = next(iter(settings.sizes.items()))
    return draw_street(*shape), size


def _square(settings: Settings) -> tuple[Image, str]:
    """Return an image of SAM 2's input size, which transformers' pipeline is right on."""
    side = SAM2_SIDE if settings.tiny else 1024
    return draw_street(side, side), f"{side}x{side}"


def _score(image: Image) -> Any:
    """Return a coarse score for OASC and MBP, which this step does not report."""
    return image[..., 0].astype(np.float32) / 255
