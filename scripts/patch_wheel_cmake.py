"""Point the ROS wheels' exported CMake files at this machine.

The wheels were built in a manylinux container and their `share/**/*.cmake` files name that
container's Python and NumPy include folders. Run with the interpreter of the environment that
holds the wheels; running it again changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

STALE = (
    (r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+", sysconfig.get_paths()["include"]),
    (
        r"/[^\s;\"]+/site-packages/numpy/_?core/include",
        np.get_include(),
    ),
)


def main() -> None:
    """Rewrite the stale paths below `sys.prefix`/share and say how many files changed."""
    changed = 0
    for path in (Path(sys.prefix) / "share").rglob("*.cmake"):
        before = after = path.read_text(encoding="utf-8")
        for pattern, replacement in STALE:
            after = re.sub(pattern, replacement, after)
        if after != before:
            path.unlink()  # uv links files to its cache, which other environments share
            path.write_text(after, encoding="utf-8")
            changed += 1
    print(f"pointed {changed} CMake files of the ROS wheels at {sys.prefix}")


if __name__ == "__main__":
    main()
