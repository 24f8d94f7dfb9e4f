"""The normality memory: what a drive showed, fused with a detector's score."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path

import cv2
import numpy as np

from objectomaly_ros.arrays.log_odds import log_odds
from objectomaly_ros.detectors.memory.nearest import PatchIndex
from objectomaly_ros.detectors.memory.patches import Floats
from objectomaly_ros.files.tensors import read_tensors, write_tensors
from objectomaly_ros.types import ScoreMap

FORMAT = "objectomaly_ros.memory/1"
MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class Calibration:
    """What a memory knows beside its patches.

    Attributes:
        detector: identity of the detector and its weights.
        trust: weight of the detector's logit, see `trust_in`.
        distance: of a patch that is as unlikely on the drive as 1 in 100.
        threshold: score above which a pixel is an obstacle.
        false_alarms_per_minute: for which the threshold was chosen.
        images: number of images that were learnt from.
    """

    detector: str
    trust: float
    distance: float
    threshold: float
    false_alarms_per_minute: float
    images: int


class Memory:
    """Patches of normal driving.

    Thread-safe: it does not change.
    """

    def __init__(self, index: PatchIndex, calibration: Calibration) -> None:
        self.index = index
        self.calibration = calibration

    @property
    def threshold(self) -> float:
        """Score above which a pixel is an obstacle."""
        return self.calibration.threshold

    def fuse(self, score: ScoreMap, grid: Floats) -> ScoreMap:
        """Fuse a detector's score (h, w) in [0, 1] with the distances of the patches of its image.

        Args:
            score: at any resolution that is a multiple of the grid's, up to a cut border.
            grid: (rows, columns, D), see `patches`.

        Returns:
            (h, w) float32 in [0, 1].
        """
        return fused(score, self.index.distances(grid), self.calibration)

    def check(self, detector: str) -> None:
        """Raise a ValueError unless the memory was learnt with this detector and its weights."""
        if detector != self.calibration.detector:
            raise ValueError(
                f"the memory was learnt with {self.calibration.detector}, and this is {detector}: "
                "learn it again with `objectomaly learn`"
            )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the memory as safetensors, at most 10 MB.

        Raises:
            OSError: the file cannot be written.
        """
        texts = {key: json.dumps(value) for key, value in asdict(self.calibration).items()}
        vectors = self.index.vectors.astype(np.float16)
        write_tensors(
            path, {"vectors": vectors, "heights": self.index.heights}, {"format": FORMAT, **texts}
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Memory:
        """Read a memory.

        Raises:
            OSError: there is no such file.
            ValueError: it is no memory, or damaged.
        """
        if not Path(path).exists():
            raise FileNotFoundError(f"no memory {path}; `objectomaly learn` makes one")
        tensors, texts = read_tensors(path, MAX_BYTES)
        if texts.get("format") != FORMAT:
            raise ValueError(f"{path} is no memory of `objectomaly learn` ({FORMAT})")
        try:
            values = {field.name: json.loads(texts[field.name]) for field in fields(Calibration)}
            calibration = Calibration(**values)
            vectors, heights = (tensors[name].astype(np.float32) for name in ("vectors", "heights"))
            numbers = [value for value in values.values() if not isinstance(value, str)]
            if not (isinstance(calibration.detector, str) and all(map(math.isfinite, numbers))):
                raise ValueError("a value is no finite number")
            if calibration.distance <= 0 or vectors.ndim != 2 or heights.shape != vectors.shape[:1]:
                raise ValueError("its arrays have other shapes")
            if not (np.isfinite(vectors).all() and np.isfinite(heights).all() and len(heights)):
                raise ValueError("its arrays hold no finite numbers")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} is a damaged memory: {error!r}") from error
        return cls(PatchIndex(vectors, heights), calibration)


def trust_in(alarm_area: float) -> float:
    """Return the weight of a detector's logit beside the logarithm of the distance.

    Args:
        alarm_area: share of the normal drive above the detector's own threshold. A detector that
            knows the place fires nowhere and counts for most; at 0.5 % it counts half, and one that
            fires on the road leaves the decision to the memory.
    """
    return max(0.06, 0.35 / (1 + alarm_area / 0.005))


def fused(score: ScoreMap, distances: Floats, calibration: Calibration) -> ScoreMap:
    """Return the score (h, w) in [0, 1] from the detector's and the distances (rows, columns)."""
    height, width = score.shape
    rows, columns = distances.shape
    zoom = max(-(-height // rows), -(-width // columns))
    novelty = np.log(distances / calibration.distance)
    novelty = cv2.resize(novelty, (columns * zoom, rows * zoom), interpolation=cv2.INTER_LINEAR)
    logit = calibration.trust * log_odds(score) + novelty[:height, :width]
    return np.asarray(1 / (1 + np.exp(-2 * logit)), np.float32)
