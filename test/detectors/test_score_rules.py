"""The score rules against the authors' own evaluation code, and what must hold of each."""

import numpy as np
import pytest
import torch

from objectomaly_ros.detectors import score_rules
from objectomaly_ros.detectors.score_rules import Geometry, semantic_maps

QUERIES, HEIGHT, WIDTH = 100, 48, 96


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    classes = torch.randn(QUERIES, 20, generator=generator) * 3
    masks = torch.randn(QUERIES, 12, 24, generator=generator) * 5
    return classes, masks


def golden(shared_dir, folder, name="score_golden.npz"):
    data = np.load(shared_dir / "golden" / folder / name)
    return data, torch.from_numpy(data["class_logits"]), torch.from_numpy(data["mask_logits"])


LOW = Geometry((48, 96), (48, 96), (48, 96))
IMAGE = Geometry((192, 384), (190, 380), (190, 380))


def worst(score, expected):
    return float(np.abs(score.numpy() - expected).max())


def test_rba_golden(shared_dir):
    data, classes, masks = golden(shared_dir, "rba")
    assert worst(semantic_maps(classes, masks, LOW), data["sem_seg_lowres"]) < 1e-5
    assert worst(score_rules.rba(classes, masks, LOW), data["anomaly_lowres"]) < 1e-5
    assert worst(score_rules.rba(classes, masks, IMAGE), data["anomaly_image"]) < 1e-5
    resized = Geometry((192, 384), (190, 380), (100, 200))
    assert worst(score_rules.rba(classes, masks, resized), data["anomaly_resized_100x200"]) < 1e-5
    labels = semantic_maps(classes, masks, IMAGE).argmax(0).numpy()
    assert np.mean(labels != data["sem_seg_argmax_image"]) < 1e-4


def test_uno_and_eam_golden(shared_dir):
    data, classes, masks = golden(shared_dir, "uno")
    for rule, prefix in ((score_rules.uno, ""), (score_rules.eam, "eam_")):
        assert worst(rule(classes, masks, LOW), data[f"{prefix}anomaly_lowres"]) < 1e-5
        assert worst(rule(classes, masks, IMAGE), data[f"{prefix}anomaly_image_190x380"]) < 1e-5
    for size in ((100, 200), (285, 570)):
        expected = data[f"anomaly_resized_{size[0]}x{size[1]}"]
        score = score_rules.uno(classes, masks, Geometry((192, 384), (190, 380), size))
        assert worst(score, expected) < 1e-5
    labels = semantic_maps(classes, masks, IMAGE, classes=19).argmax(0).numpy()
    assert np.mean(labels != data["sem_seg_argmax_image"]) < 1e-4


def test_maskomaly_golden(shared_dir):
    data, classes, masks = golden(shared_dir, "maskomaly")
    assert tuple(data["anomaly_queries"]) == score_rules.MASKOMALY_ANOMALY_QUERIES
    assert tuple(data["ground_queries"]) == score_rules.MASKOMALY_ROAD_QUERIES
    assert worst(score_rules.maskomaly(classes, masks, LOW), data["anomaly_lowres"]) < 1e-5
    for name, output in (
        ("anomaly_192x384", (192, 384)),
        ("anomaly_image_150x300", (150, 300)),
        ("anomaly_image_250x500", (250, 500)),
    ):
        score = score_rules.maskomaly(classes, masks, Geometry((192, 384), (192, 384), output))
        assert worst(score, data[name]) < 1e-5
    data, classes, masks = golden(shared_dir, "maskomaly", "score_golden_2.npz")
    assert worst(score_rules.maskomaly(classes, masks, LOW), data["anomaly_lowres"]) < 1e-5


def in_one_piece(classes, masks, geometry):
    """The class maps of the definition, all queries at once, in float64."""
    big = torch.nn.functional.interpolate(
        masks.double()[None], geometry.padded, mode="bilinear", align_corners=False
    )[0]
    maps = torch.einsum("qk,qhw->khw", classes.double().softmax(-1)[:, :-1], big.sigmoid())
    maps = maps[:, : geometry.valid[0], : geometry.valid[1]]
    return torch.nn.functional.interpolate(
        maps[None], geometry.output, mode="bilinear", align_corners=False
    )[0]


def test_class_maps_are_the_definition(logits):
    geometry = Geometry((48, 96), (45, 90), (61, 77))
    expected = in_one_piece(*logits, geometry)
    assert worst(semantic_maps(*logits, geometry), expected.numpy()) < 1e-4
    assert worst(score_rules.mask2anomaly(*logits, geometry), 1 - expected.amax(0).numpy()) < 1e-4
    assert worst(score_rules.rba(*logits, geometry), -expected.tanh().sum(0).numpy()) < 1e-4


def test_maskomaly_is_the_definition(logits):
    """Pixel by pixel and query by query, as the README's formulas read."""
    classes, masks = logits
    classes[:, -1] += 4  # about half of the queries are "no object"
    p = classes.double().softmax(-1)
    s = masks.double().sigmoid().numpy()
    confidence, label = (t.numpy() for t in p.max(-1))
    expected = np.empty(s.shape[1:])
    for y, x in np.ndindex(expected.shape):
        kept = [q for q in range(QUERIES) if label[q] != 19]
        r = min([1 - s[q, y, x] * confidence[q] for q in kept if confidence[q] > 0.7], default=1.0)
        if sum(s[q, y, x] > 0.1 for q in kept) >= 2:
            r = 0.0
        r = min([r] + [1 - s[q, y, x] * confidence[q] for q in (19, 24)])
        a = max(s[q, y, x] * confidence[q] for q in (49, 31, 83, 32))
        expected[y, x] = 0.6 * r + 0.4 * a
    size = expected.shape
    score = score_rules.maskomaly(classes, masks, Geometry(size, size, size))
    assert worst(score, expected) < 1e-5


@pytest.mark.parametrize("rule", ["mask2anomaly", "rba", "uno", "eam", "maskomaly"])
def test_rules_leave_their_input_alone_and_fit_the_output(logits, rule):
    classes, masks = logits
    before = masks.clone()
    geometry = Geometry(
        (12, 24), (11, 20), (33, 47)
    )  # masks at the padded size: nothing to enlarge
    score = getattr(score_rules, rule)(classes, masks, geometry)
    assert score.shape == (33, 47)
    assert score.dtype == torch.float32
    assert torch.equal(masks, before)


def test_a_certain_known_object_scores_lower_than_nothing():
    classes = torch.full((2, 20), -20.0)
    classes[0, 3] = 20.0  # query 0: certainly class 3
    classes[1, 19] = 20.0  # query 1: certainly no object
    masks = torch.full((2, 4, 8), -20.0)
    masks[0, :, :4] = 20.0
    geometry = Geometry((4, 8), (4, 8), (4, 8))
    for rule in (score_rules.mask2anomaly, score_rules.rba, score_rules.eam):
        score = rule(classes, masks, geometry)
        assert (score[:, 4:] - score[:, :4]).min() > 0.7


def test_uno_rises_where_the_outlier_class_wins():
    classes = torch.full((2, 21), -20.0)
    classes[0, 0] = 20.0
    classes[1, 19] = 20.0
    masks = torch.full((2, 4, 8), -20.0)
    masks[0, :, :4] = 20.0
    masks[1, :, 4:] = 20.0
    score = score_rules.uno(classes, masks, Geometry((4, 8), (4, 8), (4, 8)))
    torch.testing.assert_close(score[0], torch.tensor([-1.0] * 4 + [1.0] * 4))
