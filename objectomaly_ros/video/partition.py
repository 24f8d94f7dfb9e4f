"""Cells: the distinct sets of masks that cover a pixel, numbered."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.mask_stack import MaskStack
from objectomaly_ros.types import LabelMaps
from objectomaly_ros.video.incidence import CellIncidence

_BITS = 64  # masks that one word of the construction holds

Ids = npt.NDArray[np.int32]


def cells_of_masks(stack: MaskStack) -> tuple[Ids, CellIncidence]:
    """Number the cells of masks that may overlap.

    Takes 64 masks at a time as the bits of one word a pixel, and splits the cells found so far by
    the distinct words. Compares only the starts of horizontal runs.

    Returns:
        (H, W) int32 ids, 0 in pixels without a mask, and their incidence.
    """
    order = stack.ascending()
    ids = np.zeros(stack.shape, dtype=np.int32)
    words: list[npt.NDArray[np.uint64]] = []
    for first in range(0, len(order), _BITS):
        word = np.zeros(stack.shape, dtype=np.uint64)
        for bit, index in enumerate(order[first : first + _BITS]):
            located = stack.crop(index)
            if located is not None:
                box, mask = located
                word[box] |= mask.astype(np.uint64) << np.uint64(bit)
        flat_ids, flat_word = ids.ravel(), word.ravel()
        differs = flat_word[1:] != flat_word[:-1]
        differs |= flat_ids[1:] != flat_ids[:-1]
        starts = np.concatenate([[0], np.flatnonzero(differs) + 1])
        lengths = np.diff(starts, append=ids.size)
        distinct, which = np.unique(flat_word[starts], return_inverse=True)
        run_ids, parents, own = _split(flat_ids[starts], which, len(distinct))
        words = [older[parents] for older in words] + [distinct[own]]
        ids = np.repeat(run_ids, lengths).reshape(stack.shape)
    if words and any(word[0] for word in words):  # every pixel is covered: keep id 0 free
        words = [np.concatenate([np.zeros(1, np.uint64), word]) for word in words]
        ids = ids + np.int32(1)
    return ids, _incidence_of_words(words)


def _incidence_of_words(words: list[npt.NDArray[np.uint64]]) -> CellIncidence:
    """Unpack `words`: bit k of `words[g][c]` is 1 if the mask of rank 64 g + k covers cell c."""
    cells, ranks = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    for group, word in enumerate(words):
        for bit in range(_BITS):
            member = np.flatnonzero((word >> np.uint64(bit)) & np.uint64(1))
            cells.append(member)
            ranks.append(np.full(len(member), group * _BITS + bit))
    n_cells = len(words[0]) if words else 1
    return CellIncidence.from_pairs(n_cells, np.concatenate(cells), np.concatenate(ranks))


def cells_of_label_maps(label_maps: LabelMaps, shape: tuple[int, int]) -> tuple[Ids, CellIncidence]:
    """Number the cells of label maps, many times faster than from a mask for each region.

    Args:
        label_maps: (T, h, w) integer, checked.
        shape: (H, W) of the ids, which are resized as by `cv2.INTER_NEAREST`.

    Returns:
        (H, W) int32 ids, 0 in pixels without a region, and their incidence.
    """
    flat = np.zeros(label_maps[0].size, np.int32)
    labels: list[npt.NDArray[np.int64]] = []  # for each label map, the label + 1 of each cell
    areas = []
    for label_map in label_maps:
        own = label_map.ravel().astype(np.int64) + 1
        areas.append(np.bincount(own)[1:])
        flat, parents, label = _split(flat, own, int(own.max()) + 1)
        labels = [older[parents] for older in labels] + [label]
    if any(label[0] for label in labels):
        labels = [np.concatenate([[0], label]) for label in labels]
        flat = flat + np.int32(1)
    ids = cv2.resize(
        flat.reshape(label_maps.shape[1:]), (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST
    )
    covered = [np.flatnonzero(label) for label in labels]
    offsets = np.concatenate([[0], np.cumsum([len(area) for area in areas])])
    regions = [
        label[cells] - 1 + offset
        for label, cells, offset in zip(labels, covered, offsets[:-1], strict=True)
    ]
    ranks = np.empty(offsets[-1], np.intp)
    ranks[np.argsort(np.concatenate(areas), kind="stable")] = np.arange(offsets[-1])
    incidence = CellIncidence.from_pairs(
        len(labels[0]), np.concatenate(covered), ranks[np.concatenate(regions)]
    )
    return np.asarray(ids, np.int32), incidence


def _split(
    ids: Ids, parts: npt.NDArray[np.int64], n_parts: int
) -> tuple[Ids, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number the distinct pairs of an id and a part.

    Returns:
        The pair of each place, int32; the id of each pair; the part of each pair.
    """
    for fine, coarse, swapped in ((parts, ids, True), (ids, parts, False)):
        # Superpixels that are joined level by level need no search: the finer map is the answer.
        owner = np.zeros(int(fine.max()) + 1, np.int64)
        owner[fine] = coarse
        if np.array_equal(owner[fine], coarse):
            used = np.flatnonzero(np.bincount(fine))
            number = np.zeros(len(owner), np.int32)
            number[used] = np.arange(len(used))
            found = (owner[used], used) if swapped else (used, owner[used])
            return number[fine], *found
    pairs, place = np.unique(ids.astype(np.int64) * n_parts + parts, return_inverse=True)
    return place.astype(np.int32), pairs // n_parts, pairs % n_parts
