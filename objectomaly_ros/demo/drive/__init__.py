"""A street drive rendered by the project: pictures, camera, truth, the same for a seed."""

from __future__ import annotations

from objectomaly_ros.demo.drive.render import DriveFrame, RenderedDrive, VisibleObject

__all__ = ["DriveFrame", "RenderedDrive", "VisibleObject"]
