"""Out of GPU memory: smaller batches, the same masks, one warning."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from objectomaly_ros.benchmark.measuring import PeakMemory
from objectomaly_ros.masks.sam.decoder import PointDecoder
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.oasc import calibrate

OPTIONS = {
    "points_per_side": 5,
    "pred_iou_thresh": 0.85,
    "stability_score_thresh": 0.5,
    "box_nms_thresh": 0.9,
}

KEEP_ALL = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1.0}


def resident_mb():
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory is read from /proc")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status.read_text())[1]) * 1024 / 1e6


@pytest.fixture
def limit_batch(monkeypatch):
    """Let the decoder run out of memory above a number of points; returns the batches it saw."""
    decode = PointDecoder.decode

    def limit(most):
        seen = []

        def limited(self, image, points, min_predicted_iou):
            seen.append(len(points))
            if len(points) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
            return decode(self, image, points, min_predicted_iou)

        monkeypatch.setattr(PointDecoder, "decode", limited)
        return seen

    return limit


def test_batches_are_halved_until_they_fit(sam, make_image, limit_batch, caplog):
    image = make_image(90, 120)
    expected = SamMasks(sam, **OPTIONS).generate(image)
    seen = limit_batch(5)
    generator = SamMasks(sam, points_per_batch=16, **OPTIONS)

    with caplog.at_level(logging.WARNING):
        masks = generator.generate(image)
        again = generator.generate(image)

    assert seen[:3] == [16, 8, 4]
    assert seen[3:9] == [4, 4, 4, 4, 4, 1]  # the first 4 of 25 were done, nothing is done twice
    assert max(seen[9:]) == 4, "the smaller batch is kept for the next image"
    assert len(caplog.records) == 1
    assert "out of GPU memory with 16 points" in caplog.text
    assert masks.shape == expected.shape
    assert (masks != expected).sum() <= 2
    np.testing.assert_array_equal(again, masks)


def test_a_large_image_takes_the_memory_that_the_docstring_states(sam, make_image):
    image = make_image(150, 200).repeat(20, axis=0).repeat(20, axis=1)
    generator = SamMasks(sam, points_per_side=4, **KEEP_ALL)
    generator.segment(image[:64, :48])  # what the first run alone needs
    before = resident_mb()
    memory = PeakMemory(torch.device("cpu"))
    result = generator.segment(image)
    grown = memory.megabytes() - before
    assert len(result) == 48
    masks, float_map = len(result) * image.size / 3 / 1e6, 4 * image.size / 3 / 1e6
    assert grown < masks + 5 * float_map, f"{grown:.0f} MB, {masks:.0f} of them masks"


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_any_number_of_masks_of_a_small_image(sam, make_image, count):
    points = np.random.default_rng(3).random((-(-count // 3), 2))
    generator = SamMasks(sam, point_source=lambda *_: points, **KEEP_ALL)
    image = make_image(48, 64)
    generator.segment(image)
    before = resident_mb()
    memory = PeakMemory(torch.device("cpu"))
    masks = generator.generate(image)
    grown = memory.megabytes() - before
    assert masks.shape == (3 * len(points), 48, 64)
    low_resolution = masks.shape[0] * 0.256  # MB, of which this small SAM needs a sixteenth
    batch = 64 * 40 / 16
    assert grown < low_resolution + batch + masks.size / 1e6 + 20, f"{grown:.0f} MB"
    score = np.random.default_rng(1).random((48, 64), np.float32)
    calibrated = calibrate(score, masks)
    assert calibrated.shape == score.shape
    assert (calibrated != score).any() == (count > 0)


def test_not_even_one_point_fits(sam, make_image, limit_batch):
    seen = limit_batch(0)
    with pytest.raises(torch.OutOfMemoryError):
        SamMasks(sam, points_per_batch=4, **OPTIONS).generate(make_image(40, 60))
    assert seen == [4, 2, 1]
