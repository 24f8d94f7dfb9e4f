"""The metrics of the public road-anomaly benchmarks; fractions, never percent."""

from objectomaly_ros.evaluation.components import component_metrics
from objectomaly_ros.evaluation.pixel import pixel_metrics

__all__ = ["component_metrics", "pixel_metrics"]
