"""Installs the core and the `objectomaly` command with pip; colcon uses CMakeLists.txt instead."""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
INIT = (ROOT / "objectomaly_ros" / "__init__.py").read_text()
setup(
    version=re.search(r'__version__ = "(.+)"', INIT)[1],
    data_files=[
        ("share/objectomaly_ros/msg", [f"msg/{path.name}" for path in ROOT.glob("msg/*.msg")]),
        ("share/ament_index/resource_index/packages", ["resource/objectomaly_ros"]),
    ],
)
