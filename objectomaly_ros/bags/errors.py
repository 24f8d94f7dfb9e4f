"""What goes wrong with bags and folders of frames, in words for the person who gave them."""

from __future__ import annotations


class BagError(Exception):
    """A bag, topic or folder of frames cannot be used; the message says why and what to do."""
