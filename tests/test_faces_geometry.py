"""Pose and alignment: exact truth from projected and transformed shapes."""

from __future__ import annotations

import numpy as np
import pytest

from streamfer.faces.align import IBUG68, align, inner_eye_distance, transform
from streamfer.faces.embedding import similarity
from streamfer.faces.mirror import PARTNER, mirrored
from streamfer.faces.pose import CANONICAL_MM, euler, focal_px, head_pose, matrix, seen_yaw_deg
from streamfer.records import HeadPose
from tests.face_shapes import face_at, textured

W, H = 640, 360


def project(pose: HeadPose) -> np.ndarray:
    """(478, 3) landmarks of the canonical face in that pose, seen by the assumed camera; unused points are 0."""
    points = np.zeros((478, 3), np.float32)
    f = focal_px(W, H)
    for index, place in CANONICAL_MM.items():
        x, y, z = matrix(pose) @ place + (pose.tx, pose.ty, pose.tz)
        points[index] = (f * x / z + W / 2, f * y / z + H / 2, 0)
    return points


@pytest.mark.parametrize("seed", range(12))
def test_pose_is_found_again(seed):
    rng = np.random.default_rng(seed)
    true = HeadPose(*rng.uniform(-0.6, 0.6, 3), *rng.uniform(-120, 120, 2), rng.uniform(350, 1500))
    got = head_pose(project(true), W, H)
    assert (got.rx, got.ry, got.rz) == pytest.approx((true.rx, true.ry, true.rz), abs=2e-3)
    assert (got.tx, got.ty, got.tz) == pytest.approx((true.tx, true.ty, true.tz), rel=5e-3, abs=0.5)


@pytest.mark.parametrize(
    ("turn", "dx", "dy"),
    [("rx", 0, +1), ("ry", -1, 0)],
    ids=["pitch down moves the nose down", "yaw to the person's right moves it left in the picture"],
)
def test_signs_are_openfaces(turn, dx, dy):
    nose = lambda angle: project(HeadPose(**{"rx": 0.0, "ry": 0.0, "rz": 0.0, turn: angle}, tz=600.0))[4]  # noqa: E731
    move = nose(0.2) - nose(0.0)
    assert (np.sign(np.round(move[0])), np.sign(np.round(move[1]))) == (dx, dy)


def test_roll_is_clockwise_in_the_picture():
    points = project(HeadPose(0, 0, 0.2, tz=600))
    assert points[263, 1] > points[33, 1]  # the eye on the right of the picture goes down


def test_euler_is_the_inverse_of_matrix():
    for angles in np.random.default_rng(0).uniform(-1.2, 1.2, (50, 3)):
        assert euler(matrix(HeadPose(*angles))) == pytest.approx(tuple(angles))


@pytest.mark.parametrize("tx", [-300, 0, 300])
def test_yaw_is_counted_from_the_line_of_sight(tx):
    to_camera = np.arctan2(tx, 600)
    assert seen_yaw_deg(HeadPose(0, to_camera, 0, tx, 0, 600)) == pytest.approx(0, abs=1e-6)
    assert seen_yaw_deg(HeadPose(0, to_camera + np.radians(20), 0, tx, 0, 600)) == pytest.approx(20, abs=1e-6)


@pytest.mark.parametrize(("x", "y", "width"), [(160, 120, 100), (40, 30, 200), (300, 200, 37)])
def test_eyes_land_where_promised(x, y, width):
    landmarks = face_at(x, y, width)
    crop, m = align(textured(3), landmarks, 96, 24.0)
    moved = transform(landmarks, m)
    assert crop.shape == (96, 96, 3)
    assert moved[133] == pytest.approx((36, 36, 0), abs=1e-3)
    assert moved[362] == pytest.approx((60, 36, 0), abs=1e-3)


def test_with_a_quarter_ied_the_crop_is_that_of_the_micro_expression_recipes():
    landmarks = face_at(160, 120, 128)
    g = inner_eye_distance(landmarks) / 2
    _, m = align(textured(3), landmarks, 256, 64.0)
    centre = (landmarks[133] + landmarks[362]) / 2
    corners = centre[:2] + g * np.array([[-4, -3], [4, 5]])
    assert transform(corners, m) == pytest.approx(np.array([[0, 0], [256, 256]]), abs=1e-3)


def test_the_picture_moves_with_the_landmarks():
    # a white square of 6 px round a landmark is found, centred on it, in the crop
    image = np.zeros((240, 320, 3), np.uint8)
    landmarks = face_at(160, 120, 80)
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks[:, :2] = (landmarks[:, :2] - (160, 120)) @ turn.T + (160, 120)
    landmarks[5, :2] = (171.0, 140.0)
    image[137:143, 168:174] = 255
    crop, m = align(image, landmarks, 192, 48.0)
    rows, columns = np.nonzero(crop[:, :, 0] > 127)
    found = (columns.mean() + 0.5, rows.mean() + 0.5)
    assert found == pytest.approx(tuple(transform(landmarks, m)[5, :2]), abs=0.35)


def test_grey_pictures_and_no_face():
    assert align(textured(3)[:, :, 0], face_at(100, 100), 64, 16.0)[0].shape == (64, 64)
    with pytest.raises(ValueError, match="coincide"):
        align(textured(3), np.zeros((478, 3), np.float32), 64, 16.0)


def test_ibug68_has_68_different_points_and_mirrors():
    assert len(set(IBUG68)) == len(IBUG68) == 68
    assert IBUG68[39] == 133 and IBUG68[42] == 362  # inner eye corners


def test_similarity_is_recovered():
    source = np.random.default_rng(1).normal(size=(5, 2))
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    m = similarity(source, source @ turn.T + (3, -2))
    assert m == pytest.approx(np.column_stack([turn, (3, -2)]))


def test_each_landmark_has_its_partner_across_the_face():
    assert (PARTNER[PARTNER] == np.arange(478)).all()
    pairs = {33: 263, 133: 362, 61: 291, 105: 334, 159: 386, 468: 473, 1: 1, 152: 152}  # corners, brows, lids, irises, nose, chin
    assert {index: int(PARTNER[index]) for index in pairs} == pairs
    for index, place in CANONICAL_MM.items():
        if PARTNER[index] in CANONICAL_MM:
            x, *others = CANONICAL_MM[int(PARTNER[index])]
            np.testing.assert_allclose([-x, *others], place, atol=1.0)
    face = np.random.default_rng(1).normal(size=(3, 478, 3))
    np.testing.assert_array_equal(mirrored(mirrored(face)), face)
