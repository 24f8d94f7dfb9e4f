"""Checkpoint files of every kind, whole, broken and malicious."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.reading import read_content, read_tensors


@pytest.fixture
def weights():
    return {
        "backbone.a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "b.bias": torch.tensor([1.5, -2.0]),
        "bn.num_batches_tracked": torch.tensor(7),
    }


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def training_state(weights):
    """What detectron2 and training loops leave beside the weights."""
    return {
        "model": OrderedDict(weights),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4}]},
        "scheduler": {"last_epoch": 9, "best": np.float64(0.5), "seen": np.int64(3)},
        "iteration": 90000,
    }


@pytest.mark.parametrize("wrap", [dict, training_state, lambda w: {"state_dict": w}])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files(tmp_path, weights, wrap, zipped):
    path = tmp_path / "model.pth"
    torch.save(wrap(weights), path, _use_new_zipfile_serialization=zipped)
    assert_same(read_tensors(path), weights)


def test_all_wrappers_are_peeled_in_order(tmp_path, weights):
    path = tmp_path / "rev3.pth"
    torch.save({"model": {"model_state": {"state_dict": weights}}, "epoch": 3}, path)
    assert_same(read_tensors(path), weights)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_detectron2_pickle(tmp_path, weights, protocol):
    path = tmp_path / "model.pkl"
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    arrays["fortran"] = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    arrays["big_endian"] = np.arange(3, dtype=">f4")
    content = {"model": arrays, "__author__": "third_party", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content, protocol))
    found = read_tensors(path)
    assert found.pop("fortran").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.pop("big_endian").tolist() == [0, 1, 2]
    assert_same(found, weights)


@pytest.mark.parametrize(("before", "after"), [(b"numpy._core", b"numpy.core"), (b"", b"")])
def test_pickles_of_both_numpy_generations(tmp_path, before, after):
    path = tmp_path / "model.pkl"
    data = pickle.dumps({"a": np.arange(4, dtype=np.float32), "s": np.float64(2.0)}, protocol=2)
    assert b"numpy" in data
    if before:
        # Protocol 2 writes module names as lines, so they may change their length.
        other = data.replace(before, after) if before in data else data.replace(after, before)
        assert other != data
        data = other
    path.write_bytes(data)
    found = read_tensors(path)
    assert found["a"].tolist() == [0, 1, 2, 3]
    assert found["s"].item() == 2.0


@pytest.mark.parametrize("asked", [True, False, None])
def test_matching_heuristics_are_reported(tmp_path, weights, asked):
    content = {"model": {name: tensor.numpy() for name, tensor in weights.items()}}
    if asked is not None:
        content["matching_heuristics"] = asked
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(content))
    torch.save({**content, "model": weights}, tmp_path / "model.pth")
    for kind in ("pkl", "pth"):
        found = read_content(tmp_path / f"model.{kind}")
        assert found.match_ends is bool(asked)
        assert_same(found.tensors, weights)


def test_safetensors(tmp_path, weights):
    path = tmp_path / "model.safetensors"
    save_file(weights, path)
    assert_same(read_tensors(path), weights)


class Evil:
    """Unpickling an instance calls a function of the file's choice."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def evils(mark):
    import os
    import subprocess

    return [
        Evil(os.system, f"touch {mark}"),
        Evil(eval, f"open({str(mark)!r}, 'w')"),
        Evil(exec, f"open({str(mark)!r}, 'w')"),
        Evil(subprocess.call, ["touch", str(mark)]),
        Evil(getattr, "a", "upper"),
        Evil(open, str(mark), "w"),
    ]


@pytest.mark.parametrize("which", range(6))
@pytest.mark.parametrize("kind", ["pkl", "pkl_beside_arrays", "pth", "pth_legacy"])
def test_malicious_pickle_is_refused_and_does_nothing(tmp_path, weights, which, kind):
    mark = tmp_path / "it_ran"
    evil = evils(mark)[which]
    path = tmp_path / "model.bin"
    if kind.startswith("pkl"):
        content = {"model": {"a": np.zeros(3)}, "x": evil} if kind != "pkl" else evil
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(
            {"model": weights, "x": evil}, path, _use_new_zipfile_serialization=kind == "pth"
        )
    with pytest.raises(CheckpointError, match=r"refused.*run code on loading"):
        read_tensors(path)
    assert not mark.exists()


def test_the_evil_pickle_would_have_worked(tmp_path):
    """The attack is real: plain pickle runs it."""
    mark = tmp_path / "it_ran"
    pickle.loads(pickle.dumps(evils(mark)[0]))
    assert mark.exists()


def reduced(callable_line, args_bytes):
    """A hand-written pickle that calls what the first line names, on the arguments."""
    return b"\x80\x02c" + callable_line + b"\n" + args_bytes + b"R."


@pytest.mark.parametrize(
    "data",
    [
        reduced(b"numpy\nload", b"(X\x01\x00\x00\x00at"),
        reduced(b"numpy.core.multiarray\nfromfile", b"(X\x01\x00\x00\x00at"),
        reduced(b"builtins\ngetattr", b"(X\x01\x00\x00\x00aX\x01\x00\x00\x00bt"),
        # an array kind that is not numpy's, and arrays of objects
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(ccollections\nOrderedDict\nK\x00\x85tR.",
        b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R.",
        # a record dtype by its state, and attributes set on the functions that the pickle may call
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R(K\x03X\x01\x00\x00\x00<K\x01NNtb.",
        b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__Ns\x86b.",
        # an array larger than its bytes
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
        b"(K\x01J\xff\xff\xff\x7f\x85cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89C\x04abcdtb.",
    ],
)
def test_numpys_own_functions_are_no_way_out(tmp_path, data):
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=str(path)):
        read_tensors(path)


def nested_pairs(levels):
    """A pickle's tuple that holds another one twice, and so on: 2**levels numbers."""
    pairs = (b"0h%ch%c\x86q%c" % (level, level, level + 1) for level in range(levels))
    return b"K\x01q\x00" + b"".join(pairs)


def nested_lists(levels):
    """The same of lists, each put into the memo while it is empty."""
    lists = (b"0]q%c(h%ch%ce" % (level + 1, level, level) for level in range(levels))
    return b"K\x01q\x00" + b"".join(lists)


KEY_BOMB = b"\x80\x02}" + nested_pairs(60) + b"Ns."


def test_the_key_bomb_is_small_and_real():
    assert len(KEY_BOMB) < 500
    small = pickle.loads(b"\x80\x02}" + nested_pairs(10) + b"Ns.")
    assert str(next(iter(small))).count("1") == 2**10


@pytest.mark.parametrize("kind", ["pkl", "pth", "pth_legacy"])
def test_keys_that_take_for_ever_to_hash_are_refused(tmp_path, weights, kind):
    path = tmp_path / "model.bin"
    if kind == "pkl":
        path.write_bytes(KEY_BOMB)
    elif kind == "pth":
        torch.save(weights, path)
        replace_part(path, "data.pkl", lambda _: KEY_BOMB)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=False)
        parts = io.BytesIO(path.read_bytes())
        for _ in range(3):  # magic number, version, system
            pickle.load(parts)
        path.write_bytes(path.read_bytes()[: parts.tell()] + KEY_BOMB)
    with pytest.raises(CheckpointError, match="more than 10,000,000 values"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "memo index 2147483647"),  # 17 GB of memo
        (b"\x80\x02\x8b\x04\x00\x00\x00\x01\x00\x00\x00.", "opcode LONG4"),
        (b"\x80\x04\x8f.", "opcode EMPTY_SET"),
        # a dtype that takes for ever to print
        (
            b"\x80\x02cnumpy\ndtype\n" + nested_lists(60) + b"\x85R.",
            "array of Python objects",
        ),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00a.", "not a readable pickle"),
    ],
)
def test_pickles_that_take_more_than_they_hold(tmp_path, data, said):
    (tmp_path / "model.pkl").write_bytes(data)
    with pytest.raises(CheckpointError, match=said):
        read_tensors(tmp_path / "model.pkl")


def test_damaged_files_are_not_said_to_load_without_the_checks(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"a": torch.zeros(2000)}, path, _use_new_zipfile_serialization=False)
    good, said = path.read_bytes(), []
    for at in range(0, 400, 3):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        try:
            read_tensors(path)
        except CheckpointError as error:
            said.append(str(error))
    assert any("it holds other instructions" in text for text in said)
    assert not [text for text in said if "weights_only" in text or "trust" in text]


def replace_part(path, name, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as source:
        parts = {member: source.read(member) for member in source.namelist()}
    with zipfile.ZipFile(path, "w", compression) as target:
        for member, part in parts.items():
            target.writestr(member, change(part) if member.endswith(name) else part)


def test_compressed_archives_are_refused(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"a": torch.zeros(1 << 20)}, path)
    replace_part(path, "", lambda part: part, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(CheckpointError, match="is compressed"):
        read_tensors(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_claim_more_than_the_file_are_refused(tmp_path, zipped):
    path = tmp_path / "model.pth"
    one = torch.zeros(1).expand(10**9)
    torch.save({"a": one}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"its tensors claim 4,000,000,000"):
        read_tensors(path)


def test_arrays_of_numpy_in_torchs_files(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"model": {"a": np.arange(6.0).reshape(2, 3)}, "best": np.float32(0.5)}, path)
    assert read_tensors(path)["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_object_arrays_are_refused(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": np.array([{}, []], dtype=object)}}))
    with pytest.raises(CheckpointError, match="array of Python objects"):
        read_tensors(path)


@pytest.mark.parametrize("kind", ["pth", "pth_legacy", "pkl", "safetensors"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
def test_truncated_files(tmp_path, kind, kept):
    weights = {f"layer{i}.weight": torch.randn(64, 32) for i in range(4)}
    path = tmp_path / "model"
    if kind == "pkl":
        path.write_bytes(pickle.dumps({"model": {n: t.numpy() for n, t in weights.items()}}))
    elif kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save({"model": weights}, path, _use_new_zipfile_serialization=kind == "pth")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match=r"truncated|ends in the middle|not a readable"):
        read_tensors(path)


def test_an_archive_of_several_volumes(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"a": torch.zeros(2)}, path)
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    assert content[end - 20 : end - 16] == b"PK\6\7"  # where ZIP64 keeps the number of volumes
    path.write_bytes(content[: end - 4] + struct.pack("<I", 2) + content[end:])
    with pytest.raises(CheckpointError, match=r"damaged .* (multiple disks|no directory)"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>Google Drive - Virus scan warning", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"\x7fELF and so on", "begins with"),
        (struct.pack("<Q", 1 << 40) + b"{", "begins with"),
        (pickle.dumps([1, 2, 3]), "holds no tensors"),
        (pickle.dumps({"model": {"a": "text"}}), "holds no tensors"),
    ],
)
def test_other_files_are_told_what_they_are(tmp_path, content, said):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        read_tensors(path)


def test_missing_file_says_where_to_look(tmp_path):
    with pytest.raises(CheckpointError, match="checkpoints list"):
        read_tensors(tmp_path / "none.pth")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=f"{tmp_path} is a folder; name the checkpoint file"):
        read_tensors(tmp_path)


def test_archive_around_a_checkpoint_is_to_be_unpacked(tmp_path):
    path = tmp_path / "swin_b_1dl.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("swin_b_1dl/model_final.pth", b"x")
    with pytest.raises(CheckpointError, match=r"swin_b_1dl/model_final\.pth: unpack it"):
        read_tensors(path)


def test_torchscript_is_sent_to_the_semantic_detector(tmp_path):
    path = tmp_path / "net.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    with pytest.raises(CheckpointError, match="semantic"):
        read_tensors(path)
