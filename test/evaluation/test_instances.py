"""Instance AP equals a plain implementation of its definition, and cases computed by hand."""

import math

import numpy as np
import plain_instances as plain
import pytest

from objectomaly_ros.evaluation.instances import (
    IOU_THRESHOLDS,
    InstanceAccumulator,
    PredictedInstances,
    average_precision,
    component_instances,
    mask_instances,
)
from objectomaly_ros.evaluation.metrics import instance_metrics

SHAPE = (24, 40)


def box(y, x, height, width):
    mask = np.zeros(SHAPE, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def labels_of(*objects, ignore=()):
    labels = np.zeros(SHAPE, np.uint8)
    for mask in objects:
        labels[mask] = 1
    for mask in ignore:
        labels[mask] = 255
    return labels


def predict(*pairs):
    masks = np.array([mask for mask, _ in pairs], bool).reshape(-1, *SHAPE)
    return PredictedInstances(masks, np.array([confidence for _, confidence in pairs], float))


def measure(labels, predicted, truth=None):
    truths = None if truth is None else [truth]
    return instance_metrics([np.zeros(SHAPE)], [labels], 0.5, truths, [predicted])


A, B = box(2, 2, 8, 10), box(12, 24, 8, 10)
NOWHERE = box(14, 2, 5, 5)
NAN = math.nan


def random_frame(rng):
    """Make ids, labels with groups and ignored pixels, and masks near and far from the objects."""
    ids, labels = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.uint8)
    where = lambda: (rng.integers(0, 18), rng.integers(0, 32))  # noqa: E731
    for number in range(1, rng.integers(1, 6)):
        area = box(*where(), *rng.integers(2, 11, 2))
        ids[area], labels[area] = 3 * number, 1
    for value in rng.choice([1, 255], rng.integers(0, 3)):  # 1: a group, anomalous without id
        area = box(*where(), 5, 7)
        ids[area], labels[area] = 0, value
    pairs = []
    for value in np.unique(ids):
        for _ in range(rng.integers(0, 3)):
            mask = ids == value if value else box(*where(), *rng.integers(0, 9, 2))
            moved = np.roll(mask, rng.integers(-1, 2, 2), (0, 1))
            pairs.append((moved, rng.integers(0, 8) / 8))
    return ids, labels, predict(*pairs)


@pytest.mark.parametrize("seed", range(12))
def test_masks_of_random_frames_equal_the_plain_definition(seed):
    rng = np.random.default_rng(seed)
    frames = [random_frame(rng) for _ in range(3)]
    ids, labels, predicted = zip(*frames, strict=True)
    ours = instance_metrics([np.zeros(SHAPE)] * 3, labels, 0.5, ids, predicted)
    expected = plain.all_thresholds(
        [
            (
                plain.instances_of(i),
                plain.pixels((m == 255) | ((m == 1) & (i == 0))),
                [(plain.pixels(a), c) for a, c in zip(p.masks, p.confidence, strict=True)],
            )
            for i, m, p in frames
        ]
    )
    assert ours.ap_per_threshold == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert ours.ap == pytest.approx(np.mean(expected), nan_ok=True)
    assert ours.ap50 == pytest.approx(expected[0], nan_ok=True)


@pytest.mark.parametrize("seed", range(6))
def test_components_of_random_scores_equal_the_plain_definition(seed):
    rng = np.random.default_rng(seed)
    scores, labels = [], []
    for _ in range(3):
        _, label, _ = random_frame(rng)
        # Quarters: sums of them are exact, so that equal confidences are equal in both.
        scores.append((rng.integers(0, 3, SHAPE) / 4 + (label == 1) / 2).astype(np.float32))
        labels.append(label)
    ours = instance_metrics(scores, labels, 0.55)
    expected = plain.all_thresholds(
        [
            (
                plain.components(plain.pixels(label == 1)),
                plain.pixels(label == 255),
                plain.score_regions(score, label, 0.55),
            )
            for score, label in zip(scores, labels, strict=True)
        ]
    )
    assert ours.predicted > 0
    assert ours.ap_per_threshold == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("pairs", "ap50"),
    [
        # One of two objects found: recall 1/2 at precision 1.
        ([(A, 0.9)], 0.5),
        ([(A, 0.9), (NOWHERE, 0.8)], 0.5),
        # The false one first: precision 0, then 1/2: (1/2) * (0 + 1/2) / 2.
        ([(A, 0.9), (NOWHERE, 0.95)], 0.125),
        # Equally sure, one point of recall 1/2 and precision 1/2: (1/2) * (1 + 1/2) / 2.
        ([(A, 0.9), (NOWHERE, 0.9)], 0.375),
        ([(A, 0.9), (B, 0.1)], 1.0),
        # A second mask on one object is false; the order of the masks does not matter.
        ([(A, 0.5), (A, 0.9), (B, 0.1)], 0.5 + 0.5 * (1 / 2 + 2 / 3) / 2),
        ([(A, 0.9), (A, 0.5), (B, 0.1)], 0.5 + 0.5 * (1 / 2 + 2 / 3) / 2),
        # Half an object has an IoU of exactly 0.5, which is not above 0.5.
        ([(box(2, 2, 8, 5), 0.9)], 0.0),
        ([(box(2, 2, 8, 6), 0.9)], 0.5),
        ([], 0.0),
    ],
)
def test_cases_computed_by_hand(pairs, ap50):
    metrics = measure(labels_of(A, B), predict(*pairs))
    assert metrics.ap50 == pytest.approx(ap50)
    assert metrics.truth == 2
    assert metrics.predicted == len(pairs)


def test_ap_is_the_mean_over_ten_iou_thresholds():
    # 8 of 10 columns: IoU 0.8, above 0.50 to 0.75 and not above 0.80.
    metrics = measure(labels_of(A), predict((box(2, 2, 8, 8), 0.9)))
    assert IOU_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    assert metrics.ap_per_threshold == (1.0,) * 6 + (0.0,) * 4
    assert metrics.ap == pytest.approx(0.6)


def test_touching_objects_are_two_by_their_ids_and_one_without():
    left, right = box(2, 2, 8, 10), box(2, 12, 8, 10)
    labels, truth = labels_of(left, right), 1 * left + 2 * right
    both = predict((left, 0.9), (right, 0.8))
    assert measure(labels, both, truth.astype(np.int32)).ap == 1
    assert measure(labels, both).truth == 1
    assert measure(labels, both).ap == 0
    joined = measure(labels, predict((left | right, 0.9)), truth.astype(np.int32))
    assert (joined.truth, joined.ap) == (2, 0)


def test_ignored_pixels_do_not_make_a_prediction_false():
    void = box(14, 2, 5, 5)
    labels = labels_of(A, ignore=[void])
    for width, false in ((5, False), (8, False), (12, True)):  # 25 of 25, 40 and 60 pixels
        metrics = measure(labels, predict((A, 0.5), (box(14, 2, 5, width), 0.9)))
        assert metrics.ap50 == pytest.approx(0.25 if false else 1.0)
    # At an IoU threshold of 0.65 a share of 0.625 does not excuse it.
    metrics = measure(labels, predict((A, 0.5), (box(14, 2, 5, 8), 0.9)))
    assert metrics.ap_per_threshold[2:4] == pytest.approx((1.0, 0.25))


def test_small_and_unnumbered_objects_count_neither_way():
    small, group = box(20, 30, 3, 3), box(14, 2, 5, 5)
    labels = labels_of(A, small, group)
    truth = (7 * A + 8 * small).astype(np.int32)  # the group has no id
    found = predict((A, 0.5), (small, 0.9), (group, 0.8))
    assert measure(labels, found, truth).ap == 1
    assert measure(labels, found, truth).truth == 1
    assert measure(labels, found).truth == 2  # as components the group is an object
    ten = box(20, 30, 2, 5)
    assert measure(labels_of(ten), predict((ten, 0.9))).truth == 1


@pytest.mark.parametrize(
    ("labels", "pairs", "ap", "truth"),
    [
        (labels_of(), [(A, 0.9)], NAN, 0),
        (labels_of(), [], NAN, 0),
        (labels_of(A), [], 0.0, 1),
        (np.full(SHAPE, 255, np.uint8), [(A, 0.9)], NAN, 0),
        (labels_of(A, ignore=[B]), [(B, 0.9)], 0.0, 1),  # all predictions are left out
    ],
)
def test_edges(labels, pairs, ap, truth):
    metrics = measure(labels, predict(*pairs))
    assert metrics.ap == pytest.approx(ap, nan_ok=True)
    assert metrics.truth == truth


def test_no_frames_and_no_threshold():
    assert math.isnan(instance_metrics([], [], 0.5).ap)
    assert math.isnan(instance_metrics(np.zeros(SHAPE), labels_of()).ap)
    with pytest.raises(TypeError, match="pass a threshold"):
        instance_metrics(iter([np.zeros(SHAPE)]), [labels_of(A)])
    perfect = instance_metrics(A.astype(np.float32), labels_of(A))
    assert (perfect.ap, perfect.predicted) == (1, 1)
    assert 0 < perfect.threshold < 1


def test_ignored_pixels_may_hold_anything_and_others_not():
    score = A.astype(np.float32)
    score[0] = np.nan
    score[12:16, 2:6] = np.inf
    labels = labels_of(A, ignore=[box(0, 0, 1, 40), box(12, 2, 4, 4)])
    assert instance_metrics(score, labels, 0.5).ap == 1
    score[5, 5] = np.nan
    with pytest.raises(ValueError, match="1 scores are NaN"):
        instance_metrics(score, labels, 0.5)


def test_a_component_is_as_sure_as_its_mean_score_and_specks_are_none():
    score = 0.6 * A + 0.8 * B + 0.9 * box(20, 2, 3, 3)
    score[2, 2] = 1.0
    found = component_instances(score.astype(np.float32), labels_of(), 0.5)
    assert found.confidence == pytest.approx([(79 * 0.6 + 1) / 80, 0.8])


def test_ids_of_eight_bits_are_as_good_as_others():
    ids = np.arange(1, 25, dtype=np.uint8)[:, None].repeat(SHAPE[1], 1)  # every row is an object
    labels = np.ones(SHAPE, np.uint8)
    assert measure(labels, PredictedInstances(ids, np.ones(24)), ids).ap == 1


def test_of_overlapping_masks_the_surest_stays():
    score = (0.9 * A + 0.7 * B).astype(np.float32)
    wide = box(2, 2, 8, 12)  # A and two columns of ground
    masks = np.array([wide, B, A, NOWHERE, box(2, 2, 3, 3), np.zeros(SHAPE, bool)])
    found = mask_instances(masks, score, 0.5)
    assert (found.masks == [A, B]).all()
    assert found.confidence == pytest.approx([0.9, 0.7])
    assert measure(labels_of(A, B), found).ap == 1
    assert mask_instances(masks[:0], score, 0.5).confidence.size == 0
    assert measure(labels_of(A, B), mask_instances(masks[:0], score, 0.5)).ap == 0


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([np.zeros((3, 4), np.int32)], None, r"truth of \(3, 4\) for labels of \(24, 40\)"),
        ([], None, "frame 0: there are more frames of one kind than of another"),
        (None, [], "frame 0: there are more frames of one kind than of another"),
        ([np.zeros(SHAPE, int)] * 2, None, "frame 1: there are more frames of one kind"),
        (None, [predict((A, 1))] * 2, "frame 1: there are more frames of one kind"),
        (None, [predict((A, NAN))], "a confidence is NaN"),
        (None, [PredictedInstances(A[None], np.ones(2))], "1 predicted instances, but"),
        (None, [PredictedInstances(A[None, :3], np.ones(1))], "predicted masks of"),
    ],
)
def test_what_does_not_fit_is_refused(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        instance_metrics(np.zeros(SHAPE), labels_of(A), 0.5, truth, predicted)
    with pytest.raises(ValueError, match="resize them"):
        mask_instances(np.ones((1, 3, 4), bool), np.zeros(SHAPE, np.float32), 0.5)


def test_frames_may_come_in_parts():
    accumulator = InstanceAccumulator(0.5)
    assert accumulator.update(A.astype(float), labels_of(A)).truth == 1
    accumulator.add(InstanceAccumulator(0.5).update(np.zeros(SHAPE), labels_of(B)))
    assert accumulator.compute().ap == 0.5
    assert average_precision(np.ones(1), np.ones(1, np.int8), 2) == 0.5
