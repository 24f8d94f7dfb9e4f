"""Refinement on the masks' device: the same as on the host, and nothing copied without need.

There is no GPU here, so the CPU is declared to be a device where OASC and MBP are to run.
"""

import numpy as np
import pytest
import torch
from scenes import blobs, golden, rough_score

from objectomaly_ros.gpu import pipeline as device_line
from objectomaly_ros.gpu.mask_bits import pack_bits
from objectomaly_ros.masks.sam.result import SamResult
from objectomaly_ros.oasc import PAPER, OascRule
from objectomaly_ros.pipeline import Objectomaly
from objectomaly_ros.video import mask_set as keyframe
from objectomaly_ros.video.mask_set import find_masks, stays_on_device


class Brightness:
    """A detector that calls bright pixels anomalous."""

    def score(self, image):
        return image.mean(axis=2, dtype=np.float32) / 255


class BrightnessOnDevice(Brightness):
    """The same with the score on a device; asked for an array it fails."""

    def score_tensor(self, image):
        return torch.from_numpy(super().score(image))

    def score(self, image):
        raise AssertionError("the score was asked for on the host")


class Fixed:
    """A mask generator that returns the masks it was given."""

    def __init__(self, masks):
        self.masks = masks

    def generate(self, image, score=None):
        return self.masks


class Packed(Fixed):
    """The same masks as bits on a device, as SAM's generators give them."""

    device = torch.device("cpu")

    def packed_masks(self, image, score=None):
        self.score = score
        masks = torch.from_numpy(self.masks)
        boxes = torch.zeros((len(masks), 4), dtype=torch.int64)
        for box, mask in zip(boxes, masks, strict=True):
            y, x = mask.nonzero().T
            if len(y):
                box[:] = torch.stack([x.min(), y.min(), x.max(), y.max()])
        one = torch.ones(len(masks))
        return SamResult(
            pack_bits(masks), masks.shape[2], boxes, masks.sum((1, 2)), one, one,
            boxes[:, :2].double(), boxes,
        )  # fmt: skip

    def generate(self, image, score=None):
        raise AssertionError("masks were asked for on the host")


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def masks():
    masks = blobs(np.random.default_rng(2), 7, 40, 60)
    masks[3] = False
    return masks


@pytest.fixture
def on_device(monkeypatch):
    """Let the CPU be such a device, and count how often masks are brought to the host."""
    monkeypatch.setattr(keyframe, "DEVICES", ("cpu",))
    unpacked, unpack = [], SamResult.masks
    monkeypatch.setattr(SamResult, "masks", lambda found: unpacked.append(1) or unpack(found))
    return unpacked


@pytest.fixture
def no_device_line(monkeypatch):
    """Fail where OASC runs on tensors."""
    monkeypatch.delattr(device_line, "refine")
    monkeypatch.delattr(device_line, "calibrate")


RULES = [{}, {"overlap": "smallest"}, {"residual": 0.25}]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("detector", [Brightness(), BrightnessOnDevice()])
def test_refine_equals_the_host(image, masks, on_device, rule, detector):
    generator = Packed(masks)
    refinement = Objectomaly(detector, generator, **rule).refine(image)
    expected = Objectomaly(Brightness(), Fixed(masks), **rule).refine(image)
    assert isinstance(generator.score, torch.Tensor)
    assert (expected.score != Brightness().score(image)).any()
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)
    assert list(refinement.timings) == ["coarse", "masks", "oasc", "mbp"]
    assert on_device == [], "masks were unpacked though nobody asked"
    np.testing.assert_array_equal(refinement.masks, masks)
    np.testing.assert_array_equal(refinement.masks, masks)
    assert len(on_device) == 1


@pytest.mark.parametrize("size", [(40, 60), (23, 70)])
def test_a_score_from_elsewhere_and_masks_of_another_resolution(image, on_device, size):
    masks = blobs(np.random.default_rng(3), 9, *size)
    score = rough_score(np.random.default_rng(4), 40, 60)
    score[3, 5] = np.nan
    refinement = Objectomaly(None, Packed(masks)).refine(image, score.astype(np.float64))
    expected = Objectomaly(None, Fixed(masks)).refine(image, score)
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)
    assert refinement.timings["coarse"] == 0


def test_equals_the_golden(shared_dir, on_device):
    data = golden(shared_dir / "golden" / "objectomaly" / "c7_hd.npz")
    frame = np.zeros((720, 1280, 3), np.uint8)
    refinement = Objectomaly(None, Packed(data["masks"])).refine(frame, data["coarse"])
    np.testing.assert_allclose(refinement.score, data["final"], rtol=0, atol=1e-6)
    assert on_device == []


def test_masks_without_the_pipeline(image, masks, on_device):
    score = Brightness().score(image)
    found, stack = find_masks(Packed(masks), image, score), find_masks(Fixed(masks), image, score)
    for rule in (PAPER, OascRule("smallest", 0.5)):
        ours, expected = found.calibrate(score, rule), stack.calibrate(score, rule)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    assert on_device == []


@pytest.mark.usefixtures("on_device", "no_device_line")
def test_agreement_is_only_on_the_host(image, masks):
    refinement = Objectomaly(Brightness(), Packed(masks), overlap="inverse_variance").refine(image)
    expected = Objectomaly(Brightness(), Fixed(masks), overlap="inverse_variance").refine(image)
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("no_device_line")
@pytest.mark.parametrize("rule", RULES)
def test_the_cpu_is_left_to_numpy(image, masks, rule):
    pipeline = Objectomaly(Brightness(), Packed(masks), **rule)
    expected = Objectomaly(Brightness(), Fixed(masks), **rule).refine(image)
    refinement = pipeline.refine(image)
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(refinement.masks, masks)
    applied = pipeline.apply(Brightness().score(image), pipeline.cells(image))
    np.testing.assert_allclose(applied, expected.score, rtol=0, atol=1e-6)


def test_a_generator_on_the_device_that_gives_arrays_is_used_as_any_other(image, masks, on_device):
    """A user's own generator may have a `device`, and know nothing of packed masks."""
    own = Fixed(masks)
    own.device = torch.device("cpu")
    expected = Objectomaly(Brightness(), Fixed(masks)).refine(image).score
    np.testing.assert_array_equal(Objectomaly(Brightness(), own).refine(image).score, expected)


def test_a_gpu_is_such_a_device():
    generator = Packed(np.zeros((0, 4, 4), bool))
    assert not stays_on_device(generator, PAPER)
    assert not stays_on_device(Fixed(None), PAPER)
    generator.device = torch.device("cuda", 1)
    assert stays_on_device(generator, PAPER)
    assert not stays_on_device(generator, OascRule("inverse_variance"))


def test_a_detector_whose_score_does_not_fit_is_refused(image, masks, on_device):
    class Wrong(Brightness):
        def score_tensor(self, image):
            return torch.zeros(40, 60, dtype=torch.float16)

    with pytest.raises(TypeError, match="float32, got"):
        Objectomaly(Wrong(), Packed(masks)).refine(image)
