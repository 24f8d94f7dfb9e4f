"""Detectors that end their process, loaded as 'offline_models:Class'."""

import os
import signal
import time
from pathlib import Path

from simple_models import RednessDetector


class Dies(RednessDetector):
    """Ends its process `times` times on images whose first pixel is green; counts in a file."""

    def __init__(self, checkpoint=None, device="cpu", log="", times=1):
        super().__init__()
        self._log, self._times = Path(log), times

    def detect(self, image):
        if image[0, 0].tolist() == [0, 255, 0]:
            died = len(self._log.read_text()) if self._log.exists() else 0
            if died < self._times:
                self._log.write_text("x" * (died + 1))
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
