import numpy as np

from objectomaly_ros.obstacles.stage import MOST_REGIONS, ObstacleSettings, ObstacleStage
from objectomaly_ros.types import Detection

SHAPE = (60, 80)


def detection(*boxes, road=None):
    score = np.zeros(SHAPE, np.float32)
    for x, y, value in boxes:
        score[y : y + 10, x : x + 10] = value
    return Detection(score, road)


def find(stage, seen, settings, stamp=0.0):
    return stage.find(seen, seen.score, stamp, settings)


def test_obstacles_keep_their_ids_from_frame_to_frame():
    stage, settings = ObstacleStage(), ObstacleSettings(high=0.5)
    first = find(stage, detection((10, 40, 1.0), (50, 40, 0.8)), settings, 0.0)
    second = find(stage, detection((52, 41, 0.8), (11, 41, 1.0)), settings, 0.1)
    by_x = lambda obstacles: {r.box[0] // 30: i for r, i in zip(obstacles.regions, obstacles.ids)}  # noqa: E731, B905
    assert len(first.ids) == 2
    assert by_x(first) == by_x(second)
    assert second.ages == [1, 1]


def test_of_a_noisy_score_the_largest_obstacles_are_kept():
    score = np.zeros((200, 200), np.float32)
    score[::4, ::4] = 1  # 2500 obstacles of a pixel
    score[101:103, 101:103] = 1
    found = find(ObstacleStage(), Detection(score), ObstacleSettings(high=0.5))
    assert len(found.regions) == len(found.ids) == MOST_REGIONS
    assert found.regions[0].area == 5
    assert found.mask.sum() == 2504


def test_a_changed_threshold_counts_at_once():
    stage = ObstacleStage()
    seen = detection((10, 40, 0.6))
    assert len(find(stage, seen, ObstacleSettings(high=0.5)).regions) == 1
    assert find(stage, seen, ObstacleSettings(high=0.7)).regions == []


def test_labels_are_free_obstacle_and_ignore():
    polygon = (0.0, 0.5, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0)
    settings = ObstacleSettings(high=0.5, roi="polygon", polygon=polygon)
    labels = find(ObstacleStage(), detection((10, 26, 1.0), (50, 2, 1.0)), settings).labels(100)
    assert labels.dtype == np.uint8
    assert labels[50, 40] == 0  # in the region, nothing there
    assert labels[30, 15] == 100
    assert labels[27, 15] == 100  # an obstacle that stands in the region keeps its upper part
    assert labels[5, 55] == 255  # one outside is not claimed
    assert labels[5, 5] == 255
    assert set(np.unique(labels)) == {0, 100, 255}


def test_without_a_region_of_interest_nothing_is_ignored():
    labels = find(ObstacleStage(), detection((50, 2, 1.0)), ObstacleSettings(high=0.5)).labels()
    assert set(np.unique(labels)) == {0, 1}


def test_the_road_is_the_detectors_and_anywhere_where_it_knows_none():
    road = np.zeros(SHAPE, bool)
    road[30:, 20:60] = True
    settings = ObstacleSettings(high=0.5, roi="road")
    boxes = (30, 40, 1.0), (68, 5, 1.0)
    assert len(find(ObstacleStage(), detection(*boxes, road=road), settings).regions) == 1
    assert len(find(ObstacleStage(), detection(*boxes), settings).regions) == 2


def test_no_id_is_used_again_after_a_reset():
    stage, settings = ObstacleStage(), ObstacleSettings(high=0.5)
    for x in (10, 60):
        find(stage, detection((x, 40, 1.0)), settings)
    stage.reset()
    assert find(stage, detection((10, 40, 1.0)), settings).ids == [3]


def test_tracking_settings_and_image_size_may_change():
    stage = ObstacleStage()
    find(stage, detection((10, 40, 1.0)), ObstacleSettings(high=0.5))
    assert find(stage, detection((10, 40, 1.0)), ObstacleSettings(high=0.5, max_missed=0)).ages == [
        0
    ]
    large = Detection(np.ones((100, 100), np.float32))
    assert find(stage, large, ObstacleSettings(high=0.5)).ids == [3]
