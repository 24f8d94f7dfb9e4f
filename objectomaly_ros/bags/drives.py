"""Opens a drive: a bag, a folder of images or a video, as images in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from objectomaly_ros.arrays.image_messages import ImageDecoder
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.frames import FRAME_SUFFIXES, find_frames
from objectomaly_ros.bags.reader import Bag, is_bag
from objectomaly_ros.files.picture_size import check_pixels
from objectomaly_ros.files.reading import printable, read_bytes, regular_file
from objectomaly_ros.types import Image

FOLDER_RATE_HZ = 10.0
"""Of a folder of images, which has no stamps."""

_MAX_BYTES = 2**28
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drive:
    """A recording of one camera.

    Attributes:
        path: of the recording.
        count: number of its images.
        rate_hz: of its images.
        images: yields every n-th image, (H, W, 3) uint8 RGB; those that cannot be read are left out
            with a warning.
    """

    path: Path
    count: int
    rate_hz: float
    images: Callable[[int], Iterator[Image]]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.count / self.rate_hz


def open_drive(path: Path, topic: str | None = None, rate_hz: float | None = None) -> Drive:
    """Open a bag (see `Bag`), a folder of JPEG and PNG images, or a video.

    Args:
        path: of the recording.
        topic: of the images of a bag; None if there is one image topic.
        rate_hz: of the images; None for what the recording says, `FOLDER_RATE_HZ` in a folder.

    Raises:
        BagError: there is no recording, or no image in it.
        OSError: it cannot be read.
    """
    if is_bag(path):
        drive = _bag(path, topic)
    elif path.is_dir():
        drive = _folder(path)
    else:
        drive = _video(path)
    return drive if rate_hz is None else Drive(path, drive.count, rate_hz, drive.images)


def _bag(path: Path, topic: str | None) -> Drive:
    with Bag(path) as bag:
        found = bag.image_topic(topic)
        count, seconds = found.count, bag.duration
    if not count:
        raise BagError(f"topic {found.name} of {path} holds no image")

    def images(every: int) -> Iterator[Image]:
        decoder = ImageDecoder()
        with Bag(path) as opened:
            for raw in islice(opened.messages([found.name]), 0, None, every):
                try:
                    yield decoder.decode(opened.decode(raw))
                except (BagError, ValueError) as error:
                    logger.warning("%s", printable(f"{path}: an image is left out: {error}"))

    return Drive(path, count, count / seconds if seconds > 0 else FOLDER_RATE_HZ, images)


def _folder(path: Path) -> Drive:
    files = find_frames(path)

    def images(every: int) -> Iterator[Image]:
        decoder = ImageDecoder()
        for file in files[::every]:
            try:
                yield decoder.decode_picture(read_bytes(file, _MAX_BYTES))
            except (OSError, ValueError) as error:
                logger.warning("%s", printable(f"{file} is left out: {error}"))

    return Drive(path, len(files), FOLDER_RATE_HZ, images)


def _video(path: Path) -> Drive:
    regular_file(path)
    with closing(Video(path)) as video:
        rate_hz, count = video.rate_hz, video.count

    def images(every: int) -> Iterator[Image]:
        with closing(Video(path)) as opened:
            yield from opened.images(every)

    return Drive(path, count, rate_hz, images)


class Video:
    """An open video.

    Attributes:
        rate_hz: of its frames, `FOLDER_RATE_HZ` if it does not say.
        count: number of frames as its header has it, which may be wrong.

    Raises:
        BagError: it is no video, or a single image.
        ValueError: its pictures are too large.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() in FRAME_SUFFIXES:  # OpenCV would take it for a video of one frame
            raise BagError(f"{path} is a single image: give the folder of the images")
        self._path = path
        self._video = cv2.VideoCapture(str(path))
        width = int(self._video.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._video.get(cv2.CAP_PROP_FRAME_HEIGHT))
        rate_hz = self._video.get(cv2.CAP_PROP_FPS)
        self.rate_hz = rate_hz if 0.1 <= rate_hz <= 1000 else FOLDER_RATE_HZ
        self.count = max(0, int(self._video.get(cv2.CAP_PROP_FRAME_COUNT)))
        if not self._video.isOpened() or min(width, height) <= 0 or not self.count:
            raise BagError(
                f"{path} is no bag (.mcap, .db3, .bag or a folder), no folder of images and no "
                "video that OpenCV can read"
            )
        check_pixels(width, height)

    def images(self, every: int) -> Iterator[Image]:
        """Yield every n-th image from the place that it is at, (H, W, 3) uint8 RGB."""
        for image in self.pictures(every):
            if image is not None:
                yield image

    def pictures(self, every: int) -> Iterator[Image | None]:
        """Yield as `images`, but None for those that cannot be read."""
        index = 0
        while self._video.grab():
            if index % every == 0:
                read, picture = self._video.retrieve()
                found = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if read else None
                yield None if found is None else np.asarray(found, np.uint8)
            index += 1

    def counted(self) -> int:
        """Go through the frames that are left, and return their number."""
        count = 0
        while self._video.grab():
            count += 1
        return count

    def seek(self, index: int) -> None:
        """Go to a frame, by the video's index or else frame by frame."""
        self._video.set(cv2.CAP_PROP_POS_FRAMES, index)
        if int(self._video.get(cv2.CAP_PROP_POS_FRAMES)) != index:
            self._video.release()
            self._video = cv2.VideoCapture(str(self._path))
            for _ in range(index):
                self._video.grab()

    def close(self) -> None:
        """Close the file."""
        self._video.release()
