"""The metrics of the public road-anomaly benchmarks; fractions, never percent."""

from __future__ import annotations

from objectomaly_ros.evaluation.components import (
    SIOU_THRESHOLDS,
    TRACKS,
    ComponentAccumulator,
    ComponentMetrics,
    FrameComponents,
    SizeLimits,
    component_metrics,
)
from objectomaly_ros.evaluation.pixel import (
    PixelAccumulator,
    PixelCurve,
    PixelMetrics,
    pixel_metrics,
)

__all__ = [
    "SIOU_THRESHOLDS",
    "TRACKS",
    "ComponentAccumulator",
    "ComponentMetrics",
    "FrameComponents",
    "PixelAccumulator",
    "PixelCurve",
    "PixelMetrics",
    "SizeLimits",
    "component_metrics",
    "pixel_metrics",
]
