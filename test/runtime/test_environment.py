import os
import subprocess
import sys

import pytest

from objectomaly_ros.runtime.environment import DEFAULTS, PACKAGE_PARENT, import_path, set_defaults


def test_what_the_user_sets_stays(monkeypatch):
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    set_defaults()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["KMP_BLOCKTIME"] == "0"


def test_the_package_comes_first_and_the_working_folder_not_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", ".", "relative", str(tmp_path), "/usr/lib", "/usr/lib"])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert import_path().split(os.pathsep) == [PACKAGE_PARENT, "/usr/lib"]


def test_a_working_folder_that_pythonpath_names_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("PYTHONPATH", f"/nowhere:{tmp_path}/")
    assert import_path().split(os.pathsep) == [PACKAGE_PARENT, str(tmp_path)]


def test_a_working_folder_that_is_gone_does_no_harm(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", [str(gone), "/usr/lib"])
    assert "/usr/lib" in import_path()


# Tells, when the first of them is imported, whether libraries will spin.
WATCH = """
import os, sys
class Watch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("numpy", "cv2", "torch", "sklearn", "scipy"):
            print("policy", os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch)
"""
ENTRIES = {
    "command": "from objectomaly_ros.cli.main import main; main(['refine', 'x', '--out', 'y'])",
    "node": "from objectomaly_ros.ros.refine_node import main; main([])",
}


@pytest.mark.parametrize(
    "entry", ["command", pytest.param("node", marks=pytest.mark.ros)], ids=ENTRIES.get
)
def test_the_environment_is_set_before_a_library_loads(entry):
    environment = {k: v for k, v in os.environ.items() if k not in DEFAULTS}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    script = WATCH + ENTRIES[entry]
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "policy PASSIVE\n", done.stderr


def test_torch_obeys():
    pytest.importorskip("torch")
    environment = os.environ | DEFAULTS | {"OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run(
        [sys.executable, "-c", "import torch"], env=environment, capture_output=True, text=True
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this torch uses no GNU OpenMP")
    assert "GOMP_SPINCOUNT = '0'" in done.stderr


def page_faults(setting):
    """Page faults of four buffers of 20 MB, one after the other, with a first one before."""
    program = f"""
import resource
from objectomaly_ros.runtime.environment import keep_freed_memory
{setting}
bytearray(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    bytes(b"x") * 20_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    return int(subprocess.check_output([sys.executable, "-c", program], text=True))


@pytest.mark.skipif(not os.confstr("CS_GNU_LIBC_VERSION"), reason="a setting of glibc")
def test_freed_memory_is_kept():
    assert page_faults("keep_freed_memory()") < 0.5 * page_faults("")
