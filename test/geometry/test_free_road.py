"""The hard rule: no free ray leads through an obstacle that was found, or through a doubt."""

import numpy as np
import pytest
from ground_scenes import (
    PINHOLE,
    SMALL,
    WIDE,
    ball,
    box,
    project,
    road_under,
    silhouette,
    view_of,
)

from objectomaly_ros.geometry.beams import Beams, BeamSettings
from objectomaly_ros.geometry.free_road import free_pixels, free_ranges
from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.geometry.placement import place
from objectomaly_ros.geometry.scan import scan_ranges
from objectomaly_ros.obstacles.extraction import find_regions
from objectomaly_ros.obstacles.stage import Obstacles

SETTINGS = BeamSettings()


def found_in(mask, roi=None):
    regions = find_regions(mask, mask.astype(np.float32))
    return Obstacles(mask, roi, regions, list(range(1, 1 + len(regions))), [0] * len(regions))


def look(view, road, obstacles, score=None, threshold=0.5, settings=SETTINGS):
    beams = Beams(view, road.shape, np.eye(4), settings)
    placements = place(obstacles.regions, view)
    score = obstacles.mask.astype(np.float32) if score is None else score
    free = free_pixels(road, obstacles, score, threshold)
    return beams, free, free_ranges(beams, free, obstacles.regions, placements, view), placements


def crosses(begins, ends, outline):
    """Whether segments of rays from the origin meet a convex polygon, counter-clockwise.

    Args:
        begins: shares of the rays at which the segments begin.
        ends: of the rays.
        outline: the polygon.
    """
    inward = np.roll(outline, -1, axis=0) - outline
    inward = np.column_stack([-inward[:, 1], inward[:, 0]])
    offset = -(inward * outline).sum(axis=1)
    slope = ends @ inward.T
    with np.errstate(divide="ignore"):
        meets = -offset / slope
    low = np.where(slope > 0, meets, 0.0).max(axis=1)
    high = np.where(slope < 0, meets, 1.0).min(axis=1)
    outside = ((slope == 0) & (offset < 0)).any(axis=1)
    return (np.maximum(low, begins) < np.minimum(high, 1.0)) & ~outside


def random_scene(rng):
    model = [PINHOLE, SMALL, WIDE][rng.integers(3)]
    pose = CameraPose(rng.uniform(0.4, 2.5), rng.uniform(-0.05, 0.5), rng.uniform(-0.1, 0.1))
    origin, yaw = rng.uniform([-0.5, -0.8], [2.0, 0.8]), rng.uniform(-np.pi, np.pi)
    view = view_of(model, pose, origin, yaw)
    solids = []
    for _ in range(rng.integers(1, 5)):
        bearing, distance = yaw + rng.uniform(-0.6, 0.6), rng.uniform(1.5, 25)
        x, y = origin + distance * np.array([np.cos(bearing), np.sin(bearing)])
        if rng.random() < 0.4:
            solids.append(ball(x, y, rng.uniform(0.1, 0.5)))
        else:
            solids.append(box(x, y, *rng.uniform(0.15, 2.0, 3), yaw=rng.uniform(0, np.pi)))
    road = road_under(view)
    for _ in range(rng.integers(0, 4)):
        row, column = rng.integers(0, model.height), rng.integers(0, model.width)
        size = rng.integers(1, 12)
        road[row : row + size, column : column + size] = False
    return view, road, solids


@pytest.mark.parametrize("seed", range(24))
def test_no_free_ray_leads_through_an_obstacle_or_a_doubt(seed):
    rng = np.random.default_rng(seed)
    for _ in range(3):
        view, road, solids = random_scene(rng)
        masks = [silhouette(solid, view) for solid in solids]
        obstacles = found_in(np.any(masks, axis=0))
        beams, free, ranges, placements = look(view, road, obstacles)
        ends = ranges[:, None] * np.column_stack([np.cos(beams.angles), np.sin(beams.angles)])
        scan = scan_ranges(
            beams, ranges, placements, range_min=0.1, range_max=30.0, inf_is_valid=True
        )
        assert (ranges[scan == np.inf] == 30.0).all()
        some = ranges > 0
        unseen = beams._seen_from[some] / ranges[some]
        for solid, mask in zip(solids, masks, strict=True):
            if mask.any():
                assert not crosses(unseen, ends[some], solid.outline).any()
        _assert_road(ends[some], unseen, free, view)


def _assert_road(ends, unseen, free, view):
    """All that the camera sees of rays is free, and after the unseen share it sees all of them."""
    share = np.linspace(0.001, 0.999, 300)
    ground = np.zeros((len(ends), len(share), 3))
    ground[..., :2] = ends[:, None] * share[:, None]
    pixels, ahead = project(ground.reshape(-1, 3), view)
    pixels = np.rint(np.where(ahead[:, None], pixels, -9)).astype(int)
    size = np.array(free.shape)[::-1]
    inside = (pixels >= 0).all(axis=1) & (pixels < size).all(axis=1)
    assert free[pixels[inside, 1], pixels[inside, 0]].all()
    seen = (pixels >= -1).all(axis=1) & (pixels <= size).all(axis=1)  # but for a pixel
    seen = seen.reshape(len(ends), len(share))
    begun = np.maximum.accumulate(seen & (share >= unseen[:, None]), axis=1)
    assert (seen | ~begun).all()
    assert (begun[:, -1] | (unseen > 0.9)).all()


def test_an_empty_road_is_free():
    view = view_of(PINHOLE)
    empty = np.zeros((360, 640), bool)
    _, _, ranges, _ = look(view, road_under(view), found_in(empty))
    assert (ranges[2:-2] == 30.0).all()


def test_the_flanks_of_a_ball_hide_no_free_road():
    """Their pixels are seen far behind the contact point, over which they hang."""
    view = view_of(PINHOLE)
    solid = ball(8.0, 0.0, 0.6)
    obstacles = found_in(silhouette(solid, view))
    beams, _, ranges, _ = look(view, road_under(view), obstacles)
    flank = np.abs(np.abs(beams.angles) - np.arcsin(0.55 / 8.0)) < 0.004
    assert flank.sum() >= 2
    assert (ranges[flank] < 8.0).all()
    assert (ranges[np.abs(beams.angles) > 0.1][3:-3] == 30.0).all()


def test_free_road_ends_before_an_obstacle_by_its_deviation_and_overhang():
    view = view_of(PINHOLE)
    mask = np.zeros((360, 640), bool)
    mask[205:256, 300:341] = True
    beams, _, ranges, (placed,) = look(view, road_under(view), found_in(mask))
    margin = placed.nearest_std + 0.5
    assert ranges[beams.count // 2] == pytest.approx(10.0 - margin, abs=0.02)


def test_an_obstacle_too_far_to_be_placed_still_ends_free_road():
    view = view_of(PINHOLE)
    mask = np.zeros((360, 640), bool)
    mask[180:206, 300:341] = True  # 29 m
    obstacles = found_in(mask)
    beams = Beams(view, mask.shape, np.eye(4), SETTINGS)
    unplaced = place(obstacles.regions, view, max_range=20)
    free = free_pixels(road_under(view), obstacles, mask.astype(np.float32), 0.5)
    ranges = free_ranges(beams, free, obstacles.regions, unplaced, view)
    assert ranges[beams.count // 2] == pytest.approx(27.3, abs=0.1)


def test_what_is_not_reported_as_an_obstacle_is_not_free_either():
    road = np.ones((6, 8), bool)
    mask, roi = np.zeros((6, 8), bool), np.ones((6, 8), bool)
    roi[1, 1], road[2, 2] = False, False
    score = np.zeros((6, 8), np.float32)
    score[3, 3], score[4, 4], score[5, 5] = 0.6, 0.5, np.nan
    free = free_pixels(road, found_in(mask, roi), score, 0.5)
    assert set(zip(*np.nonzero(~free), strict=True)) == {(1, 1), (2, 2), (3, 3), (5, 5)}
    mask[0, 7] = True
    free = free_pixels(np.ones((6, 8), bool), found_in(mask), score, None)
    assert not free[:3, 5:].any()
    assert free.sum() == 48 - 9


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7])
def test_no_free_ray_passes_an_obstacle_that_depth_places_nearer_than_the_ground_plane(share):
    """Up a ramp; the contact point's z is set to 0, so its distance is not that along the ray."""
    mask = np.zeros((360, 640), bool)
    mask[142:151, 200:440] = True
    obstacles = found_in(mask)
    view = view_of(PINHOLE, CameraPose(1.5, 0.6))
    on_plane = place(obstacles.regions, view)[0].range_m
    depth = np.full(mask.shape, share * on_plane, np.float32)
    placements = place(obstacles.regions, view, depth)
    assert placements[0].by_depth
    beams = Beams(view, mask.shape, np.eye(4), BeamSettings(range_max=20.0))
    free = free_pixels(np.ones_like(mask), obstacles, mask.astype(np.float32), 0.5)
    ranges = free_ranges(beams, free, obstacles.regions, placements, view)
    nearest = beams.nearest(placements[0].points, placements[0].pixels)
    margin = placements[0].range_std.min()
    assert np.isfinite(nearest).any()
    assert (ranges <= np.maximum(nearest - margin, 0.0) + 1e-6).all()
