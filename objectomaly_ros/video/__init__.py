"""OASC on video: cells are made once per keyframe and moved to later frames by optical flow."""
