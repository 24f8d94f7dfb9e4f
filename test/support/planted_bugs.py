"""Bugs for the fuzzer to find: handlers of inputs, and detectors that spoil their node."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np


def careless(use, given, folder):
    """Lets out an exception that nobody documented."""
    try:
        use(given, folder)
    except Exception as error:
        raise KeyError("planted") from error


def small_input(random):
    return {"files": {"input": random.randbytes(10)}}


def nothing(given, folder):
    pass


def crashes(given, folder):
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(given, folder):
    while True:
        pass


def takes_memory(given, folder):
    np.ones(100 << 20, np.uint8)


def takes_endless_memory(given, folder):
    held = []
    while True:
        held.append(np.ones(10 << 20, np.uint8))
        time.sleep(0.01)


def says_nothing(given, folder):
    raise ValueError("no")


def raises_a_subclass(given, folder):
    b"\xff\xff\xff".decode()


def leaves_a_file(given, folder):
    Path(os.environ["TMPDIR"], "left").touch()


def changes_its_input(given, folder):
    (folder / "input").write_text("changed")


def writes_elsewhere(given, folder):
    Path(os.devnull).open("w").close()  # which is allowed
    Path("/proc/self/comm").write_text("python")  # outside of the sandbox, and harmless


def runs_a_command(given, folder):
    subprocess.run(["true"], check=True)


class _Redness:
    threshold = 0.5

    def __init__(self, checkpoint=None, device="cpu"):
        pass

    def score(self, image):
        return image[..., 0].astype(np.float32) / np.float32(255)


class FailsOnOthers(_Redness):
    """Scores the good image, and the one to warm up with."""

    good = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)

    def score(self, image):
        assert np.array_equal(image, self.good) or image.shape == (360, 640, 3)
        return super().score(image)


class EndsOnOthers(FailsOnOthers):
    def score(self, image):
        try:
            return super().score(image)
        except AssertionError:
            os._exit(3)


class EndsAtWrongParameters(_Redness):
    def __init__(self, checkpoint=None, device="cpu"):
        from objectomaly_ros.ros import parameter_server

        real = parameter_server.checked

        def checked(spec, value):
            try:
                return real(spec, value)
            except ValueError:
                os._exit(3)

        parameter_server.checked = checked


class EndsAtCleanup(_Redness):
    def __init__(self, checkpoint=None, device="cpu"):
        from objectomaly_ros.ros.node import ObjectomalyNode

        ObjectomalyNode._unload = lambda self: os._exit(3)
