"""Statistics of training images, by which the node notices a camera that is unlike them.

    scripts/env python -m tools.training.familiar [--weights FILE.safetensors]

Writes the entry `familiar` into the weights' metadata: how much of an image is above the detector's
threshold, and how far the mean direction of its features at stride 16 is from the mean of all; of
both the 99 % quantile in the folder in which it is largest. The area is taken from folders without
obstacles alone, and at least `LEAST_AREA`. Export the weights as ONNX afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from safetensors import safe_open
from safetensors.torch import save

from objectomaly_ros.detectors.embedded import TORCH_WEIGHTS, EmbeddedDetector
from objectomaly_ros.detectors.familiarity import direction
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.types import Image
from tools import SHARED
from tools.command import need, parser, run
from tools.labelled import names

LEAST_AREA = 0.05
"""A near obstacle may fill so much of the images of a known street."""


def familiar(
    detector: EmbeddedDetector, empty: Iterable[Iterable[Image]], others: Iterable[Iterable[Image]]
) -> dict[str, object]:
    """Return the entry for images of several folders, `empty` of obstacles or not."""
    areas, directions = [], []
    for images, counts in [*((f, True) for f in empty), *((f, False) for f in others)]:
        found = [detector.score_and_features(image) for image in images]
        if counts:
            areas.append([float((score > detector.threshold).mean()) for score, _ in found])
        directions.append(np.array([direction(features16) for _, features16 in found]))
    mean = np.concatenate(directions).mean(0)
    far = [np.linalg.norm(part - mean, axis=1) for part in directions]
    return {
        "alarm_area_p99": max(LEAST_AREA, *(float(np.quantile(part, 0.99)) for part in areas)),
        "feature_distance_p99": max(1e-4, *(float(np.quantile(part, 0.99)) for part in far)),
        "feature_mean": [round(float(value), 5) for value in mean],
    }


def images_of(folder: Path, every: int) -> Iterator[Image]:
    """Yield every n-th image of FOLDER/images."""
    for name in names(folder)[::every]:
        picture = cv2.imread(str(folder / "images" / f"{name}.jpg"))
        yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def main() -> None:
    """Measure, and write the entry."""
    p = parser(__doc__)
    p.add_argument("--weights", type=Path, default=TORCH_WEIGHTS, help="a .safetensors file")
    p.add_argument("--data", type=Path, default=SHARED / "data")
    p.add_argument("--every", type=int, default=3, help="take every N-th image of a folder")
    args = p.parse_args()
    roads = args.data / "real_roads"
    folders = args.data / "camvid" / "train", roads / "us", roads / "labelled", roads
    need(args.weights, *folders)
    *empty, others = [list(images_of(folder, args.every)) for folder in folders]
    entry = familiar(EmbeddedDetector(args.weights), empty, [others])
    with safe_open(args.weights, framework="pt") as file:
        texts = file.metadata() | {"familiar": json.dumps(entry)}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    with open_replacing(args.weights) as target:
        target.write(save(tensors, texts))
    print(json.dumps({key: value for key, value in entry.items() if key != "feature_mean"}))


if __name__ == "__main__":
    run(main)
