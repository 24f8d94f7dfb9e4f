"""Finds the obstacles that no training set named, in camera images, with and without ROS 2."""

from __future__ import annotations

from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

# colcon installs the generated objectomaly_ros.msg; a checkout or a pip installation of the
# core earlier on the path must not hide it.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
__all__ = ["Objectomaly", "Refinement", "__version__"]

if TYPE_CHECKING:
    from objectomaly_ros.pipeline import Objectomaly, Refinement


def __getattr__(name: str) -> Any:
    """Import the pipeline when first asked for, so that `import objectomaly_ros` stays quick."""
    if name in ("Objectomaly", "Refinement"):
        from objectomaly_ros import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
