"""`objectomaly refine` refines folders of images or score maps, and names faulty ones."""

import argparse
import importlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from objectomaly_ros.cli.main import main
from objectomaly_ros.detectors.score_files import find_score_map, read_score_map, write_score_map
from objectomaly_ros.mbp import refine_boundary
from objectomaly_ros.oasc import calibrate

SUPPORT = Path(__file__).resolve().parents[1] / "support"


@pytest.fixture(autouse=True)
def models(monkeypatch):
    monkeypatch.syspath_prepend(str(SUPPORT))
    yield
    sys.modules.pop("evaluation_models", None)


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    (folder / "drive").mkdir(parents=True)
    for name in ("a", "b", "drive/c"):
        Pillow.fromarray(rng.integers(0, 255, (40, 56, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def refine(images, out, *more):
    return main(
        ["refine", str(images), "--out", str(out), "--masks", "evaluation_models:Tiles", *more]
    )


def expected(image_path, coarse):
    from evaluation_models import Tiles

    return refine_boundary(calibrate(coarse, Tiles().generate(np.asarray(Pillow.open(image_path)))))


def test_images_get_refined_scores_and_overlays(images, tmp_path):
    from evaluation_models import Redness

    out = tmp_path / "out"
    assert refine(images, out, "--detector", "evaluation_models:Redness") == 0
    for name in ("a", "b", "drive/c"):
        path = images / f"{name}.png"
        coarse = Redness().score(np.asarray(Pillow.open(path)))
        score = read_score_map(out / "scores" / f"{name}.npz")
        np.testing.assert_array_equal(score, expected(path, coarse))
        assert Pillow.open(out / "overlays" / f"{name}.jpg").size == (3 * 56, 40)


def store(path, score):
    if path.suffix == ".npz":
        np.savez(path, score=score.astype(np.float16))
    elif path.suffix == ".npy":
        np.save(path, score.astype(np.float64))
    else:
        cv2.imwrite(str(path), score)


@pytest.mark.parametrize(
    ("suffix", "low", "high", "tolerance"),
    [(".npz", -9, 30, 0), (".npy", -1e4, 1e4, 0), (".tif", -5, 5, 0), (".png", 0, 1, 1.6e-5)],
)
def test_given_score_maps_of_any_range_come_back_in_their_format(
    images, tmp_path, suffix, low, high, tolerance
):
    scores, out = tmp_path / "scores", tmp_path / "out"
    (scores / "drive").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("a", "b", "drive/c"):
        score = rng.uniform(low, high, (40, 56)).astype(np.float32)
        if suffix == ".png":
            score = np.round(score * 65535).astype(np.uint16)
        store(scores / f"{name}{suffix}", score)
    assert refine(images, out, "--scores", str(scores)) == 0
    for name in ("a", "b", "drive/c"):
        coarse = read_score_map(scores / f"{name}{suffix}")
        refined = read_score_map(out / "scores" / f"{name}{suffix}")
        want = expected(images / f"{name}.png", coarse)
        np.testing.assert_allclose(refined, want, atol=tolerance)


def test_an_array_of_several_is_named(images, tmp_path, capsys):
    scores = tmp_path / "scores"
    scores.mkdir()
    np.savez(scores / "a.npz", msp=np.zeros((40, 56)), void=np.ones((40, 56), np.float16))
    assert refine(images / "a.png", tmp_path / "out", "--scores", str(scores)) == 1
    assert "its arrays are msp, void; choose one: --key NAME" in capsys.readouterr().err
    assert refine(images / "a.png", tmp_path / "o", "--scores", str(scores), "--key", "void") == 0
    assert read_score_map(tmp_path / "o" / "scores" / "a.npz").min() == pytest.approx(1)


@pytest.mark.parametrize("size", [(20, 28), (10, 14), (32, 44)])
def test_maps_of_another_size_are_scaled_on_request(images, tmp_path, capsys, size):
    scores, out = tmp_path / "scores", tmp_path / "out"
    scores.mkdir()
    small = np.random.default_rng(1).random(size, np.float32)
    np.save(scores / "a.npy", small)
    given = (images / "a.png", out, "--scores", str(scores))
    assert refine(*given) == 1
    error = f"a.npy is {size[1]}x{size[0]}, the image 56x40; --resize scales such maps"
    assert error in capsys.readouterr().err
    assert refine(*given, "--resize") == 0
    want = expected(images / "a.png", cv2.resize(small, (56, 40)))
    np.testing.assert_allclose(read_score_map(out / "scores" / "a.npy"), want, atol=1e-6)


def test_maps_of_other_proportions_are_not_scaled(images, tmp_path, capsys):
    scores = tmp_path / "scores"
    scores.mkdir()
    np.save(scores / "a.npy", np.zeros((28, 20), np.float32))
    given = (images / "a.png", tmp_path / "out", "--scores", str(scores), "--resize")
    assert refine(*given) == 1
    assert "other proportions, is it another image's?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["refine", "evaluate", "benchmark"])
def test_every_command_chooses_the_device_by_itself(command):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"objectomaly_ros.cli.{command}").add_arguments(parser)
    given = {"refine": ["x", "--out", "y"], "evaluate": ["x"], "benchmark": ["masks"]}[command]
    assert parser.parse_args(given).device == "auto"


def spoiled_scores(case, folder):
    path = folder / "b.npy"
    good = np.zeros((40, 56), np.float32)
    if case == "missing":
        return "no score map for b"
    if case == "several":
        np.save(path, good)
        np.savez(folder / "b.npz", score=good)
        return "several score maps for b"
    if case == "size":
        np.save(path, good[:20])
        return "b.npy is 56x20, the image 56x40"
    if case == "nan":
        good[3, 4] = np.nan
        np.save(path, good)
        return "b.npy holds values that are not finite"
    if case == "channels":
        np.save(path, np.zeros((40, 56, 3)))
        return "a score map is (H, W)"
    if case == "complex":
        np.save(path, good.astype(complex))
        return "complex"
    if case == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        return "is not a score map"
    if case == "text":
        path.write_text("0.1, 0.2")
        return "is not a score map"
    if case == "truncated npz":
        np.savez(folder / "b.npz", score=good)
        (folder / "b.npz").write_bytes((folder / "b.npz").read_bytes()[:400])
        return "b.npz is not a score map"
    assert case == "png of text"
    (folder / "b.png").write_text("no picture")
    return "b.png cannot be read as a picture"


@pytest.mark.parametrize(
    "case",
    [
        "missing",
        "several",
        "size",
        "nan",
        "channels",
        "complex",
        "pickle",
        "text",
        "truncated npz",
        "png of text",
    ],
)
def test_a_bad_score_map_is_named_and_the_others_are_refined(images, tmp_path, capfd, case):
    scores, out = tmp_path / "scores", tmp_path / "out"
    (scores / "drive").mkdir(parents=True)
    for name in ("a", "drive/c"):
        np.save(scores / f"{name}.npy", np.ones((40, 56), np.float32))
    message = spoiled_scores(case, scores)
    assert refine(images, out, "--scores", str(scores)) == 3
    seen = capfd.readouterr()
    assert message in seen.err
    assert "b.png" in seen.err
    assert "2 of 3 images refined" in seen.out
    assert sorted(p.stem for p in (out / "scores").rglob("*.npy")) == ["a", "c"]


def test_bad_images_are_named_and_the_others_are_refined(images, tmp_path, capfd):
    (images / "x.jpg").write_text("no image")
    (images / "empty.png").touch()
    whole = (images / "a.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    detector = ("--detector", "evaluation_models:Redness")
    assert refine(images, tmp_path / "out", *detector) == 3
    seen = capfd.readouterr()
    assert "3 of 6 images refined" in seen.out
    for line in ("x.jpg: this image file cannot be read", "empty.png: the image file is empty"):
        assert line in seen.err
    assert "cut.png: this image file cannot be read" in seen.err


def test_what_cannot_start_says_why(images, tmp_path, capsys):
    assert refine(tmp_path / "none", tmp_path / "out") == 1
    assert "no image and no folder" in capsys.readouterr().err
    (tmp_path / "hollow").mkdir()
    assert refine(tmp_path / "hollow", tmp_path / "out") == 1
    assert "no images in" in capsys.readouterr().err
    assert refine(images, tmp_path / "out", "--scores", str(tmp_path / "none")) == 1
    assert "no folder of score maps" in capsys.readouterr().err
    assert refine(images, tmp_path / "out", "--detector", "nope") == 1
    assert "unknown detector 'nope'" in capsys.readouterr().err


def test_score_maps_are_found_by_the_images_name(tmp_path):
    write_score_map(tmp_path / "a_score.npz", np.zeros((2, 2), np.float32))
    assert find_score_map(tmp_path, "a").name == "a_score.npz"
    with pytest.raises(ValueError, match=r"known formats are \.npz"):
        write_score_map(tmp_path / "a.txt", np.zeros((2, 2), np.float32))
