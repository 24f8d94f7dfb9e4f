"""Labelled frames and their coarse scores, for the tools that measure refinement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from objectomaly_ros.checkpoints.table import cache_dir
from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.types import Image, ScoreMap

CACHE = cache_dir() / "coarse_scores"
"""Default folder of `EmbeddedScores`."""
ESPNET = ("void", "maxlogit")
"""Arrays of the stored coarse maps of ESPNetv2, see the data's README."""


@dataclass(frozen=True)
class FrameScores:
    """One frame: image (H, W, 3), labels (H, W), and the coarse score of each detector."""

    image: Image
    labels: Labels
    coarse: dict[str, ScoreMap]


class EmbeddedScores:
    """The embedded detector's scores of images, kept in a folder so that the next run is quick."""

    def __init__(self, weights: Path | None, cache: Path) -> None:
        """Load the weights, None for those of the package; `cache` is the folder."""
        self._detector = EmbeddedDetector(weights)
        self._identity = self._detector.checkpoint.read_bytes()
        self._cache = ScoreCache(cache)

    def __call__(self, image: Image) -> ScoreMap:
        """Return the score of an RGB uint8 image (H, W, 3): (H, W) float32."""
        key = self._cache.key(image.tobytes(), self._identity)
        score = self._cache.load(key)
        if score is None:
            score = self._detector.score(image)
            self._cache.store(key, score)
        return score


def read_rgb(path: Path) -> Image:
    """Read an image, (H, W, 3) uint8 RGB."""
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


def read_frames(part: Path, weights: Path | None, cache: Path) -> Iterator[FrameScores]:
    """Read the frames of a street_ood folder in order.

    Args:
        part: with images/ and labels_masks/; PART_cas_espnetv2 beside it is used where it is.
        weights: of the embedded detector; None for those of the package.
        cache: folder for its scores, so that the next run is quick.
    """
    embedded = EmbeddedScores(weights, cache)
    stored = part.with_name(f"{part.name}_cas_espnetv2")
    for path in sorted((part / "images").glob("*.jpg")):
        image = read_rgb(path)
        labels = cv2.imread(str(part / "labels_masks" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        coarse = {"embedded": embedded(image)}
        if stored.is_dir():
            with np.load(stored / f"{path.stem}.npz") as maps:
                coarse |= {name: maps[name].astype(np.float32) for name in ESPNET}
        yield FrameScores(image, np.asarray(labels, np.uint8), coarse)
