"""TorchScript archives: networks load, and whatever else an archive may do is refused."""

import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.torchscript import load_torchscript

CPU = torch.device("cpu")
IMAGE = torch.arange(3 * 8 * 8.0).reshape(1, 3, 8, 8)
# TorchScript that makes the file {made}.
FROM_FILE = 'torch.from_file("{made}", True, 4, dtype=0)'
PROFILE = "__torch__.torch.classes.profiling._ScriptProfile"  # an object of torch's own, in C++


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x):
        return self.conv(x)


Net.__module__ = "__main__"  # so that its source lies in code/__torch__.py


class Helped(Net):
    """Scripted, with a submodule list, a function, strings, defaults and a loop."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.BatchNorm2d(3), nn.ReLU(inplace=True)])

    def forward(self, x: torch.Tensor, scale: float = 1.0):
        for block in self.blocks:
            x = block(x) * scale
        if x.dim() != 4:
            raise ValueError(f'want "4" dimensions, it\'s \\ {x.dim()}; #{x.size(0)}')
        logits = self.conv(x)
        return {"out": nn.functional.interpolate(logits, scale_factor=2.0, mode="bilinear")}


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    path = tmp_path_factory.mktemp("traced") / "net.pt"
    torch.jit.trace(Net().eval(), IMAGE).save(path)  # once: torch renames what it traces again
    return path.read_bytes()


@pytest.fixture
def archive(tmp_path, traced):
    (tmp_path / "net.pt").write_bytes(traced)
    return tmp_path / "net.pt"


@pytest.fixture
def made(tmp_path):
    return tmp_path / "made"


def rewrite(path, name, change):
    """Change the part `name` of an archive in place."""
    with zipfile.ZipFile(path) as source:
        parts = {member: source.read(member) for member in source.namelist()}
    parts[f"net/{name}"] = change(parts[f"net/{name}"])
    with zipfile.ZipFile(path, "w") as target:
        for member, part in parts.items():
            if not member.endswith(".debug_pkl"):
                target.writestr(member, part)


def change_source(path, old, new):
    def change(source):
        text = source.decode()
        assert old in text
        return text.replace(old, new, 1).encode()

    rewrite(path, "code/__torch__.py", change)


def add_line(path, line):
    """Put a line at the beginning of `forward`."""
    change_source(path, "    conv = self.conv\n", f"    {line}\n    conv = self.conv\n")


def test_a_traced_network_computes_what_it_did(archive):
    with torch.no_grad():
        expected = Net().eval()(IMAGE)
        np.testing.assert_array_equal(load_torchscript(archive, CPU)(IMAGE), expected)


def test_a_scripted_network_computes_what_it_did(tmp_path):
    network = Helped().eval()
    torch.jit.script(network).save(tmp_path / "net.pt")
    with torch.no_grad():
        expected = network(IMAGE)["out"]
        found = load_torchscript(tmp_path / "net.pt", CPU)(IMAGE)["out"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "operator"),
    [
        (f"x = {FROM_FILE}", "aten::from_file"),
        ('torch.save(x, "{made}")', "aten::save"),
        ('ops.aten.save(x, "{made}")', "aten::save"),
        ('f = torch.from_file\n    x = f("{made}", True, 4, dtype=0)', "aten::from_file"),
        ('x = getattr(torch, "from" "_file")("{made}", True, 4, dtype=0)', "aten::from_file"),
        (f"x = {FROM_FILE} if torch.gt(torch.dim(x), 9) else x", "aten::from_file"),
        (f"def later():\n      return {FROM_FILE}\n    x = torch.wait(fork(later))", "prim::fork"),
        ("x = torch.as_strided(x, [1000000000], [1])", "aten::as_strided"),
        ("x = torch.set_(x, x)", "aten::set_"),
        ("x = torch.resize_(x, [9])", "aten::resize_"),
        ('print("a")', "prim::Print"),
        ("x = ops.quantized.add_relu(x, x, 1., 0)", "quantized::add_relu"),
        ("x = ops.prim.PythonOp(x)", "prim::PythonOp"),  # torch crashes on compiling it
        ("f = ops.prim\n    x = f.PythonOp(x)", "operator ::"),
        ('x = getattr(ops, "prim").PythonOp(x)', "operator ::"),
        (f"p = {PROFILE}.__new__({PROFILE})\n    p.__init__()\n    p.enable()", PROFILE),
    ],
)
def test_operators_that_are_no_arithmetic_are_named(archive, made, line, operator):
    add_line(archive, line.replace("{made}", str(made)))
    with pytest.raises(CheckpointError, match=operator):
        load_torchscript(archive, CPU)
    assert not made.exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x: Tensor)", f"x: Tensor,\n    y: Tensor={FROM_FILE})"),
        ("x: Tensor)", f"x: Tensor,\n    y: int=torch.len({FROM_FILE}))"),
        (
            "  __buffers__ = []\n",
            f"  __buffers__ = []\n  y : Final[int] = torch.len({FROM_FILE})\n",
        ),
        (
            "  def forward",
            "  def __setstate__(self: __torch__.Net,\n    state: Dict[str, Any]) -> NoneType:\n"
            f"    print(torch.len({FROM_FILE}))\n    return None\n  def forward",
        ),
    ],
)
def test_what_torch_runs_while_it_loads_is_refused_before(archive, made, old, new):
    whole = archive.read_bytes()
    change_source(archive, old, new.replace("{made}", str(made)))
    with pytest.raises(CheckpointError, match="would run on loading"):
        load_torchscript(archive, CPU)
    assert not made.exists()
    if "__setstate__" not in new:  # the attack is real
        torch.jit.load(archive)
        assert made.exists()
    archive.write_bytes(whole)


@pytest.mark.parametrize(
    "source",
    [
        "# comment\n",
        "x = 'a'\n",
        "x = \\\n1\n",
        'x = r"a"\n',
        'x = """a"""\n',
        "\tx = 1\n",
        "x = 1;\n",
    ],
)
def test_source_that_two_parsers_may_read_differently_is_refused(archive, source):
    change_source(archive, "class Net", source + "class Net")
    with pytest.raises(CheckpointError, match="is not source as torch writes it"):
        load_torchscript(archive, CPU)


def test_a_tensor_longer_than_its_part_is_refused(archive):
    rewrite(archive, "data/0", lambda part: part[:16])
    with pytest.raises(CheckpointError, match=r"claims 135 numbers of data/0, which has 16 bytes"):
        load_torchscript(archive, CPU)
    torch.jit.load(archive)  # torch does not notice


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"K\x05K\x03K\x03K\x03t", b"K\x05K\x03K\x03K\xfft", "reaches beyond its storage"),
        (b"K\x1bK\x09K\x03K\x01t", b"K\xfbK\x09K\x03K\x01t", "reaches beyond its storage"),
        (b"ctorch\nFloatStorage\n", b"K\x04", "claims 135 numbers"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n", "asks for os.system"),
        (b"c__torch__\nNet\n", b"c__torch__.torch\nclasses.a.B\n", "asks for __torch__.torch.cl"),
    ],
)
def test_structure_that_torch_does_not_check(archive, old, new, said):
    def change(structure):
        assert old in structure
        return structure.replace(old, new, 1)

    rewrite(archive, "data.pkl", change)
    with pytest.raises(CheckpointError, match=said):
        load_torchscript(archive, CPU)


def test_parts_that_claim_too_much_are_refused(archive):
    rewrite(archive, "code/__torch__.py", lambda source: source + b"\n" * (5 << 20))
    with pytest.raises(CheckpointError, match="claims to be too large"):
        load_torchscript(archive, CPU)


def test_truncated(archive):
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a TorchScript archive"):
        load_torchscript(archive, CPU)
