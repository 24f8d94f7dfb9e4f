"""Conversion to safetensors keeps every bit and leaves nothing half-written."""

import pickle

import numpy as np
import pytest
import torch
from safetensors import safe_open

from objectomaly_ros.checkpoints.convert import convert
from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.reading import read_content, read_tensors


@pytest.fixture
def weights():
    base = torch.randn(4, 6)
    return {
        "module.sem_seg_head.predictor.static_query.weight": base[:2],  # a slice: shared memory
        "module.backbone.w": base,
        "module.half": base.half(),
        "module.n": torch.tensor(3),
    }


def test_bit_for_bit_under_canonical_names(tmp_path, weights):
    source, target = tmp_path / "model_final.pth", tmp_path / "out" / "model.safetensors"
    torch.save({"model": weights, "optimizer": {"step": torch.zeros(9)}}, source)
    assert "4 tensors" in convert(source, target)
    found = read_tensors(target)
    assert set(found) == {"sem_seg_head.predictor.query_feat.weight", "backbone.w", "half", "n"}
    for name, tensor in weights.items():
        other = name.removeprefix("module.").replace("static_query", "query_feat")
        assert found[other].dtype == tensor.dtype
        assert torch.equal(found[other], tensor)
    with safe_open(target, "pt") as file:
        assert file.metadata()["converted_from"] == "model_final.pth"


def test_from_a_pickle(tmp_path):
    source, target = tmp_path / "model.pkl", tmp_path / "model.safetensors"
    source.write_bytes(pickle.dumps({"model": {"a": np.arange(3, dtype=np.float32)}}))
    convert(source, target)
    assert read_tensors(target)["a"].tolist() == [0, 1, 2]


def test_what_the_source_says_of_itself_is_kept(tmp_path):
    source, target = tmp_path / "model.pkl", tmp_path / "model.safetensors"
    content = {"model": {"res2.a": np.zeros(2)}, "matching_heuristics": True}
    source.write_bytes(pickle.dumps(content))
    source.chmod(0o644)
    convert(source, target)
    assert read_content(target).match_ends
    assert target.stat().st_mode & 0o777 == 0o644, "others read the source, and not the target"


def test_never_overwrites(tmp_path, weights):
    source, target = tmp_path / "m.pth", tmp_path / "m.safetensors"
    torch.save(weights, source)
    target.write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="exists"):
        convert(source, target)
    assert target.read_bytes() == b"mine"


def test_full_disk_leaves_nothing(tmp_path, weights, monkeypatch):
    source, target = tmp_path / "m.pth", tmp_path / "m.safetensors"
    torch.save(weights, source)

    def full(tensors, path, _metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match=r"m\.safetensors: no space left"):
        convert(source, target)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["m.pth"]
