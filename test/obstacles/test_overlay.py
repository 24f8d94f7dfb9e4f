import numpy as np
import pytest

from objectomaly_ros.obstacles.extraction import find_regions
from objectomaly_ros.obstacles.overlay import draw_overlay, score_colormap, summary_line


def scene(height=360, width=480):
    image = np.full((height, width, 3), 90, np.uint8)
    score = np.zeros((height, width), np.float32)
    mask = np.zeros((height, width), bool)
    mask[height // 2 : height // 2 + 40, width // 2 : width // 2 + 60] = True
    score[mask] = 1.0
    return image, score, mask


def test_colours_run_from_blue_to_red_between_fixed_limits():
    score = np.array([[-5.0, 0.0, 0.5, 1.0, 7.0]], np.float32)
    colours = score_colormap(score, (0.0, 1.0)).astype(int)[0]
    np.testing.assert_array_equal(colours[0], colours[1])
    np.testing.assert_array_equal(colours[3], colours[4])
    assert colours[1, 2] > colours[1, 0]
    assert colours[4, 0] > colours[4, 2]
    assert colours[2, 1] > 200, "Turbo is green in the middle"
    assert score_colormap(score, (0.0, 1.0)).dtype == np.uint8


def test_fixed_limits_give_one_score_one_colour_in_every_frame():
    quiet = np.full((4, 4), 0.4, np.float32)
    loud = quiet.copy()
    loud[0, 0] = 50
    fixed = [score_colormap(s, (0.0, 1.0))[2, 2] for s in (quiet, loud)]
    np.testing.assert_array_equal(*fixed)


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf])
def test_flat_and_broken_scores_are_drawn(fill):
    score = np.full((30, 40), fill, np.float32)
    assert score_colormap(score).shape == (30, 40, 3)
    assert score_colormap(score, (0.0, 1.0)).shape == (30, 40, 3)


def test_nan_takes_the_lowest_colour():
    score = np.array([[0.0, np.nan, 1.0]], np.float32)
    for limits in (None, (0.0, 1.0)):
        colours = score_colormap(score, limits)[0]
        np.testing.assert_array_equal(colours[0], colours[1])


def test_limits_the_wrong_way_round_are_refused():
    with pytest.raises(ValueError, match=r"2.*1"):
        score_colormap(np.zeros((3, 3), np.float32), (2.0, 1.0))


def test_heat_shows_where_the_score_is_high_and_nowhere_else():
    image, score, mask = scene()
    before = image.copy()
    picture = draw_overlay(image, score, None, limits=(0.0, 1.0))
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(picture[~mask], image[~mask])
    inside = picture[mask].astype(int).mean(axis=0)
    assert inside[0] > 100 > inside[2], "red over the obstacle"
    assert not np.shares_memory(picture, image)


def test_outline_box_label_and_text_change_only_their_places():
    image, score, mask = scene()
    regions = find_regions(mask, score)
    plain = draw_overlay(image, None, None)
    np.testing.assert_array_equal(plain, image)

    outlined = (draw_overlay(image, None, mask) != image).any(axis=2)
    assert outlined[180, 240:300].all()
    assert not outlined[190:210, 250:290].any(), "the outline is no filling"
    assert not outlined[:170].any()

    boxed = (draw_overlay(image, None, None, regions) != image).any(axis=2)
    assert boxed.any()
    assert not boxed[:170].any()
    labelled = (draw_overlay(image, None, None, regions, [12], ranges=[8.25]) != image).any(axis=2)
    assert labelled[150:178, 235:300].any()
    assert (labelled & ~boxed).sum() > 100
    unknown = draw_overlay(image, None, None, regions, [12], ranges=[float("nan")])
    np.testing.assert_array_equal(unknown, draw_overlay(image, None, None, regions, [12]))

    texted = (draw_overlay(image, None, None, text=("one", "two")) != image).any(axis=2)
    assert texted[:40, :60].any()
    assert not texted[60:].any()


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (60, 80), (360, 640), (1080, 1920)])
def test_any_size_is_drawn(size):
    image = np.zeros((*size, 3), np.uint8)
    mask = np.ones(size, bool)
    score = np.ones(size, np.float32)
    regions = find_regions(mask, score)
    picture = draw_overlay(
        image, score, mask, regions, [4_000_000_000], ["a rather long line " * 9] * 30, ranges=[3.0]
    )
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8


def test_labels_grow_with_the_image():
    def drawn(height, width):
        image = scene(height, width)[0]
        return (draw_overlay(image, None, None, text=("refined",)) != image).any(axis=2).sum()

    assert drawn(1080, 1920) > 4 * drawn(360, 640)


def test_score_and_mask_of_another_size_are_fitted():
    image, score, mask = scene()
    small = draw_overlay(image, score[::2, ::2], mask[::2, ::2], limits=(0.0, 1.0))
    full = draw_overlay(image, score, mask, limits=(0.0, 1.0))
    assert (np.abs(small.astype(int) - full) > 30).any(axis=2).mean() < 0.01


@pytest.mark.parametrize(
    ("ranges", "age", "line"),
    [
        ([], None, "no obstacles; not refined"),
        ([float("nan")], 0, "1 obstacle; masks 0 frames old"),
        ([40.0, 7.25, None], 1, "3 obstacles, nearest 7.2 m; masks 1 frame old"),
    ],
)
def test_one_line_sums_a_frame_up(ranges, age, line):
    assert summary_line(ranges, age) == line
