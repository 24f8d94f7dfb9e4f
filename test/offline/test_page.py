"""The page of a run; test/cli/test_bag.py has the whole."""

import pytest

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
    summary = {"recording": "a", "path": "/a", "damage": None, "threshold": 0.5}
    stream = STREAM | {"seconds": seconds}
    page = write_page(tmp_path, [summary | {"streams": [stream]}], {"/b": "no /b", "/c": "bad"})
    text = page.read_text()
    assert f"2 frames in {shown}" in text
    assert "obstacles #1 (7.2 m), #2" in text
    assert "left:100.00%;top:12.4%" in text
    assert "<li>no /b<li><b>/c</b>: bad" in text
