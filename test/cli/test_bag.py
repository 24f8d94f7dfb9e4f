"""`objectomaly bag`: exit codes, what it prints, the page and the tables."""

import base64
import json
import re

import cv2
import numpy as np
import pytest
from offline_drives import START, picture

from objectomaly_ros.bags.messages import image_message
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.cli.main import main

QUICK = ["--detector", "simple_models:RednessDetector", "--masks", "none", "--roi", "none"]


@pytest.fixture
def drives(tmp_path):
    """Two bags with an image every second, the second one all grey."""
    paths = []
    for name in ("red", "<grey>"):
        with BagWriter(tmp_path / name) as writer:
            writer.add_topic("/image", "sensor_msgs/msg/Image")
            for index in range(6):
                image = picture(index) if name == "red" else np.full((72, 96, 3), 99, np.uint8)
                stamp = START + index * 10**9
                writer.write("/image", image_message(writer.store, image, stamp, "cam"), stamp)
        paths.append(str(tmp_path / name))
    return paths


def test_the_page_shows_the_most_anomalous_moments(drives, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["bag", *drives, "--out", str(out), "--workers", "1", *QUICK]) == 0
    head, *rows, done, _ = capsys.readouterr().out.split("\n", 4)
    assert head.split() == ["recording", "length", "frames", "obstacles", "peak"]
    assert [row.split()[0] for row in rows] == ["red", "<grey>"]  # the most anomalous first
    assert rows[0].split()[1:5] == ["5.0", "s", "6", "1"]
    assert done.startswith("2 of 2 recordings done")
    page = (out / "index.html").read_text()
    assert "src='http" not in page
    assert page.index(">red</a>") < page.index("&lt;grey&gt;")  # the most anomalous first
    assert "<grey>" not in page
    pictures = re.findall(r"data:image/jpeg;base64,([^']+)'", page)
    assert len(pictures) == 6  # three of each, two seconds apart
    image = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0]), np.uint8), 1)
    assert image.shape == (72, 96, 3)
    links = re.findall(r"href='#([^']+)'", page)
    assert all(f"id='{link}'" in page for link in links)
    assert "/image @ 1700000000.000000000" in page
    rows = [json.loads(line) for line in (out / "obstacles.jsonl").read_text().splitlines()]
    assert {row["recording"] for row in rows} == {"red"}
    assert len(rows) == 6


def test_failed_recordings_are_named_and_the_others_are_done(drives, tmp_path, capsys):
    (tmp_path / "bad.mcap").write_bytes(b"bad")
    command = ["bag", drives[0], str(tmp_path / "bad.mcap"), "--out", str(tmp_path / "out")]
    assert main([*command, "--json", *QUICK]) == 3
    printed = capsys.readouterr()
    assert "objectomaly bag:" in printed.err
    assert "bad.mcap" in printed.err
    found = json.loads(printed.out)
    assert [recording["recording"] for recording in found["recordings"]] == ["red"]
    assert found["recordings"][0]["streams"][0]["frames"] == 6
    assert list(found["failed"]) == [str(tmp_path / "bad.mcap")]
    assert "bad.mcap" in (tmp_path / "out" / "index.html").read_text()


def test_nothing_done_is_exit_code_1(tmp_path, capsys):
    command = ["bag", str(tmp_path / "missing"), "--out", str(tmp_path / "out"), *QUICK]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "there is no recording at" in printed.err
    assert "obstacles in" not in printed.out
    assert main(["bag", str(tmp_path), "--out", str(tmp_path / "o"), "--detector", "nosuch"]) == 1
    assert "nosuch" in capsys.readouterr().err
    assert (
        main(["bag", str(tmp_path), "--out", str(tmp_path / "o"), "--start", "9", "--end", "5"])
        == 1
    )
    assert "--start 9 is not before --end 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--masks-every", "61"], ["--workers", "0"], ["--end", "0"], ["--roi", "lane"]]
)
def test_wrong_options_are_usage_errors(tmp_path, wrong):
    with pytest.raises(SystemExit) as exit:
        main(["bag", "drive", "--out", str(tmp_path / "out"), *wrong])
    assert exit.value.code == 2


def test_parquet_is_written_where_pyarrow_is(drives, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["bag", drives[0], "--out", str(out), *QUICK]) == 0
    told = "pip install pyarrow" in capsys.readouterr().out
    assert told != (out / "obstacles.parquet").exists()
    if told:
        pytest.skip("pyarrow is not installed")
    from pyarrow import parquet

    table = parquet.read_table(out / "obstacles.parquet").to_pylist()
    rows = [json.loads(line) for line in (out / "obstacles.jsonl").read_text().splitlines()]
    assert [row["stamp_ns"] for row in table] == [row["stamp_ns"] for row in rows]
    assert table[0]["refined"] is False
