"""Detectors that end their process, loaded as 'offline_models:Class'."""

import os
import signal
import time
from pathlib import Path

from simple_models import RednessDetector


class Dies(RednessDetector):
    """Ends its process once on an image whose first pixel is green; a file in `log` tells.

    Before that it writes into the file `weights`, if it has one.
    """

    def __init__(self, checkpoint=None, device="cpu", log="", weights=""):
        super().__init__()
        self._log, self._weights = Path(log) / "deaths", weights

    def detect(self, image):
        if image[0, 0].tolist() == [0, 255, 0] and not self._log.exists():
            self._log.touch()
            if self._weights:
                Path(self._weights).write_text("new")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(image)


class Starves(RednessDetector):
    """Runs out of memory on images whose first pixel is green."""

    def detect(self, image):
        if image[0, 0].tolist() == [0, 255, 0]:
            raise MemoryError
        return super().detect(image)


class Slow(RednessDetector):
    """Takes its time, and tells in a file that it has begun."""

    def __init__(self, checkpoint=None, device="cpu", log="", seconds=0.1):
        super().__init__()
        self._log, self._pause = Path(log), seconds

    def detect(self, image):
        with self._log.open("a") as file:
            file.write("x")
        time.sleep(self._pause)
        return super().detect(image)
