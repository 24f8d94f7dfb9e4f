"""Coarse scores of another node: `detector.name: precomputed` without a checkpoint.

The other node publishes a 32FC1 image with the stamp of the camera image that it scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from objectomaly_ros.arrays.image_messages import decode_score
from objectomaly_ros.detectors import checked_score
from objectomaly_ros.runtime.interface import BadImageError, Frame
from objectomaly_ros.runtime.score_sync import ScoreSynchronizer
from objectomaly_ros.types import Image, ScoreMap

WAITING = 30
"""Images and maps of one camera that may wait for each other: 3 s at 10 Hz."""


def comes_by_topic(values: Mapping[str, Any]) -> bool:
    """Return whether scores come from a topic."""
    return bool(values["detector.name"] == "precomputed" and not values["detector.checkpoint"])


class TopicScores:
    """Replaces the detector if every frame carries its score."""

    def score(self, image: Image) -> ScoreMap:
        """Is never called."""
        raise RuntimeError("a frame came without its score map")


class ScoreInput:
    """Holds the images of a camera until their score maps arrive; for one thread.

    Args:
        topic: topic of the score maps.
        max_pixels: larger maps are refused.
        warn: takes a throttling key and the text.
    """

    def __init__(self, topic: str, max_pixels: int, warn: Callable[[str, str], None]) -> None:
        self.topic = topic
        self._max_pixels = max_pixels
        self._warn = warn
        self._matcher: ScoreSynchronizer[Frame, Any] = ScoreSynchronizer(WAITING)
        self._reported = 0
        self._newest: dict[str, int] = {}  # stamps of the newest image and of the newest map
        self._submit: Callable[[Frame], None] = lambda frame: None

    def start(self, submit: Callable[[Frame], None]) -> Callable[[Frame], None]:
        """Start to hand frames with scores to `submit`; return a function that takes frames."""
        self._matcher.clear()
        self._newest = {}
        self._submit = submit
        return self._take_image

    def _take_image(self, frame: Frame) -> None:
        if self._tells_apart("an image", stamp := _stamp(frame.message)):
            self._go(self._matcher.image(stamp, frame))
        else:
            self._matcher.images_alone += 1

    def take_score(self, message: Any) -> None:
        """Take a score map."""
        if self._tells_apart("a score map", stamp := _stamp(message)):
            self._go(self._matcher.score(stamp, message))
        else:
            self._matcher.scores_alone += 1

    def _tells_apart(self, what: str, stamp: int) -> bool:
        """Return whether a stamp is one; of two with the same stamp a wrong pair could be made."""
        newest, self._newest[what] = self._newest.get(what), stamp
        if stamp and stamp != newest:
            return True
        why = "the stamp of the one before it" if stamp else "no stamp (0)"
        self._warn(
            f"stamp of {what} {self.topic}",
            f"{what} is skipped, since it has {why}: image and map on {self.topic} are paired by "
            "their stamps, so the camera must stamp each image and the other node copy its stamp",
        )
        return False

    def problem(self) -> str | None:
        """Log and return the number of images without a map since the last call; None for 0."""
        alone = self._matcher.images_alone - self._reported
        self._reported = self._matcher.images_alone
        if not alone:
            return None
        text = (
            f"{alone} images had no score map on {self.topic}: it must have the image's stamp and "
            f"arrive before {WAITING} more images"
        )
        self._warn(f"scores {self.topic}", text)
        return text

    @property
    def waiting(self) -> int:
        """Number of images that wait for their maps."""
        return len(self._matcher)

    def counts(self) -> dict[str, int]:
        """Totals for diagnostics."""
        return {
            "images without score map": self._matcher.images_alone,
            "score maps without image": self._matcher.scores_alone,
            "images waiting for score map": self.waiting,
        }

    def _go(self, pair: tuple[Frame, Any] | None) -> None:
        if pair is not None:
            frame, message = pair
            self._submit(replace(frame, score=lambda image: self._decode(message, image)))

    def _decode(self, message: Any, image: Image) -> ScoreMap:
        try:
            score = decode_score(message, self._max_pixels)
            return checked_score(score, image, "the other node")
        except ValueError as error:
            raise BadImageError(f"a score map on {self.topic} is skipped: {error}") from error


def _stamp(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
