"""Out of GPU memory: smaller batches, the same masks, one warning."""

import logging

import numpy as np
import pytest
import torch

from objectomaly_ros.masks.sam.decoder import PointDecoder
from objectomaly_ros.masks.sam.generator import SamMasks

OPTIONS = {
    "points_per_side": 5,
    "pred_iou_thresh": 0.85,
    "stability_score_thresh": 0.5,
    "box_nms_thresh": 0.9,
}


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


def test_not_even_one_point_fits(sam, make_image, limit_batch):
    seen = limit_batch(0)
    with pytest.raises(torch.OutOfMemoryError):
        SamMasks(sam, points_per_batch=4, **OPTIONS).generate(make_image(40, 60))
    assert seen == [4, 2, 1]
