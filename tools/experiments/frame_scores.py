"""Labelled frames with coarse scores, and the options of the tools that measure refinement."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from objectomaly_ros.checkpoints.table import cache_dir
from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.detectors.score_files import read_score_map
from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.frames import Labels
from objectomaly_ros.types import Image, ScoreMap
from tools.command import parser
from tools.labelled import names, read_labelled

ESPNET = ("void", "maxlogit")
"""Arrays in the files of ESPNetv2's coarse scores, see the README of the data."""


@dataclass(frozen=True)
class FrameScores:
    """One frame: image (H, W, 3), labels (H, W), and the coarse score of each detector."""

    image: Image
    labels: Labels
    coarse: dict[str, ScoreMap]


class EmbeddedScores:
    """Scores images with the embedded detector and caches the scores in a folder."""

    def __init__(self, weights: Path | None, cache: Path) -> None:
        self._detector = EmbeddedDetector(weights)
        self._identity = self._detector.checkpoint.read_bytes()
        self._cache = ScoreCache(cache)

    def __call__(self, image: Image) -> ScoreMap:
        """Return the score of an RGB uint8 image (H, W, 3), (H, W) float32."""
        key = self._cache.key(image.tobytes(), self._identity)
        score = self._cache.load(key)
        if score is None:
            score = self._detector.score(image)
            self._cache.store(key, score)
        return score


def options(doc: str | None, data: Path) -> argparse.ArgumentParser:
    """Return a parser with --data, --weights, --cache and --json."""
    p = parser(doc)
    p.add_argument("--data", type=Path, default=data)
    p.add_argument("--weights", type=Path, help="of the embedded detector; default: the package's")
    p.add_argument(
        "--cache",
        type=Path,
        default=cache_dir() / "coarse_scores",
        help="folder for the coarse scores; default: %(default)s",
    )
    p.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return p


def read_frames(part: Path, weights: Path | None, cache: Path) -> Iterator[FrameScores]:
    """Read the frames of a street_ood folder in order.

    Args:
        part: with images/ and labels_masks/; coarse scores in PART_cas_espnetv2 are used if there.
        weights: of the embedded detector; None for those of the package.
        cache: folder for its scores.
    """
    frames = names(part)
    embedded = EmbeddedScores(weights, cache)
    stored = part.with_name(f"{part.name}_cas_espnetv2")
    for name in frames:
        image, labels = read_labelled(part, name)
        coarse = {"embedded": embedded(image)}
        if stored.is_dir():
            coarse |= {key: read_score_map(stored / f"{name}.npz", key) for key in ESPNET}
        yield FrameScores(image, labels, coarse)
