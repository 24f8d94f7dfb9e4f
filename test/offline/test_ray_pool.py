"""A run on a real Ray cluster of two nodes on this machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("ray", reason="fleets need Ray: pip install 'objectomaly_ros[fleet]'")

import remote_files
from offline_drives import contents, job

from objectomaly_ros.offline import ray_pool
from objectomaly_ros.offline.pool import WorkerError
from objectomaly_ros.offline.run import run
from objectomaly_ros.runtime.environment import child_environment
from tools.processes import descendants

assert remote_files.Shaky  # the protocol shaky://, also in this process
PATIENCE_S = 120.0  # other programs run on the same cores
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A dead node is found out after 2 s.
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Cluster:
    """Nodes of one core each, all on this machine; each is a group of processes of its own."""

    def __init__(self, folder, nodes):
        self.address = f"127.0.0.1:{free_port()}"
        self._folder = folder
        _, port = self.address.split(":")
        self.nodes = [self._start("--head", f"--port={port}", "--include-dashboard=false",
                                  f"--temp-dir={folder}")]  # fmt: skip
        self.nodes += [self._start(f"--address={self.address}") for _ in range(nodes - 1)]

    def _start(self, *arguments):
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1",
                   "--object-store-memory=80000000", "--disable-usage-stats"]  # fmt: skip
        with (self._folder / f"node{len(list(self._folder.glob('*.log')))}.log").open("w") as log:
            node = subprocess.Popen(
                [*command, *arguments],
                env=child_environment() | SETTINGS,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE_S
        while "Ray runtime started" not in (text := "\n".join(
            path.read_text() for path in sorted(self._folder.glob("*.log"))[-1:]
        )):  # fmt: skip
            assert node.poll() is None, text
            assert time.monotonic() < end, text
            time.sleep(0.2)
        return node

    @staticmethod
    def kill(node):
        """End a node as a machine ends that loses its power."""
        for number in [node.pid, *descendants(node.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        node.wait()

    def close(self):
        for node in reversed(self.nodes):
            if node.poll() is None:
                self.kill(node)


@pytest.fixture
def cluster(tmp_path_factory):
    # Ray's sockets lie in the folder, and names of sockets have at most 107 letters.
    made = Cluster(tmp_path_factory.mktemp("r"), 2)
    yield made
    made.close()


def results(out):
    bags = [folder for folder in sorted(out.iterdir()) if (folder / "metadata.yaml").exists()]
    return {folder.name: contents(folder) for folder in bags}


def test_a_node_that_is_killed_changes_nothing(cluster, make_drive, make_folder, tmp_path, capsys):
    go = tmp_path / "go"
    waits = job(detector=f"remote_files:Waits,folder={tmp_path}", masks="none")
    paths = [make_drive(count=60), make_folder(), tmp_path / "missing.mcap"]
    go.touch()
    local = run(paths, tmp_path / "local", waits, 1, segment_frames=10)
    go.unlink()
    paths[1] = f"shaky://{paths[1]}"

    def kill_a_node():
        while not any((tmp_path / str(pid)).exists() for pid in descendants(cluster.nodes[1].pid)):
            time.sleep(0.05)
        cluster.kill(cluster.nodes[1])  # in the middle of a segment
        go.touch()

    killer = threading.Thread(target=kill_a_node, daemon=True)
    killer.start()
    counted = [0, 0]

    def progress(frames, more):
        counted[0] += frames
        counted[1] += more
        print("as Ray prints")

    fleet = run(paths, tmp_path / "fleet", waits, 1, segment_frames=10, ray=cluster.address,
                progress=progress)  # fmt: skip
    killer.join(PATIENCE_S)
    assert cluster.nodes[1].poll() is not None
    assert [place.name for place in fleet.done] == [place.name for place in local.done]
    assert [place.name for place in fleet.failed] == ["missing"]
    assert any("a worker died; another one repeats its task" in text for text in fleet.warnings)
    assert counted[1] == 68
    printed = capsys.readouterr()  # standard output is for the command's own
    assert printed.out == ""
    assert "as Ray prints" in printed.err
    assert set(results(tmp_path / "fleet")) == {"drive", "folder"}
    assert results(tmp_path / "fleet") == results(tmp_path / "local")


def test_a_model_that_does_not_load_and_progress_within_a_segment(
    cluster, make_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(ray_pool, "_POLL_S", 0.05)
    folder = make_folder(count=4)
    broken = job(detector="offline_models:Missing")
    with pytest.raises(WorkerError, match="Missing"):
        run([folder], tmp_path / "a", broken, 1, ray=cluster.address)
    slow = job(detector=f"offline_models:Slow,log={tmp_path / 'log'},seconds=0.3", masks="none",
               masks_every=1)  # fmt: skip
    counts = []
    report = run([folder], tmp_path / "b", slow, 1, ray=cluster.address,
                 progress=lambda frames, more: counts.append((frames, more)))  # fmt: skip
    assert not report.failed
    assert sum(frames for frames, _ in counts) == 4
    assert (1, 0) in counts  # and not all four when the segment is done


def test_no_cluster_is_told(make_folder, tmp_path):
    with pytest.raises(WorkerError, match="no Ray cluster at 127"):
        run([make_folder()], tmp_path / "out", job(), 1, ray=f"127.0.0.1:{free_port()}")
