"""Figures and pictures of a replay, from a bag whose right answers are known."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo.accuracy import read_accuracy
from objectomaly_ros.demo.main import show
from objectomaly_ros.demo.source import Source, save_truth
from objectomaly_ros.demo.timing import read_timing


def test_the_truth_is_saved_with_its_stamps(truth, tmp_path):
    save_truth(truth, tmp_path / "truth.npz")
    with np.load(tmp_path / "truth.npz") as saved:
        assert saved["stamps_ns"].tolist() == sorted(truth)
        for ids, stamp in zip(saved["ids"], sorted(truth), strict=True):
            np.testing.assert_array_equal(ids, truth[stamp].ids)
        objects = json.loads(str(saved["objects"]))
    assert [len(seen) for seen in objects] == [0, 1, 1, 1, 1, 1]
    assert objects[1] == [asdict(truth[sorted(truth)[1]].objects[0]) | {"box": [30, 30, 12, 10]}]
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


def test_accuracy_before_and_after_refinement(result_path, truth):
    with Bag(result_path) as result:
        accuracy = read_accuracy(result, truth)
    assert accuracy.frames == 6
    assert accuracy.refined.auprc == 1
    assert accuracy.refined.fpr95 == 0
    assert accuracy.coarse.auprc < 0.3
    assert accuracy.coarse.fpr95 > 0.1
    (sofa,) = accuracy.objects
    assert sofa.name == "sofa"
    assert sofa.first_visible_m == 35.0
    assert sofa.first_found_m == 25.0
    assert (sofa.frames, sofa.frames_found) == (3, 3)  # nearer than 30 m
    assert sofa.range_error_m == pytest.approx(0.5)
    assert (accuracy.obstacles, accuracy.false_obstacles) == (9, 6)


def test_only_frames_with_truth_count(result_path, truth):
    half = {stamp: truth[stamp] for stamp in sorted(truth)[3:]}
    with Bag(result_path) as result:
        accuracy = read_accuracy(result, half)
    assert accuracy.frames == 3
    assert accuracy.refined.anomaly_pixels == 3 * 120


def source_of(truth):
    return Source(
        bag=Path("drive"),
        image_topic="/image",
        compressed=False,
        info_topic=None,
        frames=6,
        duration_s=0.6,
        truth=truth,
    )


@pytest.mark.parametrize("name", ["latency.csv", "contact_sheet.png", "index.html"])
def test_a_result_that_cannot_be_written_is_named_and_not_there_in_part(
    result_path, tmp_path, name
):
    (tmp_path / "result").symlink_to(result_path)
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=rf"cannot write .*{name}: Is a directory"):
        show(source_of(None), tmp_path)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("known", [True, False])
def test_everything_is_written_and_shows_the_figures(result_path, truth, known, tmp_path, capsys):
    (tmp_path / "result").symlink_to(result_path)
    page = show(source_of(truth if known else None), tmp_path)
    text = page.read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["scores_out"] == 6
    assert summary["refined_frames"] == 4
    assert summary["milliseconds"]["coarse"]["p50"] == pytest.approx(20)
    assert ("accuracy" in summary) == known
    assert ("AuPRC" in text) == known
    printed = capsys.readouterr().out
    assert "6 in, 6 scored, 4 refined, 0 dropped" in printed
    assert ("AuPRC" in printed) == known
    with (tmp_path / "latency.csv").open() as rows:
        table = list(csv.DictReader(rows))
    assert len(table) == 6
    assert float(table[5]["latency_ms"]) == pytest.approx(35)
    sheet = cv2.imread(str(tmp_path / "contact_sheet.png"))
    assert sheet.shape[1] == 4 * 480
    assert sheet.std() > 20
    assert cv2.imread(str(tmp_path / "latency.png")).shape[0] > 200
    assert text.count("data:image/png;base64,") == 2
    (video,) = tmp_path.glob("overlay.*")
    assert f"src='{video.name}'" in text
    reader = cv2.VideoCapture(str(video))
    count = 0
    while reader.read()[0]:
        count += 1
    assert count == 6
