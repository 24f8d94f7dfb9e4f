"""Small detectors and mask generators of known behaviour, loaded as 'simple_models:Class'."""

import os
import threading
import time
from pathlib import Path

import numpy as np

from objectomaly_ros.types import Detection


class RednessDetector:
    """Scores how red a pixel is; the road is what is grey. Small, but a detector all the same."""

    threshold = 0.5

    def __init__(self, checkpoint=None, device="cpu", seconds=0.0):
        self.seconds = seconds

    def score(self, image):
        return self.detect(image).score

    def detect(self, image):
        time.sleep(self.seconds)
        red, green, blue = (image[..., c].astype(np.float32) for c in range(3))
        score = np.clip((red - np.maximum(green, blue)) / 255, 0, 1)
        return Detection(score.astype(np.float32), np.ptp(image, axis=2) < 40)


class NoThresholdDetector:
    def __init__(self, checkpoint=None, device="cpu"):
        pass

    def score(self, image):
        return image[..., 0].astype(np.float32)


class Darkness:
    """Scores how dark a pixel is, in [0, 1]."""

    def score(self, image):
        return 1 - image.max(axis=2).astype(np.float32) / 255


class OnlyScore:
    """A detector as the README promises that it may be, with nothing else."""

    def score(self, image):
        return image[..., 0].astype(np.float32) / 255


class OnlyMasks:
    def generate(self, image, score=None):
        return np.ones((1, *image.shape[:2]), bool)


class Exits(RednessDetector):
    """Ends the process, as a script with a command line of its own would."""

    def __init__(self, checkpoint=None, device="cpu"):
        raise SystemExit("wrong arguments")


class Interrupts(RednessDetector):
    def __init__(self, checkpoint=None, device="cpu"):
        raise KeyboardInterrupt


class MoodyDetector(RednessDetector):
    """Fails on images whose first pixel is green."""

    def detect(self, image):
        if image[0, 0].tolist() == [0, 255, 0]:
            raise RuntimeError("green makes me fail")
        return super().detect(image)


class HangingDetector(RednessDetector):
    """Hangs for good on the first image whose first pixel is green; a second instance does not."""

    hung = False

    def detect(self, image):
        if image[0, 0].tolist() == [0, 255, 0] and not HangingDetector.hung:
            HangingDetector.hung = True
            threading.Event().wait()
        return super().detect(image)


class BandMasks:
    """Horizontal bands: masks that can be told from one another by their place."""

    def __init__(self, checkpoint=None, device="cpu", bands=4):
        self.bands = bands

    def generate(self, image, score=None):
        height, width = image.shape[:2]
        masks = np.zeros((self.bands, height, width), bool)
        for index, rows in enumerate(np.array_split(np.arange(height), self.bands)):
            masks[index, rows] = True
        return masks


class SleepyMasks(BandMasks):
    def __init__(self, checkpoint=None, device="cpu", bands=4, seconds=2.0):
        super().__init__(bands=bands)
        self.seconds = seconds

    def generate(self, image, score=None):
        time.sleep(self.seconds)
        return super().generate(image, score)


class BurningMasks(SleepyMasks):
    """Holds the interpreter and a core for as long as it takes."""

    def generate(self, image, score=None):
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            sum(range(1000))
        return BandMasks.generate(self, image, score)


class FailingMasks(BandMasks):
    def generate(self, image, score=None):
        raise RuntimeError("no masks today")


class DyingMasks(BandMasks):
    """Ends its process without a word, on images of at most `rows` rows."""

    def __init__(self, checkpoint=None, device="cpu", *, rows=40):
        super().__init__(checkpoint, device)
        self.rows = rows

    def generate(self, image, score=None):
        if image.shape[0] <= self.rows:
            os._exit(7)
        return super().generate(image, score)


class CountingMasks(BandMasks):
    """Writes into a file how often it was asked."""

    def __init__(self, checkpoint=None, device="cpu", *, path):
        super().__init__(checkpoint, device)
        self.path, self.count = path, 0

    def generate(self, image, score=None):
        self.count += 1
        Path(self.path).write_text(str(self.count))
        return super().generate(image, score)


class ExitingMasks(BandMasks):
    def generate(self, image, score=None):
        raise SystemExit("no masks for you")


class MoodyMasks(BandMasks):
    """Hangs where the first pixel is 1, and keeps 20 MB where it is 2."""

    def __init__(self, checkpoint=None, device="cpu"):
        super().__init__()
        self.kept = []

    def generate(self, image, score=None):
        if image[0, 0, 0] == 1:
            time.sleep(3600)
        if image[0, 0, 0] == 2:
            self.kept.append(np.ones(20 << 20, np.uint8))
        return super().generate(image)


class NestedMasks:
    """A box in the whole image."""

    def __init__(self, checkpoint=None, device="cpu"):
        pass

    def generate(self, image, score=None):
        masks = np.ones((2, *image.shape[:2]), bool)
        masks[1] = False
        masks[1, 10:20, 10:20] = True
        return masks


class SlowToLoad(RednessDetector):
    """Takes long to load, partly without letting anybody else run."""

    def __init__(self, checkpoint=None, device="cpu"):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            sorted(range(200000), key=lambda x: -x)
        super().__init__()


class WaitsForFile(RednessDetector):
    """Is loaded as soon as a file is there."""

    def __init__(self, checkpoint=None, device="cpu", *, path: str, fails: bool = False):
        while not Path(path).exists():
            time.sleep(0.02)
        if fails:
            raise ValueError("no weights in the file")
        super().__init__()


class SlowToLoadMasks(BandMasks):
    def __init__(self, checkpoint=None, device="cpu"):
        time.sleep(20)
        super().__init__()
