"""Draws the sky, the street and the shadows."""

from __future__ import annotations

import cv2
import numpy as np

from objectomaly_ros.demo.drive.scene import Actor
from objectomaly_ros.demo.drive.textures import (
    GROUND_HALF_WIDTH_M,
    GROUND_LENGTH_M,
    METRES_PER_TEXEL,
    Texture,
)
from objectomaly_ros.demo.drive.view import NEAR_M, Canvas, Points, View, haze_share, turn_about_z

# How far a shadow reaches beyond the footprint (m), and the light that is left (0..255).
_RINGS = ((0.34, 232), (0.2, 196), (0.08, 150), (-0.06, 104))


def draw_sky(canvas: Canvas, view: View, sky: Texture) -> None:
    """Draw the sky, which turns with the camera but never comes nearer."""
    height, width = canvas.ids.shape
    forward = view.rotation[:, 2]
    yaw = np.arctan2(forward[1], forward[0])
    scale = width / 1280
    shift_x = sky.shape[1] / 2 * scale - width / 2 - yaw * view.camera.fx
    shift_y = sky.shape[0] * scale - view.horizon_row - 12 * scale
    matrix = np.array([[1 / scale, 0, shift_x / scale], [0, 1 / scale, shift_y / scale]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rows = int(np.clip(view.horizon_row + 30 * scale, 1, height))
    target = canvas.image[:rows]
    cv2.warpAffine(sky, matrix, (width, rows), target, flags, cv2.BORDER_REPLICATE)


def draw_ground(canvas: Canvas, view: View, copies: list[Texture]) -> None:
    """Draw the street in bands of rows, each from the copy that fits its distance."""
    height, width = canvas.ids.shape
    focal, camera_height = view.camera.fy, view.position[2]
    top = int(view.horizon_row + 0.012 * width) - 6
    origin = np.array([0.0, GROUND_HALF_WIDTH_M, 0.0])
    to_screen = view.plane(origin, np.array([1.0, 0, 0]), np.array([0, -1.0, 0]))
    row = max(0, top)
    while row < height:
        below = max(1.5, row - view.horizon_row)
        distance = camera_height * focal / below
        footprint = distance**2 / (camera_height * focal)
        level = int(np.clip(np.log2(footprint / METRES_PER_TEXEL) + 0.5, 0, len(copies) - 1))
        # The next finer copy begins at the end of the band.
        limit = METRES_PER_TEXEL * 2 ** (level - 0.5)
        end = view.horizon_row + focal * camera_height / np.sqrt(limit * camera_height * focal)
        last = height if level == 0 else int(np.clip(end, row + 2, height))
        texture = copies[level]
        per_u = texture.shape[1] / GROUND_LENGTH_M
        per_v = texture.shape[0] / (2 * GROUND_HALF_WIDTH_M)
        x0 = np.floor(view.position[0] / GROUND_LENGTH_M) * GROUND_LENGTH_M
        texel = np.array([[per_u, 0, -x0 * per_u - 0.5], [0, per_v, -0.5], [0, 0, 1]])
        band = np.array([[1, 0, 0], [0, 1, row], [0, 0, 1.0]])
        part = canvas.image[row:last]
        matrix = texel @ np.linalg.inv(to_screen) @ band
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpPerspective(texture, matrix, (width, last - row), part, flags, cv2.BORDER_WRAP)
        haze = haze_share(distance)
        cv2.addWeighted(part, 1 - haze, part, 0, haze * 224, part)
        row = last


def draw_shadows(canvas: Canvas, view: View, actors: list[tuple[Actor, Points]]) -> None:
    """Darken the ground under every actor, most at the middle."""
    height, width = canvas.ids.shape
    shade = np.full((height // 2, width // 2), 255, np.uint8)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rounded = np.sign(circle) * np.abs(circle) ** 0.6
    for actor, place in actors:
        if place[0] - view.position[0] > 70:
            continue
        away = float(place[0] - view.position[0])
        for grow, value in _RINGS if away < 25 else _RINGS[1::2]:
            ring = rounded * (np.array(actor.footprint) + grow)
            ring = ring @ turn_about_z(actor.heading)[:2, :2].T
            points = np.column_stack([ring, np.zeros(len(ring))]) + place
            pixels, depth = view.project(points)
            if depth.min() > NEAR_M:
                cv2.fillPoly(shade, [np.round(pixels / 2 * 16).astype(np.int32)], value, 8, 4)
    top = int(np.clip(view.horizon_row, 0, height - 2)) // 2
    shade = cv2.GaussianBlur(shade[top:], (0, 0), width / 640)
    part = canvas.image[2 * top :]
    wide = cv2.resize(shade, (width, part.shape[0]))
    cv2.multiply(part, cv2.merge([wide] * 3), part, 1 / 255)
