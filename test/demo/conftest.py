"""A small bag of results as the recorder writes it, with its truth."""

import numpy as np
import pytest

from objectomaly_ros.bags.messages import IMAGE, header, image_message
from objectomaly_ros.bags.writer import BagWriter
from objectomaly_ros.demo.drive.render import FrameTruth, VisibleObject
from objectomaly_ros.demo.replay import NODE

HEIGHT, WIDTH, FRAMES = 60, 80, 6
START_NS = 1_700_000_000_000_000_000


def stamp_of(index):
    return START_NS + index * 100_000_000


@pytest.fixture(scope="session")
def truth():
    """One object that comes nearer, in frames 1 to 5."""
    frames = {}
    for index in range(FRAMES):
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        objects = ()
        if index:
            ids[28:42, 28:44] = 255
            ids[30:40, 30:42] = 1
            x = 40.0 - 5 * index
            outline = ((x, -0.5), (x + 1, -0.5), (x + 1, 0.5), (x, 0.5))
            objects = (VisibleObject(1, "sofa", x, (30, 30, 12, 10), 120, outline),)
        frames[stamp_of(index)] = FrameTruth(ids, objects)
    return frames


@pytest.fixture(scope="session")
def result_path(tmp_path_factory, truth):
    """Coarse scores with a false alarm that refinement removes; found from frame 3 on."""
    path = tmp_path_factory.mktemp("demo") / "result"
    rng = np.random.default_rng(0)
    with BagWriter(path) as writer:
        writer.add_topic("/image", IMAGE)
        for name in ("score", "coarse_score", "mask", "overlay"):
            writer.add_topic(f"{NODE}/{name}", IMAGE)
        writer.add_topic(f"{NODE}/status", "objectomaly_ros/msg/RefinementStatus")
        writer.add_topic(f"{NODE}/obstacles", "objectomaly_ros/msg/ObstacleArray")
        for name in ("points", "free"):
            writer.add_topic(f"{NODE}/{name}", "sensor_msgs/msg/PointCloud2")
        store = writer.store
        for index in range(FRAMES):
            stamp, log = stamp_of(index), stamp_of(index) + 5_000_000
            labels = truth[stamp].labels
            image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            refined = (0.1 + 0.8 * (labels == 1)).astype(np.float32)
            coarse = refined.copy()
            coarse[:10] = 0.95
            found = index >= 3
            mask = ((labels == 1) & found).astype(np.uint8)

            def put(name, array, encoding, log=log, stamp=stamp):
                topic = f"{NODE}/{name}" if name else "/image"
                message = image_message(store, array, stamp, "camera", encoding)
                writer.write(topic, message, log)

            put("", image, "rgb8")
            log += 40_000_000
            put("coarse_score", coarse, "32FC1", log)
            put("score", refined, "32FC1", log)
            put("mask", mask, "mono8", log)
            put("overlay", image, "rgb8", log)
            status = store.types["objectomaly_ros/msg/RefinementStatus"](
                header=header(store, stamp, "camera"),
                camera="",
                healthy=True,
                problem="",
                refined=index > 1,
                mask_count=7 if index > 1 else 0,
                mask_age_frames=index - 2 if index > 1 else -1,
                mask_age=0.1 * index,
                latency=0.030 + 0.001 * index,
                queue_wait=0.001,
                coarse_time=0.020,
                propagation_time=0.002,
                oasc_time=0.003,
                mbp_time=0.004,
                mask_generation_time=float("nan") if index < 2 else 0.5,
                detector_adapted="input_size=320" if index == 5 else "",
                frames_received=index + 1,
                frames_scored=index + 1,
                frames_dropped=0,
                frames_rejected=0,
            )
            writer.write(f"{NODE}/status", status, log)
            boxes = [(2, 2, 6, 6)] + ([(29, 29, 14, 12)] if found else [])
            obstacles = [_obstacle(store, box, 40.0 - 5 * index + 0.5) for box in boxes]
            listed = store.types["objectomaly_ros/msg/ObstacleArray"](
                header=header(store, stamp, "camera"),
                width=WIDTH,
                height=HEIGHT,
                refined=index > 1,
                obstacles=obstacles,
            )
            writer.write(f"{NODE}/obstacles", listed, log)
            if index:  # before, the CameraInfo is missing
                x = 40.0 - 5 * index
                posts = [(x, y, z) for y in (-0.4, 0.4) for z in (0.1, 0.2)] if found else []
                # One ray passes the sofa by, one ends before it; in the last frame one crosses it.
                ends = [(x + 5, 2.0, 0.0), (x - 0.5, 0.2, 0.0)]
                ends += [(x + 4, 0.1, 0.0)] if index == FRAMES - 1 else []
                writer.write(f"{NODE}/points", _cloud(store, stamp, posts), log)
                writer.write(f"{NODE}/free", _cloud(store, stamp, ends), log)
    return path


def _cloud(store, stamp, points):
    data = np.array(points, np.float32).reshape(-1, 3)
    fields = [
        store.types["sensor_msgs/msg/PointField"](name=name, offset=4 * k, datatype=7, count=1)
        for k, name in enumerate("xyz")
    ]
    return store.types["sensor_msgs/msg/PointCloud2"](
        header=header(store, stamp, "base_link"),
        height=1,
        width=len(data),
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12 * len(data),
        data=data.view(np.uint8).ravel(),
        is_dense=True,
    )


def _obstacle(store, box, metres):
    x, y, width, height = box
    return store.types["objectomaly_ros/msg/Obstacle"](
        id=1,
        score=0.9,
        max_score=0.9,
        box=store.types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=x, y_offset=y, height=height, width=width, do_rectify=False
        ),
        contour=store.types["geometry_msgs/msg/Polygon"](points=[]),
        area=width * height,
        age=0,
        range=metres,
        range_std=0.1,
        height=0.5,
        position=store.types["geometry_msgs/msg/Point"](x=metres, y=0.0, z=0.0),
    )
