"""A rendered drive goes through the real node, with its own detector, into what takes its messages.

The robot drives an empty road for a minute. Then a crate is dropped before it, and taken away after
it has stopped. At last the camera dies. Time is that of the images.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import pytest
from domains import next_domain

pytest.importorskip(
    "rclpy", reason="the node needs rclpy and built messages: run under scripts/env"
)

import graph as g
from autoware_models import brakes
from geometry_msgs.msg import PolygonInstanceStamped
from nav2_models import (
    CollisionMonitor,
    LayerSource,
    ObstacleLayer,
    PointCloudSource,
    PolygonSource,
    ScanSource,
)
from objectomaly_ros.msg import ObstacleArray, RefinementStatus
from ruamel.yaml import YAML
from sensor_msgs.msg import CameraInfo, LaserScan, PointCloud2
from street import HEIGHT_M, PITCH, RATE_HZ, Street

pytestmark = pytest.mark.ros

NAV2 = Path(__file__).resolve().parents[2] / "config" / "nav2_camera_only.yaml"
TOPICS = {
    "points": PointCloud2,
    "scan": LaserScan,
    "free": PointCloud2,
    "footprints": PolygonInstanceStamped,
    "obstacles": ObstacleArray,
    "status": RefinementStatus,
}
MINUTE = round(60 * RATE_HZ)  # images
START_S = 1000.0  # stamp of the first image


class Step(NamedTuple):
    """What came of one image.

    Attributes:
        phase: of the drive: empty, crate, gone.
        crate_m: metres to the crate, None if it is not in view.
        stops: why the Collision Monitor stops the robot by each source, None if it does not.
        blocked: by each costmap, whether the crate's place is lethal.
        current: by each costmap, whether its sources are fresh.
        brakes: whether AEB brakes at 2 m/s.
        status: of the node.
    """

    phase: str
    crate_m: float | None
    stops: dict
    blocked: dict
    current: dict
    brakes: bool
    status: RefinementStatus


class Robot:
    """Publishes images, and feeds the consumers with the node's answers."""

    def __init__(self, graph):
        self._graph = graph
        self.street = Street()
        self._images = graph.publisher("/image")
        self._infos = graph.publisher("/camera_info", CameraInfo)
        self.got = {name: graph.listen(kind, f"{g.NODE}/{name}") for name, kind in TOPICS.items()}
        self._stamps = (START_S + k / RATE_HZ for k in itertools.count())
        self._build(YAML(typ="safe").load(NAV2.read_text()))

    def _build(self, config):
        monitor = config["collision_monitor"]["ros__parameters"]
        polygon = YAML(typ="safe").load(monitor["PolygonStop"]["points"])
        minimum, timeout = monitor["PolygonStop"]["min_points"], monitor["source_timeout"]
        ours = monitor["objectomaly"]
        self.sources = {
            "points": PointCloudSource(ours["min_height"], ours["max_height"], 0.0, timeout),
            "scan": ScanSource(source_timeout=timeout),
            "footprints": PolygonSource(source_timeout=timeout),
        }
        self.monitors = {
            name: CollisionMonitor({name: source}, polygon, minimum)
            for name, source in self.sources.items()
        }
        layer = config["local_costmap"]["local_costmap"]["ros__parameters"]["obstacle_layer"]
        self.layers = {
            # Those of the configuration, and a laser scanner's of nav2_params.yaml.
            "points and free": {
                name: LayerSource(**_known(layer[f"objectomaly_{name}"]))
                for name in ("points", "free")
            },
            "scan": {"scan": LayerSource(clearing=True, max_obstacle_height=2.0)},
        }
        self.costmaps = {
            name: ObstacleLayer(sources, origin=(-2.0, -4.0), size=(50.0, 8.0))
            for name, sources in self.layers.items()
        }
        self.crate = None

    def step(self, phase):
        """Publish the next image; return what comes of it."""
        image, crate_m = self.street.look()
        self.now = next(self._stamps)
        message = g.image_message(self.now, image)
        info = _info(self.street.camera, message.header)
        self._infos.publish(info)
        self._images.publish(message)
        answer = self._answers(message)
        pose = self.street.pose
        for name, source in self.sources.items():
            for one in answer[name]:
                source.take(one)
        for costmap in self.costmaps.values():
            for name, source in costmap.sources.items():
                source.take(answer[name][0], pose, self.now)
            costmap.update()
        where = self.crate or ((0.0, 0.0), (0.0, 0.0))
        return Step(
            phase,
            crate_m,
            {name: monitor.stops(self.now) for name, monitor in self.monitors.items()},
            {name: costmap.has_obstacle(*where) for name, costmap in self.costmaps.items()},
            {name: costmap.is_current(self.now) for name, costmap in self.costmaps.items()},
            brakes(answer["points"][0], 2.0, front=0.3, width=0.6),
            answer["status"][0],
        )

    def _answers(self, message):
        """Return the messages with the stamp of an image, by topic."""
        (stamp,) = g.stamps([message])
        found = {}

        def complete():
            for name, messages in self.got.items():
                found[name] = [m for m in messages[-50:] if g.stamps([m])[0] == stamp]
            seen = found["obstacles"]
            return all(found[name] for name in TOPICS if name != "footprints") and len(
                found["footprints"]
            ) >= len(seen[0].obstacles)

        g.wait_for(complete, f"all answers to the image of {self.now}", 60.0)
        return found


def _known(options):
    """Leave out what the model has no use for."""
    return {k: v for k, v in options.items() if k not in ("topic", "data_type")}


def _info(camera, header):
    info = CameraInfo(header=header, height=camera.height, width=camera.width)
    info.distortion_model = "plumb_bob"
    info.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    return info


@pytest.fixture(scope="module")
def drive():
    """The steps of the whole drive, and the robot at its end."""
    domain = next_domain()
    pose = {"points.camera_height": HEIGHT_M, "points.camera_pitch": float(PITCH)}
    pose["scan.range_max"] = 5.0  # as planner:=nav2 has it
    node = g.NodeProcess(
        domain,
        **{"detector.name": "embedded", "masks.name": "regions", "roi.mode": "road"},
        **{"min_area": 50, **pose},
    )
    graph = g.Graph(domain)
    try:
        node.wait_log("active on cpu")
        robot = Robot(graph)
        steps = []
        for _ in range(MINUTE):
            steps.append(robot.step("empty"))
            robot.street.index += 1
        robot.crate = robot.street.drop_crate()
        while (
            not (steps[-1].phase == "crate" and steps[-1].stops["points"])
            and len(steps) < MINUTE + 20
        ):
            steps.append(robot.step("crate"))
            robot.street.index += not steps[-1].stops["points"]
        steps += [robot.step("crate") for _ in range(2)]  # it stands before it
        robot.street.take_crate_away()
        steps += [robot.step("gone") for _ in range(4)]
        yield steps, robot
    finally:
        graph.close()
        node.close()


def of_phase(drive, phase):
    return [step for step in drive[0] if step.phase == phase]


def test_an_empty_road_stops_nobody_for_a_minute(drive):
    steps = of_phase(drive, "empty")
    assert len(steps) == MINUTE
    for name in steps[0].stops:
        assert [step.stops[name] for step in steps] == [None] * MINUTE, name
    assert not any(step.brakes for step in steps)
    assert all(all(step.current.values()) for step in steps)
    assert all(step.status.healthy for step in steps), {step.status.problem for step in steps}


def test_the_robot_stops_before_the_crate(drive):
    steps = of_phase(drive, "crate")
    assert steps[0].crate_m > 2.5
    assert steps[0].stops == dict.fromkeys(steps[0].stops)
    stopped = steps[-1]
    assert 0.9 < stopped.crate_m < 1.5  # the stop polygon reaches 1.4 m ahead
    for name, why in stopped.stops.items():
        assert why is not None, name
        assert why.endswith(" points"), name
    assert stopped.brakes


def test_the_costmaps_hold_the_crate_until_it_has_gone(drive):
    for name in ("points and free", "scan"):
        assert of_phase(drive, "crate")[-1].blocked[name], name
        assert not of_phase(drive, "empty")[-1].blocked[name], name
        gone = of_phase(drive, "gone")
        assert not gone[-1].blocked[name], name
    assert gone[-1].stops == dict.fromkeys(gone[-1].stops)  # and the robot may drive on


def test_a_dead_camera_stops_the_robot(drive):
    _, robot = drive
    before = {name: len(messages) for name, messages in robot.got.items() if name != "status"}
    statuses = robot.got["status"]
    g.wait_for(lambda: not statuses[-1].healthy, "the status of a camera without images")
    assert "no image on /image for" in statuses[-1].problem
    after = {name: len(messages) for name, messages in robot.got.items() if name != "status"}
    assert after == before
    later = robot.now + 1.1  # source_timeout is 1.0
    for name, monitor in robot.monitors.items():
        assert monitor.stops(later) == f"invalid source {name}" or name == "footprints"
    assert not robot.costmaps["points and free"].is_current(later)
