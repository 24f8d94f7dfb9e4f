"""Ranges of rendered boxes by CameraInfos as drivers and image_proc publish them."""

import itertools
from functools import lru_cache

import camera_scenes as scenes
import numpy as np
import pytest
from domains import next_domain

pytest.importorskip("rclpy", reason="CameraInfo needs rclpy: scripts/env")

import graph as g
from camera_scenes import EQUIDISTANT, HEIGHT, PLUMB_BOB, RATIONAL, WIDTH, Camera, K, P
from objectomaly_ros.msg import ObstacleArray
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from objectomaly_ros.geometry.camera_info import is_rectified, read_calibration
from objectomaly_ros.geometry.ground import CameraPose
from objectomaly_ros.geometry.placement import place
from objectomaly_ros.geometry.view import View
from objectomaly_ros.obstacles.extraction import find_regions

pytestmark = pytest.mark.ros

LENSES = {
    "none": ("plumb_bob", ()),
    "plumb_bob": ("plumb_bob", PLUMB_BOB),
    "plumb_bob with 8": ("plumb_bob", RATIONAL),
    "rational": ("rational_polynomial", RATIONAL),
    "equidistant": ("equidistant", EQUIDISTANT),
}
CROP = (160, 200, 960, 480)
TURN = (0.03, -0.02)
RAW, RECT = "/camera/image_raw", "/camera/image_rect"
BOXES = [(4.0, 0.3), (7.5, -1.5), (12.0, 3.0)]
POSE = CameraPose(scenes.CAMERA_HEIGHT, scenes.PITCH).matrix()


def k_of(fx, fy, cx, cy):
    return [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]


def p_of(fx, fy, cx, cy, tx=0.0):
    return [fx, 0.0, cx, tx, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]


def scaled(matrix, scale):
    fx, fy, cx, cy = matrix
    return fx / scale, fy / scale, (cx + 0.5) / scale - 0.5, (cy + 0.5) / scale - 0.5


def info(lens="plumb_bob", turn=(0.0, 0.0), **changes):
    """CameraInfo of the full image, as its calibration gives it."""
    model, coefficients = LENSES[lens]
    fields = {
        "width": WIDTH,
        "height": HEIGHT,
        "distortion_model": model,
        "d": list(coefficients),
        "k": k_of(*K),
        "r": np.ravel(scenes.rotation(*turn)).tolist(),
        "p": p_of(*P),
    }
    return CameraInfo(**{**fields, **changes})


def raw(lens="plumb_bob", **changes):
    model, coefficients = LENSES[lens]
    return Camera(K, model if coefficients else None, coefficients, **changes)


def rectified(**changes):
    return Camera(P, **changes)


@lru_cache
def regions(camera):
    """The boxes as obstacles, the nearest first."""
    mask = camera.mask(BOXES)
    found = find_regions(mask, mask.astype(np.float32))
    return sorted(found, key=lambda region: -region.contact[:, 1].max())


def errors(camera, message, topic, choice="auto"):
    """Relative errors of the ranges of three boxes."""
    model = read_calibration(message, topic, choice).of_image(*camera.size)
    placements = place(regions(camera), View(model, POSE))
    return [
        abs(found.range_m / scenes.nearest(x, y) - 1)
        for found, (x, y) in zip(placements, BOXES, strict=True)
    ]


def roi(do_rectify=False, crop=CROP):
    x, y, width, height = crop
    return RegionOfInterest(
        x_offset=x, y_offset=y, width=width, height=height, do_rectify=do_rectify
    )


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize(
    ("captured", "changes"),
    [
        ({}, {}),
        ({}, {"roi": roi(crop=(0, 0, WIDTH, HEIGHT))}),
        ({"crop": CROP}, {"roi": roi()}),
        ({"crop": CROP}, {"roi": roi(do_rectify=True)}),
        ({"scale": 2}, {"binning_x": 2, "binning_y": 2}),
        ({"scale": 2}, {"binning_x": 2, "binning_y": 2, "k": k_of(*scaled(K, 2))}),
        ({"scale": 2, "crop": CROP}, {"binning_x": 2, "binning_y": 2, "roi": roi(True)}),
        ({"scale": 2}, {}),
        ({"scale": 3, "crop": CROP}, {"roi": roi()}),
    ],
    ids=["full", "whole roi", "crop", "rectify", "binned", "K binned", "crop, bin", "resized",
         "crop, resized"],
)  # fmt: skip
def test_raw_images_follow_k_and_d(lens, captured, changes):
    assert max(errors(raw(lens, **captured), info(lens, **changes), RAW)) < 0.02


@pytest.mark.parametrize("lens", ["plumb_bob", "rational", "equidistant"])
@pytest.mark.parametrize("turn", [(0.0, 0.0), TURN], ids=["mono", "stereo"])
@pytest.mark.parametrize(
    ("captured", "changes"),
    [
        ({}, {}),
        ({"crop": CROP}, {"roi": roi(True)}),
        ({"scale": 2}, {"binning_x": 2, "binning_y": 2}),
        ({"scale": 2}, {"binning_x": 2, "binning_y": 2, "p": p_of(*scaled(P, 2))}),
        ({"scale": 2}, {}),
        ({}, {"k": [0.0] * 9, "d": []}),
        ({}, {"p": p_of(*P, tx=-84.0)}),
    ],
    ids=["full", "crop", "binned", "P binned", "resized", "K empty", "right of a pair"],
)
def test_rectified_images_follow_p_and_r(lens, turn, captured, changes):
    camera, message = rectified(turn=turn, **captured), info(lens, turn, **changes)
    assert max(errors(camera, message, RECT)) < 0.02
    assert max(errors(camera, message, RAW, choice="true")) < 0.02


@pytest.mark.parametrize("zero", [[], [0.0] * 5, [0.0] * 8])
def test_without_distortion_p_tells_that_images_are_rectified(zero):
    message = info(d=zero)
    assert max(errors(rectified(), message, "/camera/image")) < 0.02
    assert max(errors(rectified(), message, "/camera/image_color")) < 0.02
    assert max(errors(raw("none"), message, RAW)) < 0.02
    assert max(errors(raw("none"), message, "/camera/image", choice="false")) < 0.02


def test_with_distortion_images_are_raw_unless_their_name_or_the_parameter_says_otherwise():
    message = info()
    assert max(errors(raw(), message, "/camera/image")) < 0.02
    assert max(errors(raw(), message, RECT, choice="false")) < 0.02
    assert max(errors(rectified(), message, "/camera/image")) > 0.05


def test_an_empty_p_leaves_k():
    message = info(p=[0.0] * 12, r=[0.0] * 9)
    assert max(errors(raw("none"), message, RECT)) < 0.02
    assert max(errors(raw(), message, "/camera/image")) < 0.02
    assert max(errors(raw("none"), info(d=[], p=[0.0] * 12), "/camera/image")) < 0.02


def test_r_turns_no_raw_image_and_no_image_in_the_rectified_frame():
    message = info(turn=TURN)
    assert max(errors(raw(), message, RAW)) < 0.02
    message.header.frame_id = "left_rect_optical_frame"
    assert max(errors(rectified(), message, RECT)) < 0.02
    message.header.frame_id = "left_optical_frame"
    assert max(errors(rectified(), message, RECT)) > 0.05


@pytest.mark.parametrize(
    "k", [K, (*K[:2], K[2] - CROP[0], K[3] - CROP[1])], ids=["full", "cropped"]
)
def test_the_size_of_the_crop_may_stand_as_that_of_the_full_image(k):
    """As Baxter's cameras do (K of the full image), and calibrations of cropped images."""
    message = info("none", width=CROP[2], height=CROP[3], roi=roi(), k=k_of(*k))
    assert max(errors(raw("none", crop=CROP), message, RAW)) < 0.02


def test_images_not_cropped_or_not_binned_after_all_keep_their_ranges():
    assert max(errors(raw(), info(roi=roi()), RAW)) < 0.02
    assert max(errors(raw(), info(binning_x=2, binning_y=2), RAW)) < 0.02


@pytest.mark.parametrize(
    ("changes", "topic", "told"),
    [
        ({"r": [0.5] * 9}, RECT, "its R is .*no rotation"),
        ({"r": [-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0]}, RECT, "no rotation"),
        ({"r": [float("nan")] * 9}, RAW, "no camera has"),
        ({"k": [0.0] * 9, "p": [0.0] * 12}, RAW, "not calibrated"),
        ({"k": [0.0] * 9, "p": [0.0] * 12}, RECT, "not calibrated"),
        ({"roi": roi(crop=(1000, 0, 640, 480))}, RAW, "reaches outside of its 1280 x 720"),
    ],
)
def test_numbers_of_no_camera_are_refused(changes, topic, told):
    with pytest.raises(ValueError, match=told):
        read_calibration(info(**changes), topic)


def test_raw_images_by_parameter_need_k():
    with pytest.raises(ValueError, match="not calibrated"):
        read_calibration(info(k=[0.0] * 9), RECT, "false")


def test_the_source_of_the_model_is_told():
    assert read_calibration(info(), RAW).source == f"K and D (the images' name is {RAW})"
    turned = read_calibration(info(turn=TURN), RECT).source
    assert turned.startswith("P without D, turned by R (the images' name")
    assert read_calibration(info(), "/image", "true").source == (
        "P without D (camera.rectified is true)"
    )
    assert read_calibration(info(d=[]), "/image").source == "P without D (D is zero)"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/cam/image_rect", True),
        ("/cam/image_rect_color/compressed", True),
        ("/cam/image_color_rect", True),
        ("/cam/image_rect_raw", True),
        ("/zed/zed_node/rgb/color/rect/image", True),
        ("/zed/zed_node/rgb/color/raw/image", False),
        ("/rect/image_raw", False),
        ("/cam/image_direct", False),
        ("image", False),
    ],
)
def test_rectified_images_are_told_by_their_topic(topic, expected):
    assert is_rectified(topic) == expected


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(60))
def test_any_numbers_give_a_model_or_a_reason(seed):
    rng = np.random.default_rng(seed)
    sizes = (0, 1, 7, 320, 640, 1280, 2**32 - 1)
    values = (0.0, 1.0, -1.0, 320.0, 500.0, 1e-318, 1e8, 1e300)

    def numbers(count):
        return rng.choice(values, count).tolist()

    message = info(
        k=[*numbers(6), 0.0, 0.0, 1.0],
        p=numbers(12),
        r=rng.choice([0.0, 1.0, -1.0], 9).tolist(),
        d=numbers(int(rng.integers(0, 9))),
        width=int(rng.choice(sizes)),
        height=int(rng.choice(sizes)),
        binning_x=int(rng.choice((0, 1, 2, 2**32 - 1))),
        roi=roi(crop=rng.choice(sizes, 4).tolist()),
    )
    for topic in (RAW, RECT, "/image"):
        try:
            model = read_calibration(message, topic).of_image(640, 360)
        except ValueError:
            continue
        assert (model.width, model.height) == (640, 360)
        assert model.rays([[0.0, 0.0], [639.0, 359.0]]).shape == (2, 3)


@pytest.mark.parametrize(
    ("topic", "parameters", "expected"),
    [
        ("/cam/image_rect", {}, 1.5 * 100 / 16),
        ("/cam/image_raw", {"camera.rectified": "true"}, 1.5 * 100 / 16),
        ("/cam/image_raw", {}, 1.5 * 80 / 21),
    ],
)
def test_the_node_follows_the_name_of_the_topic_and_the_parameter(topic, parameters, expected):
    domain = next_domain()
    node = g.NodeProcess(domain, "-r", f"image:={topic}", **parameters, **{"masks.name": "none"})
    graph = g.Graph(domain)
    try:
        node.wait_log("active on")
        obstacles = graph.listen(ObstacleArray, f"{g.NODE}/obstacles")
        message = g.camera_info()
        message.d, message.p = [0.01, 0.0, 0.0, 0.0, 0.0], p_of(100.0, 100.0, 40.0, 25.0)
        graph.publisher("/camera_info", CameraInfo).publish(message)
        images, seconds = graph.publisher(topic), itertools.count(10)

        def is_ranged():
            images.publish(g.image_message(next(seconds)))
            return any(np.isfinite(found.obstacles[0].range) for found in obstacles)

        g.wait_for(is_ranged, "a range")
        assert obstacles[-1].obstacles[0].range == pytest.approx(expected, rel=0.03)
    finally:
        graph.close()
        node.close()
