"""Image topics, stamps, CameraInfo and the node's rates, as plain records."""

import pytest

from objectomaly_ros.doctor.calibration import calibration_findings, camera_infos
from objectomaly_ros.doctor.graph import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    Calibration,
    Endpoint,
    Graph,
    Images,
    NodeSeen,
    Seen,
    Status,
    Topic,
    in_words,
    nearest,
)
from objectomaly_ros.doctor.images import image_findings
from objectomaly_ros.doctor.node_health import node_findings
from objectomaly_ros.doctor.stamps import clock_findings, stamp_findings

NOW = 1_700_000_000.0


def topic(name, *kinds, nodes=("/driver",)):
    return Topic(name, tuple(Endpoint(node, kind) for node in nodes for kind in kinds))


def images(*stamps, clock_s=None, late_s=0.0):
    seen = [Seen(s, "optical", NOW + i / 20 + late_s, clock_s) for i, s in enumerate(stamps)]
    return Images(seen, {"rgb8": None}, (640, 360), 691200)


def steady(count=20):
    return [NOW + i / 20 for i in range(count)]


def graph(*topics, seen=None, wanted="/image", **node):
    node = {"state": "active", "images": [wanted], "infos": ["/camera_info"], **node}
    return Graph(
        "/objectomaly",
        5.0,
        NodeSeen("/objectomaly", **node),
        nodes=["/objectomaly", "/driver"],
        topics={one.name: one for one in topics},
        images={wanted: seen} if seen is not None else {},
    )


def test_a_good_topic():
    (found,) = image_findings(graph(topic("/image", IMAGE), seen=images(*steady())))
    assert (found.level, found.found) == ("ok", "20.0 Hz, 640 x 360, rgb8, 13.8 MB/s")


def test_the_nearest_topic_is_named():
    (found,) = image_findings(graph(topic("/rear/depth", IMAGE), topic("/front/image", IMAGE),
                                    topic("/front/image/compressed", COMPRESSED),
                                    wanted="/front/image_raw"))  # fmt: skip
    assert "images are on /front/image, /rear/depth" in found.found
    assert "-r image:=/front/image;" in found.remedy


def test_a_node_that_wants_compressed_images():
    (found,) = image_findings(graph(topic("/image", IMAGE), wanted="/image/compressed"))
    assert "image_transport to raw" in found.remedy
    (found,) = image_findings(graph(wanted="/image/compressed"))
    assert "no topic has sensor_msgs/msg/CompressedImage" in found.found


def test_outputs_of_the_node_are_no_cameras():
    seen = graph(topic("/objectomaly/score", IMAGE), topic("/x", IMAGE))
    assert seen.image_topics() == ["/x"]


def test_lost_images_show_as_gaps():
    stamps = [s for i, s in enumerate(steady(60)) if i % 4 != 1]
    found = image_findings(graph(topic("/image", IMAGE), topic("/image/compressed", COMPRESSED),
                                 seen=images(*stamps)))  # fmt: skip
    assert [f.level for f in found] == ["ok", "warning"]
    assert "about 15 of 60 images are missing" in found[1].found
    assert found[1].remedy.startswith("take /image/compressed (image_transport: compressed)")


def test_two_publishers_lose_nothing():
    twice = [stamp + offset for stamp in steady() for offset in (0, 0.001)]
    (_, found) = image_findings(graph(topic("/image", IMAGE, nodes=("/a", "/b")),
                                      seen=images(*twice)))  # fmt: skip
    assert found.found.startswith("2 publishers")


def test_without_a_node_some_images_are_not_listened_to():
    names = [f"/{letter}/image" for letter in "abcdefghij"]
    seen = Graph("/objectomaly", 5.0, topics={name: topic(name, IMAGE) for name in names})
    seen.images = {name: images(*steady()) for name in seen.heard_images()}
    found = image_findings(seen)
    assert {f.level for f in found} == {"ok"}
    assert found[-1].found == "not listened to: /i/image, /j/image"


@pytest.mark.parametrize(
    ("stamps", "options", "sim", "level", "told"),
    [
        (steady(), {}, False, "ok", "0.00 s behind this machine's clock"),
        (steady(), {"late_s": 3.0}, False, "warning", "are 3.00 s behind"),
        (steady(), {"late_s": -0.5}, False, "warning", "are 0.50 s ahead of"),
        (steady(), {"late_s": 1e6}, False, "error", "11.6 days behind"),
        (steady(), {"clock_s": NOW + 1.0}, True, "ok", "behind /clock"),
        (steady(), {"clock_s": 5.0}, True, "error", "ahead of /clock"),
        (steady(), {}, True, "ok", "without /clock"),
        ([0.0] * 5, {}, False, "error", "are all 0"),
        ([7.0] * 5, {}, False, "error", "stand still at 7.000 s over 5"),
        ([NOW, NOW + 1, NOW + 0.5, NOW + 2], {}, False, "warning", "go back 1 times"),
    ],
)
def test_stamps(stamps, options, sim, level, told):
    seen = graph(seen=images(*stamps, **options), parameters={"use_sim_time": sim})
    (found,) = stamp_findings(seen)
    assert found.level == level
    assert told in found.found
    assert level == "ok" or found.remedy


def test_clocks():
    kind = "rosgraph_msgs/msg/Clock"
    (found,) = clock_findings(graph())
    assert found.level == "ok"
    paused = graph(topic("/clock", kind), parameters={"use_sim_time": True})
    paused.clock = [(5.0, NOW), (5.0, NOW + 1)]
    (found,) = clock_findings(paused)
    assert (found.level, found.found) == ("warning", "it stands still, at 5.00 s")
    paused.clock.append((6.0, NOW + 2))
    (found,) = clock_findings(paused)
    assert found.level == "ok"


def test_each_camera_has_its_own_calibration():
    node = {"images": ["/front/image", "/left/image/compressed"],
            "infos": ["/front/camera_info", "/left/camera_info"]}  # fmt: skip
    assert camera_infos(graph(**node)) == list(zip(node["images"], node["infos"], strict=True))
    alone = Graph("/objectomaly", 5.0, topics={"/a/image": topic("/a/image", IMAGE)})
    assert camera_infos(alone) == [("/a/image", "/a/camera_info")]
    inside = graph(images=["/cam/image"], infos=["/cam/b/info", "/cam/image/camera_info"])
    assert camera_infos(inside) == [("/cam/image", "/cam/image/camera_info")]


def calibrated(image_stamps, info_stamps, *names):
    names = names or ("/image",)
    infos = [Seen(stamp, "optical", NOW) for stamp in info_stamps]
    return calibration_findings(
        Graph(
            "/objectomaly",
            5.0,
            topics={name: topic(name, IMAGE) for name in names},
            images={name: images(*image_stamps) for name in names},
            infos={"/camera_info": Calibration(infos, (640, 360))},
        )
    )


def test_raw_and_compressed_images_share_a_calibration():
    (found,) = calibrated(steady(), steady(), "/image", "/image/compressed")
    assert (found.subject, found.found) == ("/camera_info", "640 x 360")


APART = [stamp + 0.02 for stamp in steady(100)]


@pytest.mark.parametrize(
    ("image_stamps", "info_stamps", "told"),
    [
        (steady(100), APART, "none of its stamps"),
        (steady(100), [0.0] * 100, "none of its stamps"),
        (steady(100), [*steady(3), *APART[3:]], "few of its stamps"),
        (steady(100), [*steady(1), *APART[5::10]], "few of its stamps"),  # published rarely
        ([*steady(1), *APART[5::10]], steady(100), "few of its stamps"),  # throttled images
        (steady(100), steady(100), ""),
        (steady(100), steady(100)[::20], ""),
        (steady(100)[::20], steady(100), ""),
        (steady(100), steady(1), ""),  # latched
        ([s for i, s in enumerate(steady(100)) if i % 5 > 2], steady(100)[::5] + steady(6)[3:], ""),
        (steady(100)[10:], steady(90), ""),
    ],
)
def test_stamps_of_a_calibration(image_stamps, info_stamps, told):
    found = calibrated(image_stamps, info_stamps)
    assert [f.level for f in found] == (["warning", "ok"] if told else ["ok"])
    assert told in found[0].found


def test_calibrations_are_no_images():
    seen = graph(topic("/camera_info", CAMERA_INFO))
    assert seen.image_topics() == []


def statuses(count, *, scored=1, received=1, **values):
    values = {"healthy": True, "problem": "", **values}
    return [
        Status(Seen(stamp, "optical", stamp), received=received * i, scored=scored * i, **values)
        for i, stamp in enumerate(steady(count))
    ]


@pytest.mark.parametrize(
    ("told_by_node", "level", "told"),
    [
        (statuses(20), "ok", "20.0 a second, every image"),
        (statuses(2), "ok", "too few"),
        ([], "error", "none in 5 s, while 20 images"),
        (statuses(20, scored=0.5), "warning", "slower than the camera"),
        (statuses(20, scored=0.5, received=0.5), "warning", "10.0 images a second reach the node"),
        (statuses(20, healthy=False, problem="no masks"), "error", "acted on: no masks"),
    ],
)
def test_scores(told_by_node, level, told):
    _, found = node_findings(graph(seen=images(*steady()), statuses={"": told_by_node}))
    assert found.level == level
    assert told in found.found
    assert level == "ok" or found.remedy


def test_statuses_of_cameras_that_were_remapped_are_told_apart_by_their_images():
    seen = graph(images=["/axis/rgb", "/left/image", "/zed/rgb"])
    left = images(*(stamp + 0.01 for stamp in steady()))
    rear = Images([Seen(m.stamp_s, "rear", m.wall_s) for m in left.messages])
    seen.images = {"/axis/rgb": images(*steady()), "/left/image": left, "/zed/rgb": rear}
    for camera, topic in (("rear", "/zed/rgb"), ("left", "/left/image"), ("front", "/axis/rgb")):
        seen.node.statuses[camera] = [
            Status(m, True, "", i, i) for i, m in enumerate(seen.images[topic].messages)
        ]
    _, *found = node_findings(seen)
    assert [(f.level, f.found) for f in found] == [("ok", "20.0 a second, every image")] * 3


def test_only_the_cameras_of_the_node_count():
    seen = graph(images=["/a/aligned", "/b/score_in", "/image"], statuses={"": statuses(20)})
    seen.images = {name: images(*steady()) for name in (*seen.node.images, "/other/image")}
    seen.images["/a/aligned"].encodings = {"16UC1": "it is a depth image"}
    seen.keep_cameras()
    assert (seen.node.images, [*seen.images]) == (["/image"], ["/image"])
    _, found = node_findings(seen)
    assert found.found == "20.0 a second, every image"
    alone = graph(seen=images(*steady()))
    alone.images["/image"].encodings = {"32FC1": "it is a depth image"}
    alone.keep_cameras()
    assert alone.node.images == ["/image"]


def test_nodes_of_one_name():
    seen = graph()
    seen.nodes.append("/objectomaly")
    found, _ = node_findings(seen)
    assert (found.level, found.found[:7]) == ("error", "2 nodes")


@pytest.mark.parametrize(("state", "told"), [(None, "does not answer"), ("finalized", "finalized")])
def test_states(state, told):
    (found,) = node_findings(graph(state=state))
    assert found.level == "error"
    assert told in found.found


def test_diagnostics():
    _, warning, error = node_findings(
        graph(diagnostics={"a": (1, "slow"), "b": (2, "hangs"), "c": (0, "well")})
    )
    assert (warning.level, warning.found) == ("warning", "slow")
    assert (error.level, error.found) == ("error", "hangs")


@pytest.mark.parametrize(
    ("nodes", "told"),
    [([], "no node has this name"), (["/objectomali"], "no node has this name, the nearest are /")],
)
def test_no_node_of_that_name(nodes, told):
    (found,) = node_findings(Graph("/objectomaly", 5.0, nodes=nodes))
    assert found.found.startswith(told)
    assert "none" not in found.found


def test_words():
    assert in_words(0.5) == "0.50 s"
    assert in_words(-7200.0) == "-2.0 hours"
    assert nearest("/a", []) == "none"
    assert nearest("/camera", [f"/{i}" for i in range(9)]).endswith(" and 4 more")
