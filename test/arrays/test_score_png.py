"""Score maps as 16-bit PNG come back within the rounding."""

import numpy as np
import pytest

from objectomaly_ros.arrays.score_png import decode_score, encode_score


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.2, 0.3), (-7.0, 12.0), (1e-6, 40.0), (-3, -3)]
)
def test_scores_come_back(low, high):
    score = np.random.default_rng(1).uniform(low, high, (31, 47)).astype(np.float32)
    back = decode_score(*encode_score(score))
    assert back.dtype == np.float32
    span = 1.0 if low >= 0 and high <= 1 else high - low
    np.testing.assert_allclose(back, score, rtol=1e-6, atol=span / 131_000)


def test_probabilities_have_one_scale_for_all_frames():
    scales = {encode_score(np.full((4, 4), value, np.float32))[0] for value in (0.0, 0.3, 1.0)}
    assert len(scales) == 1


def test_the_format_begins_as_image_transport_reads_it():
    how, data = encode_score(np.zeros((4, 4), np.float32))
    assert how.startswith("16UC1; png compressed ")
    assert data.startswith(b"\x89PNG")


def test_plateaus_stay_plateaus():
    score = np.kron(np.random.default_rng(2).random((4, 4)), np.ones((8, 8))).astype(np.float32)
    back = decode_score(*encode_score(score))
    assert len(np.unique(back)) == len(np.unique(score))


def test_other_pictures_are_refused():
    how, data = encode_score(np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="no score map of 16 bits"):
        decode_score("png", data)
    with pytest.raises(ValueError, match="damaged"):
        decode_score(how, data[:20])
