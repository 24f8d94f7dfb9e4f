"""Draws houses, trees and lamps, which are flat or made of flat pieces."""

from __future__ import annotations

import cv2
import numpy as np

from objectomaly_ros.demo.drive.scene import House, Plant
from objectomaly_ros.demo.drive.textures import METRES_PER_TEXEL, Texture
from objectomaly_ros.demo.drive.view import HAZE, NEAR_M, Canvas, Points, View, haze_share


def draw_house(canvas: Canvas, view: View, house: House) -> None:
    """Draw end wall, roof and front of a house."""
    x_min = view.position[0] + 0.8
    if house.end <= x_min:
        return
    y = house.side * house.lateral
    start = max(house.start, x_min)
    if house.start > x_min:
        _draw_end_wall(canvas, view, house)
    ridge = np.array([0, house.side * 3.2, 2.6])
    eaves, foot = np.array([house.start, y, house.height]), np.array([house.start, y, 0.0])
    first_m = start - house.start
    up = ridge / np.linalg.norm(ridge)
    _draw_slanted(canvas, view, house.roof, eaves, up, first_m, house)
    _draw_slanted(canvas, view, house.front, foot, np.array([0, 0, 1.0]), first_m, house)


def draw_plant(canvas: Canvas, view: View, plant: Plant) -> None:
    """Blend a flat tree or bush over the canvas."""
    pixels, depth = view.project(np.array([[0, 0, 0], [0, 0, plant.height]]) + plant.position)
    if depth.min() < 2.0:
        return
    tall = float(pixels[0, 1] - pixels[1, 1])
    left, top = float(pixels[0, 0] - tall / 2), float(pixels[1, 1])
    height, width = canvas.ids.shape
    x0, x1 = int(max(0, left)), int(min(width, left + tall))
    y0, y1 = int(max(0, top)), int(min(height, top + tall))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    finest = plant.pictures[0].shape[0]
    level = int(np.clip(np.log2(max(1.0, finest / tall)) + 0.2, 0, len(plant.pictures) - 1))
    picture = plant.pictures[level]
    scale = picture.shape[0] / tall
    matrix = np.array([[scale, 0, (x0 - left) * scale], [0, scale, (y0 - top) * scale]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(picture, matrix, (x1 - x0, y1 - y0), flags=flags)
    haze = haze_share(float(depth[0]))
    alpha = cv2.merge([seen[..., 3]] * 3)
    colour = cv2.addWeighted(seen[..., :3], 1 - haze, alpha, haze * 0.88, 0)
    part = canvas.image[y0:y1, x0:x1]
    cv2.multiply(part, 255 - alpha, part, 1 / 255)
    cv2.add(part, colour, part)
    canvas.ids[y0:y1, x0:x1][seen[..., 3] > 127] = 0


def draw_lamp(canvas: Canvas, view: View, foot: Points) -> None:
    """Draw a lamp post of 7 m with its arm over the road."""
    arm = np.array([0, -np.sign(foot[1]) * 1.3, 7.4])
    pixels, depth = view.project(foot + np.array([[0, 0, 0], [0, 0, 7.0], arm]))
    if depth.min() < 2.0:
        return
    haze = haze_share(float(depth[0]))
    rgb = tuple(np.array([92, 96, 98]) * (1 - haze) + HAZE * haze)
    wide = view.camera.fx / float(depth[0])
    ends = np.clip(np.round(pixels * 16), -1e6, 1e6).astype(int).tolist()
    for a, b, metres in ((0, 1, 0.13), (1, 2, 0.08)):
        thick = max(1, round(wide * metres))
        cv2.line(canvas.image, ends[a], ends[b], rgb, thick, cv2.LINE_AA, 4)
        cv2.line(canvas.ids, ends[a], ends[b], 0, thick, cv2.LINE_8, 4)


def _draw_slanted(
    canvas: Canvas,
    view: View,
    copies: list[Texture],
    origin: Points,
    up: Points,
    first_m: float,
    house: House,
) -> None:
    """Draw a surface along the street, piece by piece, far pieces first."""
    along = np.array([1.0, 0, 0])
    metres = copies[0].shape[1] * METRES_PER_TEXEL
    tall = copies[0].shape[0] * METRES_PER_TEXEL
    away = house.start + first_m - float(view.position[0])
    count = int((metres - first_m) / max(3.0, away / 5)) + 1
    pieces = np.linspace(first_m, metres, count + 1)
    to_screen = view.plane(origin + up * tall, along, -up)
    height, width = canvas.ids.shape
    for near, far in zip(pieces[-2::-1], pieces[:0:-1], strict=True):
        corners = np.array([[near, 0], [far, 0], [far, tall], [near, tall]])
        world = origin + corners[:, :1] * along + (tall - corners[:, 1:]) * up
        pixels, depth = view.project(world)
        if depth.min() < NEAR_M:
            continue
        low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, [width, height])
        if (high <= low).any():
            continue
        mean = float(depth.mean())
        slant = max(0.5, abs(house.lateral * house.side - view.position[1]))
        footprint = mean**2 / (slant * view.camera.fx)
        level = int(np.clip(np.log2(footprint / METRES_PER_TEXEL) + 0.3, 0, len(copies) - 1))
        texture = copies[level]
        texel = np.diag([texture.shape[1] / metres, texture.shape[0] / tall, 1.0])
        offset = np.array([[1, 0, low[0]], [0, 1, low[1]], [0, 0, 1.0]])
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        matrix = texel @ np.linalg.inv(to_screen) @ offset
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpPerspective(texture, matrix, size, None, flags, cv2.BORDER_REPLICATE)
        haze = haze_share(mean)
        seen = cv2.addWeighted(seen, 1 - haze, seen, 0, haze * 224)
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillConvexPoly(mask, np.round((pixels - low) * 16).astype(np.int32), 1, cv2.LINE_8, 4)
        part = canvas.image[low[1] : high[1], low[0] : high[0]]
        cv2.copyTo(seen, mask, part)


def _draw_end_wall(canvas: Canvas, view: View, house: House) -> None:
    """Draw the wall that faces the camera down the street, with its gable."""
    y, deep, eaves = house.side * house.lateral, house.side * 6.4, house.height
    profile = [(0, 0), (0, eaves), (deep / 2, eaves + 2.6), (deep, eaves), (deep, 0)]
    world = np.array([[house.start, y + a, z] for a, z in profile])
    pixels, depth = view.project(world)
    if depth.min() < NEAR_M:
        return
    haze = haze_share(float(depth.mean()))
    rgb = tuple(np.array(house.wall) * (1 - haze) + HAZE * haze)
    outline = np.clip(np.round(pixels * 16), -1e6, 1e6).astype(np.int32)
    cv2.fillPoly(canvas.image, [outline], rgb, cv2.LINE_8, 4)
