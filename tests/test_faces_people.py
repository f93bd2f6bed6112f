"""Who is who: the rules, with embeddings that are known by construction.

Each "person" is a grey level; the injected embedder reads the level of the chip, so distances are exact:
two levels are `|a - b| / 100` apart. No model is loaded.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from streamfer.config import Faces
from streamfer.errors import SourceUnreadable
from streamfer.faces.embedding import MODEL
from streamfer.faces.gallery import KEEP, Gallery
from streamfer.faces.people import People
from streamfer.records import Quality
from tests.face_shapes import face_at

GOOD = Quality(size_px=150, sharpness=100, yaw_deg=0, occlusion=0, usable=True)
BAD = Quality(size_px=20, sharpness=1, yaw_deg=0, occlusion=0, usable=False, reason="small")
SHAPE = face_at(100, 100, 80)


class Embedder:
    """Distance between two chips = difference of their grey levels / 100."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, chips: list[np.ndarray]) -> np.ndarray:
        self.calls += len(chips)
        vectors = np.zeros((len(chips), 128), np.float32)
        vectors[:, 0] = [chip.mean() / 100 for chip in chips]
        return vectors


def make(gallery: Gallery | None = None, **options) -> tuple[People, Embedder]:
    embed = Embedder()
    return People(Faces(**options), gallery, embed), embed


def show(people: People, start_s: float, seconds: float, faces: dict[int, int], quality: Quality = GOOD) -> float:
    """`faces`: track -> grey level, seen together for so long at 30 fps. Returns the time of the end."""
    images = {track: np.full((200, 200, 3), level, np.uint8) for track, level in faces.items()}
    times = start_s + np.arange(0, seconds, 1 / 30)
    for time_s in times:
        people.see(time_s, [(track, image, SHAPE, quality) for track, image in images.items()])
    return float(times[-1])


def alone(people: People, track: int, level: int, start_s: float, seconds: float = 1.5) -> str | None:
    people.end([track], show(people, start_s, seconds, {track: level}))
    return people.person_of(track)


def test_the_first_person_needs_no_embedding():
    people, embed = make()
    assert alone(people, 1, 100, 0.0) == "P1"
    assert embed.calls == 0


def test_nobody_is_decided_before_tentative_s_and_all_by_people_decide_s():
    people, _ = make()
    show(people, 0.0, 0.38, {1: 100})
    assert people.person_of(1) is None
    show(people, 0.38, 0.2, {1: 100})
    assert people.person_of(1) == "P1"


def test_who_comes_back_is_recognised():
    people, embed = make()
    assert [alone(people, t, level, 10.0 * t) for t, level in [(1, 50), (2, 200), (3, 52), (4, 198)]] == [
        "P1", "P2", "P1", "P2",
    ]  # fmt: skip
    assert 0 < embed.calls <= 4 * KEEP
    assert people.merges == []


def test_faces_seen_together_are_different_people_however_alike():
    people, embed = make()
    show(people, 0.0, 1.5, {1: 100, 2: 100})
    assert (people.person_of(1), people.person_of(2)) == ("P1", "P2")
    people.end([1, 2], 1.5)
    assert people.merges == []
    assert embed.calls == 0


def test_one_of_two_alike_comes_back_beside_the_other():
    people, _ = make()
    show(people, 0.0, 1.5, {1: 100, 2: 150})
    people.end([1], 1.5)
    show(people, 1.5, 1.5, {2: 150, 3: 120})  # nearer to P1 by 0.1, and P2 is taken
    assert people.person_of(3) == "P1"


def test_without_a_margin_nobody_is_joined():
    # P1 and P2 are 0.4 apart (they were seen together), the new face lies 0.19 and 0.21 from them
    people, _ = make()
    people.end([1, 2], show(people, 0.0, 1.5, {1: 100, 2: 140}))
    end_s = show(people, 5.0, 0.9, {3: 119})
    assert people.person_of(3) is None  # in doubt, and there is still time
    show(people, end_s, 0.3, {3: 119})
    assert people.person_of(3) == "P3"


@pytest.mark.parametrize(
    ("level", "person"), [(149, "P1"), (151, "P2"), (240, "P2")], ids=["just near", "just far", "far"]
)
def test_distance_limit(level, person):
    people, _ = make(people_distance=0.5)
    alone(people, 1, 100, 0.0)
    show(people, 5.0, 1.2, {2: level})
    assert people.person_of(2) == person


def test_the_nearer_of_two_new_faces_has_the_better_claim():
    people, _ = make()
    alone(people, 1, 100, 0.0)
    show(people, 5.0, 1.2, {2: 130, 3: 105})  # both are near enough to P1, track 3 is nearer
    assert (people.person_of(3), people.person_of(2)) == ("P1", "P2")


def test_never_usable_is_unknown_at_the_end_and_undecided_before():
    people, embed = make()
    end_s = show(people, 0.0, 2.0, {1: 100}, BAD)
    assert people.person_of(1) is None
    people.end([1], end_s)
    assert people.person_of(1) == ""
    assert embed.calls == 0
    assert people.gallery.people == {}


def test_the_clock_starts_with_the_first_usable_face():
    people, _ = make()
    alone(people, 1, 100, 0.0)
    show(people, 10.0, 5.0, {2: 105}, BAD)
    show(people, 15.0, 0.38, {2: 105})
    assert people.person_of(2) is None
    show(people, 15.38, 0.3, {2: 105})
    assert people.person_of(2) == "P1"


@pytest.mark.parametrize(
    ("level", "person"), [(105, "P1"), (148, ""), (220, "")], ids=["clear match", "no clear match", "a stranger"]
)
def test_a_track_too_short_to_be_confirmed(level, person):
    people, _ = make()
    alone(people, 1, 100, 0.0)
    assert alone(people, 2, level, 5.0, seconds=0.3) == person


def test_a_clip_shorter_than_tentative_s_has_a_person_all_the_same():
    people, embed = make()
    assert alone(people, 1, 100, 0.0, seconds=0.2) == "P1"
    assert embed.calls == 0


def test_a_merge_is_recorded_and_renames_nobody():
    # at first the returning person looks 0.52 away (a new person), later, in better faces, 0.05
    people, _ = make()
    alone(people, 1, 100, 0.0)
    poor = Quality(size_px=60, sharpness=20, yaw_deg=30, occlusion=0.1, usable=True)
    end_s = show(people, 5.0, 1.2, {2: 160}, poor)
    assert people.person_of(2) == "P2"
    end_s = show(people, end_s, 20.0, {2: 105})
    people.end([2], end_s)
    assert people.person_of(2) == "P2"
    assert [(m["person"], m["into"]) for m in people.merges] == [("P2", "P1")]
    assert people.merges[0]["distance"] == pytest.approx(0.05, abs=0.001)
    assert alone(people, 3, 103, 60.0) == "P1"  # both names are one person from now on


def test_without_people_each_track_is_a_person():
    people, embed = make(people=False)
    show(people, 0.0, 0.1, {1: 100, 2: 200})
    people.end([1], 0.1)
    show(people, 0.2, 0.1, {3: 100})
    assert [people.person_of(t) for t in (1, 2, 3)] == ["P1", "P2", "P3"]
    assert embed.calls == 0


def test_a_gallery_is_shared_between_sources():
    gallery = Gallery()
    first, _ = make(gallery)
    alone(first, 1, 50, 0.0)
    alone(first, 2, 200, 5.0)
    second, _ = make(gallery)
    assert [alone(second, 1, 203, 0.0), alone(second, 2, 120, 5.0)] == ["P2", "P3"]


def test_a_saved_gallery_knows_everybody_again(tmp_path):
    people, _ = make()
    for track, level in [(1, 50), (2, 200)]:
        alone(people, track, level, 10.0 * track)
    path = tmp_path / "people.json"
    people.gallery.save(path)
    data = json.loads(path.read_text())
    assert list(data["people"]) == ["P1", "P2"]
    assert not list(tmp_path.glob("*.part"))
    again, _ = make(Gallery.load(path))
    assert [alone(again, 1, 198, 0.0), alone(again, 2, 55, 5.0), alone(again, 3, 125, 9.0)] == ["P2", "P1", "P3"]


def gallery_text(people: str) -> str:
    return f'{{"schema": 2, "model": "{MODEL}", "people": {people}}}'


def test_saving_embeds_nobody_and_keeps_the_picture(tmp_path):
    people, _ = make()
    alone(people, 1, 50, 0.0)
    people.gallery.save(tmp_path / "people.json")
    (face, *_) = json.loads((tmp_path / "people.json").read_text())["people"]["P1"]
    assert "chip" in face
    assert people.gallery.people["P1"][0].embedding is None
    again, _ = make(Gallery.load(tmp_path / "people.json"))
    assert [alone(again, 1, 120, 0.0), alone(again, 2, 51, 5.0)] == ["P2", "P1"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Expecting"),
        ("[]", "schema 2"),
        ('{"schema": 2, "model": "other", "people": {}}', "schema 2 of model dlib"),
        (gallery_text('{"P1": [{"score": 1, "time_s": 0, "embedding": [1, 2]}]}'), "instead of 128"),
        (gallery_text('{"P1": [{"score": 1, "time_s": 0, "chip": "AAAA"}]}'), "no picture"),
        (gallery_text('{"Bob": []}'), "'Bob'"),
    ],
    ids=["not JSON", "a list", "another model", "short vectors", "a chip that is none", "a strange name"],
)  # fmt: skip
def test_a_broken_gallery_file_is_named(tmp_path, text, says):
    path = tmp_path / "people.json"
    path.write_text(text)
    with pytest.raises(SourceUnreadable, match=says) as error:
        Gallery.load(path)
    assert str(path) in str(error.value)


def test_a_long_presence_keeps_few_faces():
    people, embed = make()
    end_s = show(people, 0.0, 120.0, {1: 100})
    people.end([1], end_s)
    assert len(people.gallery.people["P1"]) <= KEEP
    assert embed.calls == 0
