"""A ROS domain for each test, undisturbed by other tests and by other processes that run tests."""

import itertools
import os

_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_EACH = 100 // _WORKERS  # the ports of domains above 101 are those of other sockets on Linux
_numbers = itertools.count(os.getpid())


def next_domain() -> int:
    return 1 + _WORKER * _EACH + next(_numbers) % _EACH
