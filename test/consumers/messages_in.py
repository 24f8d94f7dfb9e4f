"""Reads the fields of messages as arrays, and makes such messages without ROS."""

from types import SimpleNamespace

import numpy as np

FLOAT32 = 7  # sensor_msgs/PointField


def seconds(header):
    return header.stamp.sec + header.stamp.nanosec * 1e-9


def xyz(cloud):
    """Return x, y, z of a PointCloud2, (N, 3) float64."""
    fields = {field.name: field for field in cloud.fields}
    assert all(fields[axis].datatype == FLOAT32 for axis in "xyz")
    kind = np.dtype(
        {
            "names": list("xyz"),
            "formats": 3 * ["<f4"],
            "offsets": [fields[axis].offset for axis in "xyz"],
            "itemsize": cloud.point_step,
        }
    )
    points = np.frombuffer(bytes(cloud.data), kind, cloud.width * cloud.height)
    return np.column_stack([points[axis] for axis in "xyz"]).astype(float).reshape(-1, 3)


def header(stamp, frame):
    stamp = SimpleNamespace(sec=int(stamp), nanosec=round(stamp % 1 * 1e9))
    return SimpleNamespace(stamp=stamp, frame_id=frame)


def cloud(stamp, points, frame="base_footprint"):
    points = np.asarray(points, np.float32).reshape(-1, 3)
    fields = [SimpleNamespace(name=n, offset=4 * i, datatype=FLOAT32) for i, n in enumerate("xyz")]
    return SimpleNamespace(
        header=header(stamp, frame), height=1, width=len(points), point_step=12, fields=fields,
        data=points.tobytes(),
    )  # fmt: skip


def scan(stamp, ranges, angle_min=-0.5, angle_increment=0.01, range_max=20.0):
    return SimpleNamespace(
        header=header(stamp, "base_footprint"), ranges=np.asarray(ranges, np.float32),
        angle_min=angle_min, angle_increment=angle_increment, range_min=0.0, range_max=range_max,
    )  # fmt: skip


def footprint(stamp, number, corners):
    points = [SimpleNamespace(x=x, y=y, z=0.0) for x, y in corners]
    polygon = SimpleNamespace(id=number, polygon=SimpleNamespace(points=points))
    return SimpleNamespace(header=header(stamp, "base_footprint"), polygon=polygon)
