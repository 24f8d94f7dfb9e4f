"""The masks are the official generator's: same count, order and records, pixels but for rounding.

"Exact" means no worse than the official generator against itself with another points_per_batch.
"""

import numpy as np
import pytest
import torch

from objectomaly_ros.gpu import pipeline as gpu_pipeline
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.prompts import GuidedPoints
from objectomaly_ros.pipeline import Objectomaly
from objectomaly_ros.video import mask_set

EASY = {"pred_iou_thresh": 0.85, "stability_score_thresh": 0.5, "box_nms_thresh": 0.9}
ROUNDING_PIXELS = 2  # a logit within rounding of the cut falls on either side

CASES = {
    "thresholds that keep many": ((150, 200), {"points_per_side": 8, **EASY}),
    "defaults": ((150, 200), {"points_per_side": 8}),
    "no filter at all": (
        (97, 61),
        {"points_per_side": 3, "pred_iou_thresh": 0, "stability_score_thresh": 0},
    ),
    "larger than the input, odd": ((413, 601), {"points_per_side": 5, **EASY}),
    "stability offset": ((150, 200), {"points_per_side": 6, "stability_score_offset": 3.0, **EASY}),
    "crops": ((211, 160), {"points_per_side": 4, "crop_n_layers": 1, **EASY}),
    "crops with fewer points and less overlap": (
        (130, 210),
        {
            "points_per_side": 6, "crop_n_layers": 1, "crop_n_points_downscale_factor": 2,
            "crop_overlap_ratio": 0.1, "crop_nms_thresh": 0.5, **EASY,
        },
    ),
    "explicit points": (
        (150, 200),
        {
            "points_per_side": None,
            "point_grids": [np.random.default_rng(2).random((23, 2))],
            **EASY,
        },
    ),
    "small regions removed": (
        (150, 200),
        {"points_per_side": 8, "min_mask_region_area": 300, **EASY},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_masks_are_the_official_ones(sam, make_image, official, case):
    size, options = CASES[case]
    image = make_image(*size)
    records, expected = official(sam, image, **options)
    _, again = official(sam, image, points_per_batch=7, **options)

    result = SamMasks(sam, **options).segment(image)

    assert len(result) == len(records)
    assert len(again) == len(records), "the reference contradicts itself: choose another case"
    masks = result.masks.cpu().numpy()
    allowed = max(int((again != expected).sum()), ROUNDING_PIXELS)
    assert int((masks != expected).sum()) <= allowed
    check_records(result, records, masks, expected)


def check_records(result, records, masks, expected):
    def column(key):
        return np.array([record[key] for record in records], dtype=np.float64)

    np.testing.assert_allclose(result.predicted_iou, column("predicted_iou"), atol=1e-5)
    np.testing.assert_allclose(result.stability_score, column("stability_score"), atol=1e-3)
    np.testing.assert_array_equal(result.points, column("point_coords")[:, 0])
    crop_boxes = result.crop_boxes.double()
    crop_boxes[:, 2:] -= crop_boxes[:, :2]
    np.testing.assert_array_equal(crop_boxes, column("crop_box"))
    xywh = result.boxes.clone()
    xywh[:, 2:] -= xywh[:, :2]  # the package's width is one less than the pixels spanned
    same = (masks == expected).all((1, 2))
    assert same.any()
    np.testing.assert_array_equal(result.areas[same], column("area")[same])
    np.testing.assert_array_equal(xywh[same], column("bbox")[same])


def test_cases_prove_something(sam, make_image):
    """Each case must keep masks, most of them several; special ones must differ from plain ones."""
    counts = {}
    for case, (size, options) in CASES.items():
        counts[case] = SamMasks(sam, **options).segment(make_image(*size)).areas.tolist()
    assert all(len(areas) >= (1 if case == "defaults" else 2) for case, areas in counts.items())
    assert len(counts["thresholds that keep many"]) >= 8
    assert 0 in counts["no filter at all"]
    assert counts["small regions removed"] != counts["thresholds that keep many"]


def test_crops_find_masks_that_the_whole_image_does_not(sam, make_image):
    size, options = CASES["crops"]
    result = SamMasks(sam, **options).segment(make_image(*size))
    whole = torch.tensor([0, 0, size[1], size[0]])
    assert (result.crop_boxes != whole).any(1).any()


def test_bgr_feeds_the_network_what_the_published_method_feeds(sam, make_image, official):
    image = make_image(150, 200)
    _, expected = official(sam, np.ascontiguousarray(image[..., ::-1]), points_per_side=6, **EASY)
    _, rgb = official(sam, image, points_per_side=6, **EASY)

    masks = SamMasks(sam, points_per_side=6, colour_order="bgr", **EASY).generate(image)

    assert masks.shape == expected.shape
    assert int((masks != expected).sum()) <= ROUNDING_PIXELS
    assert masks.shape != rgb.shape or (masks != rgb).any()


def test_point_source_takes_the_place_of_the_grid(sam, make_image, official):
    image, score = make_image(120, 160), np.zeros((120, 160), np.float32)
    chosen = np.array([[0.25, 0.3], [0.5, 0.5], [0.8, 0.4]])
    asked = []

    def source(given):
        asked.append(given)
        return chosen.astype(np.float32)

    _, expected = official(
        sam, image, points_per_side=None, point_grids=[chosen.astype(np.float32)], **EASY
    )
    masks = SamMasks(sam, point_source=source, **EASY).generate(image, score)

    assert asked == [score]
    assert len(masks) > 0
    np.testing.assert_array_equal(masks, expected)


@pytest.mark.parametrize("n_points", [0, 1])
def test_few_points_give_few_masks(sam, make_image, n_points):
    points = np.full((n_points, 2), 0.5)
    generator = SamMasks(
        sam, point_source=lambda *_: points, pred_iou_thresh=0, stability_score_thresh=0
    )
    masks = generator.generate(make_image(64, 48))
    assert masks.shape[1:] == (64, 48)
    assert masks.dtype == bool
    assert (len(masks) == 0) == (n_points == 0)


def test_a_frame_without_any_good_mask(sam, make_image):
    result = SamMasks(sam, points_per_side=4, pred_iou_thresh=99.0).segment(make_image(64, 48))
    assert result.masks.cpu().numpy().shape == (0, 64, 48)
    assert result.mask_set().boxes.shape == (0, 4)


def test_a_thousand_masks(sam, make_image):
    generator = SamMasks(
        sam, points_per_side=20, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1.0
    )
    masks = generator.generate(make_image(64, 48))
    assert masks.shape == (1200, 64, 48)


def test_a_large_image(sam, make_image):
    image = make_image(150, 200).repeat(20, axis=0).repeat(20, axis=1)
    result = SamMasks(sam, points_per_side=3, **EASY).segment(image)
    assert len(result) > 0
    assert result.masks.shape[1:] == (3000, 4000)
    np.testing.assert_array_equal(result.masks.sum((1, 2)), result.areas)


def test_a_line_of_pixels(sam, make_image):
    generator = SamMasks(sam, points_per_side=2, pred_iou_thresh=0, stability_score_thresh=0)
    assert generator.generate(np.zeros((1, 300, 3), np.uint8)).shape[1:] == (1, 300)
    with pytest.raises(ValueError, match="4000x1 pixels is too narrow"):
        generator.generate(np.zeros((1, 4000, 3), np.uint8))


def test_timings_are_those_of_the_stages(sam, make_image):
    timings = SamMasks(sam, points_per_side=2).segment(make_image(64, 48)).timings
    assert list(timings) == ["encoder", "decoder", "post_processing"]
    assert all(seconds > 0 for seconds in timings.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_batch": 0}, "points_per_batch must be at least 1, got 0"),
        ({"colour_order": "grb"}, "'rgb' or 'bgr', got 'grb'"),
        ({"precision": "float8"}, "precision 'float8'"),
        ({"points_per_side": None}, "give points_per_side or point_grids"),
        ({"point_grids": [np.zeros((1, 2))]}, "give points_per_side or point_grids"),
        ({"points_per_side": None, "point_grids": [np.zeros(2)]}, r"shape \(n, 2\)"),
        (
            {"points_per_side": None, "point_grids": [np.zeros((1, 2))], "crop_n_layers": 1},
            "needs 2 arrays",
        ),
    ],
)
def test_bad_options_are_refused(sam, options, message):
    with pytest.raises(ValueError, match=message):
        SamMasks(sam, **options)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((8, 8), np.uint8), ValueError),
        (np.zeros((8, 8, 3), np.float32), TypeError),
        (np.zeros((0, 8, 3), np.uint8), ValueError),
    ],
)
def test_bad_images_are_refused(sam, image, error):
    with pytest.raises(error, match="an image must"):
        SamMasks(sam).segment(image)


def test_half_precision_finds_about_the_same(sam, make_image):
    keep_all = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1.0}
    image = make_image(90, 120)
    exact, rough = (
        SamMasks(sam, points_per_side=4, precision=precision, **keep_all).segment(image)
        for precision in ("float32", "bfloat16")
    )
    difference = (exact.predicted_iou - rough.predicted_iou).abs().max()  # both are descending
    assert 0 < difference < 0.2


def test_the_pipeline_refines_on_the_device_of_the_masks(sam, make_image, monkeypatch):
    image = make_image(90, 120)
    score = np.random.default_rng(0).random((90, 120), dtype=np.float32)
    guided = GuidedPoints(points=20, sparse_per_side=3, dense_per_side=8)
    pipeline = Objectomaly(_Given(score), SamMasks(sam, point_source=guided, **EASY))
    expected = pipeline.refine(image)
    monkeypatch.setattr(mask_set, "GPU_TYPES", ("cpu",))
    lines, refine = [], gpu_pipeline.refine
    monkeypatch.setattr(gpu_pipeline, "refine", lambda *a: lines.append(a) or refine(*a))
    refinement = pipeline.refine(image)
    assert len(lines) == 1
    assert len(refinement.masks) > 1
    np.testing.assert_array_equal(refinement.masks, expected.masks)
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)


class _Given:
    """A detector that gives a score it was given, on the device."""

    def __init__(self, score):
        self._score = score

    def score(self, image):
        return self._score

    def score_tensor(self, image):
        return torch.from_numpy(self._score)
