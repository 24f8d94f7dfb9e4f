import numpy as np
import pytest
from scipy import ndimage

from objectomaly_ros.obstacles.extraction import contact_edge, find_regions, obstacle_mask
from objectomaly_ros.obstacles.roi import polygon_roi, road_roi


def blank(height=40, width=60):
    return np.zeros((height, width), np.float32)


def test_hysteresis_keeps_weak_pixels_only_around_a_strong_one():
    score = blank()
    score[5:10, 5:10] = 0.6
    score[7, 7] = 0.9
    score[20:25, 5:10] = 0.6  # never reaches the high threshold
    mask = obstacle_mask(score, 0.8, low=0.5)
    assert mask[5:10, 5:10].all()
    assert mask.sum() == 25
    assert obstacle_mask(score, 0.8).sum() == 1


@pytest.mark.parametrize("seed", range(5))
def test_equals_an_independent_hysteresis_on_random_maps(seed):
    rng = np.random.default_rng(seed)
    score = ndimage.gaussian_filter(rng.random((50, 70)), 1.0).astype(np.float32)
    low, high = np.quantile(score, [0.7, 0.9])
    labels, count = ndimage.label(score > low, np.ones((3, 3)))
    expected = np.zeros(score.shape, bool)
    for label in range(1, count + 1):
        component = labels == label
        if component.sum() >= 9 and (score[component] > high).any():
            expected |= component
    assert expected.any()
    np.testing.assert_array_equal(obstacle_mask(score, high, low=low, min_area=9), expected)


def test_thresholds_are_strict_so_a_plateau_at_the_threshold_is_no_obstacle():
    score = blank()
    score[5:10, 5:10] = 0.5
    assert not obstacle_mask(score, 0.5).any()
    assert obstacle_mask(score, np.nextafter(np.float32(0.5), np.float32(0))).sum() == 25
    score[7, 7] = 0.9
    assert obstacle_mask(score, 0.8, low=0.5).sum() == 1


def test_components_touch_over_corners():
    score = blank()
    for k in range(5):
        score[10 + k, 10 + k] = 1
    assert obstacle_mask(score, 0.5, min_area=5).sum() == 5
    assert not obstacle_mask(score, 0.5, min_area=6).any()


def test_nan_is_never_an_obstacle():
    score = blank()
    score[3:6, 3:6] = np.nan
    score[20, 20] = 1
    mask = obstacle_mask(score, 0.5, low=-1.0)
    assert not mask[3:6, 3:6].any()
    assert mask[20, 20]


def test_roi_decides_on_the_foot_and_keeps_the_obstacle_whole():
    score = blank()
    score[5:30, 10:15] = 1  # reaches from the sky down on the road
    score[5:15, 40:45] = 1  # hangs above the road
    roi = np.zeros(score.shape, bool)
    roi[25:] = True
    mask = obstacle_mask(score, 0.5, roi=roi)
    assert mask[5:30, 10:15].all()
    assert not mask[:, 40:45].any()


def test_roi_keeps_an_obstacle_that_has_grown_together_with_clutter_beside_the_road():
    score = blank()
    score[10:20, 5:40] = 1  # clutter, its foot beside the road
    score[10:32, 25:40] = 1  # the obstacle, standing on the road
    roi = np.zeros(score.shape, bool)
    roi[25:] = True
    assert obstacle_mask(score, 0.5, roi=roi)[31, 30]


def test_an_empty_roi_and_an_empty_score_give_nothing():
    score = blank()
    assert not obstacle_mask(score, 0.5).any()
    score[5:9, 5:9] = 1
    assert not obstacle_mask(score, 0.5, roi=np.zeros(score.shape, bool)).any()


def test_bad_arguments_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"low threshold 0\.9.*0\.8"):
        obstacle_mask(blank(), 0.8, low=0.9)
    with pytest.raises(ValueError, match=r"\(3, 3\).*\(40, 60\)"):
        obstacle_mask(blank(), 0.8, roi=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="must agree"):
        find_regions(np.ones((3, 3), bool), blank())


def test_regions_describe_their_pixels():
    score = blank()
    score[10:14, 20:30] = 0.5
    score[11, 25] = 0.9
    score[30:32, 2:4] = 0.7
    mask = score > 0
    large, small = find_regions(mask, score)
    assert large.box == (20, 10, 10, 4)
    assert large.area == 40
    assert large.score == pytest.approx((39 * 0.5 + 0.9) / 40)
    assert large.max_score == pytest.approx(0.9)
    assert large.centroid == pytest.approx((24.5, 11.5))
    assert {tuple(p) for p in large.contour} == {(20, 10), (29, 10), (29, 13), (20, 13)}
    np.testing.assert_array_equal(large.contact, [(x, 13) for x in range(20, 30)])
    assert small.box == (2, 30, 2, 2)
    assert [r.box for r in find_regions(mask, score, limit=1)] == [large.box]


@pytest.mark.parametrize("seed", range(5))
def test_regions_partition_any_mask(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.random((60, 80)), 1.5) > 0.51
    score = rng.random(mask.shape).astype(np.float32)
    regions = find_regions(mask, score)
    assert sum(r.area for r in regions) == mask.sum()
    assert sum(r.area * r.score for r in regions) == pytest.approx(
        float(score[mask].sum()), rel=1e-5
    )
    assert len(regions) == ndimage.label(mask, np.ones((3, 3)))[1]
    for region in regions:
        x, y, w, h = region.box
        assert mask[region.contact[:, 1], region.contact[:, 0]].all()
        assert 0 < len(region.contact) <= w
        assert region.contact[:, 1].max() == y + h - 1
        assert (region.contour >= (x, y)).all()
        assert (region.contour < (x + w, y + h)).all()
        assert mask[region.contour[:, 1], region.contour[:, 0]].all()


def test_contact_edge_is_the_lowest_pixel_of_each_column():
    mask = np.zeros((20, 20), bool)
    mask[2:16, 3:6] = True
    mask[2:17, 6] = True
    np.testing.assert_array_equal(contact_edge(mask), [(3, 15), (4, 15), (5, 15), (6, 16)])
    assert contact_edge(np.zeros((4, 4), bool)).shape == (0, 2)


def test_contact_edge_leaves_out_what_hangs_in_the_air():
    mask = np.zeros((60, 120), bool)
    mask[10:50, 20:40] = True
    mask[10:20, 12:48] = True  # arms, 30 rows above the foot
    np.testing.assert_array_equal(contact_edge(mask)[:, 0], np.arange(20, 40))
    wall = np.zeros((60, 120), bool)
    for x in range(120):  # a wall that runs away from the camera touches the ground all along
        wall[20 : 58 - x // 4, x] = True
    assert len(contact_edge(wall)) == 120


def test_polygon_is_in_fractions_of_any_image():
    square = [(0.25, 0.5), (0.75, 0.5), (0.75, 1.0), (0.25, 1.0)]
    for shape in ((40, 80), (360, 480)):
        inside = polygon_roi(square, shape)
        assert inside.shape == shape
        assert inside.mean() == pytest.approx(0.25, abs=0.03)
        assert not inside[: shape[0] // 2 - 1].any()
        assert inside[-1, shape[1] // 2]
        np.testing.assert_array_equal(inside, polygon_roi(np.ravel(square), shape))


@pytest.mark.parametrize(
    "points", [[], [0, 0, 1, 1], [0, 0, 1, 0, 1], [0, 0, 300, 0, 300, 200], [0, 0, 1, 0, np.nan, 1]]
)
def test_polygon_that_is_none_is_refused(points):
    with pytest.raises(ValueError, match="polygon"):
        polygon_roi(points, (40, 60))


def road_scene():
    """A straight road in perspective, (H, W) bool, horizon at row 40."""
    rows, columns = np.indices((120, 160))
    return (rows >= 40) & (np.abs(columns - 80) <= (rows - 38) * 0.8)


def test_road_roi_closes_over_the_holes_that_obstacles_cut():
    road = road_scene()
    cut = road.copy()
    cut[60:80, 70:90] = False  # an obstacle on the road
    cut[20:45, 78:84] = False  # one at its end, over the horizon
    cut[100:120, 40:120] = False  # one that the image's border cuts off
    roi = road_roi(cut, margin_px=0)
    np.testing.assert_array_equal(roi[43:], road[43:])  # rows 40 to 42 are hidden altogether
    assert roi[44, 78:84].all()


def test_road_roi_reaches_under_a_vehicle_that_hides_all_of_the_near_road():
    cut = road_scene()
    cut[90:] = False
    assert road_roi(cut)[119, 60:100].all()


def test_road_roi_ignores_specks_and_grows_by_its_margin():
    road = road_scene()
    speckled = road.copy()
    speckled[45, 2] = speckled[10, 100] = True
    np.testing.assert_array_equal(road_roi(speckled, margin_px=0), road)
    grown = road_roi(road, margin_px=3)
    np.testing.assert_array_equal(grown, ndimage.binary_dilation(road, np.ones((7, 7))))
    with pytest.raises(ValueError, match="-1"):
        road_roi(road, margin_px=-1)


def test_where_no_road_is_seen_every_obstacle_counts():
    road = np.zeros((100, 100), bool)
    assert road_roi(road).all()
    road[50, 50:54] = True
    assert road_roi(road).all()


def test_objects_of_street_scenes_stand_in_the_roi_of_the_ground_around_them(shared_dir):
    """Ground = labelled road and pavement without the objects, as a perfect detector sees it."""
    import cv2

    kept = total = 0
    elsewhere = []
    for path in sorted((shared_dir / "data/street_ood/dev/labels_masks").glob("*.png"))[::4]:
        anomaly = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) == 1
        labels = cv2.imread(
            str(shared_dir / "data/camvid/val/labels" / path.name), cv2.IMREAD_UNCHANGED
        )
        band = ndimage.binary_dilation(anomaly, iterations=2)
        roi = road_roi(np.isin(labels, (3, 4)) & ~band)
        elsewhere.append(roi[np.isin(labels, (0, 1, 5)) & ~band].mean())  # sky, building, tree
        score = anomaly.astype(np.float32)
        total += len(find_regions(obstacle_mask(score, 0.5, min_area=30), score))
        kept += len(find_regions(obstacle_mask(score, 0.5, min_area=30, roi=roi), score))
    assert total >= 20
    assert kept >= 0.95 * total
    assert np.mean(elsewhere) < 0.1
