"""`objectomaly calibrate` with a user's detector."""

import json
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import yaml

from objectomaly_ros.cli.main import main
from objectomaly_ros.ros import parameters


@pytest.fixture
def drive(tmp_path):
    """Frames with a dark box now and then, each of another darkness."""
    folder = tmp_path / "drive"
    folder.mkdir()
    for index in range(60):
        image = np.full((96, 128, 3), 200, np.uint8)
        if index % 6 == 0:
            x = 10 + 40 * (index // 6 % 3)
            image[40:60, x : x + 20] = 190 - 2 * index
        cv2.imwrite(str(folder / f"{index:02}.png"), image)
    return folder


def test_the_threshold_is_a_parameter_file(drive, tmp_path, capsys):
    out = tmp_path / "found"
    command = ["calibrate", str(drive), "--detector", "simple_models:Darkness", "--out", str(out)]
    assert main([*command, "--rate", "0.5", "--false-alarms", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["minutes"] == 2
    counts = np.array(printed["counts"])
    assert counts.max() >= 8
    assert counts[-1] == 0
    above = np.array(printed["thresholds"]) >= printed["threshold"] - 1e-9
    assert counts[above].max() <= 2
    text = (tmp_path / "found.yaml").read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    for name, value in values.items():
        parameters.checked(parameters.BY_NAME[name], value)
    assert values["detector.name"] == "simple_models:Darkness"
    assert values["threshold.high"] == printed["threshold"]


def test_the_page_is_whole_and_needs_no_network(drive, tmp_path):
    out = tmp_path / "found"
    main(["calibrate", str(drive), "--detector", "simple_models:Darkness", "--out", str(out)])
    page = (tmp_path / "found.html").read_text()
    assert "http" not in page
    assert "width=device-width" in page
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    labels = [text.text or "" for text in ElementTree.fromstring(svg).iter("text")]
    assert "false obstacles a minute" in labels
    assert any(label.startswith("threshold ") for label in labels)
    assert "from 6 s of driving; that is too short to see the rate" in page
    assert "give 4 minutes or more" in page


def test_what_cannot_be_read_is_told(tmp_path, capsys):
    assert main(["calibrate", str(tmp_path), "--detector", "simple_models:Darkness"]) == 1
    assert "no frame" in capsys.readouterr().err
