"""The drives that the tutorials talk of, rendered small."""

import dataclasses
from unittest import mock

import numpy as np
import pytest

from objectomaly_ros.bags import messages
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.demo import source
from objectomaly_ros.demo.drive.render import RenderedDrive
from objectomaly_ros.demo.progress import Progress

START_NS = 1_700_000_000_000_000_000


def write(path, camera, frames, rate_hz):
    """Write frames as a recording of /camera."""
    with BagWriter(path, whole=True) as writer:
        writer.add_topic("/camera/camera_info", messages.CAMERA_INFO)
        writer.add_topic("/camera/image_raw", messages.IMAGE)
        for index, frame in enumerate(frames):
            stamp = START_NS + round(index * 1e9 / rate_hz)
            info = messages.camera_info_message(writer.store, camera, stamp, "camera_optical")
            writer.write("/camera/camera_info", info, stamp)
            image = messages.image_message(writer.store, frame.image, stamp, "camera_optical")
            writer.write("/camera/image_raw", image, stamp)


@pytest.fixture(scope="session")
def drives(tmp_path_factory):
    """A folder with demo_output/, normal_drive, other_drive and drives/."""
    folder = tmp_path_factory.mktemp("drives")
    demo = folder / "demo_output"
    demo.mkdir()
    with mock.patch.object(source, "RATE_HZ", 2.0):
        rendered = source.render_drive(demo, 3.0, Progress())
    assert any(seen.range_m < 12 for frame in rendered.truth.values() for seen in frame.objects)
    (folder / "drives").mkdir()
    for day in ("monday", "tuesday"):
        (folder / "drives" / day).symlink_to(rendered.bag)
    normal = RenderedDrive(seconds=20, rate_hz=0.5)
    street = [actor for actor in normal.scene.actors if actor.truth_id == 0]
    normal.scene = dataclasses.replace(normal.scene, actors=street)
    frames = [normal.frame(index) for index in range(6)]
    assert not any(np.any(frame.truth.ids % 255) for frame in frames)
    write(folder / "normal_drive", normal.camera, frames * 6, 0.5)
    write(folder / "other_drive", normal.camera, frames, 2.0)
    return folder
