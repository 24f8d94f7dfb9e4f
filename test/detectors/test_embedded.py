"""The embedded detector: contract, errors, and what it finds on real streets."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from objectomaly_ros.detectors import embedded, onnx_network
from objectomaly_ros.detectors.embedded import (
    WEIGHTS,
    EmbeddedDetector,
    OnnxMaps,
    input_shape,
    parse_metadata,
    scale_image,
)
from objectomaly_ros.detectors.opencv_network import OpenCvNetwork
from objectomaly_ros.types import Adaptable


@pytest.fixture(scope="module")
def detector() -> EmbeddedDetector:
    return EmbeddedDetector()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random image, as a camera might give."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    ("height", "width"),
    [(48, 64), (360, 480), (361, 479), (720, 1280), (1080, 1920), (480, 360), (7, 5), (16, 900)],
)
def test_score_has_the_size_of_the_image(
    detector: EmbeddedDetector, height: int, width: int
) -> None:
    found = detector.detect(picture(height, width))
    assert found.score.shape == (height, width)
    assert found.score.dtype == np.float32
    assert found.score.min() >= 0
    assert found.score.max() <= 1
    assert found.road is not None
    assert found.road.shape == (height, width)
    assert found.road.dtype == np.bool_


def test_score_equals_detect_and_is_deterministic(detector: EmbeddedDetector) -> None:
    image = picture(360, 480)
    first = detector.detect(image).score
    np.testing.assert_array_equal(first, detector.detect(image).score)
    np.testing.assert_array_equal(first, detector.score(image))


def test_image_is_left_alone_and_need_not_be_contiguous(detector: EmbeddedDetector) -> None:
    image = picture(120, 160)
    copy = image.copy()
    image.setflags(write=False)
    score = detector.score(image)
    np.testing.assert_array_equal(image, copy)
    bgr = np.ascontiguousarray(copy[..., ::-1])
    np.testing.assert_array_equal(detector.score(bgr[..., ::-1]), score)


def test_threads_do_not_disturb_each_other(detector: EmbeddedDetector) -> None:
    images = [picture(96, 128, seed) for seed in range(6)]
    alone = [detector.score(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(detector.score, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed


# 4:3, other aspects, odd sides, upright, tiny, and a line
SHAPES = [(360, 480), (720, 1280), (361, 479), (640, 359), (333, 1001), (9, 9), (2, 900)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("short_side", [360, 224, 64])
def test_opencv_and_onnxruntime_give_the_same_maps(shape: tuple[int, int], short_side: int) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    image = scale_image(picture(*shape), short_side)
    score, margin = OnnxMaps(WEIGHTS, onnx_network.OrtNetwork(WEIGHTS))(image)
    other_score, other_margin = OnnxMaps(WEIGHTS, OpenCvNetwork(WEIGHTS))(image)
    assert score.shape == (image.shape[0] / 2, image.shape[1] / 2)
    np.testing.assert_allclose(other_score, score, rtol=0, atol=1e-4)
    np.testing.assert_allclose(other_margin, margin, rtol=0, atol=1e-3)
    np.testing.assert_array_equal((other_margin > 0) | (abs(margin) < 1e-3),
                                  (margin > 0) | (abs(margin) < 1e-3))  # fmt: skip


def test_opencv_takes_over_where_onnxruntime_is_missing(
    detector: EmbeddedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_onnxruntime(monkeypatch)
    fallback = EmbeddedDetector()
    for seed, shape in enumerate([(360, 480), (200, 300), (360, 480)]):
        image = picture(*shape, seed)
        np.testing.assert_allclose(fallback.score(image), detector.score(image), atol=1e-4)


def test_opencv_serves_several_threads_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    without_onnxruntime(monkeypatch)
    detector = EmbeddedDetector(input_size=96)
    images = [picture(60 + 30 * (seed % 6), 160, seed) for seed in range(18)]
    alone = [detector.score(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(detector.score, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_packaged_weights_need_no_torch() -> None:
    code = """
import sys
for name in ("torch", "torchvision", "transformers", "safetensors", "segment_anything", "onnx"):
    sys.modules[name] = None
import numpy as np
from objectomaly_ros.detectors import detect, load_detector
detection = detect(load_detector("embedded", flip=True), np.full((90, 120, 3), 99, np.uint8))
assert detection.score.shape == detection.road.shape == (90, 120)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"checkpoint": embedded.TORCH_WEIGHTS}])
def test_what_needs_torch_says_so_without_it(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "objectomaly_ros.detectors.embedded_torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"^embedded.* needs torch, .*pip install '.*\[paper\]'"):
        EmbeddedDetector(**options)


def test_opencv_reads_no_other_file_than_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader crashes on some damaged files."""
    without_onnxruntime(monkeypatch)
    path = tmp_path / "mine.onnx"
    path.write_bytes(WEIGHTS.read_bytes())
    with pytest.raises(
        ImportError, match=r"^mine\.onnx needs onnxruntime, .*pip install onnxruntime"
    ):
        EmbeddedDetector(path)


def test_an_onnx_file_runs_on_the_cpu_alone() -> None:
    with pytest.raises(ValueError, match=r"runs on the CPU, not on 'cuda': give the \.safetensors"):
        EmbeddedDetector(WEIGHTS, "cuda")


def test_input_shape_keeps_the_number_of_pixels_and_the_aspect() -> None:
    assert input_shape((360, 480, 3), 360) == (360, 480)
    assert input_shape((640, 480), 360) == (480, 360)
    for shape in [(1080, 1920), (360, 640), (64, 48), (400, 1600), (3000, 4000), (511, 613)]:
        height, width = input_shape(shape, 360)
        assert height % 8 == width % 8 == 0
        assert height * width == pytest.approx(360 * 480, rel=0.03)
        assert width / height == pytest.approx(shape[1] / shape[0], rel=0.03)
    for shape in [(10, 400000), (400000, 10), (1, 1)]:
        height, width = input_shape(shape, 360)
        assert min(height, width) >= 64
        assert height * width < 1.1 * 360 * 480


def test_step_down_lowers_the_input_size_to_its_last_step(detector: EmbeddedDetector) -> None:
    image = picture(360, 480)
    adaptable = EmbeddedDetector()
    assert isinstance(adaptable, Adaptable)
    before = adaptable.score(image)
    assert adaptable.step_down() == "input_size 360 -> 288"
    score = adaptable.score(image)
    assert score.shape == (360, 480)
    np.testing.assert_array_equal(score, EmbeddedDetector(input_size=288).score(image))
    assert adaptable.step_down() == "input_size 288 -> 224"
    assert adaptable.step_down() is None
    assert adaptable.input_size == 224
    adaptable.restore()
    np.testing.assert_array_equal(adaptable.score(image), before)
    assert EmbeddedDetector(input_size=100).step_down() is None
    assert EmbeddedDetector(input_size=500).step_down() == "input_size 500 -> 360"


def test_input_size_changes_the_resolution_of_the_network() -> None:
    small = EmbeddedDetector(input_size=128)
    assert small.score(picture(360, 480)).shape == (360, 480)


def test_flip_averages_with_the_mirrored_image(detector: EmbeddedDetector) -> None:
    image = picture(120, 160)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    expected = (detector.score(image) + detector.score(mirrored)[:, ::-1]) / 2
    score = EmbeddedDetector(flip=True).score(image)
    np.testing.assert_allclose(score, expected, atol=1e-5)


def test_threshold_is_that_of_the_checkpoint(detector: EmbeddedDetector) -> None:
    assert 0 < detector.threshold < 1
    assert detector.threshold == detector.metadata["threshold"]


def test_packaged_weights_are_small_and_documented() -> None:
    for path in (WEIGHTS, embedded.TORCH_WEIGHTS):
        assert path.stat().st_size < 10e6
    assert (WEIGHTS.parent / "MODEL_CARD.md").exists()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_bad_images_are_refused(detector: EmbeddedDetector, image: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"an image must .*\(H, W, 3\)"):
        detector.score(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, "CUDA"),
        ({"precision": "int8"}, "precision"),
        ({"input_size": 8}, "input_size"),
        ({"input_size": "large"}, "input_size is 'large'; want the short side"),
        ({"input_size": None}, "input_size is None; want the short side"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmbeddedDetector(**options)  # type: ignore[arg-type]


def test_missing_checkpoint_names_the_path_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors.*train_embedded"):
        EmbeddedDetector(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x3a\x01"])
def test_file_that_is_no_onnx_model(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.onnx is "):
        EmbeddedDetector(path)


def test_onnx_model_of_something_else(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path / "other.onnx"
    path.write_bytes(
        WEIGHTS.read_bytes().replace(
            embedded.FORMAT.encode(),
            b"somebody.elses/network"[: len(embedded.FORMAT)].ljust(len(embedded.FORMAT)),
        )
    )
    with pytest.raises(ValueError, match="no checkpoint of the embedded detector"):
        EmbeddedDetector(path)


@pytest.mark.parametrize(
    "texts",
    [
        {"config": "[" * 100_000},
        {"config": "not JSON"},
        {"threshold": "NaN"},
        {"threshold": '"high"'},
    ],
)
def test_damaged_metadata_are_refused(texts: dict[str, str]) -> None:
    texts = {"format": embedded.FORMAT, **texts}
    with pytest.raises(ValueError, match=r"damaged\.onnx has damaged metadata"):
        parse_metadata(texts, Path("damaged.onnx"))


@pytest.mark.parametrize("light", ["day", "dusk"])
def test_finds_unknown_objects_on_real_streets(
    detector: EmbeddedDetector, shared_dir: Path, light: str
) -> None:
    from sklearn.metrics import average_precision_score, roc_curve

    folder = shared_dir / "data" / "street_ood" / "dev"
    scores, truths, agreement = [], [], []
    for path in sorted((folder / "images").glob("*.jpg")):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        if light == "dusk":
            image = np.round(153 * (image / 255) ** 2.2).astype(np.uint8)
        label = cv2.imread(str(folder / "labels_masks" / f"{path.stem}.png"), -1)
        found = detector.detect(image)
        scores.append(found.score[label != 255])
        truths.append(label[label != 255] == 1)
        street = cv2.imread(
            str(shared_dir / "data" / "camvid" / "val" / "labels" / f"{path.stem}.png"), -1
        )
        known = (street < 11) & (label == 0)
        agreement.append(((found.road == (street == 3))[known]).mean())
    score, truth = np.concatenate(scores), np.concatenate(truths)
    false_positive_rate, recall, _ = roc_curve(truth, score)
    fpr95 = false_positive_rate[np.searchsorted(recall, 0.95)]
    auprc = average_precision_score(truth, score)
    print(f"dev: AuPRC {100 * auprc:.1f} FPR95 {100 * fpr95:.1f} road {np.mean(agreement):.3f}")
    assert auprc > 0.92
    assert fpr95 < 0.02
    assert np.mean(agreement) > 0.9
