"""From pixels to metres: camera model and ground plane."""
