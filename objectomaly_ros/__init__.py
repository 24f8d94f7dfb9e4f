"""Finds the obstacles that no training set named, in camera images, with and without ROS 2."""

import sys

# `python -m objectomaly_ros` puts the working folder first on the import path, and a `cv2.py` lying
# there would run. Take it off before any other import, unless this package lies there.
if (
    getattr(sys, "argv", [])[:1] == ["-m"]
    and not getattr(sys.flags, "safe_path", False)
    and not __file__.startswith(f"{sys.path[0]}/")
):
    del sys.path[0]

from importlib.machinery import ModuleSpec, PathFinder
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["Objectomaly", "Refinement", "__version__"]

if TYPE_CHECKING:
    from objectomaly_ros.pipeline import Objectomaly, Refinement


class _GeneratedMessages:
    """Finds the messages that colcon generated, and nothing else of its installed package.

    A checkout earlier on the path hides the installed package. Extending `__path__` by it would
    make modules importable that the checkout has moved away.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith((f"{__name__}.msg", f"{__name__}.{__name__}_s__")):
            return None
        return PathFinder.find_spec(name, extend_path(__path__, __name__))


sys.meta_path.append(_GeneratedMessages)  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    """Import the pipeline on first use, so that `import objectomaly_ros` stays quick."""
    if name in ("Objectomaly", "Refinement"):
        from objectomaly_ros import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
