"""`python -m objectomaly_ros.demo`."""

import sys

from objectomaly_ros.demo.main import main

if __name__ == "__main__":
    sys.exit(main())
