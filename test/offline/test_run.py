"""A run in worker processes: the same bytes however it goes, and what is bad harms nothing else."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import pytest
from offline_drives import contents, job, picture, process

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.offline.pool import Pool, WorkerError
from objectomaly_ros.offline.run import names, run
from objectomaly_ros.offline.state import has_changed
from objectomaly_ros.offline.tasks import Place, Scan
from objectomaly_ros.runtime.environment import child_environment

QUICK = job(masks="none")


def reasons(report):
    return {place.name: reason for place, reason in report.failed.items()}


def results(out):
    """The bytes of all results but the page."""
    bags = [folder for folder in sorted(out.iterdir()) if (folder / "metadata.yaml").exists()]
    return {folder.name: contents(folder) for folder in bags}


@pytest.fixture
def dangerous(make_folder):
    """A folder of images, of which the fourth has a green pixel in its corner."""
    folder = make_folder("dangerous")
    image = picture(3)
    image[0, 0] = (0, 255, 0)
    cv2.imwrite(str(folder / "3.png"), image[..., ::-1])
    return folder


def test_one_or_two_workers_write_the_same_bytes(make_drive, make_folder, tmp_path):
    paths = [make_drive(topics=("/a/image", "/b/image")), make_folder()]
    seen = []
    for workers, frames in ((1, 10), (2, 5)):
        out = tmp_path / f"out{workers}"
        counted = [0, 0]

        def progress(frames, more, counted=counted):
            counted[0] += frames
            counted[1] += more

        report = run(paths, out, job(), workers, progress=progress, segment_frames=frames)
        assert [place.name for place in report.done] == ["drive", "folder"]
        assert not report.failed
        assert counted == [54, 54]
        seen.append(results(out))
    assert seen[0] == seen[1]
    assert set(seen[0]) == {"drive", "folder"}


def test_a_run_that_was_killed_goes_on(make_drive, tmp_path):
    path, log = make_drive(count=40), tmp_path / "log"
    slow = job(detector=f"offline_models:Slow,log={log}", masks="none")
    program = (
        "import sys, pathlib\n"
        "from objectomaly_ros.offline.run import run\n"
        "from objectomaly_ros.offline.job import Job\n"
        f"run([pathlib.Path({str(path)!r})], pathlib.Path({str(tmp_path / 'out')!r}), "
        f"Job(**{vars(slow)!r}), 1, segment_frames=10)\n"
    ).replace("inf", "float('inf')")
    process = subprocess.Popen([sys.executable, "-c", program], env=child_environment())
    state = tmp_path / "out" / ".run" / "drive"
    while not (state / "part-0-000001").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {file.name: file.stat().st_mtime_ns for file in state.glob("part-*")}
    time.sleep(1.2)  # the worker ends when its parent is gone
    log.unlink()
    again = run([path], tmp_path / "out", slow, 1, segment_frames=10)
    assert len(log.read_text()) <= 40 - 15  # two segments of at least 10 images were kept
    assert not again.failed
    assert kept
    fresh = run([path], tmp_path / "fresh", slow, 1, segment_frames=10)
    assert not fresh.failed
    assert results(tmp_path / "out") == results(tmp_path / "fresh")
    log.unlink()
    run([path], tmp_path / "out", slow, 1)
    assert not log.exists()  # nothing was left to do


def test_other_options_do_not_go_on(make_folder, tmp_path):
    paths = [make_folder()]
    run(paths, tmp_path / "out", QUICK, 1)
    with pytest.raises(BagError, match=r"another run \(masks_every was 5, now 3\): choose another"):
        run(paths, tmp_path / "out", job(masks="none", masks_every=3), 1)


def test_results_in_the_folder_of_the_images_are_no_change_of_it(make_folder, tmp_path):
    folder = make_folder()
    out = folder / "out"
    assert [len(run([folder], out, QUICK, 1).done) for _ in range(2)] == [1, 1]
    (folder / "index.html").touch()  # as if it were itself the folder of the run
    (out / ".obstacles.a_b.jsonl").touch()  # of a run that was killed
    assert run([folder], out, QUICK, 1).done
    assert not list(out.glob(".obstacles*"))


def test_a_run_that_was_killed_before_the_last_step_cleans_up(make_folder, tmp_path):
    (place,) = run([make_folder()], tmp_path / "out", QUICK, 1).done
    part = place.part(0, 0)
    part.mkdir()
    assert run([place.path], tmp_path / "out", QUICK, 1).done == [place]
    assert not part.exists()


def test_the_results_of_another_recording_are_not_taken_for_this_one(make_folder, tmp_path):
    first = make_folder()
    run([first], tmp_path / "out", QUICK, 1)
    shutil.copytree(first, tmp_path / "other" / "folder")
    report = run([tmp_path / "other" / "folder"], tmp_path / "out", QUICK, 1)
    assert "holds the results of" in reasons(report)["folder"]
    cv2.imwrite(str(first / "9.png"), picture(9))
    report = run([first], tmp_path / "out", QUICK, 1)
    assert "has changed since its results were made" in reasons(report)["folder"]
    report.failed.popitem()[0].source.write_text("")
    assert "source.json is damaged" in reasons(run([first], tmp_path / "out", QUICK, 1))["folder"]


def test_a_recording_that_changes_during_the_run_fails_and_is_done_anew(make_drive, tmp_path):
    path, out = make_drive(), tmp_path / "out"

    def append(frames, more):
        with (path / "drive.mcap").open("ab") as file:
            file.write(bytes(9))

    report = run([path], out, QUICK, 1, progress=append, segment_frames=10)
    words = "drive has changed since the run began: start it again when nothing writes to"
    assert words in reasons(report)["drive"]
    assert not results(out)
    (place,) = run([path], out, QUICK, 1, segment_frames=10).done
    process(path, tmp_path / "alone", QUICK)
    assert results(out) == results(tmp_path / "alone")
    assert not has_changed(place)
    shutil.rmtree(path)
    assert has_changed(place)


def test_bad_recordings_among_good_ones(make_drive, make_folder, tmp_path):
    good = [make_drive("good"), make_folder("fine")]
    alone = run(good, tmp_path / "alone", QUICK, 2, segment_frames=10)
    assert not alone.failed

    def file(name, data):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    whole = (good[0] / "good.mcap").read_bytes()
    random = np.random.default_rng(1).bytes(5000)
    (tmp_path / "empty_folder").mkdir()
    (tmp_path / "no_pictures").mkdir()
    (tmp_path / "no_pictures" / "0.png").write_bytes(random)
    os.mkfifo(tmp_path / "pipe.mp4")
    bad = [
        tmp_path / "missing.mcap",
        file("empty.mcap", b""),
        file("noise.mcap", random),
        file("noise.db3", random),
        file("noise.bag", random),
        file("noise.mp4", random),
        file("words.txt", b"no recording"),
        file("headless.mcap", whole[100:]),
        tmp_path / "empty_folder",
        tmp_path / "no_pictures",
        tmp_path / "pipe.mp4",
        make_drive("unreadable", count=3, broken=range(3)),
        make_drive("silent", count=0),
    ]
    report = run([good[0], *bad, good[1]], tmp_path / "out", QUICK, 2, segment_frames=10)
    assert [place.path for place in report.done] == good
    assert {place.path for place in report.failed} == set(bad)
    for place, reason in report.failed.items():
        assert len(reason) > 20, place
        assert "\n" not in reason
    found = results(tmp_path / "out")
    assert found == results(tmp_path / "alone")


def test_the_readable_part_of_a_damaged_recording_is_done(make_drive, tmp_path):
    whole = (make_drive(count=120) / "drive.mcap").read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    report = run([cut], tmp_path / "out", QUICK, 1)
    assert not report.failed
    summary = json.loads(report.done[0].summary.read_text())
    assert "is damaged" in summary["damage"]
    assert 30 < summary["streams"][0]["frames"] < 100


def test_a_worker_that_dies_is_replaced(dangerous, make_folder, tmp_path):
    paths = [dangerous, make_folder()]
    dies = job(detector=f"offline_models:Dies,log={tmp_path}", masks="none")
    counted = [0, 0]

    def progress(frames, more):
        counted[0] += frames
        counted[1] += more

    report = run(paths, tmp_path / "out", dies, 2, progress=progress)
    assert not report.failed
    assert counted == [16, 16]  # also those that were done twice
    assert not list((tmp_path / "out").glob(".run/*/.*"))
    (warning,) = report.warnings
    assert "a worker was killed (out of memory?)" in warning
    calm = run(paths, tmp_path / "calm", dies, 1)
    assert not calm.warnings
    assert results(tmp_path / "out") == results(tmp_path / "calm")


def test_weights_that_change_during_the_run_end_it(dangerous, tmp_path):
    weights = tmp_path / "weights"
    weights.write_text("old")
    changes = job(detector=f"offline_models:Dies,log={tmp_path},weights={weights}", masks="none")
    with pytest.raises(WorkerError, match="a file of the models has changed since the run began"):
        run([dangerous], tmp_path / "out", changes, 1)


def test_a_recording_that_always_kills_its_worker_is_given_up(dangerous, make_folder, tmp_path):
    report = run(
        [dangerous, make_folder()], tmp_path / "out", job(detector="offline_models:Starves"), 2
    )
    assert [place.name for place in report.done] == ["folder"]
    assert reasons(report)["dangerous"] == "3 workers died of it, the last one ran out of memory"


def test_models_that_do_not_load_end_the_run(make_folder, tmp_path):
    with pytest.raises(WorkerError, match="wrong arguments"):
        run([make_folder()], tmp_path / "out", job(detector="simple_models:Exits"), 2)


def test_a_worker_that_dies_within_a_message_has_died():
    ours, theirs = socket.socketpair()
    theirs.send(struct.pack("!i", 100) + b"only a part")
    theirs.close()
    task = Scan(Place(Path("a"), "a", Path("out")))
    with pytest.raises(EOFError):
        Pool(QUICK, 1, 10)._follow(task, Connection(ours.detach()))


def test_a_full_disk_ends_the_run(make_drive, small_disk):
    with pytest.raises(WorkerError, match="no space left"):
        run([make_drive()], small_disk / "out", QUICK, 1)


def test_two_runs_do_not_share_a_folder(make_folder, tmp_path):
    import fcntl

    (tmp_path / "out" / ".run").mkdir(parents=True)
    with (tmp_path / "out" / ".run" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BagError, match="another run is busy in"):
            run([make_folder()], tmp_path / "out", QUICK, 1)


def test_each_recording_has_a_name_of_its_own(tmp_path):
    paths = [tmp_path / "a.mcap", tmp_path / "b" / "a.db3", tmp_path / "a.mcap.zstd", tmp_path]
    (tmp_path / "b").mkdir()
    assert names(paths) == ["a", "a_2", "a_3", tmp_path.name]


def test_a_name_is_that_of_a_file_which_the_run_can_make(tmp_path):
    paths = [tmp_path / "index.html.mcap", tmp_path / "lock", tmp_path / f"{'x' * 250}.mcap"]
    assert names(paths) == ["index.html_2", "lock_2", "x" * 200]
    assert names([tmp_path / os.fsdecode(b"caf\xe9.mcap")]) == ["caf\ufffd"]
