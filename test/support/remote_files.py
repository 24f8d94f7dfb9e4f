"""A remote disk that fails now and then: the protocol shaky://, over files of this machine.

Workers know it because they load their detector from here: 'remote_files:Redness'.
"""

import os
import time
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem
from simple_models import RednessDetector

FIRST = 60_000  # bytes that a file of these names delivers


class Redness(RednessDetector):
    """The usual detector."""


class Waits(RednessDetector):
    """Tells in a folder which process it works in, and waits until it may go on."""

    def __init__(self, checkpoint=None, device="cpu", folder=""):
        super().__init__()
        self._folder = Path(folder)

    def detect(self, image):
        (self._folder / str(os.getpid())).touch()
        while not (self._folder / "go").exists():
            time.sleep(0.05)
        return super().detect(image)


class _Failing:
    """A file that breaks once, always, vanishes, or ends early, as its name says."""

    def __init__(self, file, path):
        self._file, self._path = file, Path(path)

    def read(self, size):
        data = self._file.read(min(size, FIRST))
        if self._file.tell() <= FIRST:
            return data
        name, broke = self._path.name, self._path.with_suffix(".broke")
        if "vanishes" in name:
            raise FileNotFoundError(str(self._path))
        if "breaks" in name or ("hiccups" in name and not broke.exists()):
            broke.touch()
            raise ConnectionError("connection reset")
        return b"" if "ends_early" in name else data

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


class Shaky(LocalFileSystem):
    """Local files as if they were far away."""

    protocol = "shaky"

    def _open(self, path, mode="rb", **options):
        opened = super()._open(path, mode, **options)
        return _Failing(opened, path) if mode == "rb" else opened

    def put_file(self, source, path, **options):
        if "no_uploads" in str(path) and "NO_UPLOADS" in os.environ:
            raise ConnectionError("connection reset")
        super().put_file(source, path, **options)


fsspec.register_implementation("shaky", Shaky, clobber=True)
