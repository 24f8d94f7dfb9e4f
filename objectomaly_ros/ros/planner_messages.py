"""Makes messages for planners, in metres: points, scan, free road, footprints."""

from __future__ import annotations

import array
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point32, Polygon, PolygonInstance, PolygonInstanceStamped
from sensor_msgs.msg import LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from objectomaly_ros.geometry.beams import Beams, BeamSettings
from objectomaly_ros.geometry.clouds import free_records, post_records
from objectomaly_ros.geometry.posts import Posts
from objectomaly_ros.obstacles.stage import Obstacles

try:
    from sensor_msgs_py.point_cloud2 import create_cloud as _create_cloud
except ImportError:
    _create_cloud = None


def obstacle_points(stamp: Any, base_frame: str, obstacles: Obstacles, found: Posts) -> PointCloud2:
    """Make a cloud of posts, see `post_records`."""
    points = post_records(obstacles, found)
    return _cloud(Header(stamp=stamp, frame_id=base_frame), points)


def free_points(
    stamp: Any, frame: str, beams: Beams, ranges: npt.NDArray[np.float64], ground_z: float
) -> PointCloud2:
    """Make a cloud of the ends of beams over free road, at the height of the ground.

    Args:
        stamp: of the image.
        frame: of the scan.
        beams: of the view.
        ranges: free ranges in metres; a beam with 0 has no point.
        ground_z: height of the ground in `frame`.
    """
    points = free_records(beams, ranges, ground_z)
    return _cloud(Header(stamp=stamp, frame_id=frame), points)


def laser_scan(
    stamp: Any, frame: str, beams: Beams, ranges: npt.NDArray[np.float32], settings: BeamSettings
) -> LaserScan:
    """Make a scan of one range for each beam."""
    scan = LaserScan(
        header=Header(stamp=stamp, frame_id=frame),
        angle_min=beams.angle_min,
        angle_max=beams.angle_min + (beams.count - 1) * beams.increment,
        angle_increment=beams.increment,
        range_min=settings.range_min,
        range_max=settings.range_max,
    )
    scan.ranges = array.array("f", ranges.tobytes())
    return scan


def footprint(
    stamp: Any, base_frame: str, number: int, corners: Iterable[Iterable[float]]
) -> PolygonInstanceStamped:
    """Make the polygon of the obstacle with the id `number`, on the ground."""
    points = [Point32(x=float(x), y=float(y)) for x, y in corners]
    return PolygonInstanceStamped(
        header=Header(stamp=stamp, frame_id=base_frame),
        polygon=PolygonInstance(polygon=Polygon(points=points), id=number),
    )


def _cloud(header: Header, points: npt.NDArray[Any]) -> PointCloud2:
    kind = points.dtype
    fields = [
        PointField(
            name=name,
            offset=field[1],
            datatype=PointField.UINT32 if field[0] == np.uint32 else PointField.FLOAT32,
            count=1,
        )
        for name, field in (kind.fields or {}).items()
    ]
    if _create_cloud is not None:
        return _create_cloud(header, fields, points)
    cloud = PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=kind.itemsize,
        row_step=kind.itemsize * len(points),
        is_dense=True,
    )
    cloud.data = array.array("B", points.tobytes())
    return cloud
