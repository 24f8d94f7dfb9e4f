"""The recording to replay: the rendered drive, or one of the user's."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from objectomaly_ros.bags import messages
from objectomaly_ros.bags.drives import Video
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.frames import find_frames
from objectomaly_ros.bags.images import check_images
from objectomaly_ros.bags.playback import stamps_differ
from objectomaly_ros.bags.reader import Bag, is_bag
from objectomaly_ros.bags.writer import BagWriter, offered_qos
from objectomaly_ros.demo.drive.render import DriveFrame, RenderedDrive, Truth
from objectomaly_ros.demo.progress import Progress
from objectomaly_ros.files.reading import regular_file
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.geometry.ground import CameraPose

RATE_HZ = 10.0
_FRAME_ID = "camera_optical"
_BASE_FRAME = "base_link"
_drive: RenderedDrive | None = None


@dataclass(frozen=True)
class Source:
    """A recording to replay.

    Attributes:
        bag: its path.
        image_topic: in the bag.
        compressed: whether that is a CompressedImage topic.
        info_topic: its CameraInfo topic, if it has one.
        frames: images in the bag.
        duration_s: seconds to play.
        partial: whether the recording is longer.
        damage: what is wrong with it, None if nothing was found when it was opened.
        stamps_from_log: the images' stamps do not tell them apart; log times replace them.
        pose: of the camera over the ground, if known.
        truth: by the images' stamps in nanoseconds, if known.
    """

    bag: Path
    image_topic: str
    compressed: bool
    info_topic: str | None
    frames: int
    duration_s: float
    partial: bool = False
    damage: str | None = None
    stamps_from_log: bool = False
    pose: CameraPose | None = None
    truth: Truth | None = None


def render_drive(folder: Path, seconds: float, progress: Progress) -> Source:
    """Render the drive into the bag `folder`/drive, its truth into `folder`/truth.npz."""
    with progress.stage("rendering", round(seconds * RATE_HZ), "frames") as bar:
        return _render(folder, RenderedDrive(seconds=seconds, rate_hz=RATE_HZ), bar)


def _render(folder: Path, drive: RenderedDrive, bar: Any) -> Source:
    start_ns = time.time_ns()  # now, so that log times and stamps agree
    truth = {}
    with BagWriter(folder / "drive", whole=True) as writer:
        writer.add_topic("/image", messages.IMAGE)
        writer.add_topic("/camera_info", messages.CAMERA_INFO)
        latched = [offered_qos(transient_local=True, depth=1)]
        writer.add_topic("/tf_static", messages.TRANSFORMS, latched)
        store, camera = writer.store, drive.camera
        mount = drive.pose.matrix(), _BASE_FRAME, _FRAME_ID
        writer.write("/tf_static", messages.transform_message(store, *mount, start_ns), start_ns)
        for frame in _rendered(drive):
            stamp = start_ns + round(frame.time_s * 1e9)
            info = messages.camera_info_message(store, camera, stamp, _FRAME_ID)
            writer.write("/camera_info", info, stamp)
            image = messages.image_message(store, frame.image, stamp, _FRAME_ID)
            writer.write("/image", image, stamp)
            truth[stamp] = frame.truth
            bar.update()
    save_truth(truth, folder / "truth.npz")
    return Source(
        bag=folder / "drive",
        image_topic="/image",
        compressed=False,
        info_topic="/camera_info",
        frames=len(drive),
        duration_s=len(drive) / drive.rate_hz,
        pose=drive.pose,
        truth=truth,
    )


def save_truth(truth: Truth, path: Path) -> None:
    """Write the truth as .npz: `stamps_ns`, `ids`, and `objects` as JSON."""
    stamps = sorted(truth)
    objects = [[asdict(seen) for seen in truth[stamp].objects] for stamp in stamps]
    ids = np.stack([truth[stamp].ids for stamp in stamps])
    with open_replacing(path) as file:
        np.savez_compressed(file, stamps_ns=stamps, ids=ids, objects=json.dumps(objects))


def is_pictures(path: Path) -> bool:
    """Return whether a recording is a video or a folder of images."""
    if is_bag(path):
        return False
    try:
        if path.is_dir():
            find_frames(path)
        else:
            Video(regular_file(path)).close()
    except (BagError, OSError, ValueError):  # opening it as a bag says what is wrong with it
        return False
    return True


def open_recording(path: Path, topic: str | None, seconds: float | None) -> Source:
    """Describe a recording.

    Raises:
        BagError: no bag, no such topic, no or several image topics to choose from, or no image that
            the node can decode.
    """
    with Bag(path) as bag:
        image = bag.image_topic(topic)
        if not image.count:
            raise BagError(f"topic {image.name} of {path} holds no image: nothing to replay")
        check_images(bag, image.name)
        infos = [t.name for t in bag.topics.values() if t.msgtype == messages.CAMERA_INFO]
        beside = [name for name in infos if name.rpartition("/")[0] in image.name]
        chosen = max(beside, key=len, default=infos[0] if len(infos) == 1 else None)
        whole = bag.duration
        from_log = not stamps_differ(bag, image.name)
        damage = bag.damage
    return Source(
        bag=path,
        image_topic=image.name,
        compressed=image.msgtype == messages.COMPRESSED_IMAGE,
        info_topic=chosen,
        frames=image.count,
        duration_s=whole if seconds is None else min(whole, seconds),
        partial=seconds is not None and seconds < whole,
        damage=damage,
        stamps_from_log=from_log,
    )


def _rendered(drive: RenderedDrive) -> Iterator[DriveFrame]:
    """Yield the frames in order, drawn by one process per core."""
    workers = min(os.cpu_count() or 1, len(drive), 8)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_prepare, initargs=(drive,)) as pool:
        yield from pool.map(_draw, range(len(drive)), chunksize=2)


def _prepare(drive: RenderedDrive) -> None:
    global _drive
    _drive = drive
    # Ctrl-C reaches the whole group; the demo ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)


def _draw(index: int) -> DriveFrame:
    assert _drive is not None
    return _drive.frame(index)
