"""What a normality memory is worth: the embedded detector alone and with it.

    scripts/env python -m tools.experiments.memory [--weights FILE.onnx] [--only NAME]

Objects of `ood_objects_imagenet` stand in real drives; the memory never saw them:

- highway: second half of the clip, memory from its first half; one: memory of a single frame;
- highway, dirty: the same, but one of the objects stood in 5 % of the first half;
- street: `clip_dev`, memory from frames of `camvid/val` that are not in it;
- snow, night, tunnel, day: single frames of `real_roads/us`, shifted, zoomed and relit; memory of
  the frame itself.

For each, AuPRC/FPR95 in percent without and with the memory; for the highway also the tracked
obstacles on the clean second half without and with it, each at its own threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from objectomaly_ros.bags.drives import open_drive
from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.detectors.memory import learn
from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.evaluation.metrics import pixel_metrics
from objectomaly_ros.obstacles.stage import ObstacleSettings, ObstacleStage
from objectomaly_ros.types import Image
from tools import SHARED
from tools.command import need, parser, run
from tools.labelled import names, read_labelled
from tools.training.embedded.frames import ROAD, Cutout, Frame, load_outliers
from tools.training.embedded.paste import Scene

BUILDING = 1
WIDTH = 640
# Name -> frame of real_roads/us and the row of its horizon as a share of the height.
SINGLES = {"snow": ("bdd_0", 0.42), "night": ("bdd_1", 0.5), "tunnel": ("bdd_3", 0.5),
           "day": ("bdd_6", 0.48)}  # fmt: skip

Labelled = list[tuple[Image, Labels]]


class Case(NamedTuple):
    """One row: images for the memory, their rate, labelled images, and a clean drive."""

    name: str
    normal: Sequence[Image]
    rate_hz: float
    tests: Labelled
    clean: Sequence[Image] = ()


def cases(data: Path) -> Iterator[Case]:
    """Yield the cases."""
    outliers = load_outliers(data / "ood_objects_imagenet")
    clip = [_small(image) for image in open_drive(data / "real_roads/clips/highway.mp4").images(1)]
    half = len(clip) // 2
    tests = [with_objects(clip[i], 0.53, outliers, i) for i in range(half + 4, len(clip), 6)]
    yield Case("highway", clip[:half], 25, tests, clip[half:])
    yield Case("highway, one", clip[10:11], 25, tests, clip[half:])
    dirty = list(clip[:half])
    for i in range(30, 30 + half // 20):
        dirty[i] = with_objects(clip[i], 0.53, outliers, half + 4)[0]  # as in the first test
    yield Case("highway, dirty", dirty, 25, tests[:1])
    yield Case("highway, 1 test", clip[:half], 25, tests[:1])
    street, val = data / "street_ood" / "clip_dev", data / "camvid" / "val"
    frames = names(street)
    rest = [name for name in names(val) if name not in frames]
    normal = [read_labelled(val, name, "labels")[0] for name in rest]
    yield Case("street", normal, 15, [read_labelled(street, name) for name in frames[::2]])
    for name, (file, horizon) in SINGLES.items():
        picture = cv2.imread(str(data / "real_roads" / "us" / "images" / f"{file}.jpg"))
        image = _small(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
        views = [with_objects(changed(image, seed), horizon, outliers, seed) for seed in range(8)]
        yield Case(name, [image], 10, views)


def _small(image: Image) -> Image:
    size = WIDTH, round(WIDTH * image.shape[0] / image.shape[1])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def with_objects(
    image: Image, horizon: float, outliers: Sequence[Cutout], seed: int
) -> tuple[Image, Labels]:
    """Paste two objects on the road, which is taken to be a trapeze below the horizon."""
    rng, (height, width) = np.random.default_rng(seed), image.shape[:2]
    corners = [(0.05, 0.93), (0.42, horizon + 0.1), (0.58, horizon + 0.1), (0.95, 0.93)]
    label = np.full((height, width), BUILDING, np.uint8)
    cv2.fillPoly(label, [(np.array(corners) * (width, height)).astype(np.int32)], ROAD)
    near = np.full(label.shape, -1, np.int16)
    scene, pasted = Scene(Frame(image, label, near, horizon * height), 11), 0
    while pasted < 2:
        cutout = outliers[rng.integers(len(outliers))]
        cutout = Cutout(cutout.rgb, cutout.alpha, float(rng.uniform(0.4, 1.2)))
        before = scene.pasted.sum()
        scene.paste(cutout, rng)
        pasted += int(scene.pasted.sum() > before)
    return scene.image, scene.outlier


def changed(image: Image, seed: int) -> Image:
    """Return an image as a moment later: shifted, zoomed, turned, in other light, with noise."""
    rng, (height, width) = np.random.default_rng(seed), image.shape[:2]
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), rng.normal(0, 0.7), 1 + rng.uniform(0.03, 0.12)
    )
    turn[:, 2] += rng.uniform(-14, 14, 2) * [1.5, 0.7]
    moved = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    lit = 255 * (moved / 255.0) ** np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.08))
    return np.clip(lit + rng.normal(0, 2, lit.shape), 0, 255).astype(np.uint8)


def figures(detector: EmbeddedDetector, tests: Labelled) -> str:
    """Return AuPRC/FPR95 in percent."""
    found = pixel_metrics(
        [detector.score(image) for image, _ in tests], [label for _, label in tests]
    )
    return f"{100 * found.auprc:5.1f}/{100 * found.fpr95:4.1f}"


def obstacles(detector: EmbeddedDetector, drive: Sequence[Image], rate_hz: float) -> int:
    """Return the number of obstacles that the node would report on a drive."""
    stage, ids = ObstacleStage(), set()
    settings = ObstacleSettings(detector.threshold, min_area=50, roi="road")
    for index, image in enumerate(drive):
        found = detector.detect(image)
        ids.update(stage.find(found, found.score, index / rate_hz, settings).ids)
    return len(ids)


def main() -> None:
    """Print the table."""
    p = parser(__doc__)
    p.add_argument("--data", type=Path, default=SHARED / "data")
    p.add_argument("--weights", type=Path, help="of the embedded detector; default: the package's")
    p.add_argument("--only", help="cases whose name begins so")
    args = p.parse_args()
    need(args.data / "real_roads", args.data / "ood_objects_imagenet", args.data / "street_ood")
    detector = EmbeddedDetector(args.weights)
    print(f"{'case':16s} {'alone':>10s} {'memory':>10s}  trust  threshold  false alone, memory")
    for case in cases(args.data):
        if args.only and not case.name.startswith(args.only):
            continue
        detector.use(None)
        alone = figures(detector, case.tests)
        false = [obstacles(detector, case.clean, case.rate_hz)] if case.clean else []
        memory = learn(detector, case.normal, rate_hz=case.rate_hz)
        detector.use(memory)
        fused = figures(detector, case.tests)
        if case.clean:
            false.append(obstacles(detector, case.clean, case.rate_hz))
        print(f"{case.name:16s} {alone:>10s} {fused:>10s}  {memory.calibration.trust:5.2f}  "
              f"{memory.threshold:9.2f}  {', '.join(map(str, false))}", flush=True)  # fmt: skip


if __name__ == "__main__":
    run(main)
