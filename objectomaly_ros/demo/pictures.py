"""Pictures of a replay: a contact sheet and a video."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from queue import Empty, Full, Queue
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from objectomaly_ros.arrays.image_messages import decode_score
from objectomaly_ros.bags.messages import jpeg
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo.drive.render import FrameTruth, Truth
from objectomaly_ros.demo.frames import ResultFrame
from objectomaly_ros.demo.replay import NODE
from objectomaly_ros.evaluation.frames import ANOMALY, IGNORE
from objectomaly_ros.files.writing import open_replacing, replacing
from objectomaly_ros.obstacles.extraction import Region
from objectomaly_ros.obstacles.overlay import draw_overlay, score_colormap, summary_line
from objectomaly_ros.types import Image

Limits = tuple[float, float]

_PANEL_WIDTH = 480
_WAITING_FRAMES = 8  # for the encoder
# What browsers show comes first; OpenCV builds differ in what they can write.
_CODECS = ((".webm", "VP80"), (".mp4", "mp4v"), (".avi", "MJPG"))


def score_limits(result: Bag) -> Limits:
    """Return the scores of the first and last colour: percentiles 1 and 99.9 of some frames."""
    topic = f"{NODE}/score"
    every = max(1, result.count(topic) // 20)
    parts = [
        decode_score(result.decode(raw))[::4, ::4].ravel()
        for index, raw in enumerate(result.messages([topic]))
        if index % every == 0
    ]
    low, high = np.nanpercentile(np.concatenate(parts), [1, 99.9])
    return float(low), max(float(high), float(low) + 1e-6)


def overlay(frame: ResultFrame, image: Image, limits: Limits) -> Image:
    """Draw score, mask and obstacles of a frame over its image, as the node's ~/overlay has them.

    The node is not asked for ~/overlay: drawing and sending it would slow down what is measured.
    """
    regions = [_region(obstacle) for obstacle in frame.obstacles]
    ranges, status = [obstacle.range for obstacle in frame.obstacles], frame.status
    age = status.mask_age_frames if status is not None and status.refined else None
    return draw_overlay(
        image,
        frame.score,
        None if frame.mask is None else (frame.mask > 0) & (frame.mask != IGNORE),
        regions,
        [obstacle.id for obstacle in frame.obstacles],
        [summary_line(ranges, age)],
        ranges=ranges,
        limits=limits,
    )


class ContactSheet:
    """A picture with a row for each chosen frame: image, overlay, coarse score, score."""

    def __init__(self, stamps: Sequence[int], truth: Truth | None, limits: Limits) -> None:
        self._stamps, self._truth, self._limits = set(stamps), truth, limits
        self._rows: list[Image] = []

    def add(self, frame: ResultFrame, image: Image, drawn: Image) -> None:
        """Add a frame and its overlay, if it is a chosen one."""
        if frame.stamp_ns not in self._stamps:
            return
        known = self._truth.get(frame.stamp_ns) if self._truth else None
        colours = [
            None if score is None else score_colormap(score, self._limits)
            for score in (frame.coarse, frame.score)
        ]
        first = _outlined(image, known) if known else image
        cells = [_cell(picture, image) for picture in (first, drawn, *colours)]
        if not self._rows:
            titles = ["image and truth" if known else "image", "what the node reports",
                      "score of the detector alone", "score after refinement"]  # fmt: skip
            cells = [_titled(cell, title) for cell, title in zip(cells, titles, strict=True)]
        self._rows.append(np.hstack(cells))

    def save(self, path: Path) -> None:
        """Write it as JPEG; nothing if no frame was added."""
        if self._rows:
            with open_replacing(path) as file:
                file.write(jpeg(np.vstack(self._rows), quality=90))


class Poster:
    """The frame on which whole obstacles cover most, as the video shows it.

    Attributes:
        picture: (H, W, 3) uint8 RGB; None without frames.
    """

    def __init__(self) -> None:
        self.picture: Image | None = None
        self._covered = -1

    def add(self, frame: ResultFrame, drawn: Image, limits: Limits) -> None:
        """Take a frame and its overlay if it is the best so far."""
        height, width = drawn.shape[:2]
        covered = 0
        for obstacle in frame.obstacles:
            right, below = (
                obstacle.box.x_offset + obstacle.box.width,
                obstacle.box.y_offset + obstacle.box.height,
            )
            if obstacle.box.x_offset > 0 and right < width and below < height:
                covered += obstacle.area
        if covered > self._covered:
            self.picture, self._covered = _with_its_score(frame, drawn, limits), covered


class Video:
    """Writes frames as a video, in a thread of its own; a context manager.

    The suffix of `path` is replaced by that of the first codec that this OpenCV can write.

    Attributes:
        path: the file after the context was left; None without frames.

    Raises:
        OSError: on leaving: there is no such codec, or the file cannot be written.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        self.path: Path | None = None
        self._target, self._rate_hz = path, rate_hz
        self._frames: Queue[Image | None] = Queue(_WAITING_FRAMES)
        self._aborted = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="video", daemon=True)

    def __enter__(self) -> Video:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self._aborted.set()
        self._put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def add(self, frame: ResultFrame, drawn: Image, limits: Limits) -> None:
        """Add the overlay of a frame and its score."""
        self._put(_with_its_score(frame, drawn, limits))

    def _put(self, frame: Image | None) -> None:
        while self._thread.is_alive():
            try:
                self._frames.put(frame, timeout=0.1)
            except Full:
                continue
            return

    def _work(self) -> None:
        try:
            self._encode(self._received())
        except BaseException as error:  # raised on leaving the context
            self._error = error

    def _received(self) -> Iterator[Image]:
        while not self._aborted.is_set():
            try:
                frame = self._frames.get(timeout=0.1)
            except Empty:
                continue
            if frame is None:
                return
            yield frame
        raise InterruptedError("the video was interrupted")

    def _encode(self, frames: Iterator[Image]) -> None:
        first = next(frames, None)
        if first is None:
            return
        size = (first.shape[1], first.shape[0])
        suffix, codec = _codec(self._rate_hz, size)
        with replacing(self._target.with_suffix(suffix)) as temporary:
            writer = _video_writer(str(temporary), codec, self._rate_hz, size)
            for frame in chain([first], frames):
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            writer.release()
        self.path = self._target.with_suffix(suffix)


def _with_its_score(frame: ResultFrame, drawn: Image, limits: Limits) -> Image:
    """Return the overlay of a frame over its score, of even size; upright images side by side.

    Stacked, both fill the width of a phone, and leave room for the legend on a wide screen.
    """
    height, width = drawn.shape[:2]
    score = cv2.resize(score_colormap(frame.score, limits), (width, height))
    joined = np.vstack([drawn, score]) if width >= height else np.hstack([drawn, score])
    return np.ascontiguousarray(joined[: joined.shape[0] // 2 * 2, : joined.shape[1] // 2 * 2])


def _codec(rate_hz: float, size: tuple[int, int]) -> tuple[str, str]:
    """Return suffix and name of the first codec that OpenCV opens a file with."""
    with TemporaryDirectory() as folder:
        for suffix, name in _CODECS:
            if _video_writer(f"{folder}/video{suffix}", name, rate_hz, size).isOpened():
                return suffix, name
    names = ", ".join(name for _, name in _CODECS)
    raise OSError(f"this OpenCV can write no video: it has none of the codecs {names}")


def _video_writer(path: str, codec: str, rate_hz: float, size: tuple[int, int]) -> cv2.VideoWriter:
    with _quiet():  # OpenCV prints what it thinks of codecs
        return cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*codec), rate_hz, size)


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what C libraries write to standard error."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a device)
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _outlined(image: Image, known: FrameTruth) -> Image:
    labels = (known.labels == ANOMALY).astype(np.uint8)
    contours, _ = cv2.findContours(labels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(image.copy(), contours, -1, (0, 255, 0), 2))


def _region(obstacle: Any) -> Region:
    box = obstacle.box
    return Region(
        score=obstacle.score,
        max_score=obstacle.max_score,
        box=(box.x_offset, box.y_offset, box.width, box.height),
        area=obstacle.area,
        contour=np.empty((0, 2), np.int32),
        centroid=(0.0, 0.0),
    )


def _cell(picture: Image | None, image: Image) -> Image:
    """Return a picture of the panel's size; a black one if there is none."""
    size = (_PANEL_WIDTH, round(image.shape[0] * _PANEL_WIDTH / image.shape[1]))
    if picture is None:
        return np.zeros((size[1], size[0], 3), np.uint8)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _titled(cell: Image, title: str) -> Image:
    bar = np.full((34, cell.shape[1], 3), 32, np.uint8)
    cv2.putText(bar, title, (6, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.75, (235,) * 3, 1, cv2.LINE_AA)
    return np.vstack([bar, cell])
