"""The page of a run; test/cli/test_bag.py has the whole."""

import base64
import html
import json

import cv2
import numpy as np
import pytest

from objectomaly_ros.bags.messages import jpeg
from objectomaly_ros.offline import page
from objectomaly_ros.offline.page import write_page

STREAM = {
    "topic": "/image", "frames": 2, "unreadable": 0, "ranges": "", "obstacles": 2, "peak": 0.9,
    "curve": [[0.0, 0.1], [4000.0, 0.9]],
    "moments": [{"stamp_ns": 5, "second": 4000.0, "anomaly": 0.9, "obstacles": [1, 2],
                 "ranges": [7.25, None], "picture": ""}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59.94, "59.9 s"), (125.0, "2:05 min"), (3725.2, "1:02:05 h")]
)
def test_lengths_ranges_and_faults_are_told(tmp_path, seconds, shown):
    summary = {"recording": "a b", "path": "/a", "damage": None, "threshold": 0.5}
    stream = STREAM | {"seconds": seconds}
    (tmp_path / "a.json").write_text(json.dumps(summary | {"streams": [stream]}))
    faults = {"/b": "no /b", "/c": "bad"}
    text = write_page(tmp_path, [tmp_path / "a.json"], faults).read_text()
    assert f"2 frames in {shown}" in text
    assert "obstacles #1 (7.2 m), #2" in text
    assert "ros2 bag play &#x27;a b&#x27; --start-offset 3999.0" in text
    assert "left:100.00%;top:12.4%" in text
    assert "<li>no /b<li><b>/c</b>: bad" in text


def test_moments_with_one_stamp_have_links_of_their_own_and_names_do_no_harm(tmp_path):
    stream = STREAM | {"seconds": 1.0, "moments": STREAM["moments"] * 2}
    summary = {"recording": "a; rm b", "path": "/\udce9", "damage": None, "threshold": 0.5}
    (tmp_path / "a.json").write_text(json.dumps(summary | {"streams": [stream]}))
    text = write_page(tmp_path, [tmp_path / "a.json"], {"/\udce9": "bad"}).read_text()
    assert text.count("id='r0-0-0'") == text.count("id='r0-0-1'") == 1
    assert "ros2 bag play 'a; rm b' --" in html.unescape(text)


def test_pictures_of_many_recordings_are_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_MANY", 1)
    red = np.full((40, 60, 3), (200, 0, 0), np.uint8)
    (moment,) = STREAM["moments"]
    stream = STREAM | {
        "seconds": 1.0, "moments": [moment | {"picture": base64.b64encode(jpeg(red)).decode()}]
    }  # fmt: skip
    summary = {"recording": "a", "path": "/a", "damage": None, "threshold": 0.5}
    (tmp_path / "a.json").write_text(json.dumps(summary | {"streams": [stream]}))
    text = write_page(tmp_path, [tmp_path / "a.json"] * 2, {}).read_text()
    picture = base64.b64decode(text.partition("base64,")[2].partition("'")[0])
    shown = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (20, 30, 3)
    assert shown[0, 0, 2] > 150 > shown[0, 0, 0]
