"""The whole demo, across real processes, on a very short drive."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from domains import next_domain

from objectomaly_ros.bags.messages import IMAGE, image_message
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.demo.drive.render import RenderedDrive
from objectomaly_ros.demo.frames import read_frames
from objectomaly_ros.demo.main import main
from objectomaly_ros.demo.processes import ChildError
from objectomaly_ros.offline.cameras import Views, read_cameras

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_domain(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(next_domain()))


def summary_of(folder):
    return json.loads((folder / "out" / "summary.json").read_text())


@pytest.mark.ros
@pytest.mark.timeout(1500)
def test_a_short_drive_goes_through_the_node(tmp_path):
    pytest.importorskip("rclpy", reason="needs ROS: run it with scripts/env")
    command = [sys.executable, "-m", "objectomaly_ros.demo", "--out", str(tmp_path / "out")]
    # slow, so that a busy machine keeps up: what counts here is that nothing is lost
    done = subprocess.run(
        [*command, "--seconds", "1", "--rate", "0.2"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "\r" not in done.stdout + done.stderr
    assert lines[0].startswith("Renders a drive of 1 s, replays it")
    assert [line for line in lines if re.match("rendering|starting|replaying|drawing", line)] == [
        "rendering: 10 frames",
        "starting the node",
        "replaying: 5 s",
        f"drawing: {summary_of(tmp_path)['scores_out']} frames",
    ]
    assert lines[-1] == f"Look at {tmp_path / 'out' / 'index.html'}"
    summary = summary_of(tmp_path)
    assert summary["images_in_recording"] == 10
    assert summary["received_by_topic"]["/image"] == 10
    assert summary["scores_out"] + summary["node_counters"]["dropped"] == 10
    assert summary["scores_out"] >= 5
    assert summary["accuracy"]["frames"] == summary["scores_out"]
    assert 0 < summary["accuracy"]["refined"]["auprc"] <= 1
    with Bag(tmp_path / "out" / "drive") as bag:  # gives ranges to `objectomaly bag`, too
        view = Views(read_cameras(bag, ["/image"]), "/image").view("camera_optical", 360, 640)
    assert view.frame == "base_link"
    np.testing.assert_allclose(view.transform, RenderedDrive(seconds=1.0).pose.matrix(), atol=1e-9)
    for name in ("contact_sheet.jpg", "latency.svg", "latency.csv", "result/metadata.yaml"):
        assert (tmp_path / "out" / name).stat().st_size > 0


@pytest.mark.ros
@pytest.mark.timeout(600)
def test_a_recording_without_stamps_is_shown_frame_by_frame(tmp_path):
    pytest.importorskip("rclpy", reason="needs ROS: run it with scripts/env")
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image", IMAGE)
        for index in range(8):
            array = np.full((96, 128, 3), 20 * index, np.uint8)
            image = image_message(writer.store, array, 0, "camera")
            writer.write("/image", image, 10**18 + index * 500_000_000)
    values = {"autostart": False, "camera_names": ["front"], "image_transport": "compressed"}
    values |= {"threshold.high": 0.0, "roi.mode": "none"}
    params = tmp_path / "mine.yaml"
    params.write_text(json.dumps({"/**": {"ros__parameters": values}}))
    command = [sys.executable, "-m", "objectomaly_ros.demo", "--out", str(tmp_path / "out")]
    command += ["--params-file", str(params)]
    done = subprocess.run(
        [*command, "--bag", str(tmp_path / "bag"), "--rate", "0.5"],  # slow: no frame is dropped
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = summary_of(tmp_path)
    assert summary["scores_out"] == 8
    assert summary["rate_in_hz"] == pytest.approx(2.0)
    assert summary["rate_out_hz"] > 0
    rows = (tmp_path / "out" / "latency.csv").read_text().splitlines()[1:]
    assert len({row.split(",")[0] for row in rows}) == 8
    page = (tmp_path / "out" / "index.html").read_text()
    assert "log times stand in" in page
    assert f"the parameters of {params}" in page
    with Bag(tmp_path / "out" / "result") as result:
        masks = [frame.mask for frame in read_frames(result)]
    assert all((mask == 1).all() for mask in masks), "no score is below the file's threshold"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_with_its_workers(number, tmp_path):
    command = [sys.executable, "-m", "objectomaly_ros.demo", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while not process.stdout.readline().startswith("rendering"):
        assert process.poll() is None
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)  # every process that holds the pipe has ended
    assert process.returncode == 130
    assert rest.split() == ["interrupted"]
    assert not (tmp_path / "out" / "drive").exists()


def test_a_bag_without_images_is_an_error_in_one_line(tmp_path, capsys):
    with BagWriter(tmp_path / "empty") as writer:
        writer.add_topic("/camera", IMAGE)
    assert main(["--out", str(tmp_path / "out"), "--bag", str(tmp_path / "empty")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: topic /camera of")
    assert line.endswith("holds no image: nothing to replay")


def test_a_missing_recording_is_an_error_in_one_line(tmp_path, capsys):
    code = main(["--out", str(tmp_path), "--bag", str(tmp_path / "nothing")])
    assert code == 1
    assert capsys.readouterr().err.startswith("error: no bag at ")


def test_a_folder_of_images_becomes_a_bag(tmp_path, monkeypatch):
    def no_replay(source, folder, rate, progress, params):
        raise ChildError(f"{source.frames} frames of {source.bag.name}")

    monkeypatch.setattr("objectomaly_ros.demo.main.replay", no_replay)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "images").mkdir()
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((32, 48, 3), np.uint8))
    assert main(["--out", str(tmp_path / "out"), "--bag", "~/images"]) == 1
    with Bag(tmp_path / "out" / "drive") as bag:
        assert bag.image_topic(None).count == 2


def test_an_earlier_demo_stays_if_a_file_is_missing_or_wrong(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no video")
    kept = tmp_path / "out" / "result" / "result.mcap"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (tmp_path / "out" / ".objectomaly_demo").touch()
    for option, wrong in (
        ("--bag", "notes.txt"),
        ("--bag", "nothing"),
        ("--params-file", "nothing.yaml"),
    ):
        assert main(["--out", str(tmp_path / "out"), option, str(tmp_path / wrong)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert wrong in line
    assert kept.exists()


def test_only_what_a_demo_wrote_is_removed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "old").write_text("")
    (tmp_path / ".objectomaly_demo").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"damaged")
    assert main(["--out", str(tmp_path), "--bag", str(tmp_path / "images")]) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize("wrong", ["0", "-3"])
def test_impossible_seconds_are_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        main(["--seconds", wrong])
    assert "above 0" in capsys.readouterr().err


def test_a_bag_that_the_demo_would_remove_is_kept(tmp_path, capsys):
    out = tmp_path / "out"
    bag = out / "drive" / "drive.mcap"
    bag.parent.mkdir(parents=True)
    bag.write_bytes(b"mine")
    assert main(["--out", str(out), "--bag", str(bag)]) == 1
    assert "would be removed with the earlier demo" in capsys.readouterr().err
    assert bag.read_bytes() == b"mine"


def test_files_that_no_demo_wrote_are_kept(tmp_path, capsys):
    own = tmp_path / "logs" / "own.txt"
    own.parent.mkdir()
    own.write_text("mine")
    assert main(["--out", str(tmp_path), "--seconds", "1"]) == 1
    assert "holds logs, and no demo wrote that" in capsys.readouterr().err
    assert own.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rate", "abc"], "abc makes no sense; give a number above 0"),
        (["--rate", "1e300"], "1e300 makes no sense; give a number above 0, up to 1e6"),
        (["--topic", "/x"], "--topic names a topic of a bag: give --bag, too"),
    ],
)
def test_wrong_arguments_say_what_is_right(arguments, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_images_that_the_node_cannot_decode_are_named_before_the_replay(tmp_path, capsys):
    with BagWriter(tmp_path / "depth") as writer:
        writer.add_topic("/depth", IMAGE)
        message = image_message(writer.store, np.zeros((6, 8), np.float32), 1, "camera", "32FC1")
        writer.write("/depth", message, 1)
    assert main(["--out", str(tmp_path / "out"), "--bag", str(tmp_path / "depth")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no image on topic /depth of")
    assert "is that of a depth image" in line
