"""Print the difference of every detector from the numbers of the original code.

    scripts/env python -m tools.benchmarks.golden_errors

One line for each golden and output: the largest absolute difference, and its ratio to the largest
magnitude of the reference. The networks have the authors' size: this takes ten minutes of a core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from objectomaly_ros.detectors import load_detector, pixel_rules, score_rules
from objectomaly_ros.detectors.score_rules import Geometry
from tools import SHARED
from tools.benchmarks.golden_files import write_golden_file
from tools.command import need, parser, run

GOLDENS = SHARED / "golden"
LOW = Geometry((48, 96), (48, 96), (48, 96))
Data = Mapping[str, Any]
Compared = Iterator[tuple[str, Any, Any]]
"""Name of an output, ours, theirs."""


def rules() -> Compared:
    """Compare the score rules alone, on the goldens' logits."""
    for detector, folder, prefix in (
        ("rba", "rba", ""),
        ("uno", "uno", ""),
        ("eam", "uno", "eam_"),
        ("maskomaly", "maskomaly", ""),
    ):
        data = _golden(folder, "score_golden")
        logits = (torch.from_numpy(data[key]) for key in ("class_logits", "mask_logits"))
        score = getattr(score_rules, detector)(*logits, LOW)
        yield f"{detector} rule", score, data[f"{prefix}anomaly_lowres"]
    data = _golden("rpl", "score_golden")
    for rule in ("energy", "entropy"):
        score = pixel_rules.smooth(pixel_rules.RULES[rule](torch.from_numpy(data["logits"])))
        yield f"rpl rule {rule}", score, data[f"anomaly_{rule}"]


def swin(name: str, device: str = "cpu") -> Compared:
    """Compare RbA, UNO or Maskomaly, whose goldens have one form."""
    data = _golden(name, "network_golden")
    detector = golden_detector(name, device, input_size=None)
    classes, masks, _ = detector.predict(data["image"])
    yield f"{name} class logits", classes, data["pred_logits"]
    yield f"{name} mask logits", masks, data["pred_masks"]
    yield f"{name} anomaly", detector.score(data["image"]), data["anomaly"]
    if name == "maskomaly":
        short, image = golden_detector(name, device, input_size=128), data["image_resized"]
        yield f"{name} anomaly, resized", short.score(image), data["anomaly_resized_short128"]
    else:
        score = detector.score(data["image_unaligned"])
        yield f"{name} anomaly, unaligned", score, data["anomaly_unaligned"]


def rpl(device: str = "cpu") -> Compared:
    """Compare RPL with both rules and an odd image size."""
    detector, data = golden_detector("rpl", device), _golden("rpl", "network_golden")
    vanilla, anomaly = detector._logits(data["image"])
    yield "rpl closed-set logits", vanilla[:, ::2, ::2], data["logits_vanilla"]
    yield "rpl anomaly logits", anomaly[:, ::2, ::2], data["logits_rpl"]
    for rule in ("energy", "entropy"):
        score = pixel_rules.smooth(pixel_rules.RULES[rule](anomaly))
        yield f"rpl anomaly, {rule}", score, data[f"anomaly_{rule}"]
    yield "rpl anomaly, odd size", detector.score(data["image_odd"]), data["anomaly_energy_odd"]


def mask2anomaly(*cases: str, device: str = "cpu", **options: Any) -> Compared:
    """Compare Mask2Anomaly, with flip averaging."""
    detector = golden_detector("mask2anomaly", device, **options)
    for case in cases:
        data = _golden("mask2anomaly", case)
        with torch.inference_mode():
            classes, masks, geometry = detector.predict(data["image_rgb"])
            score = detector._mean_score(data["image_rgb"], classes, masks, geometry)
        step = 8 if "pred_masks_stride8" in data else 1
        wanted = data["pred_masks_stride8" if step == 8 else "pred_masks"]
        yield f"mask2anomaly {case} class logits", classes, data["pred_logits"]
        yield f"mask2anomaly {case} mask logits", masks[:, ::step, ::step], wanted
        yield f"mask2anomaly {case} anomaly", score, data["cas"]


def _golden(folder: str, case: str) -> Data:
    data: Data = np.load(GOLDENS / folder / f"{case}.npz")
    return data


def golden_detector(name: str, device: str, **options: Any) -> Any:
    """Return a detector of the authors' size with the weights behind its goldens."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model_final.pth"
        write_golden_file(GOLDENS, name, path)
        return load_detector(name, path, device, **options)


def differences(compared: Compared) -> Iterator[tuple[str, float, float]]:
    """Return for each output its name, the largest difference, and that over the magnitude."""
    for what, ours, theirs in compared:
        on_host = ours.cpu() if isinstance(ours, torch.Tensor) else ours
        error = float(np.abs(np.asarray(on_host, np.float64) - theirs).max())
        yield what, error, error / float(np.abs(theirs).max())


def main() -> None:
    """Print the table line by line."""
    parser(__doc__).parse_args()
    need(GOLDENS)
    print(f"{'':40}{'max abs':>10}{'relative':>10}")
    for compared in (
        rules(),
        swin("rba"),
        swin("uno"),
        swin("maskomaly"),
        rpl(),
        mask2anomaly("case_a", "case_pad", input_size=None),
        mask2anomaly("case_b", "case_b720"),
    ):
        for what, error, relative in differences(compared):
            print(f"{what:40}{error:10.1e}{relative:10.1e}", flush=True)


if __name__ == "__main__":
    run(main)
