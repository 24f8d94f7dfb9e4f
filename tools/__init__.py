"""Programs for developers: run them as modules from the repository root."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OBJECTOMALY_SHARED", ROOT.parent / "shared"))
"""Reference data and goldens; not part of the repository."""
