"""The report: one self-contained HTML page."""

from objectomaly_ros.evaluation.report.page import write_report

__all__ = ["write_report"]
