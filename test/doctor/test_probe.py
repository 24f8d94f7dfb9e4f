"""Packages that crash, hang or fail on being imported, each made here."""

import signal

import pytest

from objectomaly_ros.doctor import probe as module
from objectomaly_ros.doctor.probe import is_there, probe, run_in_child


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Makes modules that children and this process find."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(**modules):
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        return list(modules)

    return make


def test_each_package_has_its_answer(packages):
    names = packages(
        doctor_a="__version__ = '1.2'\nprint('{} is no answer}')",
        doctor_b="raise ImportError('libmissing.so: cannot open')",
        doctor_c="import os, signal; os.kill(os.getpid(), signal.SIGILL)",
        doctor_d="import sys; sys.exit('no licence')",
        doctor_e="import os; os._exit(3)",
        doctor_f="pass",
    )
    found = probe([*names, "doctor_missing"], {"doctor_f": ["numpy"]})
    assert list(found) == names
    a, b, c, d, e, f = found.values()
    assert (a.version, a.problem) == ("1.2", "")
    assert a.location.endswith("doctor_a.py")
    assert b.problem == "ImportError: libmissing.so: cannot open"
    assert (c.problem, c.signal) == ("the process crashes with SIGILL", signal.SIGILL)
    assert d.problem == "SystemExit: no licence"
    assert e.problem == "the process ends with exit code 3"
    assert f.version.count(".") == 2  # that of the distribution
    assert not f.problem


def test_a_package_that_hangs(packages, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 3.0)
    names = packages(doctor_ok="", doctor_sleeper="import time; time.sleep(100)", doctor_next="")
    found = probe(names, {})
    assert found["doctor_sleeper"].problem == "it was not done after 3 s"
    assert not found["doctor_ok"].problem
    assert not found["doctor_next"].problem


def test_what_is_there():
    assert is_there("numpy")
    assert not is_there("doctor_missing")
    assert not is_there("doctor_missing.part")


def test_a_picture_is_scored():
    found, problem = run_in_child("score_a_picture", "embedded", "", '{"input_size": 64}')
    assert problem == ""
    assert 0 <= found["low"] < found["high"] <= 1


def test_errors_of_a_detector_are_told():
    found, problem = run_in_child("score_a_picture", "embedded", "/no/file.onnx", "{}")
    assert found is None
    assert problem.startswith("FileNotFoundError: no checkpoint /no/file.onnx")
