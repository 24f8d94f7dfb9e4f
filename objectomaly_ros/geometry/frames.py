"""Names of the frame in which ranges and points are given."""

from __future__ import annotations

AUTO = "auto"
FOOTPRINT, LINK = "base_footprint", "base_link"


def base_frames(wanted: str, frame: str) -> tuple[str, ...]:
    """Return the names that the base frame may have, the best first.

    Args:
        wanted: the parameter `points.base_frame`.
        frame: the camera's.
    """
    if wanted != AUTO:
        return (wanted,)
    prefix, slash, _ = frame.rpartition("/")  # of one robot of many
    if not slash:
        return FOOTPRINT, LINK
    return f"{prefix}/{FOOTPRINT}", FOOTPRINT, f"{prefix}/{LINK}", LINK
