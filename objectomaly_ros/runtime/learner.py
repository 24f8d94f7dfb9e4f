"""Learning from live images, in a process of its own that gives way to everything else."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from objectomaly_ros.detectors.memory import Memory
from objectomaly_ros.detectors.memory.learning import MOST_IMAGES
from objectomaly_ros.runtime.environment import child_command, child_environment
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.types import Image

INTERVAL_S = 0.5
"""Between two images; it doubles whenever there are `MOST_IMAGES`."""

_QUALITY = 98  # of the JPEG files in which the images wait
_NICE = 19


@dataclass(frozen=True)
class Job:
    """What the process learns from, and where it writes the memory.

    Attributes:
        detector, checkpoint, device, options: of `load_detector`.
        images: paths, in order.
        rate_hz: of the images.
        out: path of the memory.
    """

    detector: str
    checkpoint: str | None
    device: str
    options: dict[str, Any]
    out: str
    images: list[str] = field(default_factory=list)
    rate_hz: float = 1 / INTERVAL_S


class Learner:
    """Collects images until `finish`, then learns from them.

    Args:
        job: without images.
        done: called in another thread with the memory.
        failed: called in another thread with the reason.
        clock: seconds.
    """

    def __init__(
        self,
        job: Job,
        done: Callable[[Memory], None],
        failed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = job
        self._done = done
        self._failed = failed
        self._clock = clock
        self._folder = tempfile.TemporaryDirectory(prefix="objectomaly_learn_")
        self._files: list[Path] = []
        self._interval_s = INTERVAL_S
        self._next_s = -1.0
        self._number = 0
        self._waiting: queue.Queue[Image | None] = queue.Queue(2)
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="learning", daemon=True)
        self._thread.start()

    @property
    def images(self) -> int:
        """Number of images so far."""
        return len(self._files)

    def offer(self, image: Image) -> None:
        """Take an image (H, W, 3) if it is time for one; never waits."""
        now = self._clock()
        if now >= self._next_s:
            with suppress(queue.Full):
                self._waiting.put_nowait(image)
                self._next_s = now + self._interval_s

    def finish(self) -> None:
        """Take no more images, and learn."""
        self._waiting.put(None)

    def close(self) -> None:
        """Give up."""
        self._closed = True
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._process is not None:
            self._process.kill()

    def _run(self) -> None:
        try:
            while not self._closed and (image := self._waiting.get()) is not None:
                self._keep(image)
            if not self._closed:
                memory = self._learn()
                if not self._closed:
                    self._done(memory)
        except Exception as error:
            if not self._closed:
                self._failed(describe(error))
        finally:
            self._folder.cleanup()

    def _keep(self, image: Image) -> None:
        path = Path(self._folder.name) / f"{self._number}.jpg"
        self._number += 1
        colours = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        path.write_bytes(encoded.tobytes())
        self._files.append(path)
        if len(self._files) > MOST_IMAGES:
            for dropped in self._files[1::2]:
                dropped.unlink()
            self._files = self._files[::2]
            self._interval_s *= 2

    def _learn(self) -> Memory:
        folder = Path(self._folder.name)
        out = self._job.out or str(folder / "memory.safetensors")
        values = {**asdict(self._job), "images": list(map(str, self._files)), "out": out}
        job = folder / "job.json"
        job.write_text(json.dumps({**values, "rate_hz": 1 / self._interval_s}))
        self._process = subprocess.Popen(
            [*child_command(__name__), str(job)],
            env={**child_environment(), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        _, errors = self._process.communicate()
        if self._process.returncode:
            lines = errors.strip().splitlines()
            raise ValueError(lines[-1] if lines else "the learning process died")
        return Memory.load(out)


def main() -> None:
    """Learn as the file of a job says; the entry of the process."""
    os.nice(_NICE)
    from objectomaly_ros.detectors import load_detector
    from objectomaly_ros.detectors.memory import learn

    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    try:
        detector = load_detector(job.detector, job.checkpoint, job.device, **job.options)
        learn(detector, map(_read, job.images), rate_hz=job.rate_hz).save(job.out)
    except Exception as error:
        print(describe(error), file=sys.stderr)
        raise SystemExit(1) from None


def _read(path: str) -> Image:
    image = cv2.imread(path)
    if image is None:
        raise FileNotFoundError(f"the image {path} is gone")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
