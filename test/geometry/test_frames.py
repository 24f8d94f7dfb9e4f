"""Which frame is the base."""

import pytest

from objectomaly_ros.geometry.frames import base_frames


@pytest.mark.parametrize(
    ("wanted", "frame", "expected"),
    [
        ("map", "camera", ("map",)),
        ("auto", "camera", ("base_footprint", "base_link")),
        (
            "auto",
            "robot1/camera",
            ("robot1/base_footprint", "base_footprint", "robot1/base_link", "base_link"),
        ),
    ],
)
def test_names(wanted, frame, expected):
    assert base_frames(wanted, frame) == expected
