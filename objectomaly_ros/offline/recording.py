"""The frames of a recording (bag, folder of images, video): their times, and any range of them."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.image_messages import DEPTH, ImageDecoder
from objectomaly_ros.bags.compact import header_stamp_ns
from objectomaly_ros.bags.drives import FOLDER_RATE_HZ, Video
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.frames import find_frames, stamps_from_names, stamps_from_rate
from objectomaly_ros.bags.reader import IMAGE_TYPES, Bag, is_bag
from objectomaly_ros.files.reading import read_bytes, regular_file
from objectomaly_ros.offline.cameras import Cameras, read_cameras
from objectomaly_ros.types import Image

FRAME_ID = "camera"
"""Of folders and videos, which have none."""

_FILE_TOPIC = "/image"
_MAX_BYTES = 2**28
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stream:
    """The images of one topic, in the order of the recording.

    Attributes:
        topic: its name; /image for folders and videos.
        log_times: (N,) of each image, ns, never falling.
        stamps: (N,) of each header, ns; the log time if it cannot be read.
        ranks: (N,) place among the images of the same log time; the index in folders and videos.
    """

    topic: str
    log_times: _Integers
    stamps: _Integers
    ranks: _Integers

    def __getitem__(self, chosen: slice) -> Stream:
        """Return some of the images."""
        return Stream(self.topic, self.log_times[chosen], self.stamps[chosen], self.ranks[chosen])

    def __len__(self) -> int:
        """Number of images."""
        return len(self.log_times)


class Picture(NamedTuple):
    """One image; `image` (H, W, 3) uint8 RGB, or the reason why it cannot be read."""

    image: Image | str
    frame_id: str


class Recording:
    """An open recording.

    Attributes:
        path: of the recording.
        damage: what is wrong if only a part of it can be read, else None.
    """

    def __init__(self, path: Path, rate_hz: float | None = None) -> None:
        """Open a recording.

        Args:
            path: a bag (see `Bag`), a folder of JPEG and PNG images, or a video.
            rate_hz: of a folder or a video; None for what the recording says. The stamps of a
                folder are its file names, if these are stamps.

        Raises:
            BagError: there is no recording.
            OSError, ValueError: it cannot be read.
        """
        self.path = path
        self._rate_hz = rate_hz
        self._bag: Bag | None = None
        self._video: Video | None = None
        self._files: list[Path] = []
        if not path.exists():
            raise BagError(f"there is no recording at {path}")
        if is_bag(path):
            self._bag = Bag(path)
        elif path.is_dir():
            self._files = find_frames(path)
        else:
            self._video = Video(regular_file(path))

    @property
    def damage(self) -> str | None:
        """What is wrong if only a part can be read, as far as it has been read."""
        return self._bag.damage if self._bag is not None else None

    def close(self) -> None:
        """Close the files."""
        for opened in (self._bag, self._video):
            if opened is not None:
                opened.close()

    def cameras(self, topics: Sequence[str]) -> Cameras:
        """Read what a bag tells of the cameras of image topics; nothing is known of other files."""
        return Cameras() if self._bag is None else read_cameras(self._bag, topics)

    def streams(self, topics: Sequence[str] = ()) -> list[Stream]:
        """Read the times of all images, by topic; this reads the recording from end to end.

        Args:
            topics: of a bag; all image topics but those of depths if empty.

        Raises:
            BagError: a topic is missing or no image topic, or there is no image.
        """
        if self._bag is not None:
            return _bag_streams(self._bag, topics)
        if self._video is not None:
            self._video.seek(0)
            count = self._video.counted()
            stamps = stamps_from_rate(count, self._rate_hz or self._video.rate_hz, 0)
        else:
            count, stamps = len(self._files), self._folder_stamps()
        if not count:
            raise BagError(f"{self.path} holds no image that can be read")
        times = np.array(stamps, np.int64)
        return [Stream(_FILE_TOPIC, times, times, np.arange(count))]

    def _folder_stamps(self) -> list[int]:
        if self._rate_hz is None:
            with suppress(BagError):  # names that are no stamps
                return stamps_from_names(self._files)
        return stamps_from_rate(len(self._files), self._rate_hz or FOLDER_RATE_HZ, 0)

    def pictures(self, stream: Stream) -> Iterator[Picture]:
        """Yield the images of a stream, or of a slice of it, in order.

        Raises:
            BagError: the recording has changed since its times were read.
        """
        if self._bag is not None:
            return _bag_pictures(self._bag, stream)
        if self._video is not None:
            return self._video_pictures(self._video, stream)
        return self._folder_pictures(stream)

    def _folder_pictures(self, stream: Stream) -> Iterator[Picture]:
        decoder = ImageDecoder()
        for index in stream.ranks:
            path = self._files[index]
            try:
                image: Image | str = decoder.decode_picture(read_bytes(path, _MAX_BYTES))
            except (OSError, ValueError) as error:
                image = str(error) or type(error).__name__
            yield Picture(image, FRAME_ID)

    def _video_pictures(self, video: Video, stream: Stream) -> Iterator[Picture]:
        wanted = set(stream.ranks.tolist())
        first = min(wanted, default=0)
        video.seek(first)
        for index, image in enumerate(video.pictures(1), start=first):
            if index in wanted:
                wanted.remove(index)
                yield Picture("it cannot be decoded" if image is None else image, FRAME_ID)
            if not wanted:
                return
        raise BagError(f"{self.path} has fewer frames than before")


def _bag_streams(bag: Bag, topics: Sequence[str]) -> list[Stream]:
    names = [bag.image_topic(name).name for name in dict.fromkeys(topics)]
    if not names:
        known = [topic.name for topic in bag.topics.values() if topic.msgtype in IMAGE_TYPES]
        # Of no topic `image_topic` tells which there are.
        names = [name for name in known if not _shows_depth(bag, name)] or known
        names = names or [bag.image_topic().name]
    found: Mapping[str, list[tuple[int, int, int]]] = {name: [] for name in names}
    for raw in bag.messages(names):
        rows = found[raw.topic]
        rank = rows[-1][2] + 1 if rows and rows[-1][0] == raw.log_time else 0
        rows.append((raw.log_time, _stamp(raw.data, raw.log_time), rank))
    if not any(found.values()):
        raise BagError(f"no image on {', '.join(names)} of {bag.path}")
    return [Stream(name, *np.array(rows, np.int64).T) for name, rows in found.items() if len(rows)]


def _shows_depth(bag: Bag, topic: str) -> bool:
    """Tell from the first message of a topic whether its images are depths."""
    with suppress(BagError, StopIteration):
        message = bag.decode(next(bag.messages([topic])))
        if hasattr(message, "format"):  # a CompressedImage
            return "compressedDepth" in message.format or message.format.startswith(DEPTH)
        return message.encoding in DEPTH
    return False


def _stamp(data: bytes, log_time: int) -> int:
    try:
        return header_stamp_ns(data)
    except (IndexError, struct.error):  # too short a message, which will not decode either
        return log_time


def _bag_pictures(bag: Bag, stream: Stream) -> Iterator[Picture]:
    if not len(stream):
        return
    places = zip(stream.log_times.tolist(), stream.ranks.tolist(), strict=True)
    wanted = iter(places)
    due = next(wanted)
    decoder = ImageDecoder()
    # Whatever the slice, the first image of the topic tells first how many of 16 bits are in use.
    with suppress(BagError, ValueError, StopIteration):
        decoder.decode(bag.decode(next(bag.messages([stream.topic]))))
    last, rank = -math.inf, 0
    first, end = int(stream.log_times[0]), int(stream.log_times[-1])
    for raw in bag.messages([stream.topic], first, end):
        rank = rank + 1 if raw.log_time == last else 0
        last = raw.log_time
        if (last, rank) != due:
            continue
        frame_id = ""
        try:
            message = bag.decode(raw)
            frame_id = str(message.header.frame_id)
            image: Image | str = decoder.decode(message)
        except (BagError, ValueError) as error:
            image = str(error) or type(error).__name__
        yield Picture(image, frame_id)
        due = next(wanted, None)  # type: ignore[assignment]
        if due is None:
            return
    raise BagError(f"{bag.path} has changed: its image of {due[0]} ns is gone")
