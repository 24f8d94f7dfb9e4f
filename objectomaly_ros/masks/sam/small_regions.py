"""Removes specks and pinholes from masks, as the official generator does it on request."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from segment_anything.utils import amg

from objectomaly_ros.masks.sam.candidates import suppress
from objectomaly_ros.masks.sam.result import SamResult


def without_small_regions(result: SamResult, min_area: int, max_iou: float) -> SamResult:
    """Fill holes and drop islands, then suppress the duplicates that arise.

    Masks that were fine go first, in their order, then the changed ones. This runs on the host,
    one mask at a time.

    Args:
        result: the masks.
        min_area: pixels; holes and islands below it go, but for the largest island.
        max_iou: of boxes, for suppression.
    """
    masks = result.masks.cpu().numpy().copy()
    boxes = result.boxes.cpu().numpy().copy()
    areas = result.areas.cpu().numpy().copy()
    unchanged = np.ones(len(masks), dtype=np.float32)
    for index, mask in enumerate(masks):
        mask, filled = amg.remove_small_regions(mask, min_area, mode="holes")
        mask, cleared = amg.remove_small_regions(mask, min_area, mode="islands")
        if not (filled or cleared):
            continue
        unchanged[index] = 0
        masks[index] = mask
        x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
        boxes[index] = (x, y, x + width - 1, y + height - 1) if width else 0
        areas[index] = np.count_nonzero(mask)
    device = result.masks.device
    cleaned = dataclasses.replace(
        result,
        masks=torch.from_numpy(masks).to(device),
        boxes=torch.from_numpy(boxes).to(device),
        areas=torch.from_numpy(areas).to(device),
    )
    ranks = torch.from_numpy(unchanged).to(device)
    return cleaned.select(suppress(cleaned.boxes, ranks, max_iou))
