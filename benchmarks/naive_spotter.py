"""The rival to beat: a plain flow spotter, as one would write it in an afternoon.

Face mesh on every frame, the face turned upright and scaled to 64 px between the inner eye corners, DIS optical
flow between successive frames, mean flow in brow and mouth boxes minus that of the nose, summed up over time, slow
drift taken off by a running median; a rise and fall above a threshold is an expression, a micro one when it lasts
at most half a second. No baseline, no look at blinks, speech or how the head turns.

    python -m benchmarks.naive_spotter CLIP.mp4
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import cv2
import numpy as np

from streamfer.evaluation.spotting import Spot
from streamfer.records import Moment

CROP_PX, IED_PX = 256, 64
THRESHOLD_IED = 0.025  # chosen on the tuning clips (seeds 0-9): see benchmarks/LOG.md
EDGE = 0.25  # an event ends where the signal falls to this part of its peak
MICRO_MAX_S, WORK_FPS = 0.5, 30.0
DRIFT_S = {"micro": 1.2, "macro": 5.0}  # windows of the running median
REGIONS = {
    "brow_left": (336, 296, 334, 285, 295),
    "brow_right": (107, 66, 105, 55, 65),
    "mouth_left": (291, 409, 375),
    "mouth_right": (61, 185, 146),
    "lip_upper": (0, 37, 267),
    "lip_lower": (17, 84, 314),
}
NOSE = (6, 197, 195, 5)


def spot(path: str | Path, threshold: float = THRESHOLD_IED) -> list[Spot]:
    """Expressions of the first face of a clip."""
    path = Path(path)
    frames, times, signal = signals(path)
    return rises(path.stem, frames, times, signal, threshold)


def signals(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frame numbers (T,), times (T,) and the summed displacement of each region (T, R, 2) in IED."""
    import mediapipe as mp

    frames, times, steps = [], [], []
    before = None
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    with mp.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True) as mesh, av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        stride = max(1, round(float(stream.average_rate or 30) / WORK_FPS))
        for index, frame in enumerate(clip.decode(stream)):
            if index % stride:
                continue
            image = frame.to_ndarray(format="rgb24")
            found = mesh.process(image).multi_face_landmarks
            if not found:
                before = None
                continue
            size = np.array([image.shape[1], image.shape[0]])
            points = np.array([(p.x, p.y) for p in found[0].landmark]) * size
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            step = np.zeros((len(REGIONS), 2))
            if before is not None:
                # both pictures through the same window: the landmarks' jitter must not look like movement
                turn, start = _window(points)
                at = (points - start) @ np.linalg.inv(turn).T
                moved = flow.calc(_cut(before, turn, start), _cut(grey, turn, start), None)  # type: ignore[call-overload]
                still = _mean(moved, at, NOSE)
                step = np.array([_mean(moved, at, ids) - still for ids in REGIONS.values()]) / IED_PX
            before = grey
            frames.append(index)
            times.append(float(frame.time))
            steps.append(step)
    shape = (len(steps), len(REGIONS), 2)
    return np.array(frames), np.array(times), np.cumsum(np.reshape(steps, shape), axis=0)


def rises(video: str, frames: np.ndarray, times: np.ndarray, path: np.ndarray, threshold: float) -> list[Spot]:
    """Rises and falls of the displacement above the threshold, short ones and long ones each over their own drift."""
    from scipy.ndimage import gaussian_filter1d, median_filter
    from scipy.signal import find_peaks

    if len(times) < 10:
        return []
    rate = (len(times) - 1) / (times[-1] - times[0])
    found: list[Spot] = []
    for kind, drift_s in DRIFT_S.items():
        drift = median_filter(path, size=(int(drift_s * rate) | 1, 1, 1), mode="nearest")
        size = np.linalg.norm(gaussian_filter1d(path - drift, 0.7, axis=0), axis=-1)
        for one in size.T:
            for peak in find_peaks(one, height=threshold, prominence=threshold * 0.7)[0]:
                low = one < EDGE * one[peak]
                if not low[: peak + 1].any() or not low[peak:].any():
                    continue
                left, right = peak - int(np.argmax(low[peak::-1])), peak + int(np.argmax(low[peak:]))
                if (times[right] - times[left] <= MICRO_MAX_S) != (kind == "micro"):
                    continue
                onset, apex, offset = (Moment(int(frames[k]), float(times[k])) for k in (left, int(peak), right))
                found.append(Spot(video, kind, onset, offset, apex, float(one[peak])))  # type: ignore[arg-type]
    return _strongest(found)


def _strongest(found: list[Spot]) -> list[Spot]:
    """Where regions tell of the same moment, the strongest speaks for all."""
    kept: list[Spot] = []
    for one in sorted(found, key=lambda s: -s.score):
        if all(one.offset.frame < k.onset.frame or k.offset.frame < one.onset.frame for k in kept):
            kept.append(one)
    return sorted(kept, key=lambda s: s.onset.frame)


def _window(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The upright face crop as rotation-and-scale (2, 2) and corner (2,) in the image."""
    right, left = points[133], points[362]
    across = (left - right) / IED_PX  # source pixels for one pixel to the right
    turn = np.array([[across[0], -across[1]], [across[1], across[0]]])
    return turn, (left + right) / 2 - turn @ [CROP_PX / 2, 0.4 * CROP_PX]


def _cut(grey: np.ndarray, turn: np.ndarray, start: np.ndarray) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(grey, np.column_stack([turn, start]), (CROP_PX, CROP_PX), flags=flags)


def _mean(flow: np.ndarray, at: np.ndarray, ids: tuple[int, ...], margin: int = 6) -> np.ndarray:
    low = np.clip(at[list(ids)].min(axis=0) - margin, 0, CROP_PX - 2).astype(int)
    high = np.clip(at[list(ids)].max(axis=0) + margin, low + 1, CROP_PX).astype(int)
    return flow[low[1] : high[1], low[0] : high[0]].reshape(-1, 2).mean(axis=0)


if __name__ == "__main__":
    for one in spot(sys.argv[1]):
        print(one.kind, one.onset, one.apex, one.offset, round(one.score, 3))
