"""Videos as files."""

import cv2


def write_video(path, rate, images):
    """Write RGB images of one size as Motion JPEG."""
    writer = None
    for image in images:
        if writer is None:
            size = image.shape[1::-1]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, size)
        writer.write(image[..., ::-1])
    writer.release()
    return path
