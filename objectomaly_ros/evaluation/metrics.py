"""The metrics of the public road-anomaly benchmarks, and of clips; fractions, never percent."""

from objectomaly_ros.evaluation.components import component_metrics
from objectomaly_ros.evaluation.instances import instance_metrics
from objectomaly_ros.evaluation.pixel import pixel_metrics
from objectomaly_ros.evaluation.temporal import temporal_consistency

__all__ = ["component_metrics", "instance_metrics", "pixel_metrics", "temporal_consistency"]
