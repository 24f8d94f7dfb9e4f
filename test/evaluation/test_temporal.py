"""Temporal consistency equals a plain implementation of its definition, and cases by hand."""

import math

import cv2
import numpy as np
import plain_temporal as plain
import pytest

from objectomaly_ros.evaluation.metrics import temporal_consistency
from objectomaly_ros.evaluation.temporal import (
    Motion,
    combine,
    compare,
    motion_between,
    motion_of_flow,
)

SHAPE = (10, 14)


def texture(height, width, seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


def constant_flow(x, y, shape=SHAPE):
    return np.full((*shape, 2), (x, y), np.float32)


def still(shape=SHAPE):
    return motion_of_flow(constant_flow(0, 0, shape), constant_flow(0, 0, shape), shape)


def flows(rng):
    """A smooth way back of quarter pixels, and a way forth that agrees with it in places."""
    backward = constant_flow(*(rng.integers(-8, 9, 2) / 4))
    backward[: rng.integers(1, 9)] += rng.integers(-4, 5, 2) / 4
    forward = -backward
    forward[:, : rng.integers(1, 12)] += rng.integers(-4, 5, 2) / 4
    return backward, forward


@pytest.mark.parametrize("seed", range(10))
def test_random_flows_and_scores_equal_the_plain_definition(seed):
    rng = np.random.default_rng(seed)
    ours, expected = [], []
    for _ in range(3):
        backward, forward = flows(rng)
        before, score = rng.integers(0, 9, (2, *SHAPE)).astype(np.float32) / 8
        ignored = rng.random((2, *SHAPE)) < 0.05
        labels = np.where(ignored, np.uint8(255), rng.integers(0, 2, (2, *SHAPE), np.uint8))
        motion = motion_of_flow(backward, forward, SHAPE)
        for y, x in np.ndindex(SHAPE):
            assert motion.visible[y, x] == plain.visible(backward, forward, y, x)
        ours.append(compare((before, labels[0]), (score, labels[1]), motion, 0.55))
        expected.append(plain.pair(before, score, backward, forward, 0.55, *ignored))
        assert ours[-1].pixels == len(expected[-1])
    metrics = combine(ours, 0.55)
    consistency, error, relative = plain.metrics(expected)
    assert metrics.mask_consistency == pytest.approx(consistency, abs=1e-9)
    assert metrics.warping_error == pytest.approx(error, rel=1e-5)
    assert metrics.relative_warping_error == pytest.approx(relative, rel=1e-5)


def test_a_case_computed_by_hand():
    before, score = np.zeros((2, *SHAPE), np.float32)
    before[:, :4] = 1
    score[:, :2] = 1
    labels = np.zeros(SHAPE, np.uint8)
    pair = compare((before, labels), (score, labels), still(), 0.5)
    assert pair.pixels == 140
    assert pair.share == 1
    assert pair.error == pytest.approx(20 / 140)  # two of 14 columns change by 1
    assert pair.iou == pytest.approx(0.5)
    assert pair.variance == pytest.approx(1 / 7 * 6 / 7)
    # Two pairs: the means of both, and the variance of all pixels.
    other = compare((score, labels), (score + 3, labels), still(), 3.5)
    metrics = combine([pair, other], 0.5)
    assert metrics.warping_error == pytest.approx((20 / 140 + 9) / 2)
    assert metrics.mask_consistency == pytest.approx((0.5 + 0) / 2)
    variance = np.concatenate([score, score + 3]).var()
    assert metrics.relative_warping_error == pytest.approx(metrics.warping_error / variance)
    assert metrics.pairs == 2


def test_scores_move_with_the_image():
    scene = texture(200, 280)
    score = scene[..., 0].astype(np.float32) / 255
    frames = [(scene[20:180, 20 + 5 * t : 240 + 5 * t], score[20:180, 20 + 5 * t : 240 + 5 * t])
              for t in range(4)]  # fmt: skip
    images, scores = zip(*frames, strict=True)
    moving = temporal_consistency(images, scores, 0.5)
    assert moving.pairs == 3
    assert moving.mask_consistency > 0.95
    assert moving.relative_warping_error < 0.01
    assert moving.compared > 0.9
    # The same scores on images that do not move: the mask jumps by 5 pixels.
    still_images = temporal_consistency([images[0]] * 4, scores, 0.5)
    assert still_images.mask_consistency < 0.7
    assert still_images.relative_warping_error > 0.5
    noise = np.random.default_rng(0).random((4, 160, 220))
    unrelated = temporal_consistency(images, noise, 0.5)
    assert unrelated.relative_warping_error == pytest.approx(2, rel=0.25)
    assert unrelated.mask_consistency == pytest.approx(1 / 3, abs=0.05)


def test_relative_error_is_independent_of_the_unit():
    rng = np.random.default_rng(3)
    images, scores = [texture(40, 50)] * 3, rng.random((3, 40, 50))
    plain_unit = temporal_consistency(images, scores, 0.5)
    logits = temporal_consistency(images, 20 * scores - 7, 3.0)
    assert logits.relative_warping_error == pytest.approx(plain_unit.relative_warping_error)
    assert logits.warping_error == pytest.approx(400 * plain_unit.warping_error, rel=1e-4)
    assert logits.mask_consistency == pytest.approx(plain_unit.mask_consistency)


def test_what_an_object_uncovers_is_not_compared():
    ground, thing = texture(160, 220, 1), texture(40, 40, 2)
    images, covered = [], np.zeros((2, 160, 220), bool)
    for number, x in enumerate((60, 72)):
        image = ground.copy()
        image[60:100, x : x + 40] = thing
        covered[number, 60:100, x : x + 40] = True
        images.append(image)
    motion = motion_between(*images)
    uncovered = covered[0] & ~covered[1]
    assert motion.visible[uncovered].mean() < 0.5
    assert motion.visible[~covered[0] & ~covered[1]].mean() > 0.9
    inner = cv2.erode(covered[1].astype(np.uint8), np.ones((9, 9))) > 0
    shift = motion.positions[inner] - np.argwhere(inner)[:, ::-1]
    assert np.median(shift, axis=0) == pytest.approx([-12, 0], abs=0.5)


def test_flow_of_another_size_is_scaled():
    motion = motion_of_flow(constant_flow(1, 0, (10, 14)), constant_flow(-1, 0, (10, 14)), (20, 56))
    assert motion.positions[3, 5] == pytest.approx((9, 3))
    assert motion.visible[:, :52].all()
    assert not motion.visible[:, 52:].any()


def test_edges():
    image, score = texture(30, 40), np.zeros((30, 40))
    for frames in (0, 1):
        none = temporal_consistency([image] * frames, [score] * frames, 0.5)
        assert none.pairs == 0
        assert math.isnan(none.mask_consistency)
        assert math.isnan(none.warping_error)
        assert math.isnan(none.relative_warping_error)
        assert math.isnan(none.compared)
    flat = temporal_consistency([image] * 3, [score] * 3, 0.5)
    assert (flat.pairs, flat.warping_error) == (2, 0)
    assert math.isnan(flat.mask_consistency)  # nothing is predicted
    assert math.isnan(flat.relative_warping_error)
    ignored = temporal_consistency([image] * 2, [score * np.nan] * 2, 0.5, [score + 255] * 2)
    assert ignored.pairs == 0
    assert math.isnan(ignored.compared)


def test_ignored_pixels_may_hold_anything_and_are_not_compared():
    image, score = texture(30, 40), np.zeros((3, 30, 40))
    labels = np.zeros((3, 30, 40), np.uint8)
    labels[:, 10:20, 10:20] = 255
    score[0, 10:20, 10:20], score[1, 10:20, 10:20] = np.nan, np.inf
    metrics = temporal_consistency([image] * 3, score, 0.5, labels)
    assert metrics.warping_error == 0
    assert math.isnan(metrics.mask_consistency)
    score[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="frame 0: 1 scores are NaN"):
        temporal_consistency([image] * 3, score, 0.5, labels)


def test_scores_that_are_the_rounded_threshold_are_predicted_in_no_frame():
    score, labels = np.full(SHAPE, 0.1, np.float32), np.zeros(SHAPE, np.uint8)
    assert math.isnan(compare((score, labels), (score, labels), still(), 0.1).iou)


def test_pixels_that_no_frame_shows_leave_the_pair_out():
    nowhere = Motion(still().positions, np.zeros(SHAPE, bool))
    score, labels = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.uint8)
    pair = compare((score, labels), (score, labels), nowhere, 0.5)
    metrics = combine([pair, compare((score, labels), (score, labels), still(), 0.5)], 0.5)
    assert (metrics.pairs, metrics.mask_consistency, metrics.compared) == (1, 1, 0.5)


@pytest.mark.parametrize(
    ("images", "scores", "labels", "message"),
    [
        (2, [(30, 40)], None, "frame 1: there are more frames of one kind"),
        (1, [(30, 40)] * 2, None, "frame 1: there are more frames of one kind"),
        (1, [(30, 40)], [], "frame 0: there are more frames of one kind"),
        (1, [(30, 41)], None, "need one size"),
        (1, [(30, 40, 3)], None, r"must be \(H, W\)"),
    ],
)
def test_frames_that_do_not_pair_up_are_refused(images, scores, labels, message):
    frames = [texture(30, 40)] * images
    with pytest.raises(ValueError, match=message):
        temporal_consistency(frames, [np.zeros(s) for s in scores], 0.5, labels)
