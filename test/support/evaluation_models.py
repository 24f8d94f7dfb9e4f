"""Models for the tests of evaluation, loaded as 'evaluation_models:Class'."""

import time

import numpy as np


class Redness:
    """Scores how red a pixel is, 0 to 1."""

    def __init__(self, checkpoint=None, device="cpu", seconds=0.0, gain=1.0):
        self.seconds = seconds
        self.gain = gain

    def score(self, image):
        time.sleep(self.seconds)
        rgb = image.astype(np.float32)
        return self.gain * np.clip(rgb[..., 0] - rgb[..., 1:].max(axis=2), 0, 255) / 255


class Faulty(Redness):
    """Fails by the green of the first pixel: 201 NaN, 202 wrong shape, 203 an error."""

    def score(self, image):
        score = super().score(image)
        fault = image[0, 0, 1]
        if fault == 201:
            score[5, 5] = np.nan
        if fault == 202:
            return score[:-1]
        if fault == 203:
            raise RuntimeError("green 203 makes me fail")
        return score


class Tiles:
    """Squares of 8 pixels, across objects and ground."""

    def __init__(self, checkpoint=None, device="cpu", fail_on=None):
        self.fail_on = fail_on

    def generate(self, image, score=None):
        if self.fail_on is not None and image[0, 0, 1] == self.fail_on:
            raise RuntimeError("no masks for this one")
        height, width = image.shape[:2]
        y, x = np.mgrid[:height, :width] // 8
        ids = y * (width // 8 + 1) + x
        return np.stack([ids == value for value in np.unique(ids)])
