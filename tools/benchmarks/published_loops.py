"""The published post-processing as plain loops: slow, literal, and the reference for equality.

Written from the description of the stages in golden/objectomaly/README.md: the same loops in the
same order, with the library calls that decide the numbers.
"""

import warnings

import cv2
import numpy as np


def calibrate(score, masks, areas=None, overlap="largest"):
    """OASC: paint mask after mask, ascending by area, with the mean of the original score."""
    height, width = score.shape
    if areas is None:
        areas = [int(mask.sum()) for mask in masks]
    order = np.argsort(areas, kind="stable")
    painted = score.copy()
    for index in order if overlap == "largest" else order[::-1]:
        resized = cv2.resize(
            masks[index].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
        )
        region = resized.astype(bool)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an empty region has no mean
            mean = score[region].mean()
        painted[region] = mean
    return painted


def laplacian_step(score):
    """Replace each rising pixel by the mean of its flat neighbours, pixel after pixel."""
    laplacian = cv2.Laplacian(score, cv2.CV_32F)
    height, width = score.shape
    stepped = score.copy()
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if laplacian[y, x] > 0:
                flat = laplacian[y - 1 : y + 2, x - 1 : x + 2] == 0
                if np.any(flat):
                    stepped[y, x] = np.mean(score[y - 1 : y + 2, x - 1 : x + 2][flat])
    return stepped


def refine_boundary(score):
    """MBP: the Laplacian step, then the Gaussian."""
    return cv2.GaussianBlur(laplacian_step(score), (7, 7), 1)
