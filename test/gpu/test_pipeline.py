"""Refinement on the masks' device: the same as on the host, and nothing copied without need.

There is no GPU here, so the CPU is declared to be a device where OASC and MBP are to run.
"""

import cv2
import numpy as np
import pytest
import torch
from scenes import blobs, golden, rough_score

from objectomaly_ros import pipeline
from objectomaly_ros.gpu import pipeline as gpu_pipeline
from objectomaly_ros.oasc import PAPER, OascRule
from objectomaly_ros.pipeline import Objectomaly
from objectomaly_ros.types import MaskSet
from objectomaly_ros.video import mask_set
from objectomaly_ros.video.mask_set import calibrate, find_masks, runs_on_gpu


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


class OnDevice(Fixed):
    """The same masks as a tensor on a device, as SAM's generators give them."""

    device = torch.device("cpu")

    def find(self, image, score=None):
        self.score = score
        areas = self.masks.sum((1, 2))
        boxes = np.array([cv2.boundingRect(mask.view(np.uint8)) for mask in self.masks])
        return MaskSet(torch.from_numpy(self.masks), areas, boxes.reshape(-1, 4))

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
    """Let the CPU be such a device, and count how often masks are copied to the host."""
    monkeypatch.setattr(mask_set, "GPU_TYPES", ("cpu",))
    copied, copy = [], mask_set.host_masks

    def counting(masks):
        copied.extend([1] * isinstance(masks.data, torch.Tensor))
        return copy(masks)

    monkeypatch.setattr(mask_set, "host_masks", counting)
    monkeypatch.setattr(pipeline, "host_masks", counting)
    return copied


@pytest.fixture
def no_gpu_form(monkeypatch):
    """Fail if OASC runs on tensors."""
    monkeypatch.delattr(gpu_pipeline, "refine")
    monkeypatch.delattr(gpu_pipeline, "calibrate_host_score")


RULES = [{}, {"overlap": "smallest"}, {"residual": 0.25}]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("detector", [Brightness(), BrightnessOnDevice()])
def test_refine_equals_the_host(image, masks, on_device, rule, detector):
    generator = OnDevice(masks)
    refinement = Objectomaly(detector, generator, **rule).refine(image)
    expected = Objectomaly(Brightness(), Fixed(masks), **rule).refine(image)
    assert isinstance(generator.score, torch.Tensor)
    assert (expected.score != Brightness().score(image)).any()
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)
    assert list(refinement.timings) == ["coarse", "masks", "oasc", "mbp"]
    assert on_device == [], "masks were copied though nobody asked"
    np.testing.assert_array_equal(refinement.masks, masks)
    np.testing.assert_array_equal(refinement.masks, masks)
    assert len(on_device) == 1


@pytest.mark.parametrize("size", [(40, 60), (23, 70)])
def test_a_score_from_elsewhere_and_masks_of_another_resolution(image, on_device, size):
    masks = blobs(np.random.default_rng(3), 9, *size)
    score = rough_score(np.random.default_rng(4), 40, 60)
    score[3, 5] = np.nan
    refinement = Objectomaly(None, OnDevice(masks)).refine(image, score.astype(np.float64))
    expected = Objectomaly(None, Fixed(masks)).refine(image, score)
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)
    assert refinement.timings["coarse"] < 0.1


def test_equals_the_golden(shared_dir, on_device):
    data = golden(shared_dir / "golden" / "objectomaly" / "c7_hd.npz")
    frame = np.zeros((720, 1280, 3), np.uint8)
    refinement = Objectomaly(None, OnDevice(data["masks"])).refine(frame, data["coarse"])
    np.testing.assert_allclose(refinement.score, data["final"], rtol=0, atol=1e-6)
    assert on_device == []


def test_masks_without_the_pipeline(image, masks, on_device):
    score = Brightness().score(image)
    found, stack = find_masks(OnDevice(masks), image, score), find_masks(Fixed(masks), image, score)
    for rule in (PAPER, OascRule("smallest", 0.5)):
        ours, expected = calibrate(found, score, rule), calibrate(stack, score, rule)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    assert on_device == []


@pytest.mark.usefixtures("on_device", "no_gpu_form")
def test_inverse_variance_is_only_on_the_host(image, masks):
    refinement = Objectomaly(Brightness(), OnDevice(masks), overlap="inverse_variance").refine(
        image
    )
    expected = Objectomaly(Brightness(), Fixed(masks), overlap="inverse_variance").refine(image)
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("no_gpu_form")
@pytest.mark.parametrize("rule", RULES)
def test_the_cpu_is_left_to_numpy(image, masks, rule):
    refinement = Objectomaly(Brightness(), OnDevice(masks), **rule).refine(image)
    expected = Objectomaly(Brightness(), Fixed(masks), **rule).refine(image)
    np.testing.assert_allclose(refinement.score, expected.score, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(refinement.masks, masks)


def test_a_generator_on_the_device_that_gives_arrays_is_used_as_any_other(image, masks, on_device):
    """A user's own generator may have a `device`, and no `find`."""
    own = Fixed(masks)
    own.device = torch.device("cpu")
    expected = Objectomaly(Brightness(), Fixed(masks)).refine(image).score
    np.testing.assert_array_equal(Objectomaly(Brightness(), own).refine(image).score, expected)


def test_a_gpu_is_such_a_device():
    generator = OnDevice(np.zeros((0, 4, 4), bool))
    assert not runs_on_gpu(generator, PAPER)
    assert not runs_on_gpu(Fixed(None), PAPER)
    assert not runs_on_gpu(object(), PAPER)
    generator.device = torch.device("cuda", 1)
    assert runs_on_gpu(generator, PAPER)
    assert not runs_on_gpu(generator, OascRule("inverse_variance"))


def test_a_detector_whose_score_does_not_fit_is_refused(image, masks, on_device):
    class Wrong(Brightness):
        def score_tensor(self, image):
            return torch.zeros(40, 60, dtype=torch.float16)

    with pytest.raises(TypeError, match="float32 score"):
        Objectomaly(Wrong(), OnDevice(masks)).refine(image)
