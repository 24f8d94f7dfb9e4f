"""The lifecycle node: connects parameters, cameras and diagnostics with the engine."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, wait
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_srvs.srv import Trigger

from objectomaly_ros.obstacles.tracking import obstacle_ids
from objectomaly_ros.ros import diagnostics, health, parameters
from objectomaly_ros.ros import loading as models
from objectomaly_ros.ros.bond import Bond
from objectomaly_ros.ros.camera import Camera
from objectomaly_ros.ros.executor import give_way, refuse_bad_requests
from objectomaly_ros.ros.learning import LearnService
from objectomaly_ros.ros.log import ThrottledLog
from objectomaly_ros.ros.outputs import Outputs
from objectomaly_ros.ros.parameter_server import ParameterServer
from objectomaly_ros.ros.poses import PoseSource
from objectomaly_ros.runtime.engine import Engine
from objectomaly_ros.runtime.log_text import describe
from objectomaly_ros.runtime.mask_process import MaskProcess
from objectomaly_ros.types import Adaptable, Detector, HasThreshold

CONFIGURE = "configure"
GIVE_WAY_S = 0.02  # between two looks at the models that load
REPORT_S = 1.0
ENOUGH = 10  # frames to know the range of scores
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
STEADY = Clock(clock_type=ClockType.STEADY_TIME)  # runs on if /clock stands still


class ObjectomalyNode(LifecycleNode):  # type: ignore[misc]  # rclpy is not typed
    """Scores camera images for anomaly and refines the scores; the README lists the topics.

    configure loads the models, activate subscribes. All but loading and `stop` runs in the
    executor's thread. Loading has a thread of its own, so that meanwhile services are answered and
    diagnostics published; a transition that is asked for meanwhile waits for its end.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__("objectomaly", **arguments)
        self._log = ThrottledLog(self.get_logger())
        self._params = ParameterServer(self, self._on_change)
        self._poses = PoseSource(self, lambda: self._params.values, self.get_logger().info)
        self._label = "unconfigured"
        self._problem: str | None = None
        self._device = ""
        self._detector: Detector | None = None
        self._masks: MaskProcess | None = None
        self._cameras: dict[str, Camera] = {}
        self._engine: Engine | None = None
        self._outputs: Outputs | None = None
        self._ids = obstacle_ids()  # never used twice while the node lives
        self._seen: dict[str, diagnostics.Seen] = {}
        self._far: str | None = None  # threshold that was warned of
        self._stopping = False
        self._loaded: Future[None] | None = None
        self._bond = Bond(self)
        self._faults: deque[tuple[float, str]] = deque(maxlen=diagnostics.REPEATED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._report_timer = self.create_timer(REPORT_S, self._report, clock=STEADY)
        self._service = self.create_service(Trigger, "~/refine", self._refine)
        self._learning = LearnService(
            self, lambda: self._params.values, lambda: self._engine, self._renew_settings
        )
        transitions = MutuallyExclusiveCallbackGroup()
        if self._params.values["autostart"]:
            self._start_timer = self.create_timer(0.0, self._autostart, transitions, clock=STEADY)
        refuse_bad_requests(self, self._log.warn)
        service = self._service_change_state
        service.callback_group = transitions
        transitions.add_entity(service)
        self._change_state, service.callback = service.callback, self._load_and_change_state

    async def _load_and_change_state(self, request: Any, response: Any) -> Any:
        wanted = request.transition
        configure = wanted.label == CONFIGURE or (
            not wanted.label and wanted.id == Transition.TRANSITION_CONFIGURE
        )
        if configure and self._label == "unconfigured":
            await self._load_aside()
        return self._change_state(request, response)

    async def _load_aside(self) -> None:
        """Load in a thread, and give way to other callbacks meanwhile; for `on_configure`."""
        loaded: Future[None] = Future()
        self._loaded = loaded

        def load() -> None:
            try:
                self._load()
            except BaseException as error:  # a user's module may raise anything, and call sys.exit
                loaded.set_exception(error)
            else:
                loaded.set_result(None)

        threading.Thread(target=load, name="loading", daemon=True).start()
        while not wait([loaded], GIVE_WAY_S).done:
            await give_way()

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        """Take the loaded models, or load them, and create the publishers."""
        try:
            if self._loaded is None:
                self._load()
            else:
                self._loaded.result()
            self._configure()
        except BaseException as error:
            self._unload()
            self._label = "unconfigured"
            command = f"ros2 lifecycle set {self.get_fully_qualified_name()} configure"
            return self._failed(
                "configure",
                f"{describe(error)} -- set it right, then restart the node or run: {command}",
            )
        finally:
            self._loaded = None
        self._problem = None
        self._label = "inactive"
        return super().on_configure(state)

    def _load(self) -> None:
        if self._params.problems:
            raise ValueError("; ".join(self._params.problems.values()))
        values = self._params.values
        self._problem = None
        self._device = models.device_of(values)
        self._masks = models.mask_process(values, self._device)
        if self._masks is not None:
            self._step(f"loading mask generator {values['masks.name']} on {self._device}")
            self._masks.start()  # it loads while the detector does
        self._step(f"loading detector {values['detector.name']} on {self._device}")
        self._detector = models.load_detector(values, self._device)
        parameters.settings(values, self._threshold())
        if self._masks is not None:
            self._masks.wait()

    def _configure(self) -> None:
        values = self._params.values
        parameters.settings(values, self._threshold())  # they may have changed while it loaded
        self._cameras = {
            name: Camera(
                self, name, lambda: self._params.values, self._high, self._poses, self._log
            )
            for name in parameters.cameras(values["camera_names"])
        }

    def _step(self, text: str) -> None:
        if self._stopping:
            raise ValueError("interrupted")
        self._label = f"configuring: {text}"
        self.get_logger().info(text)

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        """Start the engine and subscribe."""
        try:
            self._engage()
        except Exception as error:  # such as a topic name or QoS override that ROS refuses
            self._disengage("activation failed")
            return self._failed("activate", describe(error))
        self._bond.form()
        self._problem = None
        self._label = "active"
        return super().on_activate(state)

    def _failed(self, transition: str, text: str) -> TransitionCallbackReturn:
        self._problem = f"{transition} failed: {text}"
        if not self._stopping:
            self.get_logger().error(self._problem)
        return FAILURE

    def _engage(self) -> None:
        values = self._params.values
        if self._detector is None:
            self._detector = self._learning.equip(models.load_detector(values, self._device))
        if isinstance(self._detector, Adaptable):
            self._detector.restore()
        settings = parameters.settings(values, self._threshold())
        self._outputs = Outputs(
            self._cameras, self._log, self._learning.offer, self._camera_problem
        )
        self._engine = Engine(
            self._detector,
            self._masks.generate if self._masks is not None else None,
            self._outputs,
            settings,
            cameras=tuple(self._cameras),
            queue_size=values["queue_size"],
            reload=lambda: self._learning.equip(models.load_detector(values, self._device)),
            ids=self._ids,
        )
        self._seen = {name: diagnostics.Seen() for name in (*self._cameras, "engine")}
        for camera in self._cameras.values():
            camera.subscribe(self._engine.submit)
        if settings.obstacles is None:
            self._log.warn(
                "threshold",
                f"detector {values['detector.name']} has no threshold and threshold.high is not "
                "set: there are scores, but no mask, obstacles or points. Look at ~/score and set "
                "threshold.high between road and obstacles",
            )
        topics = ", ".join(t for camera in self._cameras.values() for t in camera.inputs)
        self.get_logger().info(f"active on {self._device}, waiting for images on {topics}")

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        """Unsubscribe and stop the engine; the models stay loaded."""
        self._disengage("the node was deactivated")
        self._label = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        """Unload the models."""
        self._unload()
        self._label = "unconfigured"
        return SUCCESS

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        """Unload everything."""
        self._unload()
        self._label = "finalized"
        return SUCCESS

    on_error = on_cleanup

    def destroy_node(self) -> None:
        """Destroy the node with its participant, which else keeps 64 MB in /dev/shm."""
        self._state_machine.destroy_when_not_in_use()  # rclpy forgets it
        super().destroy_node()

    def stop(self, timeout: float) -> bool:
        """End all work, from any thread; return whether it ended within `timeout` seconds."""
        self._stopping = True
        self._bond.end()
        deadline = time.monotonic() + timeout
        if self._outputs is not None:
            self._outputs.close()
        if self._masks is not None:
            self._masks.close()
        self._learning.stop()
        engine = self._engine
        return engine is None or engine.close(deadline - time.monotonic())

    def report_fault(self, origin: str, text: str) -> None:
        """Log an exception that reached the executor, and show it in the diagnostics."""
        text = f"exception in {origin}: {text}"
        self._faults.append((time.monotonic(), text))
        self._log.error(origin, text)

    def report_unreadable(self, topic: str) -> None:
        """Log that a message could not be read, and count it."""
        for camera in self._cameras.values():
            camera.unreadable += topic in camera.topics
        self._log.warn(
            f"unreadable {topic}",
            f"a message on {topic} is skipped: it is damaged, or of another definition of its type "
            f"(ros2 topic info -v {topic} shows types and publishers)",
        )

    def _disengage(self, reason: str) -> None:
        self._bond.end()
        self._learning.stop()
        for camera in self._cameras.values():
            camera.unsubscribe()
        if self._outputs is not None:
            self._outputs.close()
        if self._engine is not None:
            # The engine replaces a detector that hangs; one that is still at work is left to it.
            ended = self._engine.close()
            self._detector = self._engine.detector if ended else None
            for name, camera in self._cameras.items():
                camera.publish_problem(reason, self._engine.cameras[name].counters)
        self._engine = self._outputs = None

    def _unload(self) -> None:
        if self._masks is not None:
            self._masks.close()
        self._disengage("the node was shut down")
        for camera in self._cameras.values():
            camera.destroy()
        self._cameras = {}
        self._learning.forget()
        self._masks = self._detector = None

    async def _autostart(self) -> None:
        self.destroy_timer(self._start_timer)
        await self._load_aside()
        if self.trigger_configure() == SUCCESS and not self._stopping:
            self.trigger_activate()

    def _threshold(self) -> float | None:
        """Return the detector's own threshold, None without one."""
        threshold = self._detector.threshold if isinstance(self._detector, HasThreshold) else None
        return None if threshold is None else float(threshold)

    def _high(self) -> float | None:
        return parameters.high_threshold(self._params.values, self._threshold())

    def _on_change(self, values: Mapping[str, Any]) -> None:
        settings = parameters.settings(values, self._threshold())
        if self._engine is not None:
            self._engine.settings = settings

    def _renew_settings(self) -> None:
        """Take the threshold of a new memory."""
        self._on_change(self._params.values)

    def _refine(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        engine = self._engine
        if engine is None:
            response.message = f"the node is {self._label}, not active"
        elif engine.masks is None:
            response.message = "there is no mask generator: masks.name is none"
        elif not any(camera.demand().score for camera in self._cameras.values()):
            response.message = "nobody listens to ~/score or its derived outputs"
        else:
            engine.request_refinement()
            response.success = True
            response.message = "masks of the next image are generated"
        return response

    def _report(self) -> None:
        name, engine = self.get_fully_qualified_name().lstrip("/"), self._engine
        if engine is None:
            statuses = [diagnostics.idle_status(name, self._label, self._problem, self._device)]
        else:
            statuses = self._active_statuses(name, engine)
            self._tell_silence(engine)
            engine.supervise()
            self._check_thresholds()
        diagnostics.add_faults(statuses[0], self._faults, now=time.monotonic())
        array = DiagnosticArray(status=statuses)
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _camera_problem(self, name: str) -> str:
        engine = self._engine
        if engine is None:
            return f"the node is {self._label}"
        return health.problem(self._cameras[name], engine, name, now=time.monotonic())

    def _tell_silence(self, engine: Engine) -> None:
        """Publish the problems of cameras whose images bring no ~/status."""
        for name, camera in self._cameras.items():
            problem = self._camera_problem(name)
            if problem and camera.result_age_s(time.monotonic()) > REPORT_S:
                camera.publish_problem(problem, engine.cameras[name].counters)

    def _check_thresholds(self) -> None:
        seen = [camera.seen for camera in self._cameras.values() if camera.seen.frames >= ENOUGH]
        if not seen:
            return
        limits = (min(one.low for one in seen), max(one.high for one in seen))
        text = parameters.far_threshold(self._params.values, limits, self._threshold())
        key = text and text.partition(",")[0]
        if text is not None and key != self._far:
            self._log.warn("far threshold", text)
        self._far = key

    def _active_statuses(self, name: str, engine: Engine) -> list[Any]:
        now = time.monotonic()
        seen = self._seen["engine"]
        statuses = [
            diagnostics.engine_status(
                name, engine, seen, device=self._device, memory=self._learning.state, now=now
            )
        ]
        for key, camera in self._cameras.items():
            title = f"{name}: camera {key}".removesuffix(" ")
            state, seen = engine.cameras[key], self._seen[key]
            statuses.append(diagnostics.camera_status(title, camera, state, seen, now=now))
        return statuses
