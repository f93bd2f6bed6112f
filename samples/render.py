"""Draw planted movements into a still portrait or into footage, and encode the result.

One inverse map per frame (head, then skin, then lids), sampled once from the source picture, so that nothing is
blurred twice. Outside the moved area the map is the identity: in footage those pixels are the source's own; in a
portrait the background stays where it is while the head moves in front of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from samples.motion import Head, HeadAt
from samples.muscles import Skin, face_points, smoothstep, to_face_frame
from samples.planted import Plan

CELL = 8  # pixels between the points at which the smooth fields are computed
UPPER_LID = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
LOWER_LID = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))

LASHES, FOLD = 0.07, 0.30  # IED above the lid's edge


class Face:
    """A source picture's face: where it is and how its skin moves."""

    def __init__(self, landmarks: np.ndarray, skin: Skin | None = None) -> None:
        self.landmarks = landmarks
        self.origin, self.axes, self.ied = to_face_frame(landmarks)
        points = face_points(landmarks)
        self.skin = skin.moved(points) if skin else Skin(points)

    def box(self) -> np.ndarray:
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return np.array([*low, *(high - low)])


def find_landmarks(images: list[np.ndarray], smooth_frames: float = 1.5) -> np.ndarray:
    """(T, 478, 2) landmarks in pixels of the largest face of each RGB image, smoothed over time; gaps are bridged.

    Raises ValueError when no face is found at all.
    """
    import mediapipe as mp
    from scipy.ndimage import gaussian_filter1d

    found = np.full((len(images), 478, 2), np.nan)
    options = {"static_image_mode": len(images) == 1, "max_num_faces": 1, "refine_landmarks": True}
    with mp.solutions.face_mesh.FaceMesh(**options) as mesh:
        for i, image in enumerate(images):
            result = mesh.process(image)
            if result.multi_face_landmarks:
                h, w = image.shape[:2]
                found[i] = [(p.x * w, p.y * h) for p in result.multi_face_landmarks[0].landmark]
    seen = np.isfinite(found[:, 0, 0])
    if not seen.any():
        raise ValueError("no face found in the base picture: give one with a face that looks at the camera")
    flat = found.reshape(len(images), -1)
    index = np.arange(len(images))
    for column in range(flat.shape[1]):
        flat[:, column] = np.interp(index, index[seen], flat[seen, column])
    if len(images) > 1:
        flat = gaussian_filter1d(flat, smooth_frames, axis=0, mode="nearest")
    return flat.reshape(found.shape)


class Portrait:
    """A still picture that comes alive: `width` x `height` pixels around the face, which is `face_px` wide."""

    def __init__(self, image: np.ndarray, width: int, height: int, face_px: float, seed: int, mirror: bool = False):
        image = np.ascontiguousarray(image[:, ::-1] if mirror else image)
        landmarks = find_landmarks([image])[0]
        zoom = face_px / np.ptp(landmarks[:, 0])
        # upscaled once with a good filter; every frame then samples this picture
        self.base = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LANCZOS4)
        # centre of pixel (i + 0.5) in both pictures
        self.face = Face((landmarks + 0.5) * zoom - 0.5)
        self.size = (width, height)
        box = self.face.box()
        corner = box[:2] + box[2:] / 2 - np.array([width, height]) * [0.5, 0.52]
        limit = np.array(self.base.shape[1::-1]) - [width, height]
        if (limit < 0).any():
            raise ValueError(f"the picture is too small for {width}x{height} with a face {face_px:.0f} px wide")
        self.corner = np.clip(np.round(corner), 0, limit)
        self._below = min(float(box[1] + box[3] * 1.25 - self.corner[1]), float(limit[1] - self.corner[1]))
        self.seed = seed

    def draw(self, t: float, times: np.ndarray, plan: Plan, head: Head) -> tuple[np.ndarray, np.ndarray]:
        """RGB picture and the face's box (4,), NaN when it is out of the picture."""
        pan = self._pan(t, plan)
        xy = _grid(self.size) + self.corner + [0, pan]
        pose = head.at(t)
        source = self._behind_head(xy, pose)
        source = _behind_skin(source, self.face, plan.skin_at(t, times))
        map_x, map_y = _full(source, self.size)
        image = cv2.remap(self.base, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        closed = max((b.closed(t) for b in plan.blinks), default=0.0)
        if closed > 0:
            _draw_lids(image, self.base, map_x, map_y, self.face, closed)
        box = self.face.box()
        box[:2] += np.array(pose.shift) * self.face.ied - self.corner - [0, pan]
        visible = box[1] + 0.5 * box[3] > 0
        return image, box if visible else np.full(4, np.nan)

    def _pan(self, t: float, plan: Plan) -> float:
        """The camera looks down to the chest while the person is absent, taking 0.6 s each way."""
        away = 0.0
        for start, end in plan.absent:
            ramp = float(smoothstep(np.array((t - start + 0.6) / 0.6)) * (1 - smoothstep(np.array((t - end) / 0.6))))
            away = max(away, ramp)
        return away * self._below

    def _behind_head(self, xy: np.ndarray, pose: HeadAt) -> np.ndarray:
        """Where each output point comes from before the head moved: two rounds of fixed-point iteration suffice."""
        rest = xy
        for _ in range(3):
            rest = xy - self._head_displacement(rest, pose)
        return rest

    def _head_displacement(self, xy: np.ndarray, pose: HeadAt) -> np.ndarray:
        face = self.face
        uv = (xy - face.origin) @ face.axes.T / face.ied
        from_neck = uv - [0.0, 2.2]  # rolls and nods turn about the neck
        r = np.linalg.norm((uv - [0.0, 0.7]) / [2.3, 3.0], axis=-1)
        weight = 1 - smoothstep((r - 0.95) / 0.75)
        # depth of a head as a dome with a nose on it, in IED: what turning and nodding shift
        dome = 1.5 * np.sqrt(np.clip(1 - (uv[..., 0] / 2.5) ** 2 - ((uv[..., 1] - 0.6) / 3.3) ** 2, 0, 1))
        nose = 0.45 * np.exp(-0.5 * ((uv[..., 0] / 0.35) ** 2 + ((uv[..., 1] - 1.0) / 0.45) ** 2))
        depth = dome + nose
        du = pose.shift[0] - pose.roll * from_neck[..., 1] + pose.scale * uv[..., 0] + pose.yaw * depth
        dv = pose.shift[1] + pose.roll * from_neck[..., 0] + pose.scale * uv[..., 1] + pose.pitch * depth
        return (np.stack([du, dv], axis=-1) * weight[..., None]) @ face.axes * face.ied


class Footage:
    """Frames of a clip, each with the landmarks of its face."""

    def __init__(self, images: list[np.ndarray], times: list[float]) -> None:
        self.images, self.times = images, times
        self.landmarks = find_landmarks(images)
        first = Face(self.landmarks[0])
        self.faces = [first, *(Face(points, first.skin) for points in self.landmarks[1:])]
        self.size = (images[0].shape[1], images[0].shape[0])

    def draw(self, index: int, times: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        face, t = self.faces[index], float(times[index])
        skin = plan.skin_at(t, times)
        closed = max((b.closed(t) for b in plan.blinks), default=0.0)
        image = self.images[index]
        if skin or closed > 0:
            source = _behind_skin(_grid(self.size), face, skin)
            map_x, map_y = _full(source, self.size)
            base, image = image, cv2.remap(image, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
            if closed > 0:
                _draw_lids(image, base, map_x, map_y, face, closed)
        return image, face.box()


def read_footage(path: str | Path, width: int | None = None, loop_s: float | None = None) -> Footage:
    """All frames of a clip, scaled down to `width`; played forward and backward until `loop_s` when that is given."""
    images, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or Fraction(30)
        for frame in container.decode(stream):
            w = min(width or frame.width, frame.width) // 2 * 2
            h = round(frame.height * w / frame.width) // 2 * 2
            images.append(frame.to_ndarray(format="rgb24", width=w, height=h, interpolation="AREA"))
            times.append(float(frame.pts * stream.time_base))
    if not images:
        raise ValueError(f"{path}: no frame could be decoded")
    times = [t - times[0] for t in times]
    if loop_s and loop_s > times[-1]:
        there_and_back = [*range(len(images)), *range(len(images) - 2, 0, -1)]
        order = [there_and_back[i % len(there_and_back)] for i in range(round(loop_s * rate))]
        images, times = [images[i] for i in order], [float(i / rate) for i in range(len(order))]
    return Footage(images, times)


class Camera:
    """Flicker of the light (a slow drift and a 1.7 Hz wave, as a fraction) and sensor noise (grey levels)."""

    def __init__(self, size: tuple[int, int], noise: float, flicker: float, seed: int) -> None:
        self.noise, self.flicker, self._size = noise, flicker, size
        self._rng = np.random.default_rng([seed, 404])
        # one field of noise, larger than the picture; each frame takes another corner of it, turned another way
        shape = (size[1] + 256, size[0] + 256)
        grey = self._rng.standard_normal(shape, dtype=np.float32)  # mostly luminance, as after a camera's own pipeline
        self._field = noise * (0.85 * grey[..., None] + 0.5 * self._rng.standard_normal((*shape, 3), dtype=np.float32))

    def take(self, image: np.ndarray, t: float) -> np.ndarray:
        if not self.noise and not self.flicker:
            return image
        gain = 1 + self.flicker * (0.6 * np.sin(2 * np.pi * 0.23 * t) + 0.4 * np.sin(2 * np.pi * 1.7 * t + 1))
        x, y, turn = (int(v) for v in self._rng.integers(0, [256, 256, 4]))
        noise = self._field[y : y + self._size[1], x : x + self._size[0]]
        noise = noise[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
        picture = image * np.float32(gain) + noise
        return cv2.convertScaleAbs(np.maximum(picture, 0, out=picture))


def encode(path: Path, frames: Iterator[np.ndarray], times: np.ndarray, crf: int) -> None:
    """H.264 4:2:0 with each frame at its own time."""
    base = Fraction(1, 90000)
    with av.open(str(path), "w") as container:
        steps = np.diff(times)
        stream = container.add_stream("libx264", rate=Fraction(1 / float(np.median(steps))).limit_denominator(1001))
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "fast", "threads": "2"}
        stream.codec_context.time_base = base
        for image, t in zip(frames, times, strict=True):
            if stream.codec_context.width != image.shape[1]:
                stream.width, stream.height = image.shape[1], image.shape[0]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(float(t) / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _grid(size: tuple[int, int]) -> np.ndarray:
    """Cell centres (rows, columns, 2) in pixels, with a margin of two cells around the picture."""
    x = (np.arange(-2, -(-size[0] // CELL) + 2) + 0.5) * CELL - 0.5
    y = (np.arange(-2, -(-size[1] // CELL) + 2) + 0.5) * CELL - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1)


def _full(coarse: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A map at every pixel: cubic interpolation of the offset from the identity."""
    rest = _grid(size)
    offset = (coarse - rest).astype(np.float32)
    fine = cv2.resize(offset, None, fx=CELL, fy=CELL, interpolation=cv2.INTER_CUBIC)
    fine = fine[2 * CELL : 2 * CELL + size[1], 2 * CELL : 2 * CELL + size[0]]
    x, y = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)
    return fine[..., 0] + x, fine[..., 1] + y[:, None]


def _behind_skin(xy: np.ndarray, face: Face, skin: dict[tuple[str, str], float]) -> np.ndarray:
    """Where each point comes from before the skin moved."""
    if not skin:
        return xy
    uv = (xy - face.origin) @ face.axes.T / face.ied
    near = np.abs(uv).max(axis=-1) < 4.0
    target = uv[near]
    rest = target
    for _ in range(3):
        rest = target - sum(size * face.skin.displacement(au, side, rest) for (au, side), size in skin.items())
    uv = uv.copy()
    uv[near] = rest
    return np.where(near[..., None], uv @ face.axes * face.ied + face.origin, xy)


def _draw_lids(
    image: np.ndarray, base: np.ndarray, map_x: np.ndarray, map_y: np.ndarray, face: Face, closed: float
) -> None:
    """Slide the upper lids down over the eyes, in place: lid skin stretches, the eye behind it does not move."""
    points = face.skin.points
    for upper, lower in zip(UPPER_LID, LOWER_LID, strict=True):
        top, bottom = points[list(upper)], points[list(lower)]
        around = face.landmarks[[*upper, *lower], :2]
        low, high = around.min(axis=0) - 0.4 * face.ied, around.max(axis=0) + 0.4 * face.ied
        near = (map_x > low[0]) & (map_x < high[0]) & (map_y > low[1]) & (map_y < high[1])
        rows, columns = np.nonzero(near.any(axis=1))[0], np.nonzero(near.any(axis=0))[0]
        if not len(rows):
            continue
        area = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        x, y = map_x[area], map_y[area]
        uv = (np.stack([x, y], axis=-1) - face.origin) @ face.axes.T / face.ied
        u, v = uv[..., 0], uv[..., 1]
        lid = np.interp(u, top[:, 0], top[:, 1])
        floor = np.interp(u, bottom[:, 0], bottom[:, 1])
        opening = np.maximum(floor - lid, 0)
        taper = np.minimum(1, opening / 0.12)
        lid += 0.03 * taper  # just below the lash line, which travels with the lid
        lashes = lid - LASHES * taper  # the band from here to the lid moves as one piece
        fold = lid - FOLD * taper  # skin above the fold stays; between fold and lashes it stretches
        travel = closed * np.maximum(floor + 0.02 * taper - lid, 0)
        stretch = (lashes - fold) / np.maximum(lashes + travel - fold, 1e-6)
        behind = np.where(v > lashes + travel, v - travel, fold + (v - fold) * stretch)
        shift = np.where(v > fold, behind - v, 0)[..., None] * face.axes[1] * face.ied
        moved = cv2.remap(
            base,
            (x + shift[..., 0]).astype(np.float32),
            (y + shift[..., 1]).astype(np.float32),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        inside = (u > top[0, 0]) & (u < top[-1, 0]) & (opening > 0) & (v > fold)
        edge = np.clip((lid + travel - v) * face.ied / 1.2 + 0.5, 0, 1)  # soft over a pixel
        alpha = (edge * inside)[..., None]
        image[area] = np.round(alpha * moved + (1 - alpha) * image[area]).astype(np.uint8)
