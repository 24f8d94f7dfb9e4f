"""What is said of detectors, memories and downloaded checkpoints."""

import hashlib

import pytest
from tiny_embedded import write_tiny_network

from objectomaly_ros.checkpoints.table import TABLE, Checkpoint
from objectomaly_ros.doctor import models
from objectomaly_ros.doctor.models import checkpoint_findings, detector_finding, memory_finding


def test_a_detector_that_works(tmp_path):
    weights = write_tiny_network(tmp_path / "tiny.onnx")
    found = detector_finding("embedded", weights, {"input_size": 64})
    assert found.level == "ok"
    assert str(weights) in found.found


def test_damaged_weights(tmp_path):
    weights = write_tiny_network(tmp_path / "tiny.onnx")
    weights.write_bytes(weights.read_bytes()[:-2000])
    found = detector_finding("embedded", weights, {})
    assert found.level == "error"
    assert "cannot score a picture: " in found.found
    assert found.remedy


def test_a_memory_of_other_weights(tmp_path):
    found = memory_finding(tmp_path / "none.safetensors", "embedded", None, {})
    assert found.level == "error"
    assert "no memory" in found.found
    assert found.remedy.startswith("objectomaly learn DRIVE --out ")


@pytest.fixture
def table(monkeypatch):
    """Two checkpoints: one with hash, one by hand in an archive."""
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    known = Checkpoint("known", ("x",), "https://x.example/a", "a.pth", "MIT", sha256=digest)
    member = Checkpoint("member", ("x",), "https://x.example/b", "b.pth", "MIT", member="c.pth")
    monkeypatch.setattr(models, "TABLE", {"known": known, "member": member})
    return content


def test_checkpoints_are_verified(tmp_path, table):
    (tmp_path / "a.pth").write_bytes(table)
    (tmp_path / "b.pth").write_bytes(table)
    known, member = checkpoint_findings(tmp_path)
    assert (known.level, known.found) == ("ok", "SHA-256 matches")
    assert member.level == "ok"
    (tmp_path / "a.pth").write_bytes(b"other")
    known, _ = checkpoint_findings(tmp_path)
    assert known.level == "error"
    assert "objectomaly checkpoints download known" in known.remedy


def test_an_empty_cache_is_well(tmp_path):
    (found,) = checkpoint_findings(tmp_path / "none")
    assert found.level == "ok"
    assert len(TABLE) > 10
