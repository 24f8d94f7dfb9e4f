"""Boxed (CPU) and tiled (GPU) masks against the package's functions, on the same logits."""

import cv2
import numpy as np
import pytest
import torch
from segment_anything.utils import amg
from torch.nn import functional as F

from objectomaly_ros.masks.sam import full_size
from objectomaly_ros.masks.sam.full_size import BoxedMasks, Cuts, Placement, TiledMasks

LOW = 64
PLACEMENTS = {
    "wide, enlarged": Placement(256, LOW, (144, 256), (0, 0, 640, 360), (360, 640)),
    "tall, shrunk": Placement(256, LOW, (256, 100), (0, 0, 31, 79), (79, 31)),
    "square, as it is": Placement(256, LOW, (256, 256), (0, 0, 256, 256), (256, 256)),
    "a crop": Placement(256, LOW, (256, 171), (13, 7, 213, 307), (333, 401)),
    "one row": Placement(256, LOW, (2, 256), (0, 0, 200, 1), (1, 200)),
}


def blobs(count):
    random = np.random.default_rng(5)
    logits = []
    for _ in range(count):
        canvas = np.zeros((LOW, LOW), np.float32)
        centre = tuple(int(x) for x in random.integers(0, LOW, 2))
        axes = tuple(int(x) for x in random.integers(0, LOW // 2, 2))
        cv2.ellipse(canvas, centre, axes, float(random.uniform(0, 180)), 0, 360, 1, -1)
        noise = cv2.GaussianBlur(random.normal(0, 9, canvas.shape).astype(np.float32), (0, 0), 2)
        logits.append(cv2.GaussianBlur(canvas, (0, 0), 1) * 20 - 10 + noise)
    logits += [np.full((LOW, LOW), -5, np.float32), np.full((LOW, LOW), 5, np.float32)]
    logits.append(np.full((LOW, LOW), -0.5, np.float32))  # only the lower cut leaves anything
    return torch.from_numpy(np.array(logits))


def by_package(logits, placement):
    side = placement.network_side
    square = F.interpolate(logits[None], (side, side), mode="bilinear", align_corners=False)
    square = square[..., : placement.input_size[0], : placement.input_size[1]]
    full = F.interpolate(square, placement.crop_size, mode="bilinear", align_corners=False)[0]
    masks = full > 0.0
    return masks, amg.calculate_stability_score(full, 0.0, 1.0), amg.batched_mask_to_box(masks)


@pytest.mark.parametrize("kind", [BoxedMasks, TiledMasks])
@pytest.mark.parametrize("name", PLACEMENTS)
def test_measures_and_masks_are_the_packages(kind, name, monkeypatch):
    monkeypatch.setattr(full_size, "_TILE_BYTES", 4 * 256 * 256 * 5)  # the last tile is shorter
    placement, logits = PLACEMENTS[name], blobs(14)
    masks, stability, boxes = by_package(logits, placement)

    at_full_size = kind(placement)
    low = placement.trim(logits)
    measures = at_full_size.measure(low, Cuts(0.0, 1.0))
    masks_here = at_full_size.masks(low, 0.0).numpy()

    height, width = placement.image_size
    expected = amg.uncrop_masks(masks, placement.crop_box, height, width).numpy()
    if kind is TiledMasks:  # the same library calls: the same bits
        np.testing.assert_array_equal(masks_here, expected)
    assert (masks_here != expected).sum() <= 2  # rounding
    same = torch.from_numpy((masks_here == expected).all((1, 2)))
    assert torch.equal(measures.boxes[same], boxes[same])
    assert torch.equal(measures.areas[same], masks.sum((1, 2))[same])
    torch.testing.assert_close(measures.stability, stability, atol=1e-3, rtol=0, equal_nan=True)


@pytest.mark.parametrize("kind", [BoxedMasks, TiledMasks])
def test_no_masks_at_all(kind):
    placement = PLACEMENTS["wide, enlarged"]
    at_full_size = kind(placement)
    none = placement.trim(torch.zeros((0, LOW, LOW)))
    measures = at_full_size.measure(none, Cuts(0.0, 1.0))
    assert measures.boxes.shape == (0, 4)
    assert measures.stability.shape == measures.areas.shape == (0,)
    assert at_full_size.masks(none, 0.0).shape == (0, 360, 640)


def test_tiles_bound_what_exists_at_a_time(monkeypatch):
    monkeypatch.setattr(full_size, "_TILE_BYTES", 4 * 360 * 640 * 3)
    sizes = []
    upsample = Placement.upsample

    def watched(self, logits):
        full = upsample(self, logits)
        sizes.append(full.numel() * 4)
        return full

    monkeypatch.setattr(Placement, "upsample", watched)
    placement = PLACEMENTS["wide, enlarged"]
    TiledMasks(placement).measure(placement.trim(blobs(14)), Cuts(0.0, 1.0))
    assert len(sizes) == 6
    assert max(sizes) <= full_size._TILE_BYTES
