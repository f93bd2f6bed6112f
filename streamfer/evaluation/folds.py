"""Leave one subject out, so that no person is ever on both sides.

A person is not a string. "sub01", "sub1" and "01" are one; SAMM and SAMM-LV show the same people, so do CAS(ME)^2's
parts and SMIC's three cameras. `person` gives one key to all of them, and `leave_one_subject_out` splits by that key,
over as many data sets at once as one likes (68 folds for the MEGC 2019 composite: 16 + 24 + 28).

CASME, CASME II, CAS(ME)^2 and CAS(ME)^3 come from one laboratory; whether they share people is not published, so
their subjects count as different ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

_FAMILIES = {
    "samm": "samm", "sammlv": "samm", "sammlong": "samm", "sammlongvideos": "samm", "sammchallenge": "samm",
    "smic": "smic", "smichs": "smic", "smicvis": "smic", "smicnir": "smic",
    "smice": "smic", "smicehs": "smic", "smicevis": "smic", "smicenir": "smic",
    "smichse": "smic", "smicvise": "smic", "smicnire": "smic",
    "casme3a": "casme3", "casme3b": "casme3", "casmei": "casme", "casme1": "casme", "casmeii": "casme2",
    "casme^2": "casmesq", "cas(me)^2": "casmesq", "cas(me)2": "casmesq", "casmesquared": "casmesq",  # not CASME II
}  # fmt: skip
"""Data sets with the same people. CAS(ME)^3's part C (mock crime) has people of its own."""


class HasSubject(Protocol):
    @property
    def dataset(self) -> str: ...
    @property
    def subject(self) -> str: ...


T = TypeVar("T", bound=HasSubject)


@dataclass(frozen=True, slots=True)
class Fold(Generic[T]):
    """`test` is all there is of one person, `train` all there is of everybody else."""

    person: str
    train: tuple[T, ...]
    test: tuple[T, ...]


def person(dataset: str, subject: str) -> str:
    """One key for one person: ("CASME2", "sub01") -> "casme2/1"; ("samm_lv", "006") -> "samm/6"."""
    written = dataset.strip().casefold()
    family = written if written in _FAMILIES else re.sub(r"[^a-z0-9]", "", written)
    name = re.sub(r"^(subject|subj|sub|spno|s)[\W_]*(?=\d)", "", subject.strip().casefold())
    return f"{_FAMILIES.get(family, family)}/{re.sub(r'(?<![0-9])0+(?=[0-9])', '', name)}"


def leave_one_subject_out(items: Iterable[T]) -> Iterator[Fold[T]]:
    """One fold per person, in the order of their first item. Needs two people at least."""
    by_person: dict[str, list[T]] = {}
    for item in items:
        if not item.subject.strip():
            raise ValueError(f"an item of {item.dataset} has no subject: nothing can be left out without leaking")
        by_person.setdefault(person(item.dataset, item.subject), []).append(item)
    if len(by_person) < 2:
        raise ValueError(f"leaving one subject out needs two, there is {' and '.join(by_person) or 'none'}")
    for left_out, test in by_person.items():
        train = tuple(item for name, own in by_person.items() if name != left_out for item in own)
        yield Fold(left_out, train, tuple(test))
