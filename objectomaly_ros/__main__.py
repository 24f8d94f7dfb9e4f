"""`python -m objectomaly_ros` is the command `objectomaly`."""

import sys

from objectomaly_ros.cli.main import main

sys.exit(main())
