"""`objectomaly benchmark masks`: a table or JSON of both generators, and plain words on errors."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from objectomaly_ros.benchmark import networks
from objectomaly_ros.benchmark.measuring import PeakMemory, spending
from objectomaly_ros.cli.main import main

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


def test_spending_counts_every_call_and_leaves_the_object_as_it_was():
    class Worker:
        def work(self, number):
            return 2 * number

    worker = Worker()
    with spending(worker, "work", torch.device("cpu")) as spent:
        assert worker.work(4) == 8
    assert spent.seconds > 0
    assert "work" not in vars(worker)


def test_peak_memory_sees_a_large_array():
    before = PeakMemory(torch.device("cpu")).megabytes()
    if before is None:
        pytest.skip("this system does not tell a process's peak memory")
    memory = PeakMemory(torch.device("cpu"))
    np.ones(64_000_000, np.uint8)
    assert memory.megabytes() > before + 30
