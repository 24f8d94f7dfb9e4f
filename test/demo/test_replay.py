"""The end of a replay: when the last results are recorded."""

from types import SimpleNamespace

import pytest

from objectomaly_ros.demo import replay


@pytest.mark.parametrize(("frames", "waited_s"), [(0, 2.5), (8, 6.5)])
def test_the_last_frames_are_awaited_but_not_the_status_of_every_second(
    tmp_path, monkeypatch, frames, waited_s
):
    clock, result = [0.0], tmp_path / "result.mcap"
    monkeypatch.setattr(replay, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    sizes = iter([*[50_000] * frames, *[600] * 1000])  # frames every 0.5 s, then ~/status alone

    def wait(seconds, running):
        clock[0] += seconds
        with result.open("ab") as file:
            file.write(bytes(next(sizes)))

    replay._await_results(SimpleNamespace(wait=wait), None, None, tmp_path)
    assert clock[0] == pytest.approx(waited_s, abs=1.0)
