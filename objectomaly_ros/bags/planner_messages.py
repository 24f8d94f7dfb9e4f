"""Makes messages of rosbags for planners, as the node's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.bags.messages import header
from objectomaly_ros.geometry.beams import Beams, BeamSettings
from objectomaly_ros.geometry.clouds import Records

CLOUD = "sensor_msgs/msg/PointCloud2"
SCAN = "sensor_msgs/msg/LaserScan"
FOOTPRINT = "geometry_msgs/msg/PolygonInstanceStamped"
_FLOAT32, _UINT32 = 7, 6  # of PointField


def cloud(store: Any, stamp_ns: int, frame_id: str, points: Records) -> Any:
    """Return a PointCloud2 of records."""
    kind = points.dtype
    fields = [
        store.types["sensor_msgs/msg/PointField"](
            name=name,
            offset=offset,
            datatype=_UINT32 if part == np.uint32 else _FLOAT32,
            count=1,
        )
        for name, (part, offset, *_) in (kind.fields or {}).items()
    ]
    return store.types[CLOUD](
        header=header(store, stamp_ns, frame_id),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=kind.itemsize,
        row_step=kind.itemsize * len(points),
        data=np.frombuffer(points.tobytes(), np.uint8),
        is_dense=True,
    )


def laser_scan(
    store: Any,
    stamp_ns: int,
    frame_id: str,
    beams: Beams,
    ranges: npt.NDArray[np.float32],
    settings: BeamSettings,
) -> Any:
    """Return a scan of one range for each beam."""
    return store.types[SCAN](
        header=header(store, stamp_ns, frame_id),
        angle_min=beams.angle_min,
        angle_max=beams.angle_min + (beams.count - 1) * beams.increment,
        angle_increment=beams.increment,
        time_increment=0.0,
        scan_time=0.0,
        range_min=settings.range_min,
        range_max=settings.range_max,
        ranges=ranges,
        intensities=np.empty(0, np.float32),
    )


def footprint(
    store: Any, stamp_ns: int, frame_id: str, number: int, corners: Iterable[Iterable[float]]
) -> Any:
    """Return the polygon of the obstacle with the id `number`, on the ground."""
    types = store.types
    corner = types["geometry_msgs/msg/Point32"]
    points = [corner(x=float(x), y=float(y), z=0.0) for x, y in corners]
    polygon = types["geometry_msgs/msg/Polygon"](points=points)
    return types[FOOTPRINT](
        header=header(store, stamp_ns, frame_id),
        polygon=types["geometry_msgs/msg/PolygonInstance"](polygon=polygon, id=number),
    )
