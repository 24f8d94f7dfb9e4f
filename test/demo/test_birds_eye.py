"""Free rays and pictures from above, against outlines of the truth."""

import numpy as np
import pytest

from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.demo.accuracy import AccuracyMeter
from objectomaly_ros.demo.birds_eye import BirdsEye, FreeRoadMeter, passes_through
from objectomaly_ros.demo.frames import read_frames

BOX = np.array([[10.0, -1.0], [11.0, -1.0], [11.0, 1.0], [10.0, 1.0]])


@pytest.mark.parametrize(
    ("end", "through"),
    [
        ((12.2, 0.0), True),
        ((30.0, 2.0), True),
        ((9.9, 0.0), False),  # before it
        ((11.5, 0.0), False),  # at it, with a range that is a little wrong
        ((15.0, 2.0), False),  # beside it
        ((20.2, 2.0), False),  # grazes its corner
        ((-12.0, 0.0), False),
        ((0.0, 12.0), False),
        ((0.0, 0.0), False),
    ],
)
def test_a_ray_passes_through_if_it_ends_behind_the_outline(end, through):
    assert passes_through(np.array([end]), BOX).tolist() == [through]


def frames_of(path):
    with Bag(path) as result:
        return list(read_frames(result))


def test_clouds_are_read_with_their_frame(result_path):
    frames = frames_of(result_path)
    assert [len(frame.points) for frame in frames] == [0, 0, 0, 4, 4, 4]
    assert [len(frame.free) for frame in frames] == [0, 2, 2, 2, 2, 3]
    assert frames[3].points[0] == pytest.approx([25.0, -0.4, 0.1])
    assert frames[3].free[1] == pytest.approx([24.5, 0.2])


def test_rays_through_found_objects_are_counted(result_path, truth):
    meter = AccuracyMeter(truth)
    for frame in frames_of(result_path):
        meter.add(frame)
    road = meter.compute().free_road
    assert (road.frames, road.rays, road.through, road.through_parts) == (5, 11, 1, 0)
    assert road.median_m == pytest.approx(np.hypot(30, 2))
    assert meter.compute().range_error == pytest.approx(0.5 / 20)


@pytest.mark.parametrize(("share", "counts"), [(0.9, (1, 0)), (0.5, (0, 1)), (0.2, (0, 0))])
def test_rays_through_what_is_seen_in_part_are_told_apart(result_path, truth, share, counts):
    meter = FreeRoadMeter(truth)
    meter.add(frames_of(result_path)[-1], {1: share})
    assert (meter.compute().through, meter.compute().through_parts) == counts


def test_the_picture_shows_posts_road_and_outline_at_their_places(result_path, truth):
    frames = frames_of(result_path)
    above = BirdsEye([frames[3].stamp_ns], truth)
    for frame in frames:
        above.add(frame)
    picture = above.picture
    assert picture.shape == (480, 300, 3)
    row, column = 480 - 1 - 25 * 15, 150  # 25 m ahead
    red = (picture[..., 0] > 200) & (picture[..., 1] < 120)
    assert red[row, column - 6]
    assert not red[: row - 3].any()
    white = picture.min(axis=2) > 120
    assert white[row - 16 : row - 13, column].any()  # the back of the sofa
    green = (picture[..., 1] > picture[..., 0] + 30) & ~red
    assert green[row + 60 : row + 100, column - 3 : column + 3].any()
    assert not green[: row - 90].any()


def test_a_drive_without_ranges_has_no_picture(result_path):
    above = BirdsEye([frame.stamp_ns for frame in frames_of(result_path)][:1], None)
    for frame in frames_of(result_path):
        above.add(frame)
    assert above.picture is None
