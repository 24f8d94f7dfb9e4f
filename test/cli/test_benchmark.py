"""`objectomaly benchmark masks` prints a table or JSON of both generators, and clear errors."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from objectomaly_ros.benchmark import masks, networks
from objectomaly_ros.benchmark.measuring import PeakMemory, timed_calls
from objectomaly_ros.cli.main import main
from objectomaly_ros.models.timing import Stopwatch

QUICK = ["--points-per-side", "3", "--repeat", "1"]


def benchmark(*arguments):
    return main(["benchmark", "masks", *arguments])


@pytest.fixture
def small_image(tmp_path):
    path = tmp_path / "image.png"
    noise = np.random.default_rng(1).integers(0, 256, (90, 120, 3))
    Pillow.fromarray(noise.astype(np.uint8)).save(path)
    return str(path)


def test_json(small_image, capsys):
    assert benchmark("--tiny", "--image", small_image, "--json", *QUICK) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["generator"] == "tiny"
    assert report["masks_mean_nothing"]
    assert report["image"] == [90, 120]
    assert report["options"]["points_per_side"] == 3
    for side in (report["ours"], report["official"]):
        assert list(side["stages_ms"]) == ["encoder", "decoder", "post_processing", "oasc", "mbp"]
        assert all(value > 0 for value in side["stages_ms"].values())
        assert side["masks"] > 0
    assert report["ours"]["masks"] == report["official"]["masks"]
    assert report["differing_pixels"] <= 4


def test_table(small_image, capsys):
    assert benchmark("--tiny", "--image", small_image, *QUICK) == 0
    captured = capsys.readouterr()
    assert "ours ms   official ms   ratio" in captured.out
    for line in ("image encoder", "mask decoder", "post-processing", "OASC", "MBP", "all"):
        assert f"\n{line}" in captured.out
    assert "the masks mean nothing" in captured.out
    assert "no checkpoint" in captured.err


def test_with_a_checkpoint_and_options(small_image, capsys, tmp_path, monkeypatch):
    tiny = networks.build("tiny")
    networks.fill(tiny)
    path = tmp_path / "sam_vit_b.pth"
    torch.save(tiny.state_dict(), path)
    monkeypatch.setattr(networks, "build", lambda name: tiny)
    options = "pred_iou_thresh=0,stability_score_thresh=0"
    arguments = ["--generator", f"sam_vit_b={path},{options}", "--image", small_image, "--json"]
    assert benchmark(*arguments, *QUICK) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["checkpoint"] == str(path)
    assert not report["masks_mean_nothing"]
    assert report["options"]["pred_iou_thresh"] == 0


def test_ours_may_be_accelerated_beside_the_plain_official_one(small_image, capsys):
    arguments = ["--tiny", "--generator", "sam_vit_b,fused_attention=true,precision=bfloat16"]
    assert benchmark(*arguments, "--image", small_image, "--json", *QUICK) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["options"]["fused_attention"]
    assert report["options"]["precision"] == "bfloat16"
    assert report["official"]["masks"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generator", "regions"], "'regions' cannot be timed; choose one of sam_vit_b"),
        (["--tiny", "--device", "cuda:99"], "device 'cuda:99' is not there"),
        (["--tiny", "--generator", "sam_vit_b,colour=red"], "colour"),
        (["--generator", "mobile_sam=nowhere.pt"], "no checkpoint at nowhere.pt"),
    ],
)
def test_errors(arguments, message, small_image, capsys):
    assert benchmark(*arguments, "--image", small_image, *QUICK) == 1
    assert message in capsys.readouterr().err


def test_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        benchmark("--repeat", "0")
    assert caught.value.code == 2
    assert "0 is below 1" in capsys.readouterr().err


def test_timed_calls_counts_every_call_and_leaves_the_object_as_it_was():
    class Worker:
        def work(self, number):
            return 2 * number

    worker = Worker()
    watch = Stopwatch("work")
    with timed_calls(worker, "work", watch, "work"):
        assert worker.work(4) == 8
    assert watch.seconds()["work"] > 0
    assert "work" not in vars(worker)


def test_peak_memory_sees_a_large_array():
    before = PeakMemory(torch.device("cpu")).megabytes()
    if before is None:
        pytest.skip("this system does not tell a process's peak memory")
    memory = PeakMemory(torch.device("cpu"))
    np.ones(64_000_000, np.uint8)
    assert memory.megabytes() > before + 30


@pytest.fixture
def timed_sides(monkeypatch):
    """Replace the runs of both generators by ones that only report a time."""

    def take(first_s, later_s=0.1):
        begun, now = [], [0.0]
        monkeypatch.setattr(masks.time, "perf_counter", lambda: now[0])

        def run(_generator, _image, _score, side):
            seconds = first_s if len(begun) < 3 else later_s
            now[0] += seconds
            for times in side.seconds.values():
                times.append(seconds / len(masks.STAGES))

        monkeypatch.setattr(masks, "run_ours", run)
        monkeypatch.setattr(masks, "run_official", run)

        def compare(**limits):
            sam = networks.build("tiny")
            image = np.zeros((8, 8, 3), np.uint8)
            score = np.zeros((8, 8), np.float32)
            limits = masks.RunLimits(**limits)
            ours, official = masks.compare(sam, sam, image, score, {}, limits, begun.append)
            assert begun == ["ours", "official"] * (len(begun) // 2)
            assert ours.runs == official.runs
            return ours, len(begun) // 2

        return compare

    return take


def test_quick_runs_are_warmed_up_first(timed_sides):
    ours, turns = timed_sides(first_s=5)(repeat=3)
    assert (ours.runs, turns) == (3, 4)
    assert ours.total_ms == pytest.approx(100)


def test_slow_runs_count_from_the_first(timed_sides):
    ours, turns = timed_sides(first_s=40, later_s=40)(repeat=2)
    assert (ours.runs, turns) == (2, 2)


def test_no_runs_are_begun_once_there_was_time_enough(timed_sides):
    ours, turns = timed_sides(first_s=70, later_s=70)(repeat=7, seconds=120)
    assert (ours.runs, turns) == (1, 1)
    ours, turns = timed_sides(first_s=14, later_s=14)(repeat=7, seconds=20)
    assert (ours.runs, turns) == (1, 2), "one run is always counted"


def test_a_first_run_that_compiles_never_counts(timed_sides):
    ours, turns = timed_sides(first_s=300)(repeat=2, slow_s=float("inf"))
    assert (ours.runs, turns) == (2, 3)
    assert ours.total_ms == pytest.approx(100)
