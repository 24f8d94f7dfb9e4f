"""The real process, with small generators."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from objectomaly_ros.runtime import mask_process, mask_server
from objectomaly_ros.runtime.environment import DEFAULTS
from objectomaly_ros.runtime.keyframes import MaskGeneratorError, MaskGeneratorSpec
from objectomaly_ros.runtime.mask_process import MaskProcess
from objectomaly_ros.video.cells import Cells

IMAGE = np.zeros((40, 60, 3), np.uint8)
SCORE = np.random.default_rng(0).random((40, 60), np.float32)
HANGS, LEAKS = IMAGE + 1, IMAGE + 2  # what MoodyMasks does with them


@pytest.fixture
def started(request):
    processes = []

    def start(name, clock=time.monotonic, **options):
        process = MaskProcess(MaskGeneratorSpec(f"simple_models:{name}", options=options), clock)
        processes.append(process)
        process.start()
        process.wait()
        return process

    yield start
    for process in processes:
        process.close()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_masks_come_back_as_cells(started):
    process = started("BandMasks", bands=3)
    masks = process.generate(IMAGE, SCORE)
    bands = np.zeros((3, 40, 60), bool)
    for index, rows in enumerate(np.array_split(np.arange(40), 3)):
        bands[index, rows] = True
    expected = Cells.from_masks(bands, (40, 60)).calibrate(SCORE)
    np.testing.assert_array_equal(masks.cells.calibrate(SCORE), expected)
    assert masks.count == 3
    assert masks.seconds > 0
    assert process.pid != os.getpid()


def test_overlap_is_passed_on():
    process = MaskProcess(MaskGeneratorSpec("simple_models:NestedMasks", overlap="smallest"))
    process.start()
    process.wait()
    masks = process.generate(IMAGE, SCORE)
    process.close()
    inner = SCORE[10:20, 10:20].mean()
    assert masks.cells.calibrate(SCORE)[15, 15] == pytest.approx(inner, rel=1e-5)


def test_a_generator_that_does_not_load_says_why(started):
    process = MaskProcess(MaskGeneratorSpec("regoins"))
    process.start()
    with pytest.raises(MaskGeneratorError, match="unknown mask generator 'regoins'"):
        process.wait()
    with pytest.raises(MaskGeneratorError, match="has no option colour"):
        started("BandMasks", colour="red")


def test_a_failure_is_passed_on_and_the_process_goes_on(started):
    process = started("FailingMasks")
    pid = process.pid
    for _ in range(2):
        with pytest.raises(MaskGeneratorError, match="RuntimeError: no masks today"):
            process.generate(IMAGE, SCORE)
    assert process.pid == pid


def test_a_process_that_dies_is_named_and_started_again(started, monkeypatch):
    monkeypatch.setattr(mask_process, "RESTART_PAUSE_S", 0.0)
    process = started("BandMasks")
    first = process.pid
    os.kill(first, signal.SIGSTOP)  # so that it dies with the question in hand
    asked = threading.Timer(0.3, os.kill, (first, signal.SIGKILL))
    asked.start()
    with pytest.raises(MaskGeneratorError, match="killed by signal SIGKILL"):
        process.generate(IMAGE, SCORE)
    assert process.generate(IMAGE, SCORE).count == 4
    assert process.pid != first


def test_a_process_that_keeps_dying_is_not_started_all_the_time(started):
    process = started("DyingMasks")
    with pytest.raises(MaskGeneratorError, match="ended by itself with code 7"):
        process.generate(IMAGE, SCORE)
    with pytest.raises(MaskGeneratorError, match="started again in"):
        process.generate(IMAGE, SCORE)
    assert process.pid is None


def test_the_pause_between_starts_grows_while_no_masks_come(started, monkeypatch):
    now = [0.0]
    process = started("DyingMasks", clock=lambda: now[0])
    pauses = []
    for _ in range(5):
        with pytest.raises(MaskGeneratorError, match="ended by itself"):
            process.generate(IMAGE, SCORE)
        with pytest.raises(MaskGeneratorError, match="started again in") as told:
            process.generate(IMAGE, SCORE)
        pauses.append(int(str(told.value).split()[-2]))
        now[0] += pauses[-1]
    assert pauses == [5, 10, 20, 40, 60]


def test_a_generator_that_keeps_failing_gets_a_new_process(started, monkeypatch):
    monkeypatch.setattr(mask_process, "RESTART_PAUSE_S", 0.0)
    process = started("FailingMasks")
    pids = []
    for _ in range(mask_process.FAILURES_IN_A_ROW + 1):
        pids.append(process.pid)
        with pytest.raises(MaskGeneratorError, match="no masks today"):
            process.generate(IMAGE, SCORE)
    assert len(set(pids[:-1])) == 1
    assert pids[-1] is None  # ended, and started again for the last keyframe
    assert process.pid not in pids


def test_sys_exit_in_a_generator_is_a_failure(started):
    process = started("ExitingMasks")
    pid = process.pid
    with pytest.raises(MaskGeneratorError, match="SystemExit: no masks for you"):
        process.generate(IMAGE, SCORE)
    assert process.pid == pid
    with pytest.raises(MaskGeneratorError, match="SystemExit: wrong arguments"):
        started("Exits")


def test_a_generator_that_hangs_is_ended_and_started_again(started, monkeypatch):
    monkeypatch.setattr(mask_process, "RESTART_PAUSE_S", 0.0)
    process = started("MoodyMasks")
    first = process.pid
    assert process.generate(IMAGE, SCORE).count == 4
    with monkeypatch.context() as short:
        short.setattr(mask_process, "TIME_LIMIT_S", 0.5)
        with pytest.raises(MaskGeneratorError, match=r"masks took more than 0.5 s: it was ended"):
            process.generate(HANGS, SCORE)
    assert not alive(first)
    assert process.generate(IMAGE, SCORE).count == 4


def test_a_process_that_takes_no_image_is_ended(started, monkeypatch):
    monkeypatch.setattr(mask_process, "TIME_LIMIT_S", 0.0)  # a second for each transfer
    process = started("BandMasks", clock=lambda: 0.0)
    pid = process.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(MaskGeneratorError, match="does not respond while generating masks"):
        process.generate(np.zeros((2000, 2000, 3), np.uint8), SCORE)  # more than the socket holds
    assert not alive(pid)


def test_a_generator_that_leaks_is_ended_and_started_again(started, monkeypatch):
    monkeypatch.setattr(mask_process, "MEMORY_MARGIN", 20 << 20)
    monkeypatch.setattr(mask_process, "RESTART_PAUSE_S", 0.0)
    process = started("MoodyMasks")
    first = process.pid
    assert process.generate(IMAGE, SCORE).count == 4
    resident = process._resident_bytes()

    def leak():
        for _ in range(20):
            process.generate(LEAKS, SCORE)

    with pytest.raises(MaskGeneratorError, match=r"grew from \d+ MB .* to \d+ MB: it was ended"):
        leak()
    assert not alive(first)
    assert process.generate(IMAGE, SCORE).count == 4
    assert process._resident_bytes() < 1.5 * resident


def test_first_masks_are_made_before_they_are_asked_for(started, tmp_path):
    process = started("CountingMasks", path=str(tmp_path / "count"))
    assert (tmp_path / "count").read_text() == "1"
    process.generate(IMAGE, SCORE)
    assert (tmp_path / "count").read_text() == "2"


def test_first_masks_that_take_long_are_not_waited_for(started, monkeypatch):
    monkeypatch.setattr(mask_process, "WARM_UP_S", 0.1)
    process = started("SleepyMasks", seconds=1.0)
    assert not process._warm
    assert process.generate(IMAGE, SCORE).count == 4
    assert process._warm


def test_a_generator_that_dies_of_its_first_masks_says_so(started):
    with pytest.raises(MaskGeneratorError, match="ended by itself with code 7"):
        started("DyingMasks", rows=1000)


def test_close_ends_a_generation_in_progress_at_once(started, monkeypatch):
    monkeypatch.setattr(mask_process, "WARM_UP_S", 0.0)
    process = started("BurningMasks", seconds=60)
    pid, errors = process.pid, []

    def wait():
        try:
            process.generate(IMAGE, SCORE)
        except MaskGeneratorError as error:
            errors.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not process._turn.locked():  # it has asked, or is about to
        time.sleep(0.01)
    time.sleep(0.2)
    process.close()
    waiting.join(60)
    assert errors == ["the mask process was closed"]
    assert not alive(pid)


def test_the_process_gives_way_to_others_and_leaves_ctrl_c_to_the_node(started):
    process = started("BandMasks")
    assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0) or (
        os.getpriority(os.PRIO_PROCESS, 0) >= 10
    )
    assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
    adjustment = Path(f"/proc/{process.pid}/oom_score_adj").read_text()
    assert int(adjustment) > int(Path("/proc/self/oom_score_adj").read_text())
    os.kill(process.pid, signal.SIGINT)
    assert process.generate(IMAGE, SCORE).count == 4


@pytest.mark.parametrize("refused", ["nice", "oom_score_adj"])
def test_a_priority_that_is_refused_is_told_and_no_more(monkeypatch, capfd, refused):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted", refused)

    monkeypatch.setattr(mask_server.os, "nice", refuse if refused == "nice" else lambda by: 0)
    monkeypatch.setattr(mask_server.Path, "write_text", refuse)
    mask_server._leave_room_for_cas("cuda")
    assert capfd.readouterr().err.count(refused) == 1


def test_nothing_of_the_working_folder_runs(started, tmp_path, monkeypatch):
    poison = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()"
    (tmp_path / "objectomaly_ros").mkdir()
    for name in ("cv2", "numpy", "typing", "sitecustomize", "objectomaly_ros/__init__"):
        (tmp_path / f"{name}.py").write_text(poison)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), ".", *sys.path])
    monkeypatch.setenv("PYTHONSAFEPATH", "")  # as if this Python knew no such thing
    assert started("BandMasks").generate(IMAGE, SCORE).count == 4
    assert list(tmp_path.rglob("*.ran")) == []


def test_no_library_of_the_process_spins(started, monkeypatch):
    monkeypatch.setenv("KMP_BLOCKTIME", "7")  # of the user's own choice
    pid = started("BandMasks").pid
    environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
    assert "KMP_BLOCKTIME=7" in environment
    assert {f"{k}={v}" for k, v in DEFAULTS.items() if k != "KMP_BLOCKTIME"} <= set(environment)


def test_the_process_ends_with_a_node_that_is_killed(tmp_path):
    script = (
        "import sys, time\n"
        f"sys.path[:] = {sys.path!r}\n"
        "from objectomaly_ros.runtime import mask_process\n"
        "from objectomaly_ros.runtime.mask_process import MaskProcess\n"
        "from objectomaly_ros.runtime.keyframes import MaskGeneratorSpec\n"
        "s = MaskGeneratorSpec('simple_models:BurningMasks', options={'seconds': 60})\n"
        "p = MaskProcess(s)\n"
        "mask_process.WARM_UP_S = 0\n"
        "p.start(); p.wait(); print(p.pid, flush=True)\n"
        "import numpy as np\n"
        "p.generate(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(pid)
