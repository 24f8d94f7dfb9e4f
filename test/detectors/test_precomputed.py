"""Score maps from disk."""

import cv2
import numpy as np
import pytest

from objectomaly_ros.detectors import detect, load_detector
from objectomaly_ros.detectors.score_files import read_score_map

SCORE = np.random.default_rng(2).random((6, 8)).astype(np.float32)
IMAGE = np.zeros((6, 8, 3), np.uint8)


def write(path, score=SCORE):
    kind = path.suffix
    if kind == ".npy":
        np.save(path, score)
    elif kind == ".npz":
        np.savez(path, score=score, other=np.zeros(3))
    elif kind == ".png":
        cv2.imwrite(str(path), np.round(score * 65535).astype(np.uint16))
    else:
        cv2.imwrite(str(path), score)
    return path


@pytest.mark.parametrize("kind", [".npy", ".npz", ".png", ".tif", ".tiff"])
def test_kinds_of_files(tmp_path, kind):
    found = read_score_map(write(tmp_path / f"a{kind}"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, SCORE, atol=1e-5 if kind == ".png" else 0)


def test_float_maps_of_any_range_and_precision(tmp_path):
    np.save(tmp_path / "a.npy", (SCORE * -19).astype(np.float64)[None])
    np.testing.assert_allclose(read_score_map(tmp_path / "a.npy"), SCORE * -19, rtol=1e-6)


def test_in_the_order_of_names_and_by_name(tmp_path):
    for index in range(3):
        write(tmp_path / f"frame_{index:03}.npy", SCORE + index)
    (tmp_path / "readme.txt").write_text("not a map")
    detector = load_detector("precomputed", checkpoint=tmp_path)
    assert [detector.score(IMAGE)[0, 0] - SCORE[0, 0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(IndexError, match="all 3 score maps"):
        detector.score(IMAGE)
    detector.select("frame_001")
    np.testing.assert_array_equal(detector.score(IMAGE), SCORE + 1)
    detector.select("frame_000.npy")
    detection = detect(detector, IMAGE)
    np.testing.assert_array_equal(detection.score, SCORE)
    assert detection.road is None
    with pytest.raises(FileNotFoundError, match="frame_9"):
        detector.select("frame_9")


def test_a_single_file_serves_every_image(tmp_path):
    detector = load_detector("precomputed", checkpoint=write(tmp_path / "a.npy"))
    for _ in range(2):
        np.testing.assert_array_equal(detector.score(IMAGE), SCORE)


def test_a_map_of_another_size_is_refused_and_not_used_up(tmp_path):
    detector = load_detector("precomputed", checkpoint=write(tmp_path / "a.npy").parent)
    with pytest.raises(ValueError, match=r"a\.npy is 8x6, the image 9x6"):
        detector.score(np.zeros((6, 9, 3), np.uint8))
    np.testing.assert_array_equal(detector.score(IMAGE), SCORE)


def test_what_is_no_map(tmp_path):
    with pytest.raises(FileNotFoundError, match="needs a folder"):
        load_detector("precomputed")
    with pytest.raises(FileNotFoundError, match="no score map in"):
        load_detector("precomputed", checkpoint=tmp_path)
    np.save(tmp_path / "rgb.npy", np.zeros((4, 4, 3)))
    np.save(tmp_path / "nan.npy", np.full((4, 4), np.nan))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes(write(tmp_path / "a.npy").read_bytes()[:-9])
    np.savez(tmp_path / "many.npz", one=SCORE, two=SCORE)
    (tmp_path / "bad.png").write_bytes(b"no")
    (tmp_path / "a.txt").write_bytes(b"no")
    for name in ("rgb.npy", "nan.npy", "objects.npy", "cut.npy", "many.npz", "bad.png", "a.txt"):
        with pytest.raises(ValueError, match=name):
            read_score_map(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_score_map(tmp_path / "none.npy")


def test_maps_of_another_size_are_scaled_on_request(tmp_path):
    file = write(tmp_path / "a.npy", SCORE[::2, ::2])
    with pytest.raises(ValueError, match="is 4x3, the image 8x6; the option resize=true scales"):
        load_detector("precomputed", file).score(IMAGE)
    scaled = load_detector("precomputed", file, resize=True).score(IMAGE)
    np.testing.assert_array_equal(scaled, cv2.resize(SCORE[::2, ::2], (8, 6)))
