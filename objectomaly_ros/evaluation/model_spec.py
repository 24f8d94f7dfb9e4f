"""Detectors and mask generators as the command line names them, and their identity."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from objectomaly_ros import __version__
from objectomaly_ros.detectors import load_detector
from objectomaly_ros.masks import load_mask_generator
from objectomaly_ros.models.options import parse_option
from objectomaly_ros.types import Detector, HasCheckpoint, MaskGenerator

_Model = TypeVar("_Model")


@dataclass(frozen=True)
class ModelSpec:
    """A model to load.

    Attributes:
        name: of `DETECTORS` or `MASK_GENERATORS`, or "module:Class".
        checkpoint: path of the weights; None for the default.
        options: keyword arguments of its constructor.
    """

    name: str
    checkpoint: str | Path | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Read `NAME[=CHECKPOINT][,OPTION=VALUE]...`, e.g. "semantic=net.onnx,rule=entropy".

        Raises:
            ValueError: an option is none of `parse_option`, or the name is empty.
        """
        head, *rest = _split(text)
        name, _, checkpoint = head.partition("=")
        if not name:
            raise ValueError(f"{text!r} names no model; want NAME[=CHECKPOINT][,OPTION=VALUE]")
        options = dict(parse_option(item) for item in rest)
        return cls(name, checkpoint or None, options)

    @property
    def label(self) -> str:
        """The name in tables: name, file name of the weights, options."""
        weights = f"={Path(self.checkpoint).name}" if self.checkpoint else ""
        options = "".join(f",{key}={value}" for key, value in self.options.items())
        return f"{self.name}{weights}{options}"

    def detector(self, device: str) -> Detector:
        """Load it as a detector.

        Raises:
            ValueError: unknown name or option.
            ImportError: the module of a "module:Class" is not found, or has no such class.
            What the model raises for its checkpoint or device.
        """
        return self._loaded(load_detector, device)

    def mask_generator(self, device: str) -> MaskGenerator:
        """Load it as a mask generator; errors as of `detector`."""
        return self._loaded(load_mask_generator, device)

    def _loaded(self, load: Callable[..., _Model], device: str) -> _Model:
        try:
            return load(self.name, self.checkpoint, device, **self.options)
        except TypeError as error:  # an unknown option
            raise ValueError(str(error)) from error
        except ModuleNotFoundError as error:
            module = self.name.partition(":")[0]
            if error.name != module.partition(".")[0]:
                raise
            raise ImportError(
                f"no module {module!r}; name the folder that holds it in PYTHONPATH (the working "
                "folder is not searched)"
            ) from error

    def identity(self, model: object) -> str:
        """Return a hash of everything but the image that the output of `model` depends on.

        These are the name, the options, the content of the weights (of a folder of score maps the
        names, sizes and times), the model's source file and the version of this package.
        """
        digest = hashlib.sha256()
        digest.update(json.dumps([__version__, self.name, self.options], sort_keys=True).encode())
        weights = self.checkpoint
        if weights is None and isinstance(model, HasCheckpoint):
            weights = model.checkpoint
        if weights is not None:
            digest.update(_content(Path(weights)))
        try:
            source = inspect.getsourcefile(type(model))
        except TypeError:  # a built-in class, or one made at run time
            source = None
        if source:
            digest.update(_content(Path(source)))
        return digest.hexdigest()


def _split(text: str) -> list[str]:
    """Split at commas outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _content(path: Path) -> bytes:
    if path.is_dir():
        entries = sorted(
            (str(entry.relative_to(path)), entry.stat().st_size, entry.stat().st_mtime_ns)
            for entry in path.rglob("*")
            if entry.is_file()
        )
        return json.dumps(entries).encode()
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.digest()
