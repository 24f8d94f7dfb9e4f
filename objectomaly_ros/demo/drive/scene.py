"""Lays out a street by a seed: houses, trees, lamps, traffic, unknown objects."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from objectomaly_ros.demo.drive import facades, textures
from objectomaly_ros.demo.drive.clouds import Solid
from objectomaly_ros.demo.drive.textures import Texture
from objectomaly_ros.demo.drive.traffic import CAR_COLOURS, HATCHBACK, SALOON, VAN, car, person
from objectomaly_ros.demo.drive.unknown import UNKNOWN
from objectomaly_ros.demo.drive.view import Points

VIEW_M = 150.0  # what is farther ahead is not drawn
_LIGHT = {1: 0.82, -1: 1.08}  # the sun stands on the left
_EGO_LATERAL_M = 1.6


@dataclass(frozen=True)
class House:
    """A house front along the street.

    Attributes:
        side: 1 left, -1 right.
        start, end: metres along the street.
        lateral: metres from the street's middle to the front, positive.
        height: of the eaves.
        front, roof: copies for growing distance.
        wall: RGB of the end wall.
    """

    side: int
    start: float
    end: float
    lateral: float
    height: float
    front: list[Texture]
    roof: list[Texture]
    wall: tuple[int, int, int]


@dataclass(frozen=True)
class Plant:
    """A flat tree or bush that faces the camera.

    Attributes:
        position: (3,) of its foot, metres.
        height: metres, also its width.
        pictures: premultiplied RGBA, each half the size of the one before.
    """

    position: Points
    height: float
    pictures: list[Texture]


@dataclass(frozen=True)
class Actor:
    """A solid that stands or moves along the street.

    Attributes:
        solid: its surface.
        start: (3,) metres at time 0.
        heading: radians, 0 looks along the street.
        speed: metres per second along the heading.
        footprint: half length and half width of the shadow under it, metres.
        truth_id: 1, 2, ... for unknown objects, else 0.
        name: what it is.
    """

    solid: Solid
    start: Points
    heading: float
    speed: float
    footprint: tuple[float, float]
    truth_id: int
    name: str

    def position(self, time_s: float) -> Points:
        """Return its place at a time, (3,) metres."""
        step = self.speed * time_s * np.array([np.cos(self.heading), np.sin(self.heading), 0])
        return np.asarray(self.start + step)


@dataclass(frozen=True)
class Scene:
    """A street."""

    ground: list[Texture]
    sky: Texture
    houses: list[House]
    plants: list[Plant]
    lamps: list[Points]
    actors: list[Actor]


def build_scene(seed: int, length_m: float) -> Scene:
    """Lay out a street for a drive of `length_m` metres."""
    streams = [np.random.default_rng([seed, stream]) for stream in range(5)]
    end = length_m + VIEW_M + 20
    houses = _houses(end, streams[1])
    return Scene(
        ground=textures.pyramid(textures.ground(streams[0]), 8),
        sky=textures.sky(2048, 512, streams[0]),
        houses=houses,
        plants=_plants(end, houses, streams[2]),
        lamps=[
            np.array([x, side * 6.0, 0.0])
            for side in (1, -1)
            for x in np.arange(14 + 11 * (side < 0), end, 27.0)
        ],
        actors=_traffic(length_m, end, streams[3]) + _unknown(length_m, streams[4]),
    )


def _houses(end: float, rng: np.random.Generator) -> list[House]:
    houses = []
    for side in (1, -1):
        x = -6.0
        while x < end:
            width = float(rng.uniform(6, 13))
            if rng.random() < 0.14:  # a gap with trees
                x += width
                continue
            style = facades.random_style(_LIGHT[side], rng)
            wall = facades.facade(width, style, rng)
            roof = facades.slates(width, _LIGHT[side], rng)
            mean = wall.reshape(-1, 3).mean(axis=0) * 0.8
            house = House(
                side=side,
                start=x,
                end=x + width,
                lateral=float(rng.choice([8.2, 8.4, 9.4], p=[0.6, 0.25, 0.15])),
                height=style.storeys * style.storey,
                front=textures.pyramid(wall, 7),
                roof=textures.pyramid(roof, 6),
                wall=(int(mean[0]), int(mean[1]), int(mean[2])),
            )
            houses.append(house)
            x += width
    return houses


def _plants(end: float, houses: list[House], rng: np.random.Generator) -> list[Plant]:
    trees = [textures.pyramid(textures.bare_tree(rng), 7, slanted=False) for _ in range(3)]
    bushes = [textures.pyramid(textures.bush(rng), 6, slanted=False) for _ in range(3)]
    plants = []
    for side in (1, -1):
        x = rng.uniform(5, 20)
        while x < end:
            tree = trees[int(rng.integers(len(trees)))]
            place = np.array([x, side * rng.uniform(6.9, 7.4), 0.0])
            plants.append(Plant(place, float(rng.uniform(5.5, 9)), tree))
            x += rng.uniform(14, 34)
        row = sorted((h for h in houses if h.side == side), key=lambda h: h.start)
        for before, after in pairwise(row):  # bushes in the gaps
            for x in np.arange(before.end + 1.5, after.start, 2.5):
                picture = bushes[int(rng.integers(len(bushes)))]
                place = np.array([x, side * rng.uniform(9, 12), 0.0])
                plants.append(Plant(place, float(rng.uniform(2.5, 5)), picture))
    for y in np.arange(-30, 31, 5.0):  # the end of the street
        picture = (trees + bushes)[int(rng.integers(len(trees) + len(bushes)))]
        plants.append(Plant(np.array([end, y, 0.0]), float(rng.uniform(6, 13)), picture))
    return plants


def _traffic(length_m: float, end: float, rng: np.random.Generator) -> list[Actor]:
    shapes = [HATCHBACK, SALOON, HATCHBACK, VAN, SALOON]
    colours = [CAR_COLOURS[i] for i in rng.permutation(len(CAR_COLOURS))]
    cars = [(shape, car(shape, colours[i])) for i, shape in enumerate(shapes)]

    def place(x: float, y: float, heading: float, speed: float) -> Actor:
        shape, solid = cars[int(rng.integers(len(cars)))]
        shadow = (shape.length / 2, shape.width / 2)
        return Actor(solid, np.array([x, y, 0.0]), heading, speed, shadow, 0, "car")

    actors = []
    for side, heading in ((1, 0.0), (-1, np.pi)):
        x = rng.uniform(6, 12)
        while x < end - 30:
            for _ in range(int(rng.integers(1, 4))):
                y = side * (4.25 + rng.normal(0, 0.06))
                actors.append(place(x, y, heading + rng.normal(0, 0.015), 0.0))
                x += rng.uniform(5.3, 6.2)
            x += rng.uniform(6, 22)
    for x in np.arange(70, 2 * length_m + 80, 55.0):  # oncoming
        actors.append(place(x + rng.uniform(-8, 8), -1.7, np.pi, 7.5))
    actors.append(place(46.0, 1.6, 0.0, 8.2))  # ahead, and faster than us
    walkers = [
        person((38, 40, 48), (34, 36, 46), 0.5),
        person((70, 34, 36), (40, 42, 52), 0.35),
        person((84, 80, 70), (30, 30, 32), 0.6),
    ]
    for _ in range(max(2, int(end / 22))):
        solid = walkers[int(rng.integers(len(walkers)))]
        spot = np.array([rng.uniform(15, end), rng.choice([-1, 1]) * rng.uniform(6.4, 7.6), 0.0])
        heading = rng.choice([0.0, np.pi])
        actors.append(Actor(solid, spot, heading, 1.3, (0.25, 0.2), 0, "person"))
    return actors


def _unknown(length_m: float, rng: np.random.Generator) -> list[Actor]:
    """Place an unknown object every 20 m, left and right of the ego car's path, never in it."""
    names = [str(name) for name in rng.permutation(list(UNKNOWN))]
    places = np.arange(24.0, max(25.0, length_m + 10), 20.0)
    actors = []
    for number, x in enumerate(places, start=1):
        name = names[(number - 1) % len(names)]
        offset = (1.75, -1.65)[number % 2] * rng.uniform(0.97, 1.12)
        spot = np.array([x + rng.uniform(-3, 3), _EGO_LATERAL_M + offset, 0.0])
        heading = rng.uniform(-0.5, 0.5)
        actors.append(Actor(UNKNOWN[name](), spot, heading, 0.0, (0.45, 0.5), number, name))
    return actors
