"""AU cue maps: values worked out by hand, mirrored faces, the publication's errors mended and kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfer.action_units import facs
from streamfer.action_units.emotions import PROTOTYPES
from streamfer.expression import published
from streamfer.expression.cues import (
    CODEBOOK,
    GRID,
    PUBLISHED_CODEBOOK,
    au_heatmap,
    au_heatmaps,
    heatmaps,
    landmarks68,
)
from streamfer.expression.regions import ONE_ELLIPSE, REGIONS, UNSIDED, face_size
from streamfer.faces.align import IBUG68
from streamfer.records import LABELS

CROP_PX = 256
CELL_PX = CROP_PX / GRID
# fmt: off
MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
            45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
            54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
# the person's right half and the middle of a level face, in px of the crop
RIGHT = {0: (40, 110), 1: (42, 135), 2: (46, 160), 3: (54, 185), 4: (64, 205), 5: (78, 222), 6: (94, 234), 7: (112, 242),
         17: (58, 84), 18: (68, 76), 19: (82, 73), 20: (97, 76), 21: (110, 82), 31: (112, 160), 32: (120, 163),
         36: (74, 104), 37: (84, 98), 38: (94, 98), 39: (104, 106), 40: (94, 110), 41: (84, 110),
         48: (94, 190), 49: (106, 184), 50: (118, 181), 58: (118, 206), 59: (106, 202), 60: (98, 190), 61: (116, 188), 67: (116, 194)}
MIDDLE = {8: (128, 246), 27: (128, 100), 28: (128, 116), 29: (128, 132), 30: (128, 148), 33: (128, 166), 51: (128, 183),
          57: (128, 208), 62: (128, 188), 66: (128, 195)}
# fmt: on


def level_face() -> np.ndarray:
    """(68, 2) float32, its own mirror image in the crop."""
    points = np.zeros((68, 2), np.float32)
    for index, place in (RIGHT | MIDDLE).items():
        points[index] = place
    for index in RIGHT:
        points[MIRRORED[index]] = (CROP_PX - points[index, 0], points[index, 1])
    return points


def mirrored(points: np.ndarray, crop_px: float = CROP_PX) -> np.ndarray:
    out = points[:, MIRRORED].copy()
    out[..., 0] = crop_px - out[..., 0]
    return out


FACE = level_face()
EVERY = np.arange(len(LABELS))


def faces(n: int = 1) -> np.ndarray:
    return np.repeat(FACE[None], n, axis=0)


# ------------------------------------------------------------------------------------- the codebook


def test_the_codebook_names_every_label_and_only_aus_that_have_a_region() -> None:
    assert tuple(CODEBOOK) == LABELS
    assert {au for aus in CODEBOOK.values() for au in aus} <= set(REGIONS) <= set(facs.UNITS)
    assert CODEBOOK["neutral"] == ()
    assert set(CODEBOOK["contempt"]) == PROTOTYPES["EMFACS"]["contempt"]
    assert ONE_ELLIPSE <= UNSIDED <= set(REGIONS)


def test_the_publication_differs_in_disgust_and_contempt_only() -> None:
    assert tuple(PUBLISHED_CODEBOOK) == LABELS[:-1]
    changed = {label for label, aus in PUBLISHED_CODEBOOK.items() if aus != CODEBOOK[label]}
    assert changed == {"disgust"}
    assert set(PUBLISHED_CODEBOOK["disgust"]) ^ set(CODEBOOK["disgust"]) == {5, 10}


# --------------------------------------------------------------------------------- values by hand


def test_face_size_is_the_side_of_the_published_crop() -> None:
    five = np.array([(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)])
    points = np.zeros((1, 68, 2))
    points[0, 36:42], points[0, 42:48] = five[0], five[1]
    points[0, [30, 48, 54]] = five[2:]
    assert face_size(points) == pytest.approx(112, abs=0.02)
    assert face_size(points * 2.5 + 40) == pytest.approx(280, abs=0.05)


def test_a_region_by_hand() -> None:
    """The circle on a mouth corner, moved to the middle of cell (10, 20); its radius is 20 / 256 of the face."""
    points = faces() + ((10.5 * CELL_PX, 20.5 * CELL_PX) - FACE[48])
    radius = face_size(points)[0] * 20 / 256 / CELL_PX
    points *= 2.1875 / radius  # as if the face were 256 px: 20 px are 2.1875 cells
    points += (10.5 * CELL_PX, 20.5 * CELL_PX) - points[0, 48]
    right = au_heatmaps(points, ["AU12_R"], GRID, CROP_PX)[0, 0]
    assert right[20, 10] == pytest.approx(1, abs=1e-5), "the 9 cells around it lie inside: corners at 2.12 of 2.1875"
    # two cells to the right: a full column, then the ends of the chords at 4 lines a cell, then nothing
    # row 0: (sqrt(2.1875^2 - .125^2) + sqrt(2.1875^2 - .375^2)) / 2 - 1.5 = 0.66953
    # rows +-1: mean of sqrt(2.1875^2 - (.625, .875, 1.125, 1.375)^2) - 1.5 = 0.41964
    assert right[20, 12] == pytest.approx((3 + 0.66953 + 2 * 0.41964) / 9, abs=1e-4)
    assert right[20, 14] == 0
    assert np.argwhere(right > 0).min(axis=0).tolist() == [17, 7]
    assert np.argwhere(right > 0).max(axis=0).tolist() == [23, 13]


# at face size 256: AU -> centre and half axes on the person's right, then on the left, worked out from RIGHT
BY_HAND: dict[int, list[tuple[float, ...]]] = {
    1: [(97, 76, 32, 25.6), (159, 76, 32, 25.6)],
    2: [(68, 76, 32, 25.6), (188, 76, 32, 25.6)],
    4: [(128, 73, 46, 10)],
    5: [(89, 104, 15, 6), (167, 104, 15, 6)],
    7: [(89, 104, 15, 16), (167, 104, 15, 16)],
    6: [(84, 110 + 42.667, 25.6, 25.6), (172, 110 + 42.667, 25.6, 25.6)],
    9: [(112, 132, 20, 20), (144, 132, 20, 20)],
    10: [(94, 181, 20, 20), (162, 181, 20, 20)],
    12: [(94, 190, 20, 20), (162, 190, 20, 20)],
    14: [(74, 190, 20, 20), (182, 190, 20, 20)],
    16: [(106, 202, 20, 20), (150, 202, 20, 20)],
    17: [(117, 224, 11, 22), (139, 224, 11, 22)],
    20: [(94, 212, 20, 20), (162, 212, 20, 20)],
    25: [(128, 183, 25, 10), (128, 208, 25, 10)],
    26: [(128, 195.5, 34, 12.5)],
}


@pytest.mark.parametrize("au", BY_HAND)
def test_regions_by_hand(au: int) -> None:
    wanted = BY_HAND[au] if len(BY_HAND[au]) == 2 else BY_HAND[au] * 2
    got = REGIONS[au](faces(), np.array([256.0]))[0]
    assert got == pytest.approx(np.array(wanted), abs=0.01)


def test_all_regions_are_covered_by_hand() -> None:
    shared = {15: 12, 23: 26, 24: 26, 27: 26, 43: 7}
    assert set(BY_HAND) | set(shared) == set(REGIONS)
    assert all(REGIONS[au] is REGIONS[same] for au, same in shared.items())


PUBLISHED_BY_HAND = {
    1: [((97, 76), (32, 26)), ((159, 76), (32, 26))],
    4: [((128, 73), (46, 10))],
    5: [((89, 104), (15, 6)), ((167, 104), (15, 6))],
    7: [((89, 104), (15, 16)), ((167, 104), (15, 16))],
    6: [((84, 153), (26, 26)), ((172, 153), (26, 26))],
    17: [((117, 224), (11, 22))],
    20: [((94, 212), (20, 20)), ((140, 207), (20, 20))],
    26: [((128, 195), (34, 12))],
}


@pytest.mark.parametrize("au", PUBLISHED_BY_HAND)
def test_published_ellipses_by_hand(au: int) -> None:
    whole = [(int(x), int(y)) for x, y in FACE]
    assert published.ellipses(whole, au) == PUBLISHED_BY_HAND[au]


def test_the_published_brow_all_but_vanishes_when_the_head_leans_one_way() -> None:
    leaning = [(int(x), int(y) + (4 if x > 128 else 0)) for x, y in FACE]
    other = [(int(x), int(y) - (4 if x > 128 else 0)) for x, y in FACE]
    assert published.ellipses(leaning, 4)[0][1] == (46, 2)
    assert published.ellipses(other, 4)[0][1] == (46, 10)


# -------------------------------------------------------------------------------------- whole maps


def test_disgust_shows_the_upper_lip_and_the_publication_the_lids() -> None:
    disgust = np.array([LABELS.index("disgust")])
    eye, lip = (104, 89), (181, 90)
    ours, theirs = (heatmaps(faces(), disgust, CROP_PX, strict=strict)[0] for strict in (False, True))
    assert ours[eye] < 0.05 < 0.8 < ours[lip]
    assert theirs[lip] < 0.25 < 0.3 < theirs[eye]


def test_where_nothing_was_mended_the_two_forms_agree() -> None:
    size = face_size(faces())[0]
    points = (faces() - 128) * (256 / size) + 128  # then 20 px are 20 px
    happy = np.array([LABELS.index("happiness")])
    ours, theirs = (heatmaps(points, happy, GRID, strict=strict, crop_px=CROP_PX)[0] for strict in (False, True))
    cosine = (ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum())
    assert cosine > 0.97  # whole pixels and points instead of areas make up the rest


@pytest.mark.parametrize("size", [7, 12, 28, 56, 224])
def test_maps_are_0_to_1_and_neutral_has_none(size: int) -> None:
    maps = heatmaps(faces(8), EVERY, size, crop_px=CROP_PX)
    assert maps.shape == (8, size, size) and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() <= 1
    assert not maps[0].any(), "neutral: no map"
    assert maps[1:].max(axis=(1, 2)) == pytest.approx(1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from([12, 28, 64]))
def test_a_mirrored_face_gives_the_mirrored_map(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    points = (faces(8) + rng.normal(0, 6, (8, 68, 2)) + rng.normal(0, 20, (8, 1, 2))).astype(np.float32)
    straight = heatmaps(points, EVERY, size, crop_px=CROP_PX)
    turned = heatmaps(mirrored(points), EVERY, size, crop_px=CROP_PX)
    assert turned[..., ::-1] == pytest.approx(straight, abs=2e-3)


def test_the_publication_is_not_symmetric_in_fear() -> None:
    fear = np.array([LABELS.index("fear")])
    theirs = heatmaps(faces(), fear, GRID, strict=True, crop_px=CROP_PX)[0]
    assert np.abs(theirs - theirs[:, ::-1]).max() > 0.5
    ours = heatmaps(faces(), fear, GRID, crop_px=CROP_PX)[0]
    assert np.abs(ours - ours[:, ::-1]).max() < 1e-3


def test_maps_follow_the_face_not_the_crop() -> None:
    there = heatmaps(faces(8) * 0.5, EVERY, GRID, crop_px=CROP_PX / 2)
    assert there == pytest.approx(heatmaps(faces(8), EVERY, GRID, crop_px=CROP_PX), abs=1e-5)
    small = au_heatmaps((faces() - 128) * 0.5 + 128, [12], GRID, CROP_PX)
    assert small.sum() == pytest.approx(au_heatmaps(faces(), [12], GRID, CROP_PX).sum() / 4, rel=0.02)


def test_a_side_shows_that_side_only() -> None:
    left, right, both = (au_heatmap(faces(), [au], GRID, CROP_PX)[0] for au in ("AU12_L", "AU12_R", 12))
    assert not left[:, : GRID // 2].any(), "the person's left is on the right of the picture"
    assert left[:, ::-1] == pytest.approx(right, abs=1e-4)
    assert np.maximum(left, right) == pytest.approx(both, abs=1e-4)


@pytest.mark.parametrize(
    "points",
    [np.full((1, 68, 2), np.nan), np.full((1, 68, 2), 1e4) + FACE, np.zeros((1, 68, 2)), np.full((1, 68, 2), np.inf)],
    ids=["nan", "outside", "all in one point", "inf"],
)
@pytest.mark.parametrize("strict", [False, True], ids=["mended", "strict"])
def test_no_face_no_map(points: np.ndarray, strict: bool) -> None:
    maps = heatmaps(np.concatenate([points, faces()]), np.array([1, 1]), GRID, strict=strict, crop_px=CROP_PX)
    assert np.isfinite(maps).all() and maps[1].max() == pytest.approx(1)
    if points[0, 0, 0] != 0:
        assert not maps[0].any()


def test_an_empty_batch_and_unknown_aus_give_empty_maps() -> None:
    for strict in (False, True):
        assert heatmaps(faces(0), np.zeros(0, int), 12, strict=strict).shape == (0, 12, 12)
    assert not au_heatmap(faces(2), [45, 61], 12, CROP_PX).any()
    assert au_heatmap(faces(2), [], 12, CROP_PX).shape == (2, 12, 12)


@pytest.mark.parametrize(
    ("points", "expressions"),
    [(np.zeros((2, 478, 3)), [0, 0]), (faces(2), [0]), (faces(2), [0, 8]), (faces(2), [-1, 0])],
    ids=["not 68 points", "one label missing", "unknown label", "negative label"],
)
def test_wrong_arguments_are_named(points: np.ndarray, expressions: list[int]) -> None:
    with pytest.raises(ValueError, match=r"landmarks must be|expressions must be"):
        heatmaps(points, np.array(expressions), GRID)


def test_landmarks68_are_picked_by_the_table() -> None:
    mesh = np.random.default_rng(0).random((3, 478, 3))
    got = landmarks68(mesh)
    assert got.shape == (3, 68, 2) and got.dtype == np.float32
    assert got[1, 36] == pytest.approx(mesh[1, 33, :2]), "the right eye's outer corner"
    assert got[2, 54] == pytest.approx(mesh[2, 291, :2]), "the left mouth corner"
    assert len(IBUG68) == len(MIRRORED) == 68 == len(set(MIRRORED))
