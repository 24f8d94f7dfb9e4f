import pytest

from objectomaly_ros.runtime.score_sync import ScoreSynchronizer


@pytest.fixture
def matcher():
    return ScoreSynchronizer(size=3)


def test_either_may_come_first(matcher):
    assert matcher.image(1, "image 1") is None
    assert matcher.score(1, "map 1") == ("image 1", "map 1")
    assert matcher.score(2, "map 2") is None
    assert matcher.image(2, "image 2") == ("image 2", "map 2")
    assert len(matcher) == matcher.images_alone == matcher.scores_alone == 0


def test_other_stamps_do_not_match(matcher):
    assert matcher.image(1, "image") is None
    assert matcher.score(2, "map") is None


def test_a_pair_comes_out_once(matcher):
    matcher.image(1, "image")
    assert matcher.score(1, "map") is not None
    assert matcher.score(1, "map again") is None


def test_a_slow_detector_that_skips_images_leaves_them_alone(matcher):
    for stamp in (1, 2, 3):
        matcher.image(stamp, f"image {stamp}")
    assert matcher.score(2, "map 2") == ("image 2", "map 2")
    assert (matcher.images_alone, len(matcher)) == (1, 1)
    assert matcher.score(1, "map 1") is None  # overtaken: what comes out is in order
    assert matcher.score(3, "map 3") == ("image 3", "map 3")
    assert (matcher.images_alone, matcher.scores_alone) == (1, 1)


def test_beyond_capacity_the_oldest_goes_and_is_counted(matcher):
    for stamp in range(5):
        matcher.image(stamp, f"image {stamp}")
    assert (matcher.images_alone, len(matcher)) == (2, 3)
    assert matcher.score(1, "map 1") is None
    assert matcher.score(2, "map 2") == ("image 2", "map 2")
    for stamp in range(10, 15):
        matcher.score(stamp, "map")
    assert matcher.scores_alone == 3  # map 1, 10 and 11


def test_of_two_with_one_stamp_the_newer_wins(matcher):
    matcher.image(0, "old")
    matcher.image(0, "new")
    assert matcher.score(0, "map") == ("new", "map")
    assert matcher.images_alone == 1


def test_a_bag_that_loops_meets_nothing_of_the_last_round(matcher):
    end = 100 * 10**9
    matcher.image(end, "late in round 1")
    matcher.image(1, "early in round 2")
    assert matcher.score(1, "map") == ("early in round 2", "map")
    assert matcher.score(end, "map, late") is None
    assert matcher.images_alone == 1


def test_images_in_swapped_order_keep_their_maps(matcher):
    for stamp in (1, 3, 2):
        matcher.image(stamp, f"image {stamp}")
    for stamp in (1, 2, 3):
        assert matcher.score(stamp, "map") == (f"image {stamp}", "map")
    assert matcher.images_alone == matcher.scores_alone == 0


def test_clear_forgets_and_does_not_count(matcher):
    matcher.image(1, "image")
    matcher.score(2, "map")
    matcher.clear()
    assert matcher.score(1, "map") is None
    assert matcher.image(2, "image") is None
    assert matcher.images_alone == 0


def test_room_for_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        ScoreSynchronizer(0)
