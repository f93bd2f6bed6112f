"""MEGC 2019 composite: rules, log, pooled scores; splits by person that cannot leak."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.datasets import ALIASES, LOADERS
from streamfer.datasets.records import Annotation, Clip, Dataset
from streamfer.errors import UsageError
from streamfer.evaluation import recognition as cde
from streamfer.evaluation.aus import leave_one_dataset_out
from streamfer.evaluation.folds import leave_one_subject_out, person


@dataclass(frozen=True)
class Item:
    dataset: str
    subject: str


PEOPLE = {
    # name: two (data set, subject), the same person?
    "padding": (("casme2", "sub01"), ("casme2", "sub1"), True),
    "number_or_folder": (("CASME2", "1"), ("casme2", "sub01"), True),
    "smic_padding": (("smic", "s03"), ("smic", "s3"), True),
    "smic_long_cameras": (("smic_vis_e", "s03"), ("smic_nir_e", "s3"), True),
    "two_and_squared": (("casme2", "sub01"), ("casme_sq", "s1"), False),
    "parts_of_three": (("casme3a", "spNO.1"), ("casme3c", "1"), False),
    "smic_cameras": (("smic_hs", "s03"), ("SMIC-NIR", "s3"), True),
    "samm_long": (("samm", "006"), ("samm_lv", "6"), True),
    "casme3": (("casme3a", "spNO.12"), ("casme3a", "12"), True),
    "other_number": (("casme2", "sub01"), ("casme2", "sub10"), False),
    "other_set": (("casme2", "sub01"), ("casme", "sub01"), False),
    "not_a_number": (("own", "anna"), ("own", "berta"), False),
    "mock_crime_has_its_own": (("casme3a", "1"), ("casme3c", "1"), False),
    "zero": (("own", "0"), ("own", "00"), True),
    "inner_number": (("own", "a01b"), ("own", "a1b"), True),
}


@pytest.mark.parametrize(("a", "b", "same"), PEOPLE.values(), ids=PEOPLE)
def test_person(a: tuple[str, str], b: tuple[str, str], same: bool) -> None:
    assert (person(*a) == person(*b)) is same


SAME_PEOPLE = [["samm", "samm_lv"], ["smic_hs", "smic_vis", "smic_nir", "smic_hs_e", "smic_vis_e", "smic_nir_e"]]


def test_every_data_set_has_people_of_its_own_or_of_its_family() -> None:
    families: dict[str, list[str]] = {}
    for name in LOADERS:
        families.setdefault(person(name, "s01"), []).append(name)
    shared = [names for names in families.values() if len(names) > 1]
    assert sorted(sorted(names) for names in shared) == sorted(sorted(names) for names in SAME_PEOPLE)
    assert person("CAS(ME)^2", "s01") != person("casme2", "s01")
    for alias, name in ALIASES.items():
        assert name == "plain" or person(alias, "s01") == person(name, "s01")


_subjects = st.one_of(
    st.integers(0, 30).map(str), st.integers(0, 30).map("sub{:02d}".format), st.integers(0, 30).map("s{:d}".format),
    st.sampled_from(["anna", "Anna ", "berta"]),
)  # fmt: skip
_items = st.lists(st.builds(Item, st.sampled_from(["casme2", "samm", "samm_lv", "smic_hs", "SMIC-VIS"]), _subjects), min_size=1)


@given(_items)
def test_nobody_is_ever_on_both_sides(items: list[Item]) -> None:
    everybody = {person(i.dataset, i.subject) for i in items}
    if len(everybody) < 2:
        with pytest.raises(ValueError, match="needs two"):
            list(leave_one_subject_out(items))
        return
    folds = list(leave_one_subject_out(items))
    assert len(folds) == len(everybody)
    tested: list[Item] = []
    for fold in folds:
        train, test = ({person(i.dataset, i.subject) for i in side} for side in (fold.train, fold.test))
        assert test == {fold.person}
        assert train == everybody - {fold.person}
        assert len(fold.train) + len(fold.test) == len(items)  # nothing is lost, nothing doubled
        tested += fold.test
    assert sorted(tested, key=repr) == sorted(items, key=repr)


@given(_items)
def test_leaving_a_data_set_out_takes_its_people_along(items: list[Item]) -> None:
    if len({i.dataset for i in items}) < 2:
        with pytest.raises(ValueError, match="needs two"):
            list(leave_one_dataset_out(items))
        return
    for fold in leave_one_dataset_out(items):
        assert {i.dataset for i in fold.test} == {fold.person}
        assert not {person(i.dataset, i.subject) for i in fold.train} & {person(i.dataset, i.subject) for i in fold.test}


def test_without_a_subject_nothing_can_be_left_out() -> None:
    with pytest.raises(ValueError, match="an item of own has no subject"):
        list(leave_one_subject_out([Item("own", "1"), Item("own", " ")]))


# ------------------------------------------------------------------------------------------- composite


def clip(dataset: str, subject: str, name: str, emotion: str, kind: str = "micro") -> Clip:
    note = Annotation(subject, name, kind, 0, 5, 10, emotion)  # type: ignore[arg-type]
    return Clip(dataset, subject, name, Path(name), 200.0, (note,))


def dataset(name: str, *clips: Clip) -> Dataset:
    return Dataset(name, Path(), clips)


RULES = {
    # name: (part, emotion, class or None)
    "casme2_disgust": ("casme2", "disgust", 0), "casme2_repression": ("casme2", "repression", 0),
    "casme2_sadness_is_dropped": ("casme2", "sadness", None), "casme2_fear_is_dropped": ("casme2", "fear", None),
    "casme2_others": ("casme2", "others", None), "casme2_happiness": ("casme2", "Happiness", 1),
    "samm_contempt": ("samm", "Contempt", 0), "samm_sadness": ("samm", "Sadness", 0), "samm_other": ("samm", "Other", None),
    "samm_surprise": ("samm", "Surprise", 2), "smic_positive": ("smic", "positive", 1), "smic_surprise": ("smic", "surprise", 2),
}  # fmt: skip


@pytest.mark.parametrize(("part", "emotion", "expected"), RULES.values(), ids=RULES)
def test_classes(part: str, emotion: str, expected: int | None) -> None:
    assert cde.class_of(part, emotion) == expected


def test_composite_drops_what_the_challenge_drops() -> None:
    casme2 = dataset(
        "casme2",
        clip("casme2", "sub01", "sub01_EP02_01f", "happiness"), clip("casme2", "sub01", "sub01_EP03_02", "others"),
        clip("casme2", "sub05", "sub05_EP12_03f", "surprise"),  # left out by name
        clip("casme2", "sub06", "sub06_EP12_03f", "surprise"),  # of another subject: stays
        clip("casme2", "sub07", "sub07_EP01_01", "disgust", kind="macro"),
    )  # fmt: skip
    samm = dataset("SAMM", clip("SAMM", "006", "006_1_2", "Anger"))
    found = cde.composite([casme2, samm])
    assert [(s.dataset, s.clip, s.label) for s in found] == [
        ("casme2", "sub01_EP02_01f", 1), ("casme2", "sub06_EP12_03f", 2), ("samm", "006_1_2", 0),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="mmew is not part of the MEGC 2019 composite"):
        cde.composite([dataset("mmew")])


def test_the_numbers_add_up() -> None:
    assert [sum(column) for column in zip(*cde.EXPECTED.values(), strict=True)] == [250, 109, 83]
    assert {part: sum(counts) for part, counts in cde.EXPECTED.items()} == {"smic": 164, "casme2": 145, "samm": 133}
    whole = [
        cde.Sample(part, "1", f"{label}-{i}", label)
        for part, counts in cde.EXPECTED.items() for label, count in enumerate(counts) for i in range(count)
    ]  # fmt: skip
    assert len(whole) == 442
    assert cde.differences(whole) == []
    assert cde.differences(whole[1:]) == ["smic has 69 negative clips, the challenge 70"]


LOG = """casme2 sub01
EP02_01f 1 1
EP03_05 0 2
samm 6
006_1_2 0 0
smic s01
s01_ne_01 0 -
"""


def test_log(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(LOG)
    answers = cde.read_log(path)
    assert [(a.sample.dataset, a.sample.subject, a.sample.clip, a.sample.label, a.given) for a in answers] == [
        ("casme2", "sub01", "EP02_01f", 1, 1), ("casme2", "sub01", "EP03_05", 0, 2), ("samm", "6", "006_1_2", 0, 0),
        ("smic", "s01", "s01_ne_01", 0, None),
    ]  # fmt: skip
    cde.write_log(path, answers)
    assert path.read_text() == LOG


BAD_LOGS = {
    "class": ("casme2 sub01\nEP02_01f 1 3\n", "line 2: 'EP02_01f 1 3' is neither"),
    "no_subject": ("EP02_01f 1 1\n", "line 1"),
    "other_set": ("mmew s1\n", "mmew is not part"),
}


@pytest.mark.parametrize(("text", "message"), BAD_LOGS.values(), ids=BAD_LOGS)
def test_bad_log(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "log").write_text(text)
    with pytest.raises(UsageError, match=message):
        cde.read_log(tmp_path / "log")


def test_list(tmp_path: Path) -> None:
    path = tmp_path / "combined_3class_gt.csv"
    path.write_text("casme2,sub01,EP02_01f,1\nsmic,s01,s01_ne_01,0\nsamm,6,006_1_2,0\n")
    assert cde.read_list(path)[2] == cde.Sample("samm", "6", "006_1_2", 0)
    path.write_text("casme2,sub01,EP02_01f,4\n")
    with pytest.raises(UsageError, match="line 1"):
        cde.read_list(path)


def answers(*rows: tuple[str, str, int, int | None]) -> list[cde.Answer]:
    return [cde.Answer(cde.Sample(part, who, f"c{i}", true), given) for i, (part, who, true, given) in enumerate(rows)]


def test_scores_are_pooled_not_averaged_over_folds() -> None:
    rows = answers(
        ("samm", "1", 0, 0), ("samm", "1", 0, 0), ("samm", "1", 0, 0), ("samm", "2", 1, 0), ("samm", "2", 2, 2), ("samm", "3", 1, 1),
    )  # fmt: skip
    result = cde.evaluate(rows)
    # negative TP 3 FP 1 FN 0: 6/7; positive TP 1 FN 1: 2/3; surprise 1. Recalls 1, 1/2, 1
    assert result.scores() == pytest.approx({"uf1": (6 / 7 + 2 / 3 + 1) / 3, "uar": 2.5 / 3})
    assert result.subjects() == 3
    low, high = result.interval("uf1")
    assert low <= result.scores()["uf1"] <= high


def test_scores_per_part_and_full() -> None:
    rows = answers(("samm", "1", 0, 0), ("samm", "1", 1, 1), ("smic", "s1", 0, 1), ("smic", "s1", 1, 0), ("casme2", "1", 2, None))
    result = cde.evaluate(rows)
    assert result.scores("samm")["uar"] == 1
    assert result.scores("smic")["uf1"] == 0
    assert result.scores()["uar"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert result.subjects() == 3  # subject 1 of SAMM is not subject 1 of CASME II
    assert result.of().sum() == 5


@pytest.mark.parametrize(
    ("listed", "ours"),
    [
        (("casme2", "sub01", "EP02_01f"), ("casme2", "sub01", "sub01_EP02_01f")),
        (("smic", "s03", "s03_po_05"), ("smic", "s03", "s3_po_05")),
        (("samm", "6", "006_1_2"), ("samm", "006", "006_1_2")),
    ],
    ids=["casme2", "smic", "samm"],
)
def test_a_listed_clip_is_found_among_ours(listed, ours) -> None:
    assert cde.clip_key(cde.Sample(*listed, 0)) == cde.clip_key(cde.Sample(*ours, 0))


def test_clips_of_one_name_are_kept_apart_by_subject() -> None:
    keys = {cde.clip_key(cde.Sample("casme2", s, "EP02_01f", 0)) for s in ("sub01", "sub02")}
    assert len(keys) == 2
