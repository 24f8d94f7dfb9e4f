"""Figures and pictures of a replay, from a bag whose right answers are known."""

import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_typestore

from objectomaly_ros.bags.messages import IMAGE, image_message
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.demo import main
from objectomaly_ros.demo.accuracy import AccuracyMeter
from objectomaly_ros.demo.frames import SourceImages, read_frames
from objectomaly_ros.demo.main import show
from objectomaly_ros.demo.page import _reported
from objectomaly_ros.demo.pictures import Poster, Video
from objectomaly_ros.demo.plot import latency_svg
from objectomaly_ros.demo.report import advice, verdict
from objectomaly_ros.demo.reported import Reported, ReportedObstacles
from objectomaly_ros.demo.source import Source, open_recording, save_truth
from objectomaly_ros.demo.timing import read_timing, why_unrefined


def test_the_truth_is_saved_with_its_stamps(truth, tmp_path):
    save_truth(truth, tmp_path / "truth.npz")
    with np.load(tmp_path / "truth.npz") as saved:
        assert saved["stamps_ns"].tolist() == sorted(truth)
        for ids, stamp in zip(saved["ids"], sorted(truth), strict=True):
            np.testing.assert_array_equal(ids, truth[stamp].ids)
        objects = json.loads(str(saved["objects"]))
    assert [len(seen) for seen in objects] == [0, 1, 1, 1, 1, 1]
    as_lists = {"box": [30, 30, 12, 10], "outline": [[35, -0.5], [36, -0.5], [36, 0.5], [35, 0.5]]}
    assert objects[1] == [asdict(truth[sorted(truth)[1]].objects[0]) | as_lists]
    assert set(np.unique(truth[max(truth)].labels)) == {0, 1, 255}


def test_timing_is_read_from_status_and_log_times(result_path):
    with Bag(result_path) as result:
        timing = read_timing(result, "/image")
    assert len(timing.frames) == 6
    assert timing.counters == {"received": 6, "scored": 6, "dropped": 0, "rejected": 0}
    assert timing.rate_in_hz == pytest.approx(10)
    assert timing.rate_out_hz == pytest.approx(10)
    assert timing.percentile("latency", 50) == pytest.approx(0.0325, abs=1e-6)
    assert timing.percentile("end_to_end", 95) == pytest.approx(0.04)
    assert timing.percentile("mask_generation", 50) == pytest.approx(0.5)
    assert [frame.refined for frame in timing.frames] == [False, False, True, True, True, True]


def accuracy_of(path, truth):
    meter = AccuracyMeter(truth)
    with Bag(path) as result:
        for frame in read_frames(result):
            meter.add(frame)
    return meter.compute()


def test_frames_hold_what_was_published_about_an_image(result_path, truth):
    with Bag(result_path) as result:
        images = SourceImages(result, "/image")
        frames = list(read_frames(result))
        shapes = [images.get(frame.stamp_ns).shape for frame in frames]
        assert images.get(7) is None
    assert [frame.stamp_ns for frame in frames] == sorted(truth)
    assert shapes == 6 * [(60, 80, 3)]
    assert [len(frame.obstacles) for frame in frames] == [1, 1, 1, 2, 2, 2]
    assert [frame.status.mask_count for frame in frames] == [0, 0, 7, 7, 7, 7]
    for frame in frames:
        labels = truth[frame.stamp_ns].labels
        np.testing.assert_array_equal(frame.score > 0.5, labels == 1)
        assert (frame.coarse[:10] == np.float32(0.95)).all()
    assert [bool((frame.mask == 1).any()) for frame in frames] == 3 * [False] + 3 * [True]


def test_accuracy_before_and_after_refinement(result_path, truth):
    accuracy = accuracy_of(result_path, truth)
    assert accuracy.frames == 6
    assert accuracy.refined.auprc == 1
    assert accuracy.refined.fpr95 == 0
    assert accuracy.coarse.auprc < 0.3
    assert accuracy.coarse.fpr95 > 0.1
    (sofa,) = accuracy.objects
    assert sofa.name == "sofa"
    assert sofa.first_visible_m == 35.0
    assert (sofa.found_from_m, sofa.found_from_s) == (25.0, pytest.approx(0.3))
    assert (sofa.frames, sofa.frames_found) == (3, 3)  # nearer than 30 m
    assert sofa.range_error_m == pytest.approx(0.5)
    assert (accuracy.obstacles, accuracy.false_obstacles) == (9, 6)


def test_only_frames_with_truth_count(result_path, truth):
    half = {stamp: truth[stamp] for stamp in sorted(truth)[3:]}
    accuracy = accuracy_of(result_path, half)
    assert accuracy.frames == 3
    assert accuracy.refined.anomaly_pixels == 3 * 120


def test_an_object_is_found_from_where_it_stays_found(result_path, truth):
    """Found in frames 3 to 5 of 1 to 5; a frame that misses it later makes it no steady find."""
    meter = AccuracyMeter(truth)
    with Bag(result_path) as result:
        for index, frame in enumerate(read_frames(result)):
            lost = index == 4 and frame.mask is not None
            meter.add(replace(frame, mask=np.zeros_like(frame.mask)) if lost else frame)
    accuracy = meter.compute()
    (sofa,) = accuracy.objects
    assert (sofa.found_from_m, sofa.found_from_s) == (None, None)
    assert (sofa.frames, sofa.frames_found) == (3, 2)
    never = replace(sofa, name="crate", frames_found=0)
    assert verdict(
        {"accuracy": {**asdict(accuracy), "objects": [asdict(sofa), asdict(never)]}}
    ) == [
        "The node found 0 of 2 unknown objects on the road; 6 of 9 reports were false.",
        "Found only at times: sofa.",
        "Missed: crate.",
    ]


def test_reported_obstacles_are_joined_by_their_number(result_path):
    reported = ReportedObstacles()
    with Bag(result_path) as result:
        for frame in read_frames(result):
            reported.add(frame)
    (only,) = reported.lasting()
    assert (only.id, only.from_s, only.to_s) == (1, 0.0, pytest.approx(0.5))
    assert only.frames == 9  # the bag's obstacles all have the number 1
    assert only.nearest_m == pytest.approx(15.5)
    assert only.score == pytest.approx(0.9)


def test_many_reports_are_told_apart_by_how_long_they_last():
    reported = [
        asdict(Reported(number, 0.1 * number, 2.0, frames, None, 0.5))
        for number, frames in enumerate([9] * 4 + [2] * 12)
    ]
    assert verdict({"reported": reported, "seconds": 2.0}) == [
        "The node reported 16 obstacles in 2 s.",
        "12 of them in one or two frames only.",
    ]
    table = "".join(_reported(reported))
    assert table.count("<tr>") == 1 + 12
    assert "4 more were reported in at most 2 frames." in table


def test_the_poster_shows_whole_obstacles(result_path):
    poster = Poster()
    with Bag(result_path) as result:
        images = SourceImages(result, "/image")
        for index, frame in enumerate(read_frames(result)):
            drawn = images.get(frame.stamp_ns)
            poster.add(frame, drawn, (0.0, 1.0))
            if index == 3:  # the first with two obstacles
                expected = drawn
    np.testing.assert_array_equal(poster.picture[:60], expected)
    assert poster.picture.shape == (120, 80, 3), "over its score, for phones"


def test_the_scores_of_upright_images_are_beside_them(result_path):
    with Bag(result_path) as result:
        frame = next(read_frames(result))
    poster = Poster()
    poster.add(frame, np.full((81, 61, 3), 7, np.uint8), (0.0, 1.0))
    assert poster.picture.shape == (80, 122, 3)
    assert (poster.picture[:, :61] == 7).all()


def source_of(bag, truth):
    return Source(
        bag=bag,
        image_topic="/image",
        compressed=False,
        info_topic=None,
        frames=6,
        duration_s=0.6,
        truth=truth,
    )


@pytest.mark.parametrize("name", ["latency.csv", "latency.svg", "contact_sheet.jpg", "index.html"])
def test_a_result_that_cannot_be_written_is_named_and_not_there_in_part(
    result_path, tmp_path, name
):
    (tmp_path / "result").symlink_to(result_path)
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=rf"cannot write .*{name}: Is a directory"):
        show(source_of(result_path, None), tmp_path)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("known", [True, False])
def test_everything_is_written_and_shows_the_figures(result_path, truth, known, tmp_path, capsys):
    (tmp_path / "result").symlink_to(result_path)
    text = show(source_of(result_path, truth if known else None), tmp_path).read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["scores_out"] == 6
    assert summary["refined_frames"] == 4
    assert summary["milliseconds"]["coarse"]["p50"] == pytest.approx(20)
    assert ("accuracy" in summary) == known
    assert ("AuPRC" in text) == known
    assert ("green outline" in text) == known
    assert "What a planner gets" in text
    assert ("median error of 2.50 %" in text) == known
    assert ("free along 11 rays in 5 frames" in text) == known
    assert ("1 rays pass through an object that the node sees whole" in text) == known
    printed = capsys.readouterr().out
    assert "6 of 6 scored, 4 refined, 0 dropped" in printed
    assert ("AuPRC" in printed) == known
    with (tmp_path / "latency.csv").open() as rows:
        table = list(csv.DictReader(rows))
    assert len(table) == 6
    assert float(table[5]["latency_ms"]) == pytest.approx(35)
    assert float(table[5]["coarse_latency_ms"]) == pytest.approx(21)
    sheet = cv2.imread(str(tmp_path / "contact_sheet.jpg"))
    assert sheet.shape[1] == 4 * 480
    assert sheet.std() > 20
    assert text.count("data:image/jpeg;base64,") == 3, "poster, bird's eye, contact sheet"
    sentence = (
        "The node found 1 of 1 unknown objects on the road; 6 of 9 reports were false."
        if known
        else "The node reported 1 obstacle in 1 s."
    )
    assert f"<h1>{sentence}</h1>" in text
    assert sentence in printed
    for shown in (text, printed):
        assert ("How far ahead each was found: sofa 25 m." in shown) == known
    assert ("objectomaly learn" in text) != known
    assert ("A report is one box in one frame" in text) == known
    assert ("guessing reaches 2.12" in text) == known
    assert "currentTime=0.0" in text if not known else "25 m" in text
    assert (tmp_path / "latency.svg").read_text() in text
    for shown in (printed, text):
        assert "The detector was made quicker (input_size=320)" in shown
    (video,) = tmp_path.glob("overlay.*")
    assert f"src='{video.name}'" in text
    reader = cv2.VideoCapture(str(video))
    count = 0
    while reader.read()[0]:
        count += 1
    assert count == 6


def test_log_times_that_stand_in_for_stamps_are_said(result_path, tmp_path, capsys):
    (tmp_path / "result").symlink_to(result_path)
    page = show(replace(source_of(result_path, None), stamps_from_log=True), tmp_path)
    for shown in (page.read_text(), capsys.readouterr().out):
        assert "Their log times stand in for the stamps" in shown


def test_images_without_stamps_are_found_by_their_log_times(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image", IMAGE)
        for index in range(5):
            array = np.full((4, 4, 3), index, np.uint8)
            image = image_message(writer.store, array, 0, "camera")
            writer.write("/image", image, 1000 + index)
    source = open_recording(tmp_path / "bag", None, None)
    assert source.stamps_from_log
    with Bag(source.bag) as bag:
        images = SourceImages(bag, "/image", from_log=True)
        assert [images.get(1000 + index)[0, 0, 0] for index in range(5)] == [0, 1, 2, 3, 4]


def test_the_damage_of_a_recording_is_on_the_page(result_path, tmp_path, capsys):
    (tmp_path / "result").symlink_to(result_path)
    with BagWriter(tmp_path / "cut") as writer:
        writer.add_topic("/image", IMAGE)
        noise = np.random.default_rng(0)
        for index in range(40):
            array = noise.integers(0, 255, (120, 160, 3), np.uint8)
            stamp = 5 + index
            writer.write("/image", image_message(writer.store, array, stamp, "camera"), stamp)
    (file,) = (tmp_path / "cut").glob("*.mcap")
    os.truncate(file, file.stat().st_size * 6 // 10)
    source = open_recording(tmp_path / "cut", None, None)
    assert 0 < source.frames < 40
    page = show(source, tmp_path)
    for shown in (page.read_text(), capsys.readouterr().out):
        assert "Only a part of the recording could be read" in shown
        assert f"{file.name} is damaged (it was not closed" in shown
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert file.name in summary["recording_damage"]


NO_MASKS = {"refined": False, "mask_age_frames": -1, "mask_generation": float("nan")}
LOG = "[INFO] [1.0] [objectomaly]: loading mask generator regions on cpu\n"
WARNED = "[WARN] [1.0] [objectomaly]: masks came 3.0 s after their image\n"


@pytest.mark.parametrize(
    ("fields", "log", "why"),
    [
        ({}, LOG, None),
        (NO_MASKS, LOG, "no masks were ready before the recording ended"),
        (NO_MASKS | {"mask_generation": 2.0}, LOG, "the first masks came after the last image"),
        ({"refined": False}, "", "the masks came later than refine.max_age_s"),
        (NO_MASKS, LOG + WARNED, "the node says: masks came 3.0 s after their image"),
    ],
)
def test_no_refined_score_comes_with_the_reason(result_path, fields, log, why):
    with Bag(result_path) as result:
        timing = read_timing(result, "/image")
    frames = tuple(replace(frame, **fields) for frame in timing.frames)
    told = why_unrefined(replace(timing, frames=frames), log)
    assert told is None if why is None else told.startswith(why)


def test_the_reason_is_on_the_page(result_path, tmp_path, capsys, monkeypatch):
    (tmp_path / "result").symlink_to(result_path)
    monkeypatch.setattr(main, "why_unrefined", lambda timing, log: "there is <none>")
    page = show(source_of(result_path, None), tmp_path).read_text()
    assert "No score was refined: there is &lt;none&gt;." in page
    assert "No score was refined: there is <none>." in capsys.readouterr().out


def test_a_ros_1_bag_is_a_recording(tmp_path):
    store = get_typestore(Stores.ROS1_NOETIC)
    with Writer(tmp_path / "drive.bag") as writer:
        connection = writer.add_connection("/image", IMAGE, typestore=store)
        for index in range(3):
            stamp = store.types["builtin_interfaces/msg/Time"](5, index)
            header = store.types["std_msgs/msg/Header"](index, stamp, "camera")
            data = np.full(12, index, np.uint8)
            image = store.types[IMAGE](header, 2, 2, "rgb8", 0, 6, data)
            writer.write(connection, index, store.serialize_ros1(image, IMAGE))
    source = open_recording(tmp_path / "drive.bag", None, None)
    assert (source.image_topic, source.frames) == ("/image", 3)
    with Bag(source.bag) as bag:
        assert SourceImages(bag, "/image").get(5 * 10**9 + 2)[0, 0, 0] == 2


def test_a_machine_that_was_too_slow_is_told_with_the_remedy(result_path, tmp_path, capsys):
    (tmp_path / "result").symlink_to(result_path)
    page = show(replace(source_of(result_path, None), frames=9), tmp_path, rate=0.8)
    printed = capsys.readouterr().out
    assert "6 of 9 scored" in printed
    assert "8.0 Hz in" in printed, "recorded at 10 Hz"
    assert "Images came at 8.0 Hz" in page.read_text()
    for text in (printed, page.read_text()):
        assert "3 of 9 images have no score." in text
        assert "This machine was too slow" in text
        assert "make demo RATE=0.4 " in text


def test_an_interrupted_video_leaves_no_file(tmp_path):
    def draw_and_stop():
        with Video(tmp_path / "overlay", 10.0) as video:
            for _ in range(20):  # more than wait for the encoder
                video._put(np.zeros((64, 64, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_and_stop()
    assert list(tmp_path.iterdir()) == []


def test_there_is_no_advice_for_a_machine_that_kept_up():
    summary = {"scores_out": 196, "frames_lost": 4, "detector_adapted": "", "replay_rate": 1.0}
    assert advice(summary) is None
    assert "RATE=0.7 " in advice(summary | {"scores_out": 180, "frames_lost": 20})


@pytest.mark.parametrize("count", [1, 2, 200])
def test_the_latency_plot_shows_every_frame(result_path, count):
    with Bag(result_path) as result:
        timing = read_timing(result, "/image")
    first = timing.frames[3]
    frames = [
        replace(first, stamp_ns=first.stamp_ns + index * 10**8, mask_age_frames=index % 10)
        for index in range(count)
    ]
    tree = ElementTree.fromstring(latency_svg(replace(timing, frames=tuple(frames))))
    marks = Counter(element.tag.partition("}")[2] for element in tree.iter())
    assert marks["circle"] == count
    assert marks["polygon"] == 5
    new = [e for e in tree.iter() if e.get("class") == "new"]
    assert len(new) == 1 + (count - 1) // 10  # one is in the legend
    for polygon in tree.iter("{http://www.w3.org/2000/svg}polygon"):
        corners = [float(number) for number in re.findall(r"[\d.]+", polygon.get("points"))]
        assert 0 < min(corners) < max(corners) < 1100


def test_figures_and_pictures_need_the_light_packages_only(result_path, tmp_path):
    (tmp_path / "result").symlink_to(result_path)
    program = """
import sys
from pathlib import Path
for name in ("torch", "torchvision", "transformers", "sklearn", "matplotlib", "safetensors",
             "pooch", "segment_anything"):
    sys.modules[name] = None
from objectomaly_ros.demo import main, source
bag, out = map(Path, sys.argv[1:])
main.show(source.Source(bag, "/image", False, None, 6, 0.6), out)
source._prepare(source.RenderedDrive(seconds=0.1))
source._draw(0)
"""
    command = [sys.executable, "-c", program, str(result_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").stat().st_size > 10_000
