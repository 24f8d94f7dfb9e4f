"""A robot on the rendered street, before it a crate that somebody drops and takes away."""

from dataclasses import replace

import numpy as np

from objectomaly_ros.demo.drive.render import RenderedDrive
from objectomaly_ros.demo.drive.scene import Actor
from objectomaly_ros.demo.drive.unknown import crate
from objectomaly_ros.demo.drive.view import EgoMotion
from objectomaly_ros.geometry.ground import CameraPose

HEIGHT_M, PITCH = 0.6, np.deg2rad(15)
SPEED, RATE_HZ = 0.5, 1.5  # metres a second; images a second
CRATE_AHEAD_M = 3.4  # to its middle, when it is dropped


class Street:
    """Moves on by a frame only if asked to, so that the robot can stand still.

    The base frame's origin is the ground point under the camera; parked cars stand aside.
    """

    def __init__(self):
        self._drive = RenderedDrive(seconds=10, rate_hz=20, width=480, height=270)
        self._drive.rate_hz = RATE_HZ
        pose = CameraPose(HEIGHT_M, PITCH)
        self._drive.motion = EgoMotion(SPEED, 0.0, pose, np.zeros(6))
        aside = [
            actor
            for actor in self._drive.scene.actors
            if not (actor.truth_id or actor.speed) and abs(actor.start[1]) > 3
        ]
        self._empty = replace(self._drive.scene, actors=aside)
        self._drive.scene = self._empty
        self.camera = self._drive.camera
        self.index = 0

    @property
    def pose(self):
        """x, y, yaw of the robot."""
        view = self._drive.motion.view(self.index / RATE_HZ, self.camera)
        ahead = view.rotation[:, 2]
        return (*view.position[:2], np.arctan2(ahead[1], ahead[0]))

    def drop_crate(self):
        """Return the corners, x and y, of the box that it fills."""
        x = self.pose[0] + CRATE_AHEAD_M
        place = np.array([x, 0.1, 0.0])
        dropped = Actor(crate(), place, 0.15, 0.0, (0.55, 0.45), 1, "crate")
        self._drive.scene = replace(self._empty, actors=[*self._empty.actors, dropped])
        return (x - 0.6, -0.4), (x + 0.6, 0.6)

    def take_crate_away(self):
        self._drive.scene = self._empty

    def look(self):
        """Return the image, and the metres on the ground to the crate, None without one."""
        frame = self._drive.frame(self.index)
        ranges = [seen.range_m for seen in frame.truth.objects]
        return frame.image, ranges[0] if ranges else None
