"""Makes messages of rosbags from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import Transform
from objectomaly_ros.geometry.placement import Placement
from objectomaly_ros.obstacles.extraction import Region
from objectomaly_ros.obstacles.stage import Obstacles
from objectomaly_ros.types import Image

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TRANSFORMS = "tf2_msgs/msg/TFMessage"
_DTYPES = {"rgb8": "uint8", "bgr8": "uint8", "mono8": "uint8", "32FC1": "float32"}


def header(store: Any, stamp_ns: int, frame_id: str) -> Any:
    """Return a std_msgs/Header.

    Raises:
        BagError: the stamp does not fit.
    """
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    if not 0 <= seconds < 2**31:
        raise BagError(f"a stamp of {stamp_ns} ns does not fit into a message: give 0 to 2^31 s")
    time = store.types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
    return store.types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def image_message(
    store: Any, array: npt.NDArray[Any], stamp_ns: int, frame_id: str, encoding: str = "rgb8"
) -> Any:
    """Return a sensor_msgs/Image.

    Args:
        store: rosbags Typestore.
        array: (H,W,3) uint8 RGB for rgb8 and bgr8, (H,W) uint8 for mono8, (H,W) float32 for 32FC1.
        stamp_ns: time of acquisition in nanoseconds.
        frame_id: frame of the camera.
        encoding: rgb8, bgr8 (the channels are reversed here), mono8 or 32FC1.

    Raises:
        BagError: the array does not fit the encoding.
    """
    if encoding not in _DTYPES:
        raise BagError(f"images cannot be written as {encoding!r}; use one of {', '.join(_DTYPES)}")
    colour = encoding in ("rgb8", "bgr8")
    shape_fits = array.ndim == 3 and array.shape[2] == 3 if colour else array.ndim == 2
    if not shape_fits or array.dtype != _DTYPES[encoding] or not array.size:
        raise BagError(
            f"an array of shape {array.shape} and type {array.dtype} is no {encoding} image; "
            f"expected {'(H,W,3)' if colour else '(H,W)'} {_DTYPES[encoding]}"
        )
    if encoding == "bgr8":
        array = array[:, :, ::-1]
    return store.types[IMAGE](
        header=header(store, stamp_ns, frame_id),
        height=array.shape[0],
        width=array.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=array[0].nbytes,
        data=np.ascontiguousarray(array).reshape(-1).view(np.uint8),
    )


def jpeg(image: Image, quality: int = 95) -> bytes:
    """Encode (H,W,3) RGB uint8 as JPEG."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise BagError(f"an image of shape {image.shape} cannot be encoded as JPEG")
    return data.tobytes()


def compressed_message(
    store: Any, data: bytes, stamp_ns: int, frame_id: str, how: str = "jpeg"
) -> Any:
    """Return a sensor_msgs/CompressedImage; `how` is its format."""
    return store.types[COMPRESSED_IMAGE](
        header=header(store, stamp_ns, frame_id),
        format=how,
        data=np.frombuffer(data, dtype=np.uint8),
    )


def camera_info_message(store: Any, camera: CameraModel, stamp_ns: int, frame_id: str) -> Any:
    """Return the CameraInfo of an unrectified monocular camera (R identity, P = [K 0])."""
    k = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], np.float64)
    region = store.types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return store.types[CAMERA_INFO](
        header=header(store, stamp_ns, frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model=camera.distortion_model,
        d=np.array(camera.distortion, np.float64),
        k=k.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([k, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def transform_message(
    store: Any, transform: Transform, parent: str, child: str, stamp_ns: int
) -> Any:
    """Return a TFMessage with one transform, from the frame `child` to `parent`."""
    types = store.types
    axis = np.ravel(cv2.Rodrigues(transform[:3, :3])[0])  # as long as the angle
    half = np.linalg.norm(axis) / 2
    move, turn = transform[:3, 3], np.append(axis / 2 * np.sinc(half / np.pi), np.cos(half))
    vector = types["geometry_msgs/msg/Vector3"](**dict(zip("xyz", move.tolist(), strict=True)))
    rotation = types["geometry_msgs/msg/Quaternion"](
        **dict(zip("xyzw", turn.tolist(), strict=True))
    )
    stamped = types["geometry_msgs/msg/TransformStamped"](
        header=header(store, stamp_ns, parent),
        child_frame_id=child,
        transform=types["geometry_msgs/msg/Transform"](translation=vector, rotation=rotation),
    )
    return types[TRANSFORMS](transforms=[stamped])


OBSTACLES = "objectomaly_ros/msg/ObstacleArray"


def obstacles_message(
    store: Any,
    obstacles: Obstacles,
    placements: Sequence[Placement],
    stamp_ns: int,
    frame_id: str,
    *,
    refined: bool,
) -> Any:
    """Return an objectomaly_ros/ObstacleArray; `placements` may be empty: not known."""
    height, width = obstacles.mask.shape
    return store.types[OBSTACLES](
        header=header(store, stamp_ns, frame_id),
        width=width,
        height=height,
        refined=refined,
        obstacles=[
            _obstacle(store, region, track_id, age, placed)
            for region, track_id, age, placed in zip(
                obstacles.regions,
                obstacles.ids,
                obstacles.ages,
                placements or [Placement()] * len(obstacles.regions),
                strict=True,
            )
        ],
    )


def _obstacle(store: Any, region: Region, track_id: int, age: int, placed: Placement) -> Any:
    x, y, width, height = region.box
    nearest = dict(zip("xyz", placed.nearest, strict=True))
    corner = store.types["geometry_msgs/msg/Point32"]
    return store.types["objectomaly_ros/msg/Obstacle"](
        id=track_id,
        score=region.score,
        max_score=region.max_score,
        box=store.types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=x, y_offset=y, height=height, width=width, do_rectify=False
        ),
        contour=store.types["geometry_msgs/msg/Polygon"](
            points=[corner(x=float(cx), y=float(cy), z=0.0) for cx, cy in region.contour]
        ),
        area=region.area,
        age=age,
        range=placed.range_m,
        range_std=placed.nearest_std,
        height=placed.height,
        position=store.types["geometry_msgs/msg/Point"](**nearest),
    )
