import sys
from pathlib import Path

SUPPORT = str(Path(__file__).parents[1] / "support")
if SUPPORT not in sys.path:  # the mask process gets our sys.path
    sys.path.insert(0, SUPPORT)
