"""The metrics equal the official code and scikit-learn, and define the cases open there."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve

from objectomaly_ros.evaluation.components import SIOU_THRESHOLDS, ComponentAccumulator
from objectomaly_ros.evaluation.metrics import component_metrics, pixel_metrics
from objectomaly_ros.evaluation.pixel import PixelAccumulator

CASES = (
    "plain",
    "second_frame_without_gt",
    "constant_score",
    "one_frame_flat",
    "no_gt_anywhere",
    "one_frame_all_ignored",
    "ignore_cuts_object",
    "corner_touch_and_split",
    "merge_and_split",
    "sizes_at_limits",
    "logit_range_ties",
    "random_ellipses",
    "street_msp",
    "street_void",
)


@pytest.fixture(scope="module")
def golden(shared_dir):
    folder = shared_dir / "golden" / "metrics"
    official = json.loads((folder / "official.json").read_text())

    def load(case):
        with np.load(folder / f"{case}.npz") as data:
            return data["scores"].astype(np.float32), data["labels"], official[case]

    assert set(official) == set(CASES)
    return load


@pytest.mark.parametrize("case", CASES)
def test_pixel_metrics_equal_the_exact_and_the_official_ones(golden, case):
    scores, labels, expected = golden(case)
    ours = pixel_metrics(scores, labels)
    exact = expected["pixel_sklearn"]
    if "error" in exact:
        assert math.isnan(ours.auprc)
        assert math.isnan(ours.fpr95)
    else:
        assert ours.auprc == pytest.approx(exact["AuPRC"], abs=1e-6)
        assert ours.fpr95 == pytest.approx(exact["FPR95"], abs=1e-6)
    official = expected["pixel_official"]
    if "error" not in official and official["AuROC"] is not None:
        assert ours.auprc == pytest.approx(official["AuPRC"], abs=0.01)
        assert ours.auroc == pytest.approx(official["AuROC"], abs=2e-3)
        # The official code fuses percentile bins of single frames, which is not exact.
        assert ours.best_f1 == pytest.approx(official["best_f1"], abs=5e-3)


@pytest.mark.parametrize("track", ["AnomalyTrack", "ObstacleTrack"])
@pytest.mark.parametrize("case", CASES)
def test_component_metrics_equal_the_official_code(golden, case, track):
    scores, labels, expected = golden(case)
    compared = 0
    for segment in expected["segments"].values():
        if track not in segment:
            continue
        official = segment[track]
        ours = component_metrics(scores, labels, official["threshold"], track)
        assert len(ours.frames) == len(official["frames"])
        for mine, theirs in zip(ours.frames, official["frames"], strict=True):
            np.testing.assert_allclose(sorted(mine.siou), sorted(theirs["sIoU_gt"]), atol=1e-9)
            np.testing.assert_array_equal(sorted(mine.truth_size), sorted(theirs["size_gt"]))
            np.testing.assert_allclose(sorted(mine.ppv), sorted(theirs["prec_pred"]), atol=1e-9)
            np.testing.assert_array_equal(sorted(mine.predicted_size), sorted(theirs["size_pred"]))
            np.testing.assert_allclose(
                sorted(mine.predicted_siou), sorted(theirs["sIoU_pred"]), atol=1e-9
            )
        assert [p["sIoU"] for p in official["per_threshold"]] == pytest.approx(SIOU_THRESHOLDS)
        for key in ("tp", "fn", "fp"):
            assert list(getattr(ours, key)) == [p[key] for p in official["per_threshold"]]
        aggregate = official.get("aggregate")
        if aggregate is None:  # no truth and no prediction: the official code divides by zero
            assert "ZeroDivisionError" in official["error_aggregate"]
            assert math.isnan(ours.f1)
            assert math.isnan(ours.siou)
            assert math.isnan(ours.ppv)
        else:
            _same(ours.siou, aggregate["sIoU_gt"])
            _same(ours.ppv, aggregate["prec_pred"])
            _same(ours.predicted_siou, aggregate["sIoU_pred"])
            _same(ours.f1, aggregate["f1_mean"])
            _same(ours.f1_per_threshold[0], aggregate["f1_25"])
            _same(ours.f1_per_threshold[-1], aggregate["f1_75"])
        compared += 1
    assert compared >= 1


def _same(ours, official):
    if official is None:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(official, abs=1e-6)


@pytest.mark.parametrize("levels", [0, 3, 40])
@pytest.mark.parametrize("seed", range(4))
def test_pixel_metrics_equal_scikit_learn_on_random_data(seed, levels):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 255], size=(3, 15, 13), p=[0.8, 0.1, 0.1]).astype(np.uint8)
    scores = rng.normal(size=labels.shape).astype(np.float32) + 1.5 * (labels == 1)
    if levels:
        scores = np.round(scores * levels / 4) / levels
    scores = scores.astype(np.float32)
    ours = pixel_metrics(scores, labels)
    truth, flat = labels[labels != 255], scores[labels != 255]
    assert ours.auprc == pytest.approx(average_precision_score(truth, flat), abs=1e-9)
    assert ours.auroc == pytest.approx(roc_auc_score(truth, flat), abs=1e-9)
    fpr, tpr, _ = roc_curve(truth, flat, drop_intermediate=False)
    assert ours.fpr95 == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-9)
    assert f1_score(truth, flat > ours.best_f1_threshold) == pytest.approx(ours.best_f1)
    best = max(f1_score(truth, flat >= value) for value in np.unique(flat))
    assert ours.best_f1 == pytest.approx(best)
    assert ours.resolution == 0
    assert ours.anomaly_pixels == np.count_nonzero(labels == 1)


def test_frames_of_a_generator_of_mixed_sizes_count_as_one_set():
    rng = np.random.default_rng(1)
    shapes = [(20, 30), (7, 50), (33, 11)]
    scores = [rng.random(shape, dtype=np.float32) for shape in shapes]
    labels = [rng.choice([0, 1, 255], size=shape).astype(np.uint8) for shape in shapes]
    streamed = pixel_metrics((s for s in scores), (m for m in labels))
    joined = pixel_metrics(
        np.concatenate([s.ravel() for s in scores])[None],
        np.concatenate([m.ravel() for m in labels])[None],
    )
    assert streamed == joined


def test_the_best_threshold_keeps_a_plateau_that_the_strict_comparison_would_drop():
    scores = np.full((40, 60), 0.1, np.float32)
    labels = np.zeros((40, 60), np.uint8)
    labels[5:35, 10:40] = 1
    scores[labels == 1] = 0.7  # constant, as after OASC
    pixels = pixel_metrics(scores, labels)
    assert pixels.best_f1 == 1
    assert pixels.best_f1_level == pytest.approx(0.7)
    assert 0.1 < pixels.best_f1_threshold < 0.7
    assert component_metrics(scores, labels).f1 == 1
    assert component_metrics(scores, labels, pixels.best_f1_level).f1 == 0  # the official trap


def test_a_threshold_between_neighbouring_floats_still_separates_them():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    scores = np.array([[low, high, low, high]], np.float32)
    labels = np.array([[0, 1, 0, 1]], np.uint8)
    metrics = pixel_metrics(scores, labels)
    np.testing.assert_array_equal(scores > metrics.best_f1_threshold, labels == 1)


def test_one_level_only_gives_a_threshold_below_it():
    metrics = pixel_metrics(np.zeros((2, 2), np.float32), np.ones((2, 2), np.uint8))
    assert metrics.best_f1 == 1
    assert metrics.best_f1_threshold < 0
    assert metrics.auprc == 1
    assert math.isnan(metrics.fpr95)
    assert math.isnan(metrics.auroc)


def test_no_pixels_at_all_are_nan():
    metrics = pixel_metrics(np.zeros((3, 4, 5), np.float32), np.full((3, 4, 5), 255, np.uint8))
    assert math.isnan(metrics.auprc)
    assert math.isnan(metrics.best_f1_threshold)
    components = component_metrics(np.zeros((4, 5)), np.full((4, 5), 255, np.uint8))
    assert components.threshold == math.inf
    assert math.isnan(components.f1)


def test_no_truth_but_predictions_is_an_f1_of_zero():
    metrics = component_metrics(np.ones((1, 60, 60)), np.zeros((1, 60, 60), np.uint8), 0.5)
    assert metrics.f1 == 0
    assert metrics.ppv == 0
    assert math.isnan(metrics.siou)
    assert metrics.fp == (1,) * 11


def test_ignored_pixels_may_hold_anything():
    scores = np.array([[0.1, 0.9, np.nan, np.inf]], np.float32)
    labels = np.array([[0, 1, 255, 255]], np.uint8)
    assert pixel_metrics(scores, labels).auprc == 1


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 5), np.uint8), "resize"),
        (np.zeros((2, 4, 4)), np.zeros((1, 4, 4), np.uint8), "1 frames of labels"),
        (np.full((1, 4, 4), np.nan), np.zeros((1, 4, 4), np.uint8), "16 scores are NaN"),
        (np.zeros((1, 4, 4)), np.full((1, 4, 4), 2, np.uint8), "found \\[2\\]"),
        (np.zeros((1, 4, 4), complex), np.zeros((1, 4, 4), np.uint8), "dtype complex"),
        (np.zeros(4), np.zeros(4, np.uint8), "must be \\(H, W\\)"),
    ],
)
def test_bad_input_is_named(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        pixel_metrics(scores, labels)


def test_component_metrics_refuse_what_they_cannot_do():
    frames = np.zeros((1, 4, 4), np.float32)
    with pytest.raises(TypeError, match="pass a threshold"):
        component_metrics((f for f in frames), frames.astype(np.uint8))
    with pytest.raises(ValueError, match="AnomalyTrack, ObstacleTrack"):
        component_metrics(frames, frames.astype(np.uint8), 0.5, track="RoadTrack")


def test_few_levels_bin_the_scores_in_any_order_alike():
    rng = np.random.default_rng(3)
    labels = rng.choice([0, 1], size=(6, 64, 64), p=[0.9, 0.1]).astype(np.uint8)
    scores = (rng.normal(size=labels.shape) + labels).astype(np.float32)
    exact = pixel_metrics(scores, labels)
    results = []
    for order in (range(6), reversed(range(6))):
        accumulator = PixelAccumulator(max_levels=1 << 10)
        for i in order:
            accumulator.update(scores[i], labels[i])
        results.append(accumulator.compute())
    assert results[0] == results[1]
    assert 0 < results[0].resolution < 0.05
    assert results[0].auprc == pytest.approx(exact.auprc, abs=5e-3)
    assert results[0].fpr95 == pytest.approx(exact.fpr95, abs=5e-3)
    threshold = results[0].best_f1_threshold
    truth = labels.ravel()
    assert f1_score(truth, scores.ravel() > threshold) == pytest.approx(results[0].best_f1)


def test_component_accumulator_equals_the_function():
    rng = np.random.default_rng(5)
    labels = np.zeros((2, 50, 50), np.uint8)
    labels[:, 10:30, 10:30] = 1
    scores = rng.random(labels.shape, dtype=np.float32) * 0.2 + labels
    accumulator = ComponentAccumulator(0.6, "ObstacleTrack")
    for score, label in zip(scores, labels, strict=True):
        accumulator.update(score, label)
    streamed, at_once = (
        accumulator.compute(),
        component_metrics(scores, labels, 0.6, "ObstacleTrack"),
    )
    assert (streamed.siou, streamed.ppv, streamed.f1) == (at_once.siou, at_once.ppv, at_once.f1)
    assert streamed.f1 == 1


@pytest.mark.parametrize("seed", range(5))
def test_siou_equals_its_definition_written_out(seed):
    """Return the sIoU from sets of pixels, as section 4 of the paper defines it."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(size=(2, 90, 120)), (0, 3, 3))
    labels = (blobs[0] > 0.1).astype(np.uint8)
    predicted = (0.6 * blobs[0] + 0.6 * blobs[1] > 0.08).astype(np.float32)
    ours = component_metrics(predicted, labels, 0.5, "ObstacleTrack").frames[0]
    square = np.ones((3, 3))
    truth_ids, truth_n = ndimage.label(labels, square)
    pred_ids, pred_n = ndimage.label(predicted, square)
    truths = [truth_ids == i + 1 for i in range(truth_n)]
    preds = [p for i in range(pred_n) if (p := pred_ids == i + 1).sum() >= 50]
    small = np.zeros_like(truths[0])
    for t in truths:
        if t.sum() < 10:
            small |= t
    truths = [t for t in truths if t.sum() >= 10]
    preds = [p & ~small for p in preds]
    expected = []
    for t in truths:
        union = t.copy()
        for p in preds:
            if (p & t).any():
                union |= p
        others = np.zeros_like(t)
        for o in truths:
            if o is not t:
                others |= o
        inside = t & np.any(preds, axis=0) if preds else np.zeros_like(t)
        expected.append(inside.sum() / (union & ~(others & ~t)).sum())
    np.testing.assert_allclose(sorted(ours.siou), sorted(expected), atol=1e-12)
