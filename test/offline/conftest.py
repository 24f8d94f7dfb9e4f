"""Recordings to process, see `offline_drives`."""

import cv2
import pytest
from offline_drives import START, STEP, picture

from objectomaly_ros.bags.messages import compressed_message, image_message, jpeg
from objectomaly_ros.bags.writer import BagWriter


@pytest.fixture
def make_drive(tmp_path):
    """A function that writes a bag of `count` images; returns its folder.

    `stamps` are seconds from START; `broken` are indices of images that do not decode.
    """

    def make(name="drive", count=23, topics=("/image",), stamps=None, broken=(), storage="mcap"):
        with BagWriter(tmp_path / name, storage=storage) as writer:
            for topic in topics:
                compressed = topic.endswith("/compressed")
                kind = "CompressedImage" if compressed else "Image"
                writer.add_topic(topic, f"sensor_msgs/msg/{kind}")
            for index in range(count):
                log_time = START + index * STEP
                stamp = log_time if stamps is None else START + round(stamps[index] * 1e9)
                for number, topic in enumerate(topics):
                    image = picture(index + 5 * number)
                    if topic.endswith("/compressed"):
                        message = compressed_message(writer.store, jpeg(image), stamp, "front")
                    else:
                        message = image_message(writer.store, image, stamp, "front")
                    if index in broken:
                        message.data = message.data[:100]
                    writer.write(topic, message, log_time + number)
        return tmp_path / name

    return make


@pytest.fixture
def make_folder(tmp_path):
    """A function that writes a folder of `count` PNG images."""

    def make(name="folder", count=8):
        folder = tmp_path / name
        folder.mkdir()
        for index in range(count):
            cv2.imwrite(str(folder / f"{index}.png"), picture(index)[..., ::-1])
        return folder

    return make
