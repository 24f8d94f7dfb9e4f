"""Normality memory: what a robot sees on its own normal drive is not an obstacle."""

from objectomaly_ros.detectors.memory.learning import learn
from objectomaly_ros.detectors.memory.store import Memory

__all__ = ["Memory", "learn"]
