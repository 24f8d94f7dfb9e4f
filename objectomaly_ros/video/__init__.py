"""OASC on video: cells, made once per keyframe, follow the image by optical flow."""
