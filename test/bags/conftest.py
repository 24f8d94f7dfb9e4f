"""Small bags and frames to test with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from objectomaly_ros.bags.messages import image_message
from objectomaly_ros.bags.writer import BagWriter

START = 1_700_000_000_000_000_000
STEP = 100_000_000


@pytest.fixture
def frames(tmp_path):
    """A folder of 4 PNG frames, 48 x 32, each different; returns the folder and the RGB arrays."""
    folder = tmp_path / "frames"
    folder.mkdir()
    random = np.random.default_rng(3)
    arrays = [random.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(4)]
    for index, array in enumerate(arrays):
        cv2.imwrite(str(folder / f"frame{index}.png"), array[:, :, ::-1])
    return folder, arrays


@pytest.fixture
def make_bag(tmp_path):
    """A function that writes a bag of `count` images of noise; returns its folder."""

    def make(storage="mcap", count=8, name="drive", size=(480, 640)):
        random = np.random.default_rng(5)
        with BagWriter(tmp_path / name, storage=storage) as writer:
            writer.add_topic("/image", "sensor_msgs/msg/Image")
            writer.add_topic("/words", "std_msgs/msg/String")
            for index in range(count):
                array = random.integers(0, 256, (*size, 3), dtype=np.uint8)
                stamp = START + index * STEP
                writer.write("/image", image_message(writer.store, array, stamp, "camera"), stamp)
                word = writer.store.types["std_msgs/msg/String"](data=f"frame {index}")
                writer.write("/words", word, stamp + 1)
        return tmp_path / name

    return make
