"""`objectomaly evaluate` writes its files, names every kind of bad input, and measures the rest."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from objectomaly_ros.cli.main import main

SUPPORT = Path(__file__).resolve().parents[1] / "support"
REDNESS, FAULTY, TILES = (f"evaluation_models:{name}" for name in ("Redness", "Faulty", "Tiles"))


@pytest.fixture(autouse=True)
def models(monkeypatch):
    monkeypatch.syspath_prepend(str(SUPPORT))
    yield
    sys.modules.pop("evaluation_models", None)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(array).save(path)


@pytest.fixture
def street(tmp_path):
    """Three good frames; the tests damage f1."""
    root = tmp_path / "street"
    rng = np.random.default_rng(0)
    for index in range(3):
        labels = np.zeros((48, 64), np.uint8)
        labels[10:34, 8 + 8 * index : 34 + 8 * index] = 1
        image = np.full((48, 64, 3), 110, np.uint8)
        image[..., 0] += (rng.integers(0, 40, (48, 64)) + 80 * labels).astype(np.uint8)
        save(root / "images" / f"f{index}.png", image)
        save(root / "labels_masks" / f"f{index}.png", labels)
    return root


def evaluate(root, *more, detector=REDNESS, masks=TILES):
    out = root.parent / "out"
    options = ["--detectors", detector, "--masks", masks, "--out", str(out)]
    return main(["evaluate", str(root), *options, *more]), out


def test_it_leaves_a_table_a_report_and_json(street, capsys):
    code, out = evaluate(street, "--json")
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "results.json").read_text())
    (run,) = printed["datasets"][0]["runs"]
    assert list(run["stages"]) == ["coarse", "oasc", "mbp"]
    assert run["frames"] == 3
    assert 0.8 < run["stages"]["mbp"]["pixel"]["auprc"] <= 1
    assert "<h2>street</h2>" in (out / "report.html").read_text()


def test_consecutive_frames_are_compared_on_request(street, capsys):
    code, out = evaluate(street, "--clip")
    assert code == 0
    shown = capsys.readouterr().out
    assert "mTC" in shown
    assert "warp error" in shown
    assert "2 pairs of consecutive frames" in shown
    (run,) = json.loads((out / "results.json").read_text())["datasets"][0]["runs"]
    for stage in run["stages"].values():
        assert stage["temporal"]["pairs"] == 2
        assert stage["temporal"]["threshold"] == stage["components"]["threshold"]
        assert 0 <= stage["temporal"]["mask_consistency"] <= 1
        assert stage["temporal"]["relative_warping_error"] > 0
    page = (out / "report.html").read_text()
    assert "<dt>warp error</dt><dd>temporal consistency" in page
    evaluate(street)
    assert "mTC" not in capsys.readouterr().out
    assert "mTC" not in (out / "report.html").read_text()
    (run,) = json.loads((out / "results.json").read_text())["datasets"][0]["runs"]
    assert run["stages"]["mbp"]["temporal"] is None


def test_a_frame_left_out_breaks_a_clip(street, capsys):
    (street / IMAGE / "f1.png").write_text("x")
    code, out = evaluate(street, "--clip")
    assert code == 3
    (run,) = json.loads((out / "results.json").read_text())["datasets"][0]["runs"]
    assert run["stages"]["mbp"]["temporal"]["pairs"] == 0
    assert run["stages"]["mbp"]["temporal"]["mask_consistency"] is None


def test_one_frame_is_no_clip_and_no_error(street, capsys):
    code, out = evaluate(street, "--clip", "--limit", "1")
    assert code == 0
    (run,) = json.loads((out / "results.json").read_text())["datasets"][0]["runs"]
    assert [frame["name"] for frame in run["stages"]["mbp"]["frames"]] == ["f0"]
    assert run["stages"]["mbp"]["temporal"]["pairs"] == 0


def test_the_first_frames_of_a_clip_must_hold_an_anomaly(street, capsys):
    path = street / LABELS / "f0.png"
    save(path, np.array(Pillow.open(path)) * 0)
    assert evaluate(street, "--clip", "--limit", "1")[0] == 1
    assert "for no pixel of the labels is anomaly" in capsys.readouterr().err


def test_instances_come_from_their_files_or_are_components(street, capsys):
    assert evaluate(street)[0] == 0
    assert "touching objects count as one" in capsys.readouterr().out
    for path in (street / LABELS).iterdir():
        ids = np.array(Pillow.open(path)).astype(np.uint16)
        ids[22:] *= 40_000  # the lower half is an object of its own
        save(street / "labels_instances" / path.name, ids)
    code, out = evaluate(street)
    assert code == 0
    assert "touching objects" not in capsys.readouterr().out
    (run,) = json.loads((out / "results.json").read_text())["datasets"][0]["runs"]
    assert run["stages"]["mbp"]["instances"]["truth"] == 6
    assert "<dt>AP50</dt>" in (out / "report.html").read_text()


def change(root, folder, edit):
    """Replace f1's image or labels by what `edit` makes of its array."""
    path = root / folder / "f1.png"
    save(path, edit(np.array(Pillow.open(path))))


def set_pixel(array, value):
    array[0, 0] = value
    return array


IMAGE, LABELS = ("images", "labels_masks")
PRECOMPUTED = "precomputed"


def spoil_scores(root, edit):
    for index in range(3):
        image = np.array(Pillow.open(root / "images" / f"f{index}.png")).astype(np.float32)
        score = (image[..., 0] - 110) / 145
        if index == 1:
            score = edit(score)
        (root.parent / "scores").mkdir(exist_ok=True)
        if score is not None:
            np.save(root.parent / "scores" / f"f{index}.npy", score)


# Name of a fault -> damage to f1, words of the message, and models.
FRAME_FAULTS = {
    "labels missing": (lambda r: (r / LABELS / "f1.png").unlink(), "f1.png: there are no labels"),
    "labels empty": (lambda r: (r / LABELS / "f1.png").write_bytes(b""), "labels file is empty"),
    "labels are text": (
        lambda r: (r / LABELS / "f1.png").write_text("x"),
        "this labels file cannot be read",
    ),
    "labels cut off": (
        lambda r: (r / LABELS / "f1.png").write_bytes((r / LABELS / "f1.png").read_bytes()[:80]),
        "labels are damaged",
    ),
    "labels of another size": (
        lambda r: change(r, LABELS, lambda a: a[:24]),
        "labels are 64x24, the image is 64x48",
    ),
    "labels of 16 bits": (
        lambda r: change(r, LABELS, lambda a: a.astype(np.uint16) * 257),
        "with values up to 257; want 8 bits",
    ),
    "labels in colour": (
        lambda r: change(r, LABELS, lambda a: np.stack([a, 1 - a, a], axis=2)),
        "labels are a colour picture",
    ),
    "labels of unknown value": (
        lambda r: change(r, LABELS, lambda a: set_pixel(a, 7)),
        "labels hold the values 7",
    ),
    "labels as JPEG": (
        lambda r: (
            Pillow.open(r / LABELS / "f1.png").save(r / LABELS / "f1.jpg"),
            (r / LABELS / "f1.png").unlink(),
        ),
        "must not be JPEG",
    ),
    "instances of another size": (
        lambda r: save(r / "labels_instances" / "f1.png", np.ones((24, 64), np.uint16)),
        "labels are 64x24, the image is 64x48",
    ),
    "instances in colour": (
        lambda r: save(r / "labels_instances" / "f1.png", np.ones((48, 64, 3), np.uint8)),
        "instance ids need one channel",
    ),
    "instances are text": (
        lambda r: (
            (r / "labels_instances").mkdir(),
            (r / "labels_instances" / "f1.png").write_text("x"),
        ),
        "this labels file cannot be read",
    ),
    "image empty": (lambda r: (r / IMAGE / "f1.png").write_bytes(b""), "image file is empty"),
    "image is text": (
        lambda r: (r / IMAGE / "f1.png").write_text("x"),
        "this image file cannot be read",
    ),
    "image cut off": (
        lambda r: (r / IMAGE / "f1.png").write_bytes((r / IMAGE / "f1.png").read_bytes()[:200]),
        "this image file cannot be read",
    ),
    "NaN scores": (
        lambda r: change(r, IMAGE, lambda a: set_pixel(a, (110, 201, 110))),
        "Faulty returned 1 scores of 3072 that are not finite",
        FAULTY,
    ),
    "scores of another size": (
        lambda r: change(r, IMAGE, lambda a: set_pixel(a, (110, 202, 110))),
        "scores of shape (47, 64) for an image of (48, 64)",
        FAULTY,
    ),
    "detector fails": (
        lambda r: change(r, IMAGE, lambda a: set_pixel(a, (110, 203, 110))),
        "detector failed: RuntimeError: green 203",
        FAULTY,
    ),
    "masks fail": (
        lambda r: change(r, IMAGE, lambda a: set_pixel(a, (110, 204, 110))),
        "mask generator failed: RuntimeError: no masks",
        REDNESS,
        f"{TILES},fail_on=204",
    ),
    "given score missing": (
        lambda r: spoil_scores(r, lambda s: None),
        "no score map called f1",
        PRECOMPUTED,
    ),
    "given score of another size": (
        lambda r: spoil_scores(r, lambda s: s[:10]),
        "64x10, the image 64x48",
        PRECOMPUTED,
    ),
    "given score not finite": (
        lambda r: spoil_scores(r, lambda s: set_pixel(s, np.inf)),
        "not finite",
        PRECOMPUTED,
    ),
}


@pytest.mark.parametrize("fault", FRAME_FAULTS)
def test_a_bad_frame_is_named_and_the_good_ones_count(street, capsys, fault):
    spoil, message, *used = FRAME_FAULTS[fault]
    detector = used[0] if used else REDNESS
    spoil(street)
    if detector == PRECOMPUTED:
        detector = f"{PRECOMPUTED}={street.parent / 'scores'}"
    code, out = evaluate(street, detector=detector, masks=used[1] if len(used) > 1 else TILES)
    seen = capsys.readouterr()
    assert code == 3
    (line,) = [line for line in seen.err.splitlines() if "left out" in line]
    assert message in line
    assert "f1." in line
    assert "2 of 3 frames" in seen.out
    (run,) = json.loads((out / "results.json").read_text())["datasets"][0]["runs"]
    names = [frame["name"] for frame in run["stages"]["mbp"]["frames"]]
    assert names == ["f0", "f2"]
    assert run["stages"]["mbp"]["pixel"]["auprc"] > 0.8
    assert "1 left out" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--detectors", "nope"], "unknown detector 'nope'"),
        (["--detectors", "embedded=missing.safetensors"], "no checkpoint missing.safetensors"),
        (["--detectors", f"{REDNESS},colour=1"], "colour"),
        (["--masks", "nope"], "unknown mask generator 'nope'"),
        (["--datasets", "nope"], "is the dataset street, not nope"),
    ],
)
def test_what_cannot_start_says_why(street, capsys, more, message):
    assert evaluate(street, *more)[0] == 1
    assert message in capsys.readouterr().err


def test_a_wrong_folder_says_what_was_expected(tmp_path, capsys):
    assert evaluate(tmp_path / "none")[0] == 1
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "hollow").mkdir()
    assert evaluate(tmp_path / "hollow")[0] == 1
    assert "found nothing, the folder is empty" in capsys.readouterr().err


def test_no_usable_frame_is_a_failure(street, capsys):
    for path in (street / IMAGE).iterdir():
        path.write_text("x")
    assert evaluate(street)[0] == 1
    seen = capsys.readouterr()
    assert seen.err.count("left out") == 3
    assert "no frame could be used" in seen.err


@pytest.fixture
def street_of_255(street):
    """The same, with 255 for the anomalies."""
    for path in (street / "labels_masks").iterdir():
        save(path, np.array(Pillow.open(path)) * 255)
    return street


def test_labels_of_0_and_255_are_no_table_of_dashes(street_of_255, capsys):
    code, out = evaluate(street_of_255)
    assert code == 1
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "street: there is nothing to measure, for no pixel of the labels is anomaly" in seen.err
    assert "255 is read as ignore. Say otherwise with --labels 255=anomaly" in seen.err
    assert not out.exists()


def test_the_meaning_of_labels_can_be_given(street_of_255, capsys):
    code, _ = evaluate(street_of_255, "--labels", "255=anomaly", "--json")
    assert code == 0
    (run,) = json.loads(capsys.readouterr().out)["datasets"][0]["runs"]
    assert run["stages"]["mbp"]["pixel"]["anomaly_pixels"] == 3 * 24 * 26
    with pytest.raises(SystemExit, match="2"):
        evaluate(street_of_255, "--labels", "255=obstacle")
    assert "a meaning normal, anomaly, ignore: 255=anomaly" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "missing"), [((0, 0), "anomaly"), ((1, 1), "normal"), ((255, 1), "normal")]
)
def test_labels_without_one_of_the_two_classes_are_named(street, capsys, values, missing):
    for path in (street / "labels_masks").iterdir():
        save(path, np.array(values, np.uint8)[np.array(Pillow.open(path))])
    assert evaluate(street)[0] == 1
    assert f"for no pixel of the labels is {missing};" in capsys.readouterr().err


def test_a_dataset_that_cannot_be_measured_does_not_keep_others_from_it(street_of_255, capsys):
    root = street_of_255.parent / "root"
    for name in ("good", "bad"):
        shutil.copytree(street_of_255, root / name)
    for path in (root / "good" / "labels_masks").iterdir():
        save(path, np.array(Pillow.open(path)) // 255)
    code, _ = evaluate(root, "--json")
    assert code == 3
    seen = capsys.readouterr()
    (only,) = json.loads(seen.out)["datasets"]
    assert only["name"] == "good"
    assert "left out bad: there is nothing to measure" in seen.err
