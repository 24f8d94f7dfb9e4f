"""`python -m objectomaly_ros.demo`."""

import sys

if __name__ == "__main__":
    try:
        from objectomaly_ros.demo.main import main
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())
