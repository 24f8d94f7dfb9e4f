"""`objectomaly learn` from a folder of frames of a tiny network's street."""

import json

import cv2
import pytest
from tiny_embedded import OBSTACLE, SIGN, street, write_tiny_network

from objectomaly_ros.cli.main import main
from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.detectors.memory import Memory


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with weights and a drive of 40 frames whose sky changes."""
    folder = tmp_path_factory.mktemp("place")
    write_tiny_network(folder / "tiny.onnx")
    (folder / "drive").mkdir()
    for index in range(40):
        image = street(index)
        image[:32, 64 * (index % 2) :][:, :64] //= 2
        cv2.imwrite(str(folder / "drive" / f"{index:02}.png"), image[..., ::-1])
    return folder


def learn(place, out, *options):
    detector = f"embedded={place / 'tiny.onnx'},input_size=96"
    return main(
        ["learn", str(place / "drive"), "--out", str(out), "--detector", detector, *options]
    )


def test_a_drive_is_learnt(place, tmp_path, capsys):
    out = tmp_path / "normal.safetensors"
    assert learn(place, out, "--rate", "0.5", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["images"] == 40
    assert printed["seconds"] == 80
    assert printed["false_alarms_per_minute"] == 0.5
    detector = EmbeddedDetector(place / "tiny.onnx", input_size=96, memory=out)
    assert detector.threshold == printed["threshold"]
    score = detector.score(street(100, obstacle=True))
    assert score[SIGN].max() < detector.threshold < score[OBSTACLE].min()


def test_a_short_drive_is_refused_with_the_reason(place, tmp_path, capsys):
    out = tmp_path / "normal.safetensors"
    assert learn(place, out) == 1
    assert "the drive is too short: 4 s" in capsys.readouterr().err
    assert not out.exists()
    assert learn(place, out, "--anyway", "--false-alarms", "2") == 0
    assert "for 2 false obstacles a minute" in capsys.readouterr().out
    assert Memory.load(out).calibration.images == 40


def test_a_standing_drive_is_refused_with_the_reason(place, tmp_path, capsys):
    still = tmp_path / "still"
    still.mkdir()
    for index in range(40):
        cv2.imwrite(str(still / f"{index:02}.png"), street(0)[..., ::-1])
    detector = f"embedded={place / 'tiny.onnx'},input_size=96"
    done = main(["learn", str(still), "--rate", "0.5", "--out", str(tmp_path / "x.safetensors"),
                 "--detector", detector])  # fmt: skip
    assert done == 1
    assert "the drive stands still" in capsys.readouterr().err


def test_wrong_numbers_are_wrong_usage(place, tmp_path):
    with pytest.raises(SystemExit) as error:
        learn(place, tmp_path / "x", "--false-alarms", "0")
    assert error.value.code == 2


def test_a_detector_without_features_is_told(place, tmp_path, capsys):
    done = main(["learn", str(place / "drive"), "--out", str(tmp_path / "x"), "--detector",
                 "simple_models:Darkness"])  # fmt: skip
    assert done == 1
    assert "cannot use a memory" in capsys.readouterr().err
