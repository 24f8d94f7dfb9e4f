"""What the engine remembers of one camera."""

from __future__ import annotations

from dataclasses import dataclass, field

from objectomaly_ros.obstacles.stage import ObstacleStage
from objectomaly_ros.runtime.refiner import Refiner
from objectomaly_ros.runtime.statistics import Rate, Rolling


@dataclass
class Counters:
    """Totals of one camera since the engine started; each is written by one thread."""

    received: int = 0
    scored: int = 0
    refined: int = 0
    dropped: int = 0
    rejected: int = 0
    failed: int = 0


@dataclass
class CameraState:
    """Counters, statistics and memory of one camera.

    Attributes:
        refiner: None where nothing is refined.
        cas_latency: seconds from a frame's arrival to its coarse score being handed out.
        latency: seconds from a frame's arrival to everything being handed out.
        detector: seconds in the detector.
        last_received_s: when the newest frame arrived, on the engine's clock.
        last_stamp_s: of the last frame that was scored, None before the first.
        time_s: image time of that frame: its stamp, and while stamps stand still the time that
            passes between arrivals. A replay at half speed has the times of the drive.
    """

    refiner: Refiner | None = None
    obstacles: ObstacleStage = field(default_factory=ObstacleStage)
    counters: Counters = field(default_factory=Counters)
    rate_in: Rate = field(default_factory=Rate)
    rate_out: Rate = field(default_factory=Rate)
    cas_latency: Rolling = field(default_factory=Rolling)
    latency: Rolling = field(default_factory=Rolling)
    detector: Rolling = field(default_factory=Rolling)
    last_received_s: float | None = None
    last_stamp_s: float | None = None
    time_s: float = 0.0
    _new_stamp_received_s: float = 0.0
    _offset_s: float = 0.0  # image time minus stamp

    def advance(self, stamp_s: float, received_s: float) -> bool:
        """Take the times of the next frame and update `time_s`.

        Return whether its stamp is older than the last one; masks and obstacles are forgotten then.
        """
        last = self.last_stamp_s
        if stamp_s == last:
            self.time_s = stamp_s + self._offset_s + received_s - self._new_stamp_received_s
            return False
        went_back = last is not None and stamp_s < last
        if last is None or went_back:
            self.time_s = stamp_s
        else:
            self.time_s = max(self.time_s, stamp_s + self._offset_s)
        self.last_stamp_s, self._new_stamp_received_s = stamp_s, received_s
        self._offset_s = self.time_s - stamp_s
        if went_back:
            self.obstacles.reset()
            if self.refiner is not None:
                self.refiner.reset()
        return went_back
