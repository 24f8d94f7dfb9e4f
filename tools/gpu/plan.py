"""The steps of a run and their tasks, in the order of their worth."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tools import ROOT
from tools.gpu import equality, models, node, sam, speed
from tools.gpu.rows import Settings, Task

PACKAGE = "objectomaly_ros"
_SHARED_MODULES = ("rows", "timing", "models", "tiny")


@dataclass(frozen=True)
class Step:
    """A part of the page.

    Attributes:
        title: its heading.
        about: what its rows show.
        module: has `measure`, which runs its tasks.
        sources: folders and files of the package that its results depend on.
    """

    title: str
    about: str
    module: str
    sources: tuple[str, ...]


_DETECTORS = (
    "detectors", "models", "arrays", "weights/embedded.onnx", "weights/embedded.safetensors"
)  # fmt: skip
_MASKS = ("masks", "models", "benchmark")
STEPS = {
    "refinement": Step(
        "OASC and MBP",
        "On the device, with masks there, and on the host. Differences are absolute, for scores of "
        "0 to 1.",
        "tools.gpu.refinement",
        ("gpu", "oasc.py", "mbp.py", "arrays"),
    ),
    "embedded": Step(
        "The detector of the package",
        "Differences are absolute, for scores of 0 to 1.",
        "tools.gpu.embedded",
        _DETECTORS,
    ),
    "equality": Step(
        "Detectors: equality",
        "float32: the largest difference over the largest magnitude. Half precision: the mean "
        "difference over the range of the score.",
        "tools.gpu.equality",
        (*_DETECTORS, "checkpoints"),
    ),
    "sam": Step(
        "SAM: masks against the official generator",
        "The time is that of encoder, decoder and post-processing. IoU: the mean over the masks of "
        "their best match, the lower of both directions.",
        "tools.gpu.sam",
        (*_MASKS, "gpu"),
    ),
    "node": Step(
        "CAS beside SAM",
        "From the arrival of an image to its coarse score, without masks and while SAM makes the "
        "masks of every frame that it can. The pace keeps the detector busy for 70 % of the time.",
        "tools.gpu.node",
        ("runtime", "video", "ros", *_MASKS, *_DETECTORS),
    ),
    "speed": Step(
        "Detectors: time and memory",
        "From the image on the host to the score on the host, at the published input size. The "
        "peak counts weights; on a CPU it is that of the whole process.",
        "tools.gpu.speed",
        _DETECTORS,
    ),
}

DETECTORS = ("embedded", "semantic", "mask2anomaly", "rba", "uno", "eam", "maskomaly", "rpl")
SAMS = {"sam_vit_b": 6.0, "sam_vit_l": 8.0, "sam_vit_h": 10.0, "mobile_sam": 4.0}
SAM2S = ("sam2_hiera_tiny", "sam2_hiera_small", "sam2_hiera_base_plus", "sam2_hiera_large")
_GOLDEN_S, _COMPILE_FACTOR = 20.0, 4.0


def tasks(settings: Settings) -> list[Task]:
    """Return all tasks; compiling comes last, for it takes long and may be cut off."""
    sams = dict(list(SAMS.items())[::3] if settings.tiny else SAMS)
    sam2s = SAM2S[:1] if settings.tiny else SAM2S
    first = [Task("refinement", "OASC, MBP", "", 10.0), Task("embedded", "embedded", "", 8.0)]
    equal = [
        Task("equality", name, "", _GOLDEN_S if equality.has_goldens(name, settings) else 8.0)
        for name in DETECTORS
    ]
    generators = [
        Task("sam", name, form, seconds)
        for name, seconds in sams.items()
        for form in (sam.REFERENCE, *sam.FORMS)
        if "compiled" not in form and "graphs" not in form
        and (name != "mobile_sam" or form in (sam.REFERENCE, *sam.PLAIN_FORMS))
    ]  # fmt: skip
    beside = [Task("node", "CAS beside SAM", "node" if uses_ros(settings) else "engine", 50.0)]
    quick = [
        Task("speed", name, form, 6.0)
        for name in (("embedded", "semantic", "mask2anomaly") if settings.tiny else DETECTORS)
        for form in speed.FORMS[:2]
        if form == "float32" or equality.has_half(name, settings)
    ]  # fmt: skip
    second = [
        Task("sam", name, form, 5.0) for name in sam2s for form in (sam.REFERENCE, *sam.PLAIN_FORMS)
    ]
    compiled = [
        Task("sam", name, form, _COMPILE_FACTOR * seconds)
        for name, seconds in reversed(sams.items())
        for form in sam.FORMS
        if ("compiled" in form or "graphs" in form) and name != "mobile_sam"
    ]
    papers = DETECTORS[2:3] if settings.tiny else DETECTORS[2:]
    compiled += [Task("speed", name, speed.FORMS[2], 25.0) for name in papers]
    return first + equal + generators + beside + quick + second + compiled


def uses_ros(settings: Settings) -> bool:
    """Tell whether the real node runs; --tiny saves the seconds of its three starts."""
    return node.has_ros() and not settings.tiny


def inputs(task: Task, settings: Settings, machine: dict[str, object]) -> str:
    """Return a digest of all that a task's result depends on."""
    digest = hashlib.sha256(f"{task} {settings.device} {settings.tiny} {machine}".encode())
    step = STEPS[task.step]
    own = (f"{name}.py" for name in (step.module.split(".")[-1], *_SHARED_MODULES))
    for path in (
        *(ROOT / PACKAGE / source for source in step.sources),
        *(ROOT / "tools" / "gpu" / name for name in own),
        ROOT / "tools" / "benchmarks",
    ):
        digest.update(_content(path))
    subjects = node.MODELS if task.step == "node" else (task.subject,)
    files = [str(models.published(name)) for name in subjects]
    digest.update(f"{files} {equality.has_goldens(task.subject, settings)}".encode())
    return digest.hexdigest()


@cache
def _content(path: Path) -> bytes:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(ROOT)).encode())
        digest.update(file.read_bytes())
    return digest.digest()


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide results."""
    found = {}
    for name in ("torch", "torchvision", "transformers", "segment-anything", "onnxruntime",
                 "onnxruntime-gpu", "numpy", "opencv-python"):  # fmt: skip
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
