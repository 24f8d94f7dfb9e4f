"""A rendered street drive: pictures, camera and truth, the same for the same seed."""
