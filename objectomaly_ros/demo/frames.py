"""Reads a result bag frame by frame: what the node published about each image."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.image_messages import ImageDecoder, decode_plane, decode_score
from objectomaly_ros.bags.compact import header_stamp_ns
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.storage import RawMessage
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.types import Image, ScoreMap

_OUTPUTS = ("coarse_score", "score", "mask", "obstacles", "points", "free", "status")
_FLOAT32 = 7  # of sensor_msgs/PointField
_WINDOW = 32  # frames over which messages of one stamp are apart


@dataclass(frozen=True, eq=False)
class ResultFrame:
    """The outputs of the node for one image.

    Attributes:
        stamp_ns: of the image.
        score: ~/score, (H, W) float32.
        coarse: ~/coarse_score, (H, W) float32.
        mask: ~/mask, (H, W) uint8.
        obstacles: the entries of ~/obstacles.
        status: ~/status.
        points: ~/points, x, y, z in metres, (N, 3) float64.
        free: ends of the rays of ~/free, x and y, (M, 2) float64.
        All but the score are None, or empty, if they were not recorded.
    """

    stamp_ns: int
    score: ScoreMap
    coarse: ScoreMap | None
    mask: npt.NDArray[np.uint8] | None
    obstacles: tuple[Any, ...]
    status: Any
    points: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    free: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))


def read_frames(result: Bag) -> Iterator[ResultFrame]:
    """Yield every frame with a ~/score, in one pass over the bag."""
    known = result.topics
    topics = {f"{NODE}/{name}": name for name in _OUTPUTS if f"{NODE}/{name}" in known}
    waiting: dict[int, dict[str, RawMessage]] = {}
    for raw in result.messages(topics):
        waiting.setdefault(header_stamp_ns(raw.data), {})[topics[raw.topic]] = raw
        oldest = next(iter(waiting))
        while len(waiting) > _WINDOW or len(waiting.get(oldest, ())) == len(topics):
            yield from _decode(result, oldest, waiting.pop(oldest))
            oldest = next(iter(waiting), -1)
    for stamp, parts in waiting.items():
        yield from _decode(result, stamp, parts)


def _decode(result: Bag, stamp: int, parts: dict[str, RawMessage]) -> Iterator[ResultFrame]:
    messages = {name: result.decode(raw) for name, raw in parts.items()}
    if "score" not in messages:
        return
    yield ResultFrame(
        stamp_ns=stamp,
        score=decode_score(messages["score"]),
        coarse=decode_score(messages["coarse_score"]) if "coarse_score" in messages else None,
        mask=decode_plane(messages["mask"], "mono8") if "mask" in messages else None,
        obstacles=tuple(messages["obstacles"].obstacles) if "obstacles" in messages else (),
        status=messages.get("status"),
        points=_xyz(messages.get("points")),
        free=_xyz(messages.get("free"))[:, :2],
    )


def _xyz(cloud: Any) -> npt.NDArray[np.float64]:
    """Return the points of a PointCloud2, (N, 3); none of None."""
    if cloud is None:
        return np.empty((0, 3))
    offsets = {field.name: field.offset for field in cloud.fields if field.datatype == _FLOAT32}
    kind = np.dtype(
        {
            "names": list("xyz"),
            "formats": ["<f4"] * 3,
            "offsets": [offsets[axis] for axis in "xyz"],
            "itemsize": cloud.point_step,
        }
    )
    points = np.frombuffer(bytes(cloud.data), kind, cloud.width * cloud.height)
    return np.column_stack([points[axis] for axis in "xyz"]).astype(np.float64)


class SourceImages:
    """The images of a recording by their stamps, asked for in about the order of the bag.

    Args:
        bag: the recording.
        topic: its image topic.
        from_log: whether log times are the stamps.
    """

    def __init__(self, bag: Bag, topic: str, *, from_log: bool = False) -> None:
        self._bag = bag
        self._from_log = from_log
        self._messages = bag.messages([topic])
        self._read: dict[int, RawMessage] = {}
        self._decoder = ImageDecoder()

    def get(self, stamp_ns: int) -> Image | None:
        """Return (H, W, 3) uint8 RGB; None if there is no such image, or it is damaged."""
        while stamp_ns not in self._read:
            raw = next(self._messages, None)
            if raw is None:
                return None
            try:
                self._read[raw.log_time if self._from_log else header_stamp_ns(raw.data)] = raw
            except (struct.error, IndexError):  # too short
                continue
            if len(self._read) > _WINDOW:
                del self._read[next(iter(self._read))]
        try:
            return self._decoder.decode(self._bag.decode(self._read[stamp_ns]))
        except (BagError, ValueError):
            return None
