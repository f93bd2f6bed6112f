"""Key frames as JPEG and back: quality 92 or more and no chroma subsampling (4:4:4).

The cues of an action unit are small changes of edges and of colour; subsampled chroma and coarse quantisation are
where they would go first. A picture from the queue is foreign input: its size is read from its header before it is
decoded, so that a few bytes cannot claim gigabytes.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamfer.errors import PayloadInvalid

#: Pixels on a side of a picture in a job.
SIDE_LIMIT_PX = 4096
MIN_QUALITY = 92

# start-of-frame markers (ITU-T T.81, table B.1): C0-CF without DHT (C4), JPG (C8) and DAC (CC)
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def encode(image: np.ndarray, quality: int = 95) -> bytes:
    """(H, W, 3) uint8 RGB -> JPEG. Raises ValueError for another shape or type, or a quality below 92."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a key frame must be (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
    if not MIN_QUALITY <= quality <= 100:
        raise ValueError(f"JPEG quality {quality} is not within {MIN_QUALITY}-100")
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ])  # fmt: skip
    if not done:
        raise ValueError(f"a key frame of {image.shape} cannot be written as JPEG")
    return data.tobytes()


def decode(data: bytes) -> np.ndarray:
    """JPEG -> (H, W, 3) uint8 RGB. Raises PayloadInvalid when it is none, or larger than 4096 px."""
    width, height = size_px(data)
    if not (0 < width <= SIDE_LIMIT_PX and 0 < height <= SIDE_LIMIT_PX):
        raise PayloadInvalid(f"the picture claims {width}x{height} px, 1 to {SIDE_LIMIT_PX} are allowed")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise PayloadInvalid(f"the picture is a damaged JPEG ({len(data)} bytes)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def size_px(data: bytes) -> tuple[int, int]:
    """Width and height that a JPEG's header claims. Raises PayloadInvalid when there is no such header."""
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SOF:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    raise PayloadInvalid(f"the picture is no JPEG ({len(data)} bytes)")
