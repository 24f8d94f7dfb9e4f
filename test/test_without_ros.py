"""The core must import and work on a machine without ROS."""

import subprocess
import sys

# Runs in a fresh interpreter, in which nothing of ROS can be imported.
PROGRAM = """
import importlib, pkgutil, sys

ROS = ("rclpy", "launch", "launch_ros", "cv_bridge", "bond", "tf2_ros", "ament_index_python")

class NoRos:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        messages = top.endswith(("_msgs", "_msgs_py", "_interfaces", "_srvs"))
        if top in ROS or messages or name == "objectomaly_ros.msg":
            raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)

sys.meta_path.insert(0, NoRos())
import objectomaly_ros

ROS_PARTS = ("objectomaly_ros.ros", "objectomaly_ros.msg", "objectomaly_ros.objectomaly_ros_s")
names = []
for module in pkgutil.walk_packages(objectomaly_ros.__path__, "objectomaly_ros."):
    if module.name.startswith(ROS_PARTS):
        continue
    if module.name.rpartition(".")[2] == "__main__":
        continue
    importlib.import_module(module.name)
    names.append(module.name)

import numpy as np
from objectomaly_ros import Objectomaly
from objectomaly_ros.detectors import load_detector
from objectomaly_ros.masks import load_mask_generator

image = np.full((90, 120, 3), 120, np.uint8)
image[30:70, 40:90] = (200, 40, 30)
refinement = Objectomaly(load_detector("embedded"), load_mask_generator("regions")).refine(image)
assert refinement.score.shape == (90, 120) and refinement.score.dtype == np.float32
assert np.isfinite(refinement.score).all()
assert not [name for name in sys.modules if name.partition(".")[0] in ROS]
print(len(names), "modules")
"""


def test_core_works_where_ros_cannot_be_imported():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 30


def test_import_is_light():
    program = "import sys, objectomaly_ros; print('torch' in sys.modules, 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr
