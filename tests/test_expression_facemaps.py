"""The maps over an apex picture: in the right place of the picture, in the right words, whole on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamfer.action_units.model import Seen
from streamfer.errors import PayloadInvalid
from streamfer.expression import facemaps
from streamfer.expression.cues import au_heatmap
from streamfer.expression.facemaps import face_maps, read_words, write
from streamfer.faces.align import IBUG68, LEFT_INNER_EYE, RIGHT_INNER_EYE
from streamfer.records import LABELS, AUChange, to_dict
from tests.test_expression_cues import CROP_PX, FACE, faces
from tests.test_records import EVENT

SIDE_PX = 200
MESH = np.zeros((478, 3), np.float32)
MESH[list(IBUG68), :2] = FACE
MESH[RIGHT_INNER_EYE, :2], MESH[LEFT_INNER_EYE, :2] = FACE[39], FACE[42]
HALF = np.array([[0.5, 0, 30], [0, 0.5, 20]])  # crop -> key frame: half the size, moved
TO_CROP = cv2.invertAffineTransform(HALF)
IN_PICTURE = MESH.copy()
IN_PICTURE[:, :2] = MESH[:, :2] @ HALF[:, :2].T + HALF[:, 2]
SMILE = replace(EVENT, aus=(AUChange("AU12", "left", 2.0, 1.5), AUChange("AU45", "both", 2.0, 1.5)))


def seen(au: str = "AU12_L", label: str = "happiness") -> Seen:
    """A network whose first channel is the AU's region and speaks for `label`; the second is the whole crop."""
    features = np.stack([au_heatmap(faces(), [au], 14, CROP_PX)[0], np.ones((14, 14), np.float32)])
    weights, chances = np.zeros((8, 2)), np.full(8, 0.05)
    weights[LABELS.index(label)] = (2, 0)
    chances[LABELS.index(label)] = 0.65
    return Seen(chances, features, weights, CROP_PX, TO_CROP)


@pytest.mark.parametrize(
    ("au", "place"),
    [("AU12_L", "left mouth corner"), ("AU12_R", "right mouth corner"), ("AU06_R", "right cheek"), ("AU04", "between the brows"),
     ("AU17", "chin")],
)  # fmt: skip
def test_the_strongest_place_is_named(au: str, place: str) -> None:
    words = face_maps(SMILE, seen(au), IN_PICTURE).words
    assert words.strongest[0] == place
    assert (words.expression, words.probability) == ("happiness", pytest.approx(0.65))
    assert words.elsewhere < 0.25


def test_agreement_is_high_where_the_network_looked_at_what_moved() -> None:
    there, opposite, brows = (face_maps(SMILE, seen(au), IN_PICTURE).words for au in ("AU12_L", "AU12_R", "AU02_R"))
    assert there.aus == ("AU12_L",), "AU45 has no region"
    assert there.agreement is not None and opposite.agreement is not None and brows.agreement is not None
    assert there.agreement > 0.9 > 0.2 > opposite.agreement >= brows.agreement == pytest.approx(0, abs=0.01)


def test_a_network_that_looks_at_the_background_is_told_on() -> None:
    corner = np.zeros((1, 14, 14), np.float32)
    corner[0, :2, :2] = 1
    words = face_maps(SMILE, Seen(np.eye(8)[1], corner, np.ones((8, 1)), CROP_PX, TO_CROP), IN_PICTURE).words
    assert words.elsewhere > 0.95
    assert words.agreement == pytest.approx(0, abs=0.01)


def test_a_map_that_shows_nothing_names_nothing() -> None:
    words = face_maps(
        SMILE, Seen(np.eye(8)[1], np.zeros((1, 14, 14)), np.ones((8, 1)), CROP_PX, TO_CROP), IN_PICTURE
    ).words
    assert words.strongest == () and words.elsewhere == 1


def test_without_a_region_there_are_no_cues(tmp_path: Path) -> None:
    blink = replace(EVENT, aus=(AUChange("AU45", "both", 2.0, 1.5),))
    maps = face_maps(blink, seen(), IN_PICTURE)
    assert maps.words.aus == () and maps.words.agreement is None
    write(tmp_path, maps, SIDE_PX)
    assert not (tmp_path / facemaps.CUES_FILE.format(EVENT.id)).exists()


def test_pictures_lie_over_the_face(tmp_path: Path) -> None:
    maps = face_maps(SMILE, seen(), IN_PICTURE)
    write(tmp_path, maps, SIDE_PX)
    for name in (facemaps.CAM_FILE, facemaps.CUES_FILE):
        picture = cv2.imread(str(tmp_path / name.format(EVENT.id)), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (SIDE_PX, SIDE_PX, 4)
        alpha = picture[..., 3].astype(float)
        rows, columns = np.indices(alpha.shape)
        middle = [(axis * alpha).sum() / alpha.sum() + 0.5 for axis in (columns, rows)]
        assert middle == pytest.approx(IN_PICTURE[291, :2], abs=2.5), name
        assert alpha[:5].max() == 0, "nothing outside of the crop"
    words = read_words(tmp_path, SMILE)
    assert words is not None and to_dict(words) == to_dict(maps.words)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        name.format(EVENT.id) for name in (facemaps.CAM_FILE, facemaps.CUES_FILE, facemaps.WORDS_FILE)
    )


def test_words_that_are_missing_or_damaged(tmp_path: Path) -> None:
    assert read_words(tmp_path, SMILE) is None
    (tmp_path / facemaps.WORDS_FILE.format(SMILE.id)).write_text('{"event": "x", "expression": "glee"}')
    with pytest.raises(PayloadInvalid, match=r"_maps\.json: not a valid MapWords"):
        read_words(tmp_path, SMILE)


def test_places_are_regions() -> None:
    assert len({words for _, words in facemaps.PLACES}) == len(facemaps.PLACES)
    for au, _ in facemaps.PLACES:
        assert au_heatmap(faces(), [au], 28, CROP_PX).any()
