"""Region flow on pictures whose movement is known: a textured plane moved and warped."""

from __future__ import annotations

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from streamfer.records import Box, Face, Frame, HeadPose, Quality  # noqa: E402
from streamfer.screening.flow import INDEX, REGION_POINTS, REGIONS, RIGID_POINTS, RegionFlow, fit_rigid  # noqa: E402

IED_PX = 60.0


def canonical() -> np.ndarray:
    """478 landmarks on a made-up face: only those that the flow uses have places that mean something."""
    rng = np.random.default_rng(1)
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = rng.uniform(-1.2, 1.2, (478, 2))
    points[:, 2] = -0.3 * np.cos(points[:, 0]) + rng.uniform(-0.05, 0.05, 478)
    for index, place in {133: (-0.5, 0), 362: (0.5, 0), 33: (-1.3, 0), 263: (1.3, 0), 4: (0, 1.0), 152: (0, 2.4)}.items():
        points[index, :2] = place
    centres = {
        "brow_inner_R": (-0.5, -0.6), "brow_inner_L": (0.5, -0.6), "brow_outer_R": (-1.3, -0.6), "brow_outer_L": (1.3, -0.6),
        "mouth_corner_R": (-0.8, 1.7), "mouth_corner_L": (0.8, 1.7), "chin": (0.0, 2.3),
    }  # fmt: skip
    for region, (x, y) in centres.items():
        for k, index in enumerate(REGION_POINTS[region]):
            points[index, :2] = (x + 0.05 * (k - 1.5), y)
    for k, index in enumerate(RIGID_POINTS):  # nose, forehead, temples
        ring = k / len(RIGID_POINTS) * 2 * np.pi
        points[index, :2] = (0.15 * np.cos(ring), 0.5 + 0.4 * np.sin(ring)) if k % 2 else (1.8 * np.cos(ring), -1.6)
    return points


def picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (480, 640, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip((soft - soft.mean()) * 6 + 128, 0, 255).astype(np.uint8)


def face(transform: np.ndarray, track: int = 1, usable: bool = True) -> Face:
    points = canonical()
    at = points.copy()
    at[:, :2] = (points[:, :2] * IED_PX + (320, 180)) @ transform[:, :2].T + transform[:, 2]
    at[:, 2] = points[:, 2] * IED_PX
    return Face(track, "P1", Box(0, 0, 1, 1), at, HeadPose(0, 0, 0), Quality(240, 50, 0, 0, usable))


IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def similarity(dx: float = 0, dy: float = 0, roll_deg: float = 0, scale: float = 1) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((320, 180), -roll_deg, scale)
    matrix[:, 2] += (dx, dy)
    return matrix


@pytest.mark.parametrize(
    "motion",
    [
        pytest.param({"dx": 3.0, "dy": -2.0}, id="shift"),
        pytest.param({"roll_deg": 2.0}, id="roll"),
        pytest.param({"scale": 1.03}, id="nearer"),
        pytest.param({"dx": 12.0, "dy": 5.0, "roll_deg": -1.0}, id="beyond-the-held-crop"),
    ],
)
def test_head_motion_is_taken_off(motion):
    flow, image, moved = RegionFlow(), picture(), similarity(**motion)
    assert not flow.push(Frame(0, 0.0, image), face(IDENTITY)).valid
    reading = flow.push(Frame(1, 1 / 30, cv2.warpAffine(image, moved, (640, 480))), face(moved))
    assert reading.valid
    assert reading.step_s == pytest.approx(1 / 30)
    assert np.linalg.norm(reading.flow, axis=1).max() < 0.02
    assert reading.flow.shape == (len(REGIONS), 2)


def test_a_region_that_moves_is_measured_in_ied():
    image, flow = picture(), RegionFlow()
    yy, xx = np.mgrid[0:480, 0:640].astype(np.float32)
    x, y = 320 - 0.5 * IED_PX, 180 - 0.6 * IED_PX
    rise = 0.06 * IED_PX * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * (0.35 * IED_PX) ** 2))
    warped = cv2.remap(image, xx, yy + rise, cv2.INTER_CUBIC)
    flow.push(Frame(0, 0.0, image), face(IDENTITY))
    reading = flow.push(Frame(1, 1 / 30, warped), face(IDENTITY))
    at = REGIONS.index("brow_inner_R")
    # 0.06 at the centre; the flow looks at patches as large as the bump and therefore sees less of it, never more
    assert -0.06 < reading.flow[at, 1] < -0.03
    assert np.linalg.norm(reading.flow, axis=1).argmax() == at
    assert abs(reading.flow[REGIONS.index("mouth_corner_L")]).max() < 0.01


def test_frames_are_skipped_at_high_rates_and_nothing_is_lost():
    image, flow = picture(), RegionFlow()
    flow.push(Frame(0, 0.0, image), face(IDENTITY))
    steps = [
        flow.push(Frame(i, i / 200, image), face(IDENTITY)).step_s for i in range(1, 41)
    ]
    assert sum(steps) == pytest.approx(0.2, abs=0.011)
    assert 8 <= sum(step > 0 for step in steps) <= 12


@pytest.mark.parametrize("second", ["gap", "segment", "unusable", "forgotten", "reset"])
def test_a_new_start_is_not_valid(second):
    image, flow = picture(), RegionFlow()
    flow.push(Frame(0, 0.0, image), face(IDENTITY))
    frame = Frame(1, 1.0 if second == "gap" else 1 / 30, image, segment=int(second == "segment"))
    if second == "unusable":
        assert not flow.push(Frame(1, 1 / 30, image), face(IDENTITY, usable=False)).valid
        frame = Frame(2, 2 / 30, image)
    if second == "forgotten":
        flow.forget(1)
    if second == "reset":
        flow.reset()
    assert not flow.push(frame, face(IDENTITY)).valid


def test_rigid_fit_ignores_the_part_that_moves():
    points = canonical()[INDEX]
    truth = np.column_stack([0.02 + 0.05 * points[:, 2] + 0.01 * points[:, 0], -0.01 + 0.01 * points[:, 1]])
    moved = truth.copy()
    moved[:8] += (0.0, -0.1)  # brows
    rigid, rest, misfit = fit_rigid(points[:, :2], points[:, 2], moved)
    assert rigid[:3] == pytest.approx((0.02, -0.01, 0.01), abs=3e-3)
    assert rest[:8, 1].mean() == pytest.approx(-0.1, abs=0.01)
    assert np.abs(rest[8:]).max() < 0.01
    assert misfit < 0.005
