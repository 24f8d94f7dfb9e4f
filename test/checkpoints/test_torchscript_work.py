"""TorchScript that might run without an end is refused; the loops of torch itself are not."""

import sys

import pytest
import torch
from torch import nn

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.torchscript import load_torchscript

IMAGE = torch.arange(48.0).reshape(1, 3, 4, 4)
NETWORK = """
import torch
{functions}
class Net(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        {before}
        return x
"""


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Saves a scripted network with these lines before its result."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(before, functions=""):
        (tmp_path / "written.py").write_text(NETWORK.format(before=before, functions=functions))
        sys.modules.pop("written", None)
        from written import Net

        torch.jit.script(Net()).save(tmp_path / "net.pt")
        return tmp_path / "net.pt"

    return make


@pytest.mark.parametrize(("count", "turns"), [("x.dim()", 4), ("len(x.size()) - 1", 3), ("5", 5)])
def test_short_loops_run(save, count, turns):
    path = save(f"for i in range({count}):\n            x = x + 1")
    module = load_torchscript(path, torch.device("cpu"))
    torch.testing.assert_close(module(IMAGE), IMAGE + turns)


def test_the_loops_of_torchs_own_functions_run(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor):
            return nn.functional.interpolate(self.norm(x), scale_factor=2.0, mode="bilinear")

    torch.jit.script(Net().eval()).save(tmp_path / "net.pt")
    assert load_torchscript(tmp_path / "net.pt", torch.device("cpu"))(IMAGE).shape[2:] == (8, 8)


@pytest.mark.parametrize(
    ("loop", "reason"),
    [
        ("while True:", "unknown length"),
        ("while bool(x.sum() < 9):", "unknown length"),
        ("for i in range(100000000000):", "unknown length"),
        ("for i in range(x.size(2)):", "unknown length"),
        ("for i in range(x.dim() - -100000000):", "unknown length"),
        ("s = x.size()\n        s.extend(s)\n        for i in range(len(s)):", "unknown length"),
        ("for i in range(x.dim()):\n          for j in range(x.dim()):", "loop in a loop"),
    ],
)
def test_other_loops_are_refused(save, loop, reason):
    path = save(f"{loop}\n            x = x * 1")
    with pytest.raises(CheckpointError, match=f"a {reason}|a loop of {reason}"):
        load_torchscript(path, torch.device("cpu"))


def test_functions_that_call_each_other_twice_may_not_multiply(save):
    lines = ["@torch.jit.script\ndef f0(x: torch.Tensor):\n    return x * 1"]
    for n in range(1, 40):
        twice = f"f{n - 1}(f{n - 1}(x))"
        lines.append(f"@torch.jit.script\ndef f{n}(x: torch.Tensor):\n    return {twice}")
    with pytest.raises(CheckpointError, match="its calls multiply to more than"):
        load_torchscript(save("x = f39(x)", "\n".join(lines)), torch.device("cpu"))
