"""Statistics of training images, by which the node notices a camera that is unlike them.

    scripts/env python -m tools.training.familiar FILE.onnx FOLDER... [--every N]

Prints the text of the entry `familiar` of the weights' metadata: how much of an image is above the
detector's threshold, and how far the mean direction of its features at stride 16 is from the mean
of all; of both the 99 % quantile in the folder in which it is largest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from objectomaly_ros.bags.drives import open_drive
from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.detectors.familiarity import direction
from objectomaly_ros.types import Image
from tools.command import need, parser, run


def familiar(detector: EmbeddedDetector, folders: Iterable[Iterable[Image]]) -> dict[str, object]:
    """Return the entry for images of several folders."""
    areas, directions = [], []
    for images in folders:
        found = [detector.score_and_features(image) for image in images]
        areas.append([float((score > detector.alarm_threshold).mean()) for score, _ in found])
        directions.append(np.array([direction(features16) for _, features16 in found]))
    mean = np.concatenate(directions).mean(0)
    far = [np.linalg.norm(part - mean, axis=1) for part in directions]
    return {
        "alarm_area_p99": max(1e-4, *(float(np.quantile(part, 0.99)) for part in areas)),
        "feature_distance_p99": max(1e-4, *(float(np.quantile(part, 0.99)) for part in far)),
        "feature_mean": [round(float(value), 5) for value in mean],
    }


def main() -> None:
    """Print the entry."""
    p = parser(__doc__)
    p.add_argument("weights", type=Path)
    p.add_argument("folders", type=Path, nargs="+")
    p.add_argument("--every", type=int, default=1, help="take every N-th image of a folder")
    args = p.parse_args()
    need(args.weights, *args.folders)
    images = (open_drive(folder).images(args.every) for folder in args.folders)
    print(json.dumps(familiar(EmbeddedDetector(args.weights), images)))


if __name__ == "__main__":
    run(main)
