"""The normality memory on a tiny network: what it learns, refuses, and how it is kept."""

import numpy as np
import pytest
from tiny_embedded import OBSTACLE, SIGN, street, write_tiny_network

from objectomaly_ros.detectors import load_detector
from objectomaly_ros.detectors.embedded import EmbeddedDetector, OnnxMaps
from objectomaly_ros.detectors.memory import Memory, learn
from objectomaly_ros.detectors.memory.store import trust_in
from objectomaly_ros.detectors.opencv_network import OpenCvNetwork

SIZE = 96


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_tiny_network(tmp_path_factory.mktemp("weights") / "tiny.onnx")


@pytest.fixture
def detector(weights):
    return EmbeddedDetector(weights, input_size=SIZE)


@pytest.fixture(scope="module")
def drive():
    return [street(seed) for seed in range(40)]


@pytest.fixture(scope="module")
def memory(weights, drive):
    return learn(EmbeddedDetector(weights, input_size=SIZE), drive)


def test_what_the_drive_shows_is_overruled_and_the_new_is_found(detector, memory):
    image = street(100, obstacle=True)
    alone = detector.score(image)
    assert alone[SIGN].mean() > alone[OBSTACLE].mean() - 0.01  # the detector cannot tell
    assert alone[SIGN].min() > detector.threshold
    detector.use(memory)
    score = detector.score(image)
    assert score.shape == alone.shape
    assert score.dtype == np.float32
    assert score[SIGN].max() < detector.threshold < score[OBSTACLE].min()


def test_one_image_is_enough(detector):
    memory = learn(detector, [street(0)])
    assert memory.calibration.images == 1
    detector.use(memory)
    score = detector.score(street(100, obstacle=True))
    assert score[SIGN].max() < score[OBSTACLE].min()
    assert score[OBSTACLE].min() > detector.threshold


@pytest.mark.parametrize(("shown", "learnt"), [(2, False), (20, True)])
def test_what_few_images_show_is_not_learnt(detector, shown, learnt):
    drive = [street(seed, obstacle=10 <= seed < 10 + shown) for seed in range(40)]
    detector.use(learn(detector, drive))
    score = detector.score(street(100, obstacle=True))
    assert (score[OBSTACLE].mean() < score[SIGN].mean() + 0.05) == learnt
    assert (score[OBSTACLE].min() > score[SIGN].max()) == (not learnt)


def test_images_may_come_from_an_iterator(detector, drive, memory):
    again = learn(detector, iter(drive))
    np.testing.assert_array_equal(again.index.vectors, memory.index.vectors)
    assert again.calibration == memory.calibration


def test_of_many_images_evenly_spaced_ones_are_kept(detector, monkeypatch):
    monkeypatch.setattr("objectomaly_ros.detectors.memory.learning.MOST_IMAGES", 10)
    assert learn(detector, [street(seed) for seed in range(33)]).calibration.images == 9


def test_a_saved_memory_is_the_same(detector, memory, tmp_path):
    path = tmp_path / "normal.safetensors"
    memory.save(path)
    assert path.stat().st_size < 10_000_000
    image = street(100, obstacle=True)
    detector.use(memory)
    expected = detector.score(image)
    loaded = load_detector("embedded", detector.checkpoint, input_size=SIZE, memory=str(path))
    np.testing.assert_allclose(loaded.score(image), expected, atol=2e-3)  # it is kept in float16
    assert loaded.threshold == memory.threshold
    again = tmp_path / "again.safetensors"
    Memory.load(path).save(again)
    assert again.read_bytes() == path.read_bytes()


def test_the_threshold_is_the_memorys_while_it_is_used(detector, memory):
    own = detector.threshold
    detector.use(memory)
    assert detector.threshold == memory.threshold
    detector.use(None)
    assert detector.threshold == own


def test_a_memory_works_at_other_input_sizes_and_with_flipping(weights, memory):
    detector = EmbeddedDetector(weights, input_size=288, flip=True, memory=memory)
    image = street(100, obstacle=True)
    sizes = [detector.score(image)]
    while detector.step_down() is not None:
        sizes.append(detector.score(image))
    assert len(sizes) == 2
    assert all(score.shape == image.shape[:2] and np.isfinite(score).all() for score in sizes)


def test_opencv_gives_the_same(detector, weights, memory):
    detector.use(memory)
    image = street(100, obstacle=True)
    expected = detector.score(image)
    detector._network = OnnxMaps(weights, OpenCvNetwork(weights))
    np.testing.assert_allclose(detector.score(image), expected, atol=2e-3)


def test_a_memory_of_other_weights_is_refused(memory, tmp_path):
    other = write_tiny_network(tmp_path / "other.onnx", seed=1)
    with pytest.raises(ValueError, match=r"learnt with embedded, weights \w+, and this is"):
        EmbeddedDetector(other, memory=memory)


def test_weights_without_features_are_refused(tmp_path):
    plain = EmbeddedDetector(write_tiny_network(tmp_path / "plain.onnx", features=False))
    with pytest.raises(ValueError, match=r"plain\.onnx gives no features, which a memory needs"):
        learn(plain, [street()])


def test_a_detector_without_features_is_refused():
    class Plain:
        def score(self, image):
            return np.zeros(image.shape[:2], np.float32)

    with pytest.raises(TypeError, match="Plain cannot use a memory"):
        learn(Plain(), [street()])


def test_nothing_to_learn_from_is_told(detector):
    with pytest.raises(ValueError, match="there is no image"):
        learn(detector, [])
    with pytest.raises(ValueError, match="must be above 0"):
        learn(detector, [street()], false_alarms_per_minute=0)


@pytest.mark.parametrize("cut", [4, 100, -10])
def test_a_damaged_file_is_told(detector, memory, tmp_path, cut):
    path = tmp_path / "normal.safetensors"
    memory.save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"normal\.safetensors"):
        EmbeddedDetector(detector.checkpoint, memory=path)


def test_another_file_is_told(tmp_path):
    from objectomaly_ros.files.tensors import write_tensors

    path = tmp_path / "other.safetensors"
    write_tensors(path, {"vectors": np.zeros((2, 3), np.float16)}, {"format": "another"})
    with pytest.raises(ValueError, match="no memory of `objectomaly learn`"):
        Memory.load(path)
    with pytest.raises(FileNotFoundError):
        Memory.load(tmp_path / "missing.safetensors")


def test_a_detector_that_fires_on_the_drive_is_trusted_less():
    assert trust_in(0.005) == trust_in(0.0) / 2
    assert trust_in(0.5) == trust_in(1.0) > 0
