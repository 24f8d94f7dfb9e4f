"""The messages that tell what was found in the images of one topic."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.score_png import encode_score
from objectomaly_ros.bags import messages
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.overlay import draw_overlay
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.offline.block import Refined
from objectomaly_ros.offline.planner import TYPES, PlannerOutputs
from objectomaly_ros.types import ScoreMap

NODE = "/objectomaly"
_PICTURES = ("score", "mask", "overlay")
_TYPES = {**TYPES, "obstacles": messages.OBSTACLES}


class Outputs:
    """The output topics of one image topic.

    Attributes:
        topics: by output: score, mask, overlay, obstacles, and those for planners. As of the node,
            with image_transport's /compressed unless they are raw.
    """

    def __init__(self, camera: str, threshold: float, *, raw: bool, metres: bool) -> None:
        """Name them.

        Args:
            camera: its name; empty if there is one image topic.
            threshold: of obstacles.
            raw: whether pictures are not compressed.
            metres: whether there are those for planners, which need the camera's place.
        """
        prefix = f"{NODE}/{camera}" if camera else NODE
        self.raw = raw
        ending = "" if raw else "/compressed"
        self.topics = {name: f"{prefix}/{name}{ending}" for name in _PICTURES}
        self.topics["obstacles"] = f"{prefix}/obstacles"
        self._threshold = threshold
        self._planner: PlannerOutputs | None = None
        if metres:
            self.topics |= {name: f"{prefix}/{name}" for name in TYPES}
            self._planner = PlannerOutputs(self.topics, threshold)

    def announce(self, writer: BagWriter) -> None:
        """Announce the topics."""
        picture = messages.IMAGE if self.raw else messages.COMPRESSED_IMAGE
        for name, topic in self.topics.items():
            writer.add_topic(topic, picture if name in _PICTURES else _TYPES[name])

    def write(
        self,
        writer: BagWriter,
        refined: Refined,
        obstacles: Obstacles,
        placements: Sequence[Placement],
        view: View | None,
        stamp_ns: int,
        log_time: int,
    ) -> None:
        """Write the results of one frame."""
        frame = refined.frame
        labels = obstacles.labels()
        overlay = draw_overlay(
            frame.image,
            refined.score,
            obstacles.mask,
            obstacles.regions,
            ranges=[placed.range_m for placed in placements],
            limits=_limits(refined.score, self._threshold),
        )
        at = stamp_ns, frame.frame_id
        found = messages.obstacles_message(
            writer.store, obstacles, placements, *at, refined=refined.refined
        )
        writer.write(self.topics["obstacles"], found, log_time)
        if self._planner is not None and view is not None:
            self._planner.write(writer, refined, obstacles, placements, view, stamp_ns, log_time)
        if self.raw:
            for name, array, encoding in (
                ("score", refined.score, "32FC1"),
                ("mask", labels, "mono8"),
                ("overlay", overlay, "rgb8"),
            ):
                message = messages.image_message(writer.store, array, *at, encoding)
                writer.write(self.topics[name], message, log_time)
            return
        for name, (how, data) in (
            ("score", encode_score(refined.score)),
            ("mask", ("mono8; png compressed ", _png(labels))),
            ("overlay", ("rgb8; jpeg compressed bgr8", messages.jpeg(overlay, 85))),
        ):
            message = messages.compressed_message(writer.store, data, *at, how)
            writer.write(self.topics[name], message, log_time)


def camera_names(topics: Sequence[str]) -> list[str]:
    """Return a name for the camera of each image topic, as in the node's `camera_names`.

    /front/image_raw/compressed becomes front; a single topic has an empty name. Topics that would
    share a name keep their own as it is.
    """
    if len(topics) == 1:
        return [""]
    short = []
    for topic in topics:
        parts = topic.removesuffix("/compressed").strip("/").split("/")
        short.append(
            "/".join(parts[:-1] if len(parts) > 1 and parts[-1].startswith("image") else parts)
        )
    return [
        name if short.count(name) == 1 else topic.strip("/")
        for name, topic in zip(short, topics, strict=True)
    ]


def _limits(score: ScoreMap, threshold: float) -> tuple[float, float] | None:
    """Return the limits of the overlay's colours, with the threshold in the middle."""
    low = float(score.min())
    return (low, 2 * threshold - low) if low < threshold else None


def _png(labels: npt.NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".png", labels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return data.tobytes()
