"""Photographs of real roads: what is trusted, what is ignored, and what training leaves out."""

import cv2
import numpy as np
import pytest

from tools.training.embedded.frames import CAR, ROAD, VOID
from tools.training.embedded.real_frames import (
    cut_real,
    held_out,
    load_real,
    read_boxes,
    read_frame,
)
from tools.training.embedded.trials import CONDITIONS, changed, real_obstacles


@pytest.fixture(scope="module")
def roads(data):
    return data / "real_roads"


def test_boxes_are_ignored_and_masks_are_obstacles(roads):
    boxes = read_boxes(roads)
    masked = read_frame(roads, "iro_0001", "teacher", boxes["iro_0001"])
    boxed = read_frame(roads, "iro_0006", "teacher", boxes["iro_0006"])
    assert masked.image.shape[:2] == masked.label.shape == masked.odd.shape
    assert masked.label.size == pytest.approx(480 * 360, rel=0.05)
    assert 0.02 < (masked.odd == 1).mean() < 0.1
    assert (masked.label[masked.odd > 0] == VOID).all()
    assert not (boxed.odd == 1).any()
    assert (boxed.odd == 255).mean() > 0.05
    for frame in (masked, boxed):
        assert not (frame.label == CAR).any()  # the teacher is not asked inside the box
        assert (frame.label == ROAD).mean() > 0.2


def test_the_kinds_of_frames_and_what_is_left_out(roads):
    frames = load_real(roads)
    skipped = held_out(roads)
    assert {"iro_0000", "iro_0004"} <= skipped  # every fourth of the masked ones
    assert len(frames["obstacle"]) + len(frames["india"]) == 8 - len(skipped)
    assert len(frames["abroad"]) == len(frames["labelled"]) == 1
    assert frames["abroad"][0].odd is None


def test_a_photograph_like_one_that_is_left_out_is_left_out_too(roads, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for part in ("images", "masks"):
        for path in (roads / part).iterdir():
            (tmp_path / part / path.name).write_bytes(path.read_bytes())
    image = cv2.imread(str(roads / "images" / "iro_0000.jpg"))
    cv2.imwrite(str(tmp_path / "images" / "twin.jpg"), cv2.convertScaleAbs(image, None, 0.8, 9))
    noise = np.random.default_rng(7).integers(0, 255, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "images" / "other.jpg"), noise)
    found = held_out(tmp_path)
    assert "twin" in found
    assert "other" not in found


def test_cutouts_show_the_obstacle_alone(roads):
    boxes = read_boxes(roads)
    frame = read_frame(roads, "iro_0001", "teacher", boxes["iro_0001"])
    (cutout,) = cut_real([frame])
    assert cutout.rgb.shape[:2] == cutout.alpha.shape
    assert (cutout.alpha > 0.5).sum() == pytest.approx((frame.odd == 1).sum(), rel=0.1)
    assert cutout.label is None


def test_the_real_trial_holds_what_training_leaves_out(roads):
    trial = list(real_obstacles(roads))
    assert len(trial) == len(
        [n for n in held_out(roads) if (roads / "masks" / f"{n}.png").exists()]
    )
    assert all((label == 1).any() for _, label in trial)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_changes_the_picture_the_same_way_each_time(condition):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    first, again = (changed(image, "a", condition) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == image.shape
    assert np.abs(first.astype(int) - image).mean() > 0.3
