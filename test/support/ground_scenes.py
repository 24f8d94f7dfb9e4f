"""Obstacles of known shape on flat ground, as a camera of any model and pose sees them."""

from dataclasses import dataclass

import cv2
import numpy as np

from objectomaly_ros.geometry.camera_model import CameraModel
from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.geometry.view import View


@dataclass
class Solid:
    """A thing on the ground: points of its surface, and its outline on the ground, (N, 2)."""

    surface: np.ndarray
    outline: np.ndarray


def box(x, y, length, width, height, yaw=0.0):
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length / 2, width / 2]
    outline = corners @ turn.T + [x, y]
    share = np.linspace(0, 1, 9)[:, None]
    ring = np.concatenate(
        [a + share * (b - a) for a, b in zip(outline, np.roll(outline, -1, 0), strict=True)]
    )
    surface = np.concatenate([np.column_stack([ring, np.full(len(ring), z)]) for z in (0, height)])
    return Solid(surface, outline)


def ball(x, y, radius):
    up, around = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, 25), np.linspace(0, 2 * np.pi, 48))
    unit = [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)]
    surface = radius * np.stack(unit, -1).reshape(-1, 3) + [x, y, radius]
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return Solid(surface, radius * np.column_stack([np.cos(angle), np.sin(angle)]) + [x, y])


def view_of(model, pose=None, place=(0.0, 0.0), yaw=0.0):
    """Return the view of a camera at x, y in the base frame, that looks to `yaw`."""
    transform = np.eye(4)
    transform[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    transform[:2, 3] = place
    return View(model, transform @ (pose or CameraPose(1.5)).matrix(), "base_link")


def project(points, view):
    """Return the pixels of points of the base frame, (N, 2), and whether they are ahead.

    Far aside of the view, the lens model is no lens any more: such points are not ahead.
    """
    model, there = view.model, np.linalg.inv(view.transform)
    seen = np.asarray(points, float) @ there[:3, :3].T + there[:3, 3]
    matrix = np.array([[model.fx, 0, model.cx], [0, model.fy, model.cy], [0, 0, 1.0]])
    lens = np.array(model.distortion or (0.0, 0, 0, 0))
    still = np.zeros(3)
    ahead = (seen[:, 2] > 0.05) & (np.hypot(seen[:, 0], seen[:, 1]) < 2.2 * seen[:, 2])
    return cv2.projectPoints(seen, still, still, matrix, lens)[0].reshape(-1, 2), ahead


def silhouette(solid, view):
    """Return the pixels that show a convex solid, (H, W) bool; none if it is not all ahead."""
    mask = np.zeros((view.model.height, view.model.width), np.uint8)
    pixels, ahead = project(solid.surface, view)
    if ahead.all() and np.abs(pixels).max() < 1e4:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(pixels).astype(np.int32)), 1)
    return mask.astype(bool)


def road_under(view):
    """Return the pixels that show ground, (H, W) bool."""
    height, width = view.model.height, view.model.width
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
    return (view.directions(pixels)[:, 2] < 0).reshape(height, width)


PINHOLE = CameraModel(500, 500, 320, 180, 640, 360)
SMALL = CameraModel(80, 80, 40, 20, 80, 60)
WIDE = CameraModel(300, 300, 310, 190, 640, 360, (-0.25, 0.06, 0.001, -0.0005, -0.005))
