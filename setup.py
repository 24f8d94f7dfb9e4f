"""Installs the core and the `objectomaly` command with pip; colcon uses CMakeLists.txt instead."""

import re
from pathlib import Path

from setuptools import setup

INIT = (Path(__file__).parent / "objectomaly_ros" / "__init__.py").read_text()
setup(version=re.search(r'__version__ = "(.+)"', INIT)[1])
