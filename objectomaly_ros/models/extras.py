"""Names the extra of pip to install if a model needs a package that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# Imported name -> how pip gets it: the extras of setup.cfg, or a package that the light
# installation has, but a ROS distribution may not.
_OPTIONAL = {
    "torch": "[paper]",
    "torchvision": "[paper]",
    "transformers": "[paper]",
    "segment_anything": "[paper]",
    "safetensors": "[paper]",
    "timm": "[paper]",
    "ray": "[fleet]",
    "fsspec": "[fleet]",
    "onnxruntime": "onnxruntime",
    "rosbags": "rosbags",
}


@contextmanager
def naming_extra(user: str) -> Iterator[None]:
    """Say in one line what to install if the block imports a package that is not installed.

    Args:
        user: who needs the package, e.g. "detector rpl".

    Raises:
        ImportError: an optional package is missing; other missing modules raise as they are.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        where = _OPTIONAL.get(package)
        if where is None:
            raise
        if where == "[fleet]":
            command = "'objectomaly_ros[fleet]'"
        elif where.startswith("["):
            command = f"'objectomaly_ros{where}' (in a checkout: make env PROFILE=paper)"
        else:
            command = where
        raise ImportError(
            f"{user} needs {package}, which is not installed: pip install {command}", name=package
        ) from error
