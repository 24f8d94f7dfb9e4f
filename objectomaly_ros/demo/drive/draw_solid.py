"""Draws solids (cars, people, unknown objects) as clouds of shaded points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from objectomaly_ros.demo.drive.clouds import Cloud, Values
from objectomaly_ros.demo.drive.scene import Actor
from objectomaly_ros.demo.drive.view import (
    HAZE,
    NEAR_M,
    Canvas,
    Points,
    View,
    haze_share,
    turn_about_z,
)

_SUN = np.array([-0.35, 0.45, 0.82]) / np.linalg.norm([-0.35, 0.45, 0.82])


def draw_actor(canvas: Canvas, view: View, actor: Actor, place: Points) -> None:
    """Draw a solid as shaded surface points; the nearest point of a pixel is seen."""
    pixel, depth = view.project(place[None])
    reach = 3.0 * view.camera.fx / max(1.0, float(depth[0]))
    if not -1.0 < depth[0] < 400 or not -reach < pixel[0, 0] < canvas.ids.shape[1] + reach:
        return
    nearest = max(NEAR_M, float(depth[0]) - max(actor.footprint))
    cloud = actor.solid.at(view.camera.fx / nearest)
    # Moving the camera into the solid's frame is cheaper than moving every point.
    turn = turn_about_z(actor.heading)
    eye = ((view.position - place) @ turn).astype(np.float32)
    to_pixels = (view.matrix @ view.rotation.T @ turn).astype(np.float32)
    to_eye = eye - cloud.points
    facing = np.einsum("ij,ij->i", to_eye, cloud.normals)
    depths = (cloud.points - eye) @ to_pixels[2]
    shown = np.flatnonzero((facing > 0) & (depths > NEAR_M))
    if len(shown) == 0:
        return
    order = shown[np.argsort(-depths[shown], kind="stable")]
    depths, towards = depths[order], to_eye[order]
    scale = 1 / np.sqrt(np.einsum("ij,ij->i", towards, towards))
    colour = _shade(cloud, order, facing[order] * scale, towards[:, 2] * scale, _SUN @ turn)
    haze = np.float32(haze_share(float(depth[0])))
    colour = colour * (1 - haze) + HAZE.astype(np.float32) * haze
    pixels = (-towards @ to_pixels[:2].T) / depths[:, None]
    frame = np.array(canvas.ids.shape[::-1])
    inside = np.flatnonzero(np.all(np.abs(pixels - frame / 2) < frame / 2 + 24, axis=1))
    if len(inside) == 0:
        return
    gap = cloud.spacing * view.camera.fx / float(depths[inside[-1]])  # of the nearest point
    size = int(np.clip(np.ceil(1.15 * gap), 1, 24))
    shades = np.clip(colour[inside], 0, 255).astype(np.uint8)
    _splat(canvas, pixels[inside], shades, size, actor.truth_id)


def _shade(
    cloud: Cloud, order: npt.NDArray[np.int64], facing: Values, towards_z: Values, sun: Points
) -> Values:
    """Return colours lit by sky and sun, darker near the ground, with the sky reflected."""
    normals = cloud.normals[order]
    facing = np.clip(facing, 0, 1)
    near_ground = 0.62 + 0.38 * np.clip(cloud.points[order, 2] / 0.35, 0, 1)
    direct = 0.5 * np.clip(normals @ sun.astype(np.float32), 0, 1)
    light = (0.5 + 0.42 * normals[:, 2] + direct) * near_ground
    up = np.clip((2 * facing * normals[:, 2] - towards_z) * 1.6 + 0.15, 0, 1)
    fresnel = cloud.gloss[order] * (0.18 + 0.82 * (1 - facing) ** 3)
    shaded = cloud.albedo[order] * light[:, None] + (fresnel * (20 + 215 * up))[:, None]
    return np.asarray(shaded, np.float32)


def _splat(
    canvas: Canvas, pixels: Points, colours: npt.NDArray[np.uint8], size: int, truth_id: int
) -> None:
    """Paint a square of `size` pixels for each point, later ones over earlier ones."""
    height, width = canvas.ids.shape
    x, y = np.floor(pixels.T - (size - 1) / 2 + 0.5).astype(np.int64)
    inside = (x > -size) & (x < width) & (y > -size) & (y < height)
    x, y, colours = x[inside], y[inside], colours[inside]
    if len(x) == 0:
        return
    low = (int(x.min()), int(y.min()))
    columns, rows = int(x.max()) - low[0] + size, int(y.max()) - low[1] + size
    first = (y - low[1]) * columns + x - low[0]
    steps = (np.arange(size)[:, None] * columns + np.arange(size)[None]).ravel()
    top = np.full(rows * columns, -1, np.int32)
    # numpy writes in order: the nearest point comes last and stays.
    top[(first[:, None] + steps).ravel()] = np.repeat(
        np.arange(len(first), dtype=np.int32), size**2
    )
    seen = top.reshape(rows, columns)
    x0, y0 = max(0, low[0]), max(0, low[1])
    x1, y1 = min(width, low[0] + columns), min(height, low[1] + rows)
    part = seen[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]]
    hit = part >= 0
    canvas.image[y0:y1, x0:x1][hit] = colours[part[hit]]
    canvas.ids[y0:y1, x0:x1][hit] = truth_id
