"""A real node in a process of its own, in a real graph."""

from __future__ import annotations

import array
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Trigger

SUPPORT = Path(__file__).parent
REPOSITORY = SUPPORT.parents[1]
NODE = "/objectomaly"
PATIENCE_S = 150.0  # other programs run on the same cores
SETTLE_S = 0.5  # the ends of a connection do not learn of it at once


def wait_for(condition, what, timeout=PATIENCE_S):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(0.01)


class NodeProcess:
    """`refine_node` under test, with the lines of its log."""

    def __init__(self, domain, *arguments, **parameters):
        values = {"detector.name": "simple_models:RednessDetector",
                  "masks.name": "simple_models:BandMasks", "device": "cpu",
                  "min_area": 0, "roi.mode": "none", **parameters}  # fmt: skip
        command = [sys.executable, "-m", "objectomaly_ros.ros.refine_node", "--ros-args"]
        for name, value in values.items():
            command += ["-p", f"{name}:={value}"]
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "PYTHONPATH": os.pathsep.join(
                [str(SUPPORT), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
            ),
        }
        self.lines = []
        self.process = subprocess.Popen(
            [*command, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def log(self):
        return "\n".join(self.lines)

    def wait_log(self, text, timeout=PATIENCE_S):
        try:
            wait_for(
                lambda: text in self.log or self.process.poll() is not None, repr(text), timeout
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; the node said:\n{self.log}") from None
        assert text in self.log, f"the node ended without saying {text!r}:\n{self.log}"

    def interrupt(self, sign=signal.SIGINT):
        """Send a signal; return the exit code and the seconds that the end took.

        Only those seconds count in which the machine had a core to spare: this process spins
        meanwhile, and what it does not get of a core others keep from the node as well.
        """
        began, spun = time.monotonic(), time.thread_time()
        self.process.send_signal(sign)
        while self.process.poll() is None:
            assert time.monotonic() - began < PATIENCE_S, f"the node goes on after {sign!r}"
        took = time.thread_time() - spun
        self._reader.join(5)
        return self.process.returncode, took

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()  # a killed node leaves 64 MB in /dev/shm
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.process.kill()
        self.process.wait()
        self._reader.join(5)


class Graph:
    """The node of a test: publishes images, keeps messages, calls services."""

    def __init__(self, domain):
        self.domain = domain
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("test", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._publishers = {}
        self._subscriptions = []
        self._clients = {}
        self.received = {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def listen(self, kind, topic, qos=10):
        """Keep the messages of a topic until `forget`; wait until its publisher is there."""
        messages = self.received[topic] = []
        self._subscriptions.append(self.node.create_subscription(kind, topic, messages.append, qos))
        wait_for(lambda: self.node.count_publishers(topic), f"a publisher on {topic}")
        time.sleep(SETTLE_S)
        return messages

    def forget(self):
        """Destroy all subscriptions."""
        gone = list(self._subscriptions)
        # In the executor's own thread, which may be waiting on them.
        task = self._executor.create_task(
            lambda: [self.node.destroy_subscription(subscription) for subscription in gone]
        )
        wait_for(task.done, "the subscriptions to end")
        self._subscriptions.clear()
        self.received.clear()

    def publisher(self, topic, kind=Image, qos=qos_profile_sensor_data):
        if topic not in self._publishers:
            publisher = self.node.create_publisher(kind, topic, qos)
            wait_for(publisher.get_subscription_count, f"the node's subscription of {topic}")
            time.sleep(SETTLE_S)
            self._publishers[topic] = publisher
        return self._publishers[topic]

    def ask(self, kind, service, request):
        """Call a service; return the future of its answer."""
        client = self._clients.get(service)
        if client is None:
            client = self._clients[service] = self.node.create_client(kind, service)
        assert client.wait_for_service(PATIENCE_S), f"no service {service}"
        return client.call_async(request)

    def call(self, kind, service, request):
        future = self.ask(kind, service, request)
        wait_for(future.done, f"an answer of {service}")
        return future.result()

    def set(self, name, value):
        """Set a parameter of the node; return its answer."""
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        return self.call(SetParameters, f"{NODE}/set_parameters", request).results[0]

    def get(self, *names):
        request = GetParameters.Request(names=list(names))
        return self.call(GetParameters, f"{NODE}/get_parameters", request).values

    def describe(self, *names):
        request = DescribeParameters.Request(names=list(names))
        return self.call(DescribeParameters, f"{NODE}/describe_parameters", request).descriptors

    def state(self):
        return self.call(GetState, f"{NODE}/get_state", GetState.Request()).current_state.label

    def ask_change(self, transition):
        request = ChangeState.Request()
        request.transition.id = transition
        return self.ask(ChangeState, f"{NODE}/change_state", request)

    def change(self, transition):
        future = self.ask_change(transition)
        wait_for(future.done, "a transition")
        return future.result().success

    def refine(self):
        return self.call(Trigger, f"{NODE}/refine", Trigger.Request())

    def diagnostics(self):
        """Return the newest diagnostics of the node: name -> (level, message, values)."""
        if "/diagnostics" not in self.received:
            self.listen(DiagnosticArray, "/diagnostics")
        messages = self.received["/diagnostics"]
        messages.clear()
        wait_for(lambda: len(messages) > 0, "diagnostics")
        return {
            status.name: (
                status.level[0],
                status.message,
                {pair.key: pair.value for pair in status.values},
            )
            for status in messages[-1].status
        }

    def close(self):
        # Everything of the node ends before its context and after its executor: what Python frees
        # later, in whatever order, crashes in the middleware now and then.
        self._executor.shutdown()
        self._thread.join(10)
        self.received.clear()
        self._publishers.clear()
        self._subscriptions.clear()
        self._clients.clear()
        self.node.destroy_node()
        self.context.try_shutdown()


def picture(x=30, shape=(60, 80)):
    """Draw a grey road with a red box on it."""
    image = np.full((*shape, 3), 90, np.uint8)
    image[shape[0] // 2 : shape[0] // 2 + 12, x : x + 12] = 255, 20, 20
    return image


def image_message(stamp, pixels=None, encoding="rgb8", frame_id="camera", **fields):
    """Return an Image message of an array; `fields` overwrite its fields."""
    pixels = picture() if pixels is None else np.ascontiguousarray(pixels)
    message = Image()
    message.header.frame_id = frame_id
    seconds, milliseconds = divmod(round(stamp * 1000), 1000)
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, milliseconds * 1_000_000
    message.height, message.width = pixels.shape[:2]
    message.step = pixels.strides[0]
    message.encoding = encoding
    message.data = array.array("B", pixels.tobytes())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def compressed_message(stamp, data, kind="jpeg"):
    message = CompressedImage(format=kind)
    message.header.frame_id = "camera"
    message.header.stamp.sec = int(stamp)
    message.data = array.array("B", data)
    return message


def camera_info(shape=(60, 80)):
    height, width = shape
    info = CameraInfo(height=height, width=width, distortion_model="plumb_bob")
    info.header.frame_id = "camera"
    info.k = [80.0, 0.0, width / 2, 0.0, 80.0, height / 2 - 10, 0.0, 0.0, 1.0]
    return info


def array_of(message):
    dtype = {"32FC1": np.float32, "mono8": np.uint8, "rgb8": np.uint8}[message.encoding]
    channels = (3,) if message.encoding == "rgb8" else ()
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, *channels)


def stamps(messages):
    return [(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages]
