"""The model follows the rules of AEB: what it makes of clouds whose meaning is known."""

import numpy as np
import pytest
from autoware_models import brakes, clusters
from messages_in import cloud

HEIGHTS = np.arange(1, 8) / 10


def posts(x, width, heights=HEIGHTS, step=0.02):
    return [(x, y, z) for y in np.arange(-width / 2, width / 2, step) for z in heights]


@pytest.mark.parametrize(
    ("points", "count"),
    [
        (posts(6, 0.8), 1),
        (posts(6, 0.8) + posts(9, 0.8), 2),
        (posts(6, 0.3), 0),  # 6 voxels of 5 cm, however many heights
        (posts(6, 0.8, heights=[0.0]), 0),  # on the ground
        (posts(6, 4.0, step=0.2), 0),  # too far apart
        ([], 0),
    ],
)
def test_a_cluster_is_ten_voxels_of_which_one_is_high(points, count):
    assert len(clusters(cloud(1.0, points))) == count


def test_aeb_brakes_for_a_cluster_within_the_safe_distance_on_the_path():
    assert brakes(cloud(1.0, posts(6, 0.8)), speed=4.0)
    assert not brakes(cloud(1.0, posts(12, 0.8)), speed=4.0)
    aside = np.add(posts(6, 0.8), [0, 2.0, 0])
    assert not brakes(cloud(1.0, aside), speed=4.0)


def test_aeb_does_nothing_while_there_is_no_cloud():
    assert brakes(None, speed=4.0) is None
