"""The service `~/learn`: live images of normal driving become the detector's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.lifecycle import LifecycleNode
from std_srvs.srv import SetBool

from objectomaly_ros.detectors.memory import Memory
from objectomaly_ros.detectors.memory.learning import Remembers
from objectomaly_ros.models.devices import chosen_device
from objectomaly_ros.ros.parameters import options
from objectomaly_ros.runtime.engine import Engine
from objectomaly_ros.runtime.learner import Job, Learner
from objectomaly_ros.types import Detector, Image


class LearnService:
    """Collects images between two calls, learns aside, and gives the memory to the detector.

    Args:
        node: owns the service.
        values: returns the node's parameters.
        engine: returns the engine, None while the node is not active.
        used: called in another thread when the detector has a new memory.
    """

    def __init__(
        self,
        node: LifecycleNode,
        values: Callable[[], Mapping[str, Any]],
        engine: Callable[[], Engine | None],
        used: Callable[[], None],
    ) -> None:
        self._log = node.get_logger()
        self._values = values
        self._engine = engine
        self._used = used
        self._learner: Learner | None = None
        self._memory: Memory | None = None
        self._collects = False
        self._service = node.create_service(SetBool, "~/learn", self._answer)

    @property
    def state(self) -> str:
        """What the memory does, in words."""
        if self._learner is not None:
            return "collecting images" if self._collects else "learning"
        engine = self._engine()
        detector = None if engine is None else engine.detector
        used = isinstance(detector, Remembers) and detector.memory is not None
        return "in use" if used else "none"

    def offer(self, image: Image) -> None:
        """Take the image of a scored frame."""
        if self._collects and self._learner is not None:
            self._learner.offer(image)

    def equip(self, detector: Detector) -> Detector:
        """Give a detector that was loaded again the memory that was learnt."""
        if self._memory is not None and isinstance(detector, Remembers):
            detector.use(self._memory)
        return detector

    def stop(self) -> None:
        """Give up what is being learnt."""
        self._collects = False
        if self._learner is not None:
            self._learner.close()
            self._learner = None

    def forget(self) -> None:
        """Forget the memory, too."""
        self.stop()
        self._memory = None

    def _answer(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        try:
            response.message = self._begin() if request.data else self._finish()
            response.success = True
        except ValueError as error:
            response.message = str(error)
        return response

    def _begin(self) -> str:
        engine = self._engine()
        if engine is None:
            raise ValueError("the node is not active")
        if not isinstance(engine.detector, Remembers):
            raise ValueError("the detector cannot use a memory; detector.name: embedded can")
        if not engine.detector.has_features:
            raise ValueError("the detector's weights give no features, which a memory needs")
        if self._learner is not None:
            what = "collecting images" if self._collects else "learning"
            raise ValueError(f"it is {what} already")
        values = self._values()
        given = options(values["detector.options"])
        given.pop("memory", None)
        checkpoint = values["detector.checkpoint"] or None
        job = Job(
            values["detector.name"],
            checkpoint,
            chosen_device(str(values["device"]), checkpoint),
            given,
            values["detector.memory_out"],
        )
        self._learner = Learner(job, self._learnt, self._failed)
        self._collects = True
        return "images are normal from now on; call again with false to learn from them"

    def _finish(self) -> str:
        if self._learner is None or not self._collects:
            raise ValueError("it is not collecting images: call with true first")
        self._collects = False
        self._learner.finish()
        return f"learning from about {self._learner.images} images; the log tells the end"

    def _learnt(self, memory: Memory) -> None:
        engine = self._engine()
        self._memory, self._learner = memory, None
        if engine is not None:
            self.equip(engine.detector)
            self._used()
        found = memory.calibration
        self._log.info(
            f"learnt from {found.images} images: the memory is in use; its threshold is "
            f"{found.threshold:.3f}, for which threshold.high stands if that is set"
        )

    def _failed(self, text: str) -> None:
        self._learner = None
        self._log.error(f"nothing is learnt: {text}")
