"""Recordings of a robot: a camera on a mast, with CameraInfo and TF."""

from offline_drives import START, STEP, picture

from objectomaly_ros.bags.messages import camera_info_message, header, image_message
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.geometry.camera_model import CameraModel

CAMERA = CameraModel(fx=80, fy=80, cx=48, cy=36, width=96, height=72)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)  # z ahead, x to the right
TF = "tf2_msgs/msg/TFMessage"


def transform(store, parent, child, place, turn=(0, 0, 0, 1), stamp=START):
    types = store.types
    return types["geometry_msgs/msg/TransformStamped"](
        header=header(store, stamp, parent),
        child_frame_id=child,
        transform=types["geometry_msgs/msg/Transform"](
            translation=types["geometry_msgs/msg/Vector3"](**dict(zip("xyz", place, strict=True))),
            rotation=types["geometry_msgs/msg/Quaternion"](**dict(zip("xyzw", turn, strict=True))),
        ),
    )


def shown(index, hidden):
    """A picture, without its box if it is hidden."""
    image = picture(index)
    if index in hidden:
        image[image[..., 0] > 200] = 100
    return image


def make_robot(
    path,
    *,
    sway=0.0,
    base="base_link",
    topics=("/front/image_raw",),
    changes=False,
    hidden=(),
    turn=OPTICAL,
):
    """Write a bag of 4 images; `sway` moves the mast, no box is in the `hidden` ones."""
    with BagWriter(path) as writer:
        store = writer.store
        for topic in topics:
            writer.add_topic(topic, "sensor_msgs/msg/Image")
        writer.add_topic("/front/camera_info", "sensor_msgs/msg/CameraInfo")
        writer.add_topic("/tf_static", TF)
        writer.add_topic("/tf", TF)
        fixed = [transform(store, "mast", "front", (0.4, 0, 0.5), turn)]
        writer.write("/tf_static", store.types[TF](transforms=fixed), START)
        for index in range(4):
            stamp = START + index * STEP
            moved = (0, 0, 1 + sway * index)
            mast = transform(store, base, "mast", moved, stamp=stamp)
            odometry = transform(store, "odom", base, (index, 0, 0), stamp=stamp)
            message = store.types[TF](transforms=[mast, odometry])
            writer.write("/tf", message, stamp)
            info = camera_info_message(store, CAMERA, stamp, "front")
            if changes and index:
                info.k = info.k * 2
            writer.write("/front/camera_info", info, stamp)
            for topic in topics:
                image = image_message(store, shown(index, hidden), stamp, "front")
                writer.write(topic, image, stamp)
    return path
