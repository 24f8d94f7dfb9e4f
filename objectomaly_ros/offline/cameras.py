"""Where the cameras of a bag are, and how they see: its CameraInfo and fixed transforms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.messages import CAMERA_INFO, TRANSFORMS
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.geometry.camera_info import Calibration, read_calibration
from objectomaly_ros.geometry.frames import AUTO, base_frames
from objectomaly_ros.geometry.transform_tree import TransformSeen, Tree
from objectomaly_ros.geometry.view import View

_NUMBERS = ("width", "height", "distortion_model", "binning_x", "binning_y")
_LISTS = ("d", "k", "r", "p")
_WINDOW = ("x_offset", "y_offset", "width", "height")
_STILL = 1e-4  # metres, and of a quaternion: rounding of a joint that does not move


@dataclass
class Cameras:
    """What a bag tells of its cameras; can be written as JSON.

    Attributes:
        infos: the first CameraInfo of each image topic that has one.
        changed: image topics whose CameraInfo changes.
        transforms: of each frame to its parent: parent, translation, rotation x, y, z, w.
        moving: frames that move against their parent.
    """

    infos: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    transforms: dict[str, tuple[str, list[float], list[float]]] = field(default_factory=dict)
    moving: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return what `Cameras(**...)` takes."""
        return asdict(self)

    def take_info(self, image_topic: str, message: Any) -> None:
        """Take a CameraInfo."""
        info = {name: getattr(message, name) for name in _NUMBERS}
        info |= {name: [float(value) for value in getattr(message, name)] for name in _LISTS}
        info["roi"] = {name: getattr(message.roi, name) for name in _WINDOW}
        info["frame_id"] = message.header.frame_id
        if info != self.infos.setdefault(image_topic, info) and image_topic not in self.changed:
            self.changed.append(image_topic)

    def take_transform(self, message: Any) -> None:
        """Take a TransformStamped."""
        child = message.child_frame_id.lstrip("/")
        move, turn = message.transform.translation, message.transform.rotation
        place, rotation = [move.x, move.y, move.z], [turn.x, turn.y, turn.z, turn.w]
        parent = message.header.frame_id.lstrip("/")
        known = self.transforms.setdefault(child, (parent, place, rotation))
        still = known[0] == parent and np.allclose(
            [*known[1], *known[2]], [*place, *rotation], rtol=0, atol=_STILL
        )
        if not still and child not in self.moving:
            self.moving.append(child)


def read_cameras(bag: Bag, image_topics: Sequence[str]) -> Cameras:
    """Read CameraInfo and transforms; what cannot be decoded is left out.

    The CameraInfo of /front/image_raw, also of /front/image_raw/compressed, is /front/camera_info.
    """
    found, topics = Cameras(), bag.topics
    by_info: dict[str, list[str]] = {}
    for image in image_topics:
        name = image.removesuffix("/compressed").rpartition("/")[0] + "/camera_info"
        if name in topics and topics[name].msgtype == CAMERA_INFO:
            by_info.setdefault(name, []).append(image)
    if not by_info:
        return found
    transforms = [topic.name for topic in topics.values() if topic.msgtype == TRANSFORMS]
    for raw in bag.messages([*by_info, *transforms]):
        try:
            message = bag.decode(raw)
        except BagError:
            continue
        for image in by_info.get(raw.topic, ()):
            found.take_info(image, message)
        for transform in message.transforms if raw.msgtype == TRANSFORMS else ():
            found.take_transform(transform)
    return found


class Views:
    """How the images of one topic see the ground.

    Args:
        cameras: of the bag.
        topic: of the images.

    Attributes:
        problem: why ranges stay unknown; None if they are known, or if there is no CameraInfo.
    """

    def __init__(self, cameras: Cameras, topic: str) -> None:
        self.problem: str | None = None
        self._cameras = cameras
        self._views: dict[tuple[str, int, int], View | None] = {}
        self._calibration: Calibration | None = None
        info = cameras.infos.get(topic)
        if info is None:
            return
        if topic in cameras.changed:
            self.problem = "ranges are unknown: the CameraInfo changes"
            return
        try:
            self._calibration = read_calibration(_message(info), topic)
        except ValueError as error:
            self.problem = f"ranges are unknown: {error}"

    @property
    def possible(self) -> bool:
        """Whether ranges may be known."""
        return self._calibration is not None and bool(self._cameras.transforms)

    def view(self, frame_id: str, height: int, width: int) -> View | None:
        """Return how an image sees the ground; None if that is not known."""
        if self._calibration is None:
            return None
        key = frame_id, height, width
        if key not in self._views:
            self._views[key] = None
            try:
                model = self._calibration.of_image(width, height)
                self._views[key] = self._posed(frame_id.lstrip("/"), model)
            except (ValueError, ArithmeticError) as error:
                self.problem = f"ranges are unknown: {error}"
        return self._views[key]

    def _posed(self, frame: str, model: Any) -> View:
        tree = Tree(
            {
                (child, parent): TransformSeen(
                    parent, child, _triple(place), _quaternion(turn), static=True
                )
                for child, (parent, place, turn) in self._cameras.transforms.items()
            }
        )
        bases = base_frames(AUTO, frame)
        for base in bases:
            transform = tree.transform(base, frame) if base in tree.frames else None
            if transform is None or frame not in tree.frames:
                continue
            moving = [seen.child for seen in tree.path(base, frame)]
            moving = [child for child in moving if child in self._cameras.moving]
            if moving:
                raise ValueError(f"{', '.join(moving)} moves between {frame} and {base}")
            view = View(model, transform, base, f"TF {base} <- {frame}")
            if not view.sees_ground:
                raise ValueError(f"the camera {frame!r} sees no ground of {base!r}")
            return view
        raise ValueError(f"no fixed transform from {frame!r} to {' or '.join(bases)} is in the bag")


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z


def _quaternion(values: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, z, w = values
    return x, y, z, w


def _message(info: Mapping[str, Any]) -> Any:
    """Return a CameraInfo as `read_calibration` takes it."""
    lists = {name: np.array(info[name], np.float64) for name in _LISTS}
    parts = {"roi": info["roi"], "header": {"frame_id": info["frame_id"]}}
    nested = {name: SimpleNamespace(**values) for name, values in parts.items()}
    return SimpleNamespace(**{**info, **lists, **nested})


def finite(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return round(value, 4) if math.isfinite(value) else None
