"""The ground truth of a drive, kept beside its bag and matched by stamps."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from objectomaly_ros.demo.drive import VisibleObject
from objectomaly_ros.evaluation.frames import IGNORE, Labels


@dataclass(frozen=True)
class FrameTruth:
    """One frame's truth: `ids` (H, W) uint8 (0, object id, 255 unsure), and the objects in view."""

    ids: npt.NDArray[np.uint8]
    objects: tuple[VisibleObject, ...]

    @property
    def labels(self) -> Labels:
        """(H, W) uint8: 0 normal, 1 anomaly, 255 ignore."""
        return np.where((self.ids > 0) & (self.ids != IGNORE), 1, self.ids).astype(np.uint8)


class Truth:
    """The truth of every frame, by the image's stamp in nanoseconds."""

    def __init__(self, frames: dict[int, FrameTruth]) -> None:
        self.frames = frames

    def get(self, stamp_ns: int) -> FrameTruth | None:
        """The truth of the image with this stamp, if there is one."""
        return self.frames.get(stamp_ns)

    def save(self, path: Path) -> None:
        """Write a .npz file: ids, stamps, and the objects as JSON."""
        stamps = sorted(self.frames)
        objects = [[asdict(seen) for seen in self.frames[stamp].objects] for stamp in stamps]
        np.savez_compressed(
            path,
            stamps_ns=np.array(stamps, np.int64),
            ids=np.stack([self.frames[stamp].ids for stamp in stamps]),
            objects=np.array(json.dumps(objects)),
        )

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            stamps, ids = data["stamps_ns"].tolist(), data["ids"]
            listed = json.loads(str(data["objects"]))
        frames = {}
        for stamp, frame_ids, objects in zip(stamps, ids, listed, strict=True):
            seen = tuple(VisibleObject(**{**o, "box": tuple(o["box"])}) for o in objects)
            frames[stamp] = FrameTruth(frame_ids, seen)
        return cls(frames)
