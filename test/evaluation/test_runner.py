"""The runner agrees with the metrics, resumes, and gives the same table every time."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from objectomaly_ros.evaluation.cache import ScoreCache
from objectomaly_ros.evaluation.datasets import find_datasets
from objectomaly_ros.evaluation.metrics import (
    component_metrics,
    instance_metrics,
    pixel_metrics,
    temporal_consistency,
)
from objectomaly_ros.evaluation.model_spec import ModelSpec
from objectomaly_ros.evaluation.results import as_json, as_text
from objectomaly_ros.evaluation.runner import chosen_frames, evaluate
from objectomaly_ros.evaluation.stages import Options
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import calibrate


def run(root, cache, detector="evaluation_models:Redness", masks=("evaluation_models:Tiles",), **o):
    generators = [None if m == "none" else ModelSpec.parse(m) for m in masks]
    options = Options(cache, progress=False, **o)
    return evaluate(find_datasets(root), [ModelSpec.parse(detector)], generators, options)


def table(results):
    """Return the results without the number of computed scores."""
    content = as_json(results)
    for dataset in content["datasets"]:
        for one in dataset["runs"]:
            del one["computed"]
    return content


def test_figures_are_those_of_the_metrics_on_the_pipelines_scores(dataset_root, models, tmp_path):
    from evaluation_models import Redness, Tiles

    (result,) = run(dataset_root, tmp_path / "cache", clip=True)
    (one,) = result.runs
    images = [np.asarray(Pillow.open(f.image)) for f in result.dataset.frames]
    labels = [np.asarray(Pillow.open(f.labels)) for f in result.dataset.frames]
    coarse = [Redness().score(image) for image in images]
    oasc = [calibrate(s, Tiles().generate(i)) for s, i in zip(coarse, images, strict=True)]
    mbp = [refine_boundary(s) for s in oasc]
    for stage, scores in {"coarse": coarse, "oasc": oasc, "mbp": mbp}.items():
        figures = one.stages[stage]
        assert figures.pixel == pixel_metrics(scores, labels)
        components = component_metrics(scores, labels)
        assert figures.components.f1 == components.f1
        assert figures.components.siou == components.siou
        assert figures.components.ppv == components.ppv
        assert figures.instances == instance_metrics(scores, labels)
        assert figures.temporal == temporal_consistency(
            images, scores, figures.components.threshold, labels
        )
        for index, frame in enumerate(figures.frames):
            alone = pixel_metrics(scores[index], labels[index])
            assert frame.auprc == pytest.approx(alone.auprc, nan_ok=True)
        for point in figures.sweep:
            again = component_metrics(scores, labels, point.threshold)
            assert point.f1 == pytest.approx(again.f1, nan_ok=True)
            found = sum(
                ((s > point.threshold) & (m == 1)).sum()
                for s, m in zip(scores, labels, strict=True)
            )
            assert found / figures.pixel.anomaly_pixels == pytest.approx(point.recall)
        recall, precision, fpr = figures.curve.T
        assert (np.diff(recall) >= 0).all()
        assert (np.diff(fpr) >= 0).all()
        assert recall[-1] == fpr[-1] == 1
        assert precision[-1] == pytest.approx(
            figures.pixel.anomaly_pixels
            / (figures.pixel.anomaly_pixels + figures.pixel.normal_pixels)
        )
    assert math.isnan(one.stages["mbp"].frames[3].auprc)  # no object
    assert one.stages["mbp"].frames[3].objects == 0


def test_a_second_run_computes_nothing_and_gives_the_same(dataset_root, models, tmp_path):
    first = run(dataset_root, tmp_path / "cache")
    second = run(dataset_root, tmp_path / "cache")
    assert first[0].runs[0].computed == 10
    assert second[0].runs[0].computed == 0
    assert table(first) == table(second)


def test_the_cache_knows_images_options_and_damage(dataset_root, models, tmp_path):
    cache = tmp_path / "cache"
    run(dataset_root, cache)
    assert run(dataset_root, cache, "evaluation_models:Redness,gain=2")[0].runs[0].computed == 10
    assert run(dataset_root, cache, masks=["none"])[0].runs[0].computed == 0
    path = dataset_root / "images" / "f0.png"
    image = np.array(Pillow.open(path))
    image[10, 10] = 255 - image[10, 10]
    Pillow.fromarray(image).save(path)
    assert run(dataset_root, cache)[0].runs[0].computed == 2
    for stored in cache.rglob("[!.]*.npz"):
        stored.write_bytes(stored.read_bytes()[:100])
    assert run(dataset_root, cache)[0].runs[0].computed == 10


def test_weights_are_part_of_the_identity(tmp_path):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"one")
    spec = ModelSpec.parse(f"x={weights}")
    first = spec.identity(object())
    assert spec.identity(object()) == first
    weights.write_bytes(b"two")
    assert spec.identity(object()) != first


def test_a_half_written_map_is_not_there(tmp_path):
    cache = ScoreCache(tmp_path)
    key = cache.key("a", b"b")
    assert cache.key("ab", b"") != key
    assert cache.load(key) is None
    cache.store(key, np.ones((2, 3), np.float32))
    assert cache.load(key).tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("at", [60, 80, 200, -60, -90])
def test_a_damaged_map_is_not_there(tmp_path, at):
    cache = ScoreCache(tmp_path)
    key = cache.key("a", os.fsdecode(b"no \xff text"))
    cache.store(key, np.random.default_rng(0).random((30, 40)).astype(np.float32))
    (path,) = tmp_path.rglob("*.npz")
    content = path.read_bytes()
    path.write_bytes(content[:at] + bytes([content[at] ^ 0x27]) + content[at + 1 :])
    assert cache.load(key) is None


def test_workers_give_the_same_table(dataset_root, models, tmp_path):
    alone = run(dataset_root, tmp_path / "one", limit=3, clip=True)
    together = run(dataset_root, tmp_path / "two", limit=3, workers=2, clip=True)
    assert table(alone) == table(together)
    assert together[0].runs[0].computed == 6


def test_killed_half_way_it_goes_on_and_gives_the_same_table(dataset_root, models, tmp_path):
    cache = tmp_path / "cache"
    script = (
        "import sys; from objectomaly_ros.cli.main import main; "
        "sys.exit(main(['evaluate', *sys.argv[1:]]))"
    )
    options = ["--detectors", f"{models}:Redness,seconds=0.5", "--masks", f"{models}:Tiles"]
    command = [sys.executable, "-c", script, str(dataset_root), *options, "--out", str(tmp_path)]
    repo = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(repo), os.environ["PYTHONPATH"]])
    child = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while len(list(cache.rglob("[!.]*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    stored = len(list(cache.rglob("[!.]*.npz")))
    assert 3 <= stored < 10
    resumed = run(dataset_root, cache, f"{models}:Redness,seconds=0.5")
    assert resumed[0].runs[0].computed == 10 - stored
    assert table(resumed) == table(
        run(dataset_root, tmp_path / "fresh", f"{models}:Redness,seconds=0.5")
    )


def test_the_table_names_the_split_of_published_figures(dataset_root, models, tmp_path):
    renamed = dataset_root.with_name("RoadAnomaly21")
    dataset_root.rename(renamed)
    text = as_text(run(renamed, tmp_path / "cache", masks=["none", "evaluation_models:Tiles"]))
    assert "5 of 5 frames" in text
    assert "evaluation_models:Redness + none" in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert any("published, claimed 96.64 0.62 - - - - 60.83" in line for line in lines)
    assert any(line.startswith("RPL+CoroCL published, test 83.49 11.68") for line in lines)
    json.dumps(as_json(run(renamed, tmp_path / "cache")), allow_nan=False)


def test_a_threshold_on_a_plateau_is_reported(tmp_path, models):
    root = tmp_path / "flat"
    image = np.full((64, 96, 3), 100, np.uint8)
    labels = np.zeros((64, 96), np.uint8)
    labels[8:40, 16:48] = 1
    image[labels == 1, 0] = 200  # every pixel of the object scores the same
    for folder, array in (("images", image), ("labels_masks", labels)):
        (root / folder).mkdir(parents=True)
        Pillow.fromarray(array).save(root / folder / "a.png")
    results = run(root, tmp_path / "cache", masks=["none"])
    figures = results[0].runs[0].stages["coarse"]
    assert figures.components.f1 == 1
    assert figures.strict_f1 == 0
    assert "is the score of a plateau" in as_text(results)


def test_limit_spreads_over_the_dataset(dataset_root):
    (dataset,) = find_datasets(dataset_root)
    assert [f.name for f in chosen_frames(dataset, 2)] == ["f0", "f2"]
    assert len(chosen_frames(dataset, 9)) == 5


def test_a_clip_is_in_the_order_of_time_and_ends_with_its_folder(dataset_root, models, tmp_path):
    for folder in ("images", "labels_masks"):
        (dataset_root / folder / "f0.png").rename(dataset_root / folder / "f10.png")
        (dataset_root / folder / "second").mkdir()
        for name in ("f1", "f2"):
            path = dataset_root / folder / f"{name}.png"
            (dataset_root / folder / "second" / path.name).write_bytes(path.read_bytes())
    (dataset,) = find_datasets(dataset_root)
    in_time = ["f1", "f2", "f3", "f4", "f10", "second/f1", "second/f2"]
    assert [f.name for f in chosen_frames(dataset, None, clip=True)] == in_time
    assert [f.name for f in chosen_frames(dataset, 2, clip=True)] == in_time[:2]
    (result,) = run(dataset_root, tmp_path / "cache", clip=True)
    assert result.runs[0].stages["mbp"].temporal.pairs == 5


def test_specs_are_read_from_text():
    spec = ModelSpec.parse("semantic=a/net.onnx,rule=entropy,scales=[1,2],flip=true")
    assert spec.name == "semantic"
    assert spec.checkpoint == "a/net.onnx"
    assert spec.options == {"rule": "entropy", "scales": [1, 2], "flip": True}
    assert spec.label == "semantic=net.onnx,rule=entropy,scales=[1, 2],flip=True"
    assert ModelSpec.parse("my.module:Class") == ModelSpec("my.module:Class")
    for bad in ("", "=x", "a,b", "a,1=2"):
        with pytest.raises(ValueError, match=r"names no model|not of the form key=value"):
            ModelSpec.parse(bad)
