"""Obstacles appear in the right frame, and their pixels are counted."""

import numpy as np

from tools.experiments.frame_scores import FrameScores
from tools.experiments.sudden_obstacles import (
    CLEAN_FRAMES,
    LAGS,
    VARIANTS,
    drive,
    share_above,
    sudden,
)


def frame(value, labelled=1):
    """Return a nearly flat score with labels: the left half `labelled`, the right half ignored."""
    image = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    labels = np.full((48, 64), 255, np.uint8)
    labels[:, :32] = labelled
    score = np.full((48, 64), value, np.float32)
    score[:, ::2] += 0.1  # weights of masks need some variance
    return FrameScores(image, labels, {"embedded": score})


def test_obstacles_appear_after_the_clean_frames():
    seen, clean = [frame(1.0) for _ in range(14)], [frame(0.0, 0) for _ in range(20)]
    drives = sudden(seen, clean)
    assert len(drives) == 2
    for first, frames in zip((0, 3), drives, strict=True):
        assert frames[:CLEAN_FRAMES] == clean[first : first + CLEAN_FRAMES]
        assert frames[CLEAN_FRAMES:] == seen[first + CLEAN_FRAMES : first + 6 + max(LAGS) + 1]


def test_what_is_above_is_counted_by_frame_or_in_all():
    drives = [[frame(0.0), frame(1.0)], [frame(0.0), frame(0.0)]]
    thresholds = [0.5, 1.05]
    assert share_above(drives, "coarse", thresholds, 1, [1]) == {1: [50.0, 25.0]}
    assert share_above(drives, "coarse", thresholds, 1) == {0: [25.0, 12.5]}


def test_only_masks_of_every_frame_have_none_of_an_earlier_one():
    """The score is the same everywhere, so that only what is remembered can change it."""
    frames = [frame(0.0), frame(1.0)]
    first, second = {}, {}
    for variant in VARIANTS:
        first[variant], second[variant] = drive(frames, variant)
    np.testing.assert_array_equal(first["flow"], first["every frame"])
    assert not np.allclose(second["flow"], second["every frame"], atol=1e-4)
    assert not np.array_equal(second["coarse"], second["every frame"])
