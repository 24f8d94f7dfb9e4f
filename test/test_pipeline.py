"""The pipeline joins the stages as the published code does."""

from dataclasses import dataclass

import numpy as np
import pytest
from scenes import blobs, golden

import objectomaly_ros
from objectomaly_ros.pipeline import Objectomaly
from objectomaly_ros.types import Detection
from tools.benchmarks import published_loops


class Brightness:
    """A detector that calls bright pixels anomalous."""

    def score(self, image):
        return image.mean(axis=2, dtype=np.float32) / 255


class BrightnessWithRoad(Brightness):
    def detect(self, image):
        return Detection(self.score(image), np.ones(image.shape[:2], dtype=bool))


@dataclass
class Fixed:
    """A mask generator that remembers what it was asked and returns the masks it was given."""

    masks: np.ndarray
    asked: tuple = ()

    def generate(self, image, score=None):
        self.asked = (image, score)
        return self.masks


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def masks():
    return blobs(np.random.default_rng(2), 7, 40, 60)


def expected(score, masks, overlap="largest"):
    calibrated = published_loops.calibrate(score, masks, overlap=overlap)
    return published_loops.refine_boundary(calibrated)


def test_public_names():
    assert objectomaly_ros.Objectomaly is Objectomaly
    assert objectomaly_ros.Refinement.__module__ == "objectomaly_ros.pipeline"


def test_coarse_and_detect(image, masks):
    pipeline = Objectomaly(Brightness(), Fixed(masks))
    score = Brightness().score(image)
    np.testing.assert_array_equal(pipeline.coarse(image), score)
    assert pipeline.detect(image).road is None
    detection = Objectomaly(BrightnessWithRoad(), Fixed(masks)).detect(image)
    np.testing.assert_array_equal(detection.score, score)
    assert detection.road.all()


@pytest.mark.parametrize("overlap", ["largest", "smallest"])
def test_refine_runs_all_stages(image, masks, overlap):
    generator = Fixed(masks)
    refinement = Objectomaly(Brightness(), generator, overlap=overlap).refine(image)
    score = Brightness().score(image)
    np.testing.assert_allclose(refinement.score, expected(score, masks, overlap), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(refinement.masks, masks)
    assert list(refinement.timings) == ["coarse", "masks", "oasc", "mbp"]
    assert all(seconds >= 0 for seconds in refinement.timings.values())
    np.testing.assert_array_equal(generator.asked[1], score)


def test_refine_takes_a_score_from_elsewhere(image, masks):
    class Unasked:
        def score(self, image):
            raise AssertionError("the detector must not run when the score is given")

    score = np.random.default_rng(3).random((40, 60)).astype(np.float32)
    refinement = Objectomaly(Unasked(), Fixed(masks)).refine(image, score)
    np.testing.assert_allclose(refinement.score, expected(score, masks), rtol=0, atol=1e-6)
    assert refinement.timings["coarse"] < 0.1


def test_masks_of_a_smaller_image(image):
    masks = blobs(np.random.default_rng(5), 4, 20, 30)
    refinement = Objectomaly(Brightness(), Fixed(masks)).refine(image)
    score = Brightness().score(image)
    np.testing.assert_allclose(refinement.score, expected(score, masks), rtol=0, atol=1e-6)


def test_equals_the_golden(shared_dir, image):
    data = golden(shared_dir / "golden" / "objectomaly" / "c7_hd.npz")
    frame = np.zeros((720, 1280, 3), np.uint8)
    pipeline = Objectomaly(Brightness(), Fixed(data["masks"]))
    refinement = pipeline.refine(frame, data["coarse"])
    np.testing.assert_allclose(refinement.score, data["final"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (np.zeros((4, 5, 3), np.float32), TypeError, "of uint8, RGB; got float32"),
        (np.zeros((4, 5), np.uint8), ValueError, r"shape \(H, W, 3\), RGB; got \(4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), ValueError, r"got \(4, 5, 4\)"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r"got \(0, 5, 3\)"),
        ("image.png", TypeError, "got str"),
    ],
)
def test_wrong_images(masks, frame, error, message):
    pipeline = Objectomaly(Brightness(), Fixed(masks))
    for method in (pipeline.refine, pipeline.coarse, pipeline.detect):
        with pytest.raises(error, match=message):
            method(frame)


def test_wrong_overlap_and_wrong_masks(image):
    with pytest.raises(ValueError, match="got 'biggest'"):
        Objectomaly(Brightness(), Fixed(np.zeros((0, 4, 4), bool)), overlap="biggest")
    with pytest.raises(TypeError, match="masks must be bool"):
        Objectomaly(Brightness(), Fixed(np.zeros((1, 4, 4)))).refine(image)
