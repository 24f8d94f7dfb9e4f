"""Makes a bag from frames or a video: `python -m objectomaly_ros.bags.make FRAMES BAG`."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from objectomaly_ros import __version__
from objectomaly_ros.arrays.image_messages import ImageDecoder
from objectomaly_ros.bags import frames as folder_frames
from objectomaly_ros.bags import messages
from objectomaly_ros.bags.drives import FOLDER_RATE_HZ, Video
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.storage import MAX_BYTES
from objectomaly_ros.bags.writer import STORAGES, BagWriter
from objectomaly_ros.files.reading import read_bytes
from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.types import Image

logger = logging.getLogger(__name__)

JPEG_START = b"\xff\xd8\xff"
_TOPIC = re.compile(r"(/[A-Za-z_]\w*)+", re.ASCII)
ENCODINGS = ("rgb8", "bgr8", "jpeg")
Picture = tuple[Path, bytes, Image | None]
"""File of a frame, its content (empty for a video), and the image, None if it is damaged."""


def write_frames_bag(
    frames: Path | Sequence[Path],
    bag: Path | str,
    *,
    topic: str = "/image",
    rate: float | None = None,
    stamps: Sequence[int] | None = None,
    start_ns: int | None = None,
    frame_id: str = "camera",
    encoding: str = "rgb8",
    camera: CameraModel | None = None,
    storage: str = "mcap",
    progress: bool = False,
) -> int:
    """Write images into a new bag, one message each, logged at its stamp.

    Args:
        frames: a folder of .jpg and .png files, the files in order, or a video.
        bag: the bag folder to make.
        topic: image topic; with encoding jpeg it gains "/compressed", as image_transport has it.
        rate: frames a second, unless stamps are given; None for a video's own, else 10.
        stamps: one a frame, nanoseconds.
        start_ns: stamp of the first frame, unless stamps are given; default now.
        frame_id: frame of the camera.
        encoding: rgb8 or bgr8 for sensor_msgs/Image; jpeg for CompressedImage, into which JPEG
            files are copied as they are.
        camera: published on camera_info beside the image topic with every frame.
        storage: mcap or sqlite3.
        progress: show a progress bar.

    Returns:
        The number of frames. Those of a video that cannot be decoded are left out.

    Raises:
        BagError: no frames, an unreadable file, wrong arguments, or the bag exists or cannot be
            written. No bag is made then.
    """
    count, own_rate, pictures = _source(frames)
    if encoding not in ENCODINGS:
        raise BagError(
            f"frames cannot be written as {encoding!r}; use one of {', '.join(ENCODINGS)}"
        )
    if not _TOPIC.fullmatch(topic):
        raise BagError(f"{topic!r} is no name of a topic; give one such as /camera/image")
    if stamps is None:
        start = time.time_ns() if start_ns is None else start_ns
        rate = own_rate if rate is None else rate
        stamps = folder_frames.stamps_from_rate(count, rate, start)
    if len(stamps) != count:
        raise BagError(f"{count} frames but {len(stamps)} stamps")
    base = topic.removesuffix("/compressed")
    info_topic = f"{base.rpartition('/')[0]}/camera_info"
    name = f"{base}/compressed" if encoding == "jpeg" else topic
    with BagWriter(bag, storage=storage, whole=True) as writer:
        writer.add_topic(name, messages.COMPRESSED_IMAGE if encoding == "jpeg" else messages.IMAGE)
        if camera is not None:
            writer.add_topic(info_topic, messages.CAMERA_INFO)
        pairs = zip(pictures, stamps, strict=True)
        for (file, data, image), stamp in tqdm(
            pairs, total=count, unit="frame", disable=None if progress else True
        ):
            if image is None:
                count -= 1
                continue
            if camera is not None and image.shape[:2] != (camera.height, camera.width):
                raise BagError(
                    f"{file} has {image.shape[1]} x {image.shape[0]} pixels, "
                    f"the intrinsics are for {camera.width} x {camera.height}"
                )
            if encoding == "jpeg":
                packed = data if data.startswith(JPEG_START) else messages.jpeg(image)
                message = messages.compressed_message(writer.store, packed, stamp, frame_id)
            else:
                message = messages.image_message(writer.store, image, stamp, frame_id, encoding)
            writer.write(name, message, stamp)
            if camera is not None:
                info = messages.camera_info_message(writer.store, camera, stamp, frame_id)
                writer.write(info_topic, info, stamp)
        if not count:
            raise BagError(f"{frames} has no frame that can be decoded")
    return count


def _source(frames: Path | Sequence[Path]) -> tuple[int, float, Iterator[Picture]]:
    """Return the number of frames, their rate in Hz, and the frames one by one."""
    if isinstance(frames, Path) and frames.is_file():
        try:
            with closing(Video(frames)) as video:
                return video.counted(), video.rate_hz, _of_video(frames)
        except ValueError as error:
            raise BagError(f"{frames} cannot be read: {error}") from error
    files = folder_frames.find_frames(frames) if isinstance(frames, Path) else frames
    return len(files), FOLDER_RATE_HZ, _of_files(files)


def _of_files(files: Sequence[Path]) -> Iterator[Picture]:
    decoder = ImageDecoder(warn=logger.warning)
    for file in files:
        try:
            data = read_bytes(file, MAX_BYTES)
            image = decoder.decode_picture(data)
        except (OSError, ValueError) as error:
            raise BagError(f"the frame {file} cannot be read: {error}") from error
        yield file, data, image


def _of_video(path: Path) -> Iterator[Picture]:
    with closing(Video(path)) as video:
        for index, image in enumerate(video.pictures(1)):
            if image is None:
                logger.warning("frame %d of %s is left out: it cannot be decoded", index, path)
            yield path, b"", image


def _camera(text: str) -> CameraModel:
    fx, fy, cx, cy, width, height, *distortion = (float(part) for part in text.split(","))
    return CameraModel(fx, fy, cx, cy, int(width), int(height), tuple(distortion))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m objectomaly_ros.bags.make",
        description="Make a bag from a folder of frames or a video.",
    )
    add = parser.add_argument
    add("--version", action="version", version=f"%(prog)s {__version__}")
    add("frames", type=Path, metavar="FRAMES", help="folder of .jpg and .png files, or a video")
    add("bag", type=Path, metavar="BAG", help="bag folder to make")
    add("--topic", default="/image", help="image topic; default: %(default)s")
    times = parser.add_mutually_exclusive_group()
    times.add_argument(
        "--rate", type=float, help="frames a second; default: the video's, 10 for a folder"
    )
    times.add_argument("--stamps-from-names", action="store_true", help="file names are the stamps")
    columns = "table of the columns file and stamp or stamp_ns"
    times.add_argument("--stamps", type=Path, metavar="CSV", help=columns)
    add("--frame-id", default="camera", help="frame of the camera; default: %(default)s")
    add("--encoding", choices=ENCODINGS, default="rgb8", help="of the images; default: %(default)s")
    fields = "FX,FY,CX,CY,WIDTH,HEIGHT[,K1,K2,P1,P2,K3]"
    add("--camera", type=_camera, metavar=fields, help="write camera_info as well")
    add(
        "--storage",
        choices=tuple(STORAGES),
        default="mcap",
        help="of the bag; default: %(default)s",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 when done, 1 if something is wrong with the frames or the bag."""
    options = _parser().parse_args(argv)
    try:
        stamps = None
        if options.stamps_from_names:
            stamps = folder_frames.stamps_from_names(folder_frames.find_frames(options.frames))
        elif options.stamps:
            files = folder_frames.find_frames(options.frames)
            stamps = folder_frames.stamps_from_csv(files, options.stamps)
        count = write_frames_bag(
            options.frames,
            options.bag,
            topic=options.topic,
            rate=options.rate,
            stamps=stamps,
            frame_id=options.frame_id,
            encoding=options.encoding,
            camera=options.camera,
            storage=options.storage,
            progress=True,
        )
    except BagError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{count} frames in {options.bag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
