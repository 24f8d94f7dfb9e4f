"""One recording from its images to its results, in one process."""

import json

import numpy as np
import pytest
from offline_drives import START, STEP, contents, job, picture, process

from objectomaly_ros.arrays.score_png import decode_score
from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import read_images, read_masks, read_scores
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.offline.tasks import Place, Scan, Worker


def test_every_image_gets_its_results_with_its_stamp_and_frame(make_drive, tmp_path):
    stamps = np.arange(23) / 10 + 100
    place = process(make_drive(stamps=stamps), tmp_path / "out", job())
    with Bag(place.bag) as bag:
        assert set(bag.topics) == {
            "/objectomaly/score/compressed",
            "/objectomaly/mask/compressed",
            "/objectomaly/overlay/compressed",
            "/objectomaly/obstacles",
        }
        for topic in bag.topics:
            raws = list(bag.messages([topic]))
            headers = [bag.decode(raw).header for raw in raws]
            assert [raw.log_time for raw in raws] == [START + i * STEP for i in range(23)]
            assert [h.stamp.sec - START // 10**9 for h in headers] == [int(s) for s in stamps]
            assert {header.frame_id for header in headers} == {"front"}


def test_the_scores_find_the_box(make_drive, tmp_path):
    place = process(make_drive(), tmp_path / "out", job())
    with Bag(place.bag) as bag:
        scores = [bag.decode(raw) for raw in bag.messages(["/objectomaly/score/compressed"])]
        for index, message in enumerate(scores):
            score = decode_score(message.format, bytes(message.data))
            red = np.ptp(picture(index).astype(int), axis=2) > 100
            assert score[red].mean() > score[~red].mean() + 0.3
        arrays = [bag.decode(raw) for raw in bag.messages(["/objectomaly/obstacles"])]
    assert [[o.id for o in array.obstacles] for array in arrays] == [[1]] * 23
    assert [array.obstacles[0].age for array in arrays] == list(range(23))
    assert all(array.refined for array in arrays)
    rows = [json.loads(line) for line in place.table.read_text().splitlines()]
    assert [row["age"] for row in rows] == list(range(23))
    assert rows[3]["stamp_ns"] == START + 3 * STEP
    assert rows[3]["topic"] == "/image"


@pytest.mark.parametrize("raw", [False, True])
def test_the_results_are_read_back_as_arrays(make_drive, tmp_path, raw):
    place = process(make_drive(count=6), tmp_path / "out", job(raw=raw))
    ending = "" if raw else "/compressed"
    scores = list(read_scores(place.bag, f"/objectomaly/score{ending}"))
    masks = list(read_masks(place.bag, f"/objectomaly/mask{ending}"))
    overlays = list(read_images(place.bag, f"/objectomaly/overlay{ending}"))
    assert len(scores) == len(masks) == len(overlays) == 6
    for score, mask, overlay in zip(scores, masks, overlays, strict=True):
        assert score.array.dtype == np.float32
        assert score.array.max() > 0.5
        assert set(np.unique(mask.array)) == {0, 1}
        assert overlay.array.shape == (*mask.array.shape, 3)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_segments_change_nothing(make_drive, tmp_path, storage):
    jump = [i / 10 if i < 13 else (i - 13) / 10 for i in range(23)]  # a bag that loops
    path = make_drive(stamps=jump, broken=(0, 5, 9, 10, 11), storage=storage)
    whole, cut = (
        process(path, tmp_path / str(frames), job(masks_every=3), frames) for frames in (100, 3)
    )
    assert contents(whole.bag) == contents(cut.bag)
    assert whole.table.read_bytes() == cut.table.read_bytes()
    assert whole.summary.read_bytes() == cut.summary.read_bytes()
    (stream,) = json.loads(whole.summary.read_text())["streams"]
    assert (stream["frames"], stream["unreadable"]) == (18, 5)
    assert "too short" in stream["problem"]


def test_all_cameras_or_those_named(make_drive, tmp_path):
    path = make_drive(topics=("/front/image_raw", "/left/image_raw/compressed"))
    place = process(path, tmp_path / "both", job())
    with Bag(place.bag) as bag:
        assert bag.count("/objectomaly/front/score/compressed") == 23
        assert bag.count("/objectomaly/left/obstacles") == 23
        ids = {
            o.id
            for topic in ("front", "left")
            for raw in bag.messages([f"/objectomaly/{topic}/obstacles"])
            for o in bag.decode(raw).obstacles
        }
    assert ids == {1, 2}
    place = process(path, tmp_path / "left", job(topics=("/left/image_raw/compressed",)))
    with Bag(place.bag) as bag:
        assert bag.count("/objectomaly/score/compressed") == 23


def test_a_part_of_a_recording(make_drive, tmp_path):
    place = process(make_drive(), tmp_path / "out", job(start_s=0.5, end_s=1.5, every=3))
    with Bag(place.bag) as bag:
        times = [raw.log_time for raw in bag.messages(["/objectomaly/obstacles"])]
    assert times == [START + index * STEP for index in (5, 8, 11, 14)]


def test_a_part_without_images_is_an_error(make_drive, tmp_path):
    place = Place(make_drive(), "drive", tmp_path / "out")
    with pytest.raises(BagError, match=r"--end: its last one comes after 2\.2 s"):
        Worker(job(start_s=100.0)).perform(Scan(place))


def test_without_masks_scores_stay_coarse(make_drive, tmp_path):
    place = process(make_drive(count=4), tmp_path / "out", job(masks="none"))
    with Bag(place.bag) as bag:
        arrays = [bag.decode(raw) for raw in bag.messages(["/objectomaly/obstacles"])]
    assert not any(array.refined for array in arrays)


def test_a_detector_that_fails_on_an_image_loses_that_image(make_folder, tmp_path):
    folder = make_folder()
    import cv2

    image = picture(3)
    image[0, 0] = (0, 255, 0)
    cv2.imwrite(str(folder / "3.png"), image[..., ::-1])
    place = process(folder, tmp_path / "out", job(detector="simple_models:MoodyDetector"))
    (stream,) = json.loads(place.summary.read_text())["streams"]
    assert (stream["images"], stream["frames"], stream["unreadable"]) == (8, 7, 1)
    assert "green makes me fail" in stream["problem"]


def test_no_usable_image_is_an_error(make_drive, tmp_path):
    with pytest.raises(BagError, match=r"no image of .* can be used: .*too short"):
        process(make_drive(count=4, broken=range(4)), tmp_path / "out", job())
    assert not (tmp_path / "out" / "drive").exists()


def test_a_detector_without_a_threshold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no threshold of its own: give one with --threshold"):
        Worker(job(detector="simple_models:NoThresholdDetector"))
    assert Worker(job(detector="simple_models:NoThresholdDetector", threshold=200.0))
    with pytest.raises(ValueError, match="the threshold is nan: give a finite one"):
        Worker(job(threshold=float("nan")))


@pytest.mark.parametrize("options", [{"masks": "none"}, {"masks_every": 1}])
def test_each_image_is_scored_once_if_no_masks_are_carried(make_drive, tmp_path, options):
    log = tmp_path / "log"
    counts = job(detector=f"offline_models:Slow,log={log},seconds=0", **options)
    process(make_drive(), tmp_path / "out", counts)
    assert log.read_text() == "x" * 23
