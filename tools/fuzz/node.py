"""Targets that are requests and messages to a real node in a process of its own."""

from __future__ import annotations

import array
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import rclpy
from geometry_msgs.msg import PolygonInstanceStamped
from lifecycle_msgs.srv import ChangeState, GetState
from objectomaly_ros.msg import ObstacleArray, RefinementStatus
from rcl_interfaces import srv
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_srvs.srv import Trigger

from objectomaly_ros.ros.parameters import SPECS
from tools.fuzz.messages import PICTURE, make_compressed, make_image
from tools.fuzz.mutations import NUMBERS, WORDS
from tools.fuzz.worker import MB, Input, Target
from tools.processes import memory_of

ANSWER_S, START_S, COUNTED_S, MEMORY = 30.0, 90.0, 5.0, 1024 * MB
FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
FIELDS = {
    getattr(ParameterType, name): f"{name.removeprefix('PARAMETER_').lower()}_value"
    for name in dir(ParameterType)
    if name.startswith("PARAMETER_") and name != "PARAMETER_NOT_SET"
}
SERVICES = {
    "set_parameters": srv.SetParameters, "set_parameters_atomically": srv.SetParametersAtomically,
    "get_parameters": srv.GetParameters, "get_parameter_types": srv.GetParameterTypes,
    "describe_parameters": srv.DescribeParameters, "list_parameters": srv.ListParameters,
    "refine": Trigger,
}  # fmt: skip
NAMES = (*(spec.name for spec in SPECS), "use_sim_time", "roi", "x")
OUTPUTS = {
    "coarse_score": Image, "score": Image, "mask": Image, "overlay": Image, "points": PointCloud2,
    "scan": LaserScan, "free": PointCloud2, "footprints": PolygonInstanceStamped,
    "obstacles": ObstacleArray, "status": RefinementStatus,
}  # fmt: skip


class Redness:
    """A detector whose score is easily told: the red channel, 0 to 1."""

    threshold = 0.5

    def __init__(self, checkpoint: str | None = None, device: str = "cpu") -> None:
        pass

    def score(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (H, W) float32."""
        return image[..., 0].astype(np.float32) / np.float32(255)


class Session:
    """A node, and this process's end of the graph."""

    def __init__(self, detector: str, transport: str = "raw", masks: str = "regions") -> None:
        for profile in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
            os.environ.pop(profile, None)
        # Without shared memory nothing is left of a node that was killed.
        domain, space = 1 + os.getpid() % 100, f"/fuzz_{os.getpid()}"
        os.environ.update(ROS_DOMAIN_ID=str(domain), FASTDDS_BUILTIN_TRANSPORTS="UDPv4")
        values = {"detector.name": detector, "masks.name": masks, "image_transport": transport,
                  "device": "cpu", "refine.every_n": 2, "roi.mode": "none"}  # fmt: skip
        command = [sys.executable, "-m", "objectomaly_ros.ros.refine_node", "--ros-args"]
        command += ["-r", f"__ns:={space}", "-r", f"/diagnostics:={space}/diagnostics"]
        for name, value in values.items():
            command += ["-p", f"{name}:={value}"]
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain)
        self._node = rclpy.create_node("fuzz", context=context, namespace=space)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._received: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._count = 0
        for topic, kind in OUTPUTS.items():
            take = functools.partial(self._received.__setitem__, topic)
            self._node.create_subscription(kind, f"objectomaly/{topic}", take, 10)
        kinds = {"raw": (Image, "image"), "compressed": (CompressedImage, "image/compressed")}
        kind, topic = kinds[transport]
        self._images = self._node.create_publisher(kind, topic, 10)
        self.infos = self._node.create_publisher(CameraInfo, "camera_info", 10)
        self.good: Input = {
            "width": 32, "height": 24, "step": 96, "encoding": "rgb8", "data": PICTURE.tobytes()
        }  # fmt: skip
        if transport == "compressed":
            png = cv2.imencode(".png", PICTURE[..., ::-1])[1]
            self.good = {"format": "png", "data": png.tobytes()}
        self.wait(self._images.get_subscription_count, "subscription of images", START_S)
        self.score_good_image()
        self._memory = memory_of(self.process.pid)

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = ANSWER_S) -> None:
        """Spin until a condition holds."""
        end = time.monotonic() + timeout
        while not condition():
            code = self.process.poll()
            assert code is None, f"the node ended with code {code} before the {what}"
            assert time.monotonic() < end, f"no {what} in {timeout} s"
            self._executor.spin_once(timeout_sec=0.05)

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """Return the answer of a service of the node."""
        client = self._clients.get(service)
        if client is None:
            client = self._node.create_client(kind, f"objectomaly/{service}")
            self._clients[service] = client
        self.wait(client.service_is_ready, f"service {service}")
        future = client.call_async(request)
        self.wait(future.done, f"answer of {service}")
        return future.result()

    def ask(self, service: str, **fields: Any) -> None:
        """Send a request with those of the fields that it has, and check the answer."""
        request = SERVICES[service].Request()
        if hasattr(request, "parameters"):
            request.parameters = [_message(**one) for one in fields["parameters"]]
        elif hasattr(request, "names"):
            request.names = fields["names"]
        elif hasattr(request, "prefixes"):
            request.prefixes, request.depth = fields["names"], fields["depth"]
        answer = self.call(SERVICES[service], service, request)
        if service == "set_parameters":
            assert len(answer.results) == len(request.parameters), "not one result a parameter"
        results = getattr(answer, "results", [getattr(answer, "result", None)])
        for result in results if "set" in service else ():
            assert result.successful or result.reason, "refused without a reason"

    def state(self) -> str:
        """Return the label of the node's lifecycle state."""
        return str(self.call(GetState, "get_state", GetState.Request()).current_state.label)

    def publish(self, fields: Input, stamp: float = 0.0, frame_id: str = "") -> None:
        """Publish an image of these fields."""
        message = CompressedImage() if "format" in fields else Image()
        for name, value in fields.items():
            setattr(message, name, array.array("B", value) if isinstance(value, bytes) else value)
        message.header.frame_id = frame_id
        message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), 0
        self._images.publish(message)

    def score_good_image(self) -> None:
        """Check that a good image gets its score, all images are counted, and memory is bounded."""
        self._count += 1
        frame, sent, seen = f"good {self._count}", 0.0, 0.0

        def is_scored() -> bool:
            nonlocal sent, seen
            score, status = self._received.get("coarse_score"), self._received.get("status")
            now = time.monotonic()
            if not (score and status) or {score.header.frame_id, status.header.frame_id} != {frame}:
                if now - sent > 0.5:  # images may be lost on their way
                    self.publish(self.good, time.time() % 2**31, frame)
                    sent = now
                return False
            seen = seen or now
            done = status.frames_scored + status.frames_dropped + status.frames_rejected
            received = status.frames_received
            assert now - seen < COUNTED_S, f"{received} images received, told of {done}"
            return bool(done == received)

        self.wait(is_scored, "score of a good image", START_S if self._count == 1 else ANSWER_S)
        message = self._received["coarse_score"]
        score = np.frombuffer(message.data, np.float32).reshape(24, 32)
        assert np.array_equal(score, PICTURE[..., 0] / np.float32(255)), "a wrong score"
        grown = memory_of(self.process.pid) - getattr(self, "_memory", 2**62)
        assert grown < MEMORY, f"the node took {grown // MB} MB"


@functools.cache
def session(*arguments: str) -> Session:
    """Return the running session of this process, started when first needed."""
    return Session(*arguments)


def make_images(source: Callable[[Random], Input], random: Random) -> Input:
    """A few images, perhaps a CameraInfo before."""
    info: Input = {}
    if random.random() < 0.2:
        info = {
            "width": random.choice((0, 32, 2**32 - 1)), "height": random.choice((0, 24, 5)),
            "distortion_model": random.choice(("plumb_bob", "equidistant", "", "?")),
            "d": random.choices(FLOATS, k=random.choice((0, 4, 5, 8, 999))),
            "k": random.choices((*FLOATS, 30.0, 16.0), k=9),
        }  # fmt: skip
    count = random.choice((1, 1, 2, 8))
    stamps = [random.choice((0, 1, 2**31 - 1, -5, random.randrange(2**31))) for _ in range(count)]
    images = [source(random) for _ in range(count)]
    return {"images": images, "stamps": stamps, "info": info}


def use_images(detector: str, transport: str, given: Input, folder: Path) -> None:
    """Publish images to the node."""
    node = session(detector, transport)
    if given["info"]:
        node.infos.publish(CameraInfo(**given["info"]))
    for fields, stamp in zip(given["images"], given["stamps"], strict=True):
        node.publish(fields, stamp, "bad")
    node.score_good_image()


def make_requests(random: Random) -> Input:
    """Requests to the node's services, most of them for parameters."""
    requests = []
    for _ in range(random.choice((1, 2, 5))):
        fields = {
            "parameters": [_parameter(random) for _ in range(random.choice((0, 1, 1, 2, 9)))],
            "names": random.choices([*NAMES, *WORDS], k=3),
            "depth": random.choice((0, 1, 2**64 - 1)),
        }
        service = random.choice((*SERVICES, *("set_parameters",) * 9))
        requests.append({"service": service, "fields": fields})
    return {"requests": requests}


def _parameter(random: Random) -> Input:
    spec = random.choice(SPECS)
    kind = Parameter(spec.name, value=spec.default).type_.value
    if random.random() < 0.3:
        kind = random.choice((*range(11), 42, 255))
    name = spec.name if random.random() < 0.9 else random.choice((*NAMES, *WORDS))
    edges = [edge for edge in (spec.low, spec.high) if edge is not None]
    texts = *WORDS, *spec.choices, "a=b", "a=[[[[", "m\u00e4h", "a=" + "{" * 3000
    integers = -1, -(2**63), 2**63 - 1, *NUMBERS[:-2], *(int(edge) + 1 for edge in edges)
    floats = *FLOATS, random.random(), *edges, *(edge + 1e-9 for edge in edges)
    pools = {"bool": (True, False), "integer": integers, "double": floats, "string": texts}
    element, _, many = FIELDS.get(kind, "").removesuffix("_value").partition("_")
    pool, count = pools.get(element, (0,)), random.choice((0, 1, 2, 6, 8, 999))
    value: Any = random.choices(pool, k=count) if many else random.choice(pool)
    return {
        "name": name,
        "type": kind,
        "value": random.randbytes(8) if element == "byte" else value,
    }


def use_requests(detector: str, given: Input, folder: Path) -> None:
    """Send the requests, and put all parameters back."""
    node = session(detector)
    for request in given["requests"]:
        node.ask(request["service"], **request["fields"])
    defaults = [Parameter(s.name, value=s.default) for s in SPECS if not s.read_only]
    defaults += [Parameter("use_sim_time", value=False), Parameter("refine.every_n", value=2)]
    # Together, since one by one they may contradict each other.
    kind = srv.SetParametersAtomically
    request = kind.Request(parameters=[parameter.to_parameter_msg() for parameter in defaults])
    result = node.call(kind, "set_parameters_atomically", request).result
    assert result.successful, f"defaults are refused: {result.reason}"
    node.score_good_image()


def _message(name: str, type: int, value: Any) -> ParameterMessage:
    message = ParameterMessage(name=name)
    message.value.type = type
    if type in FIELDS:
        value = [bytes([byte]) for byte in value] if isinstance(value, bytes) else value
        setattr(message.value, FIELDS[type], value)
    return message


def make_transitions(random: Random) -> Input:
    """Lifecycle transitions by number and label in any order; shutdown now and then."""
    ids = [*range(5), *range(1, 5), *range(8, 100), 255]
    if random.random() < 0.02:
        ids += [5, 6, 7] * 20
    labels = "", "", "", "configure", "activate", "cleanup", "deactivate", "transition_error", "?"
    count = random.choice((1, 2, 4, 12))
    return {"steps": [(random.choice(ids), random.choice(labels)) for _ in range(count)]}


def use_transitions(detector: str, given: Input, folder: Path) -> None:
    """Ask for the transitions, then bring the node back to work."""
    node = session(detector, "raw", "none")
    for number, label in given["steps"]:
        node.publish(node.good)
        _change(node, number, label)
    ways = {"unconfigured": 1, "inactive": 3}
    for _ in range(3):
        state = node.state()
        if state == "finalized":
            node.process.terminate()
            assert node.process.wait(30) == 0, f"it ended with code {node.process.returncode}"
            session.cache_clear()
            return
        assert state in (*ways, "active"), f"state {state!r}"
        if state == "active":
            node.score_good_image()
            return
        assert _change(node, ways[state]), f"no way out of state {state!r}"
    raise AssertionError("the node does not become active")


def _change(node: Session, number: int, label: str = "") -> bool:
    request = ChangeState.Request()
    request.transition.id, request.transition.label = number, label
    return bool(node.call(ChangeState, "change_state", request).success)


def targets(detector: str = f"{__name__}:{Redness.__name__}") -> tuple[Target, ...]:
    """Return the targets of a node with this detector."""
    partial = functools.partial
    pairs = (
        ("node", partial(make_images, make_image), partial(use_images, detector, "raw")),
        ("node_compressed", partial(make_images, make_compressed),
         partial(use_images, detector, "compressed")),
        ("parameters", make_requests, partial(use_requests, detector)),
        ("transitions", make_transitions, partial(use_transitions, detector)),
    )  # fmt: skip
    return tuple(
        Target(name, make, use, (), (__name__,), own_processes=True) for name, make, use in pairs
    )


TARGETS = targets()
