"""Emotion words to the schemes of the field."""

from __future__ import annotations

import pytest

from streamfer.datasets.emotions import SCHEMES, plain, scheme


@pytest.mark.parametrize(
    ("written", "three", "five", "eight"),
    [
        ("happiness", "positive", "happiness", "happiness"), ("happyiness", "positive", "happiness", "happiness"),
        ("Happy", "positive", "happiness", "happiness"), ("Sadness", "negative", None, "sadness"),
        ("sad", "negative", None, "sadness"), ("Anger", "negative", None, "anger"), ("fear", "negative", None, "fear"),
        ("disgust", "negative", "disgust", "disgust"), ("Contempt", "negative", None, "contempt"),
        ("repression", "negative", "repression", None), ("surprise", "surprise", "surprise", "surprise"),
        ("others", None, "others", None), ("Others", None, "others", None), ("Other", None, "others", None),
        ("negative", "negative", None, None), ("positive", "positive", None, None), ("tense", None, None, None),
        ("confused", None, None, None), ("", None, None, None),
    ],
)  # fmt: skip
def test_schemes(written, three, five, eight) -> None:
    assert (scheme(written, 3), scheme(written, 5), scheme(written, 8)) == (three, five, eight)


def test_classes_are_the_schemes() -> None:
    for classes, names in SCHEMES.items():
        assert len(names) == classes and all(scheme(name, classes) == name for name in names)


def test_plain() -> None:
    assert plain("  Big   Smile ") == "big smile"
    with pytest.raises(KeyError):
        scheme("fear", 7)


@pytest.mark.parametrize(
    ("dataset", "written", "three"),
    [("casme2", "sadness", None), ("casme2", "fear", None), ("casme2", "repression", "negative"),
     ("casme2", "disgust", "negative"), ("casme2", "happiness", "positive"), ("samm", "Sadness", "negative"),
     ("smic_hs", "positive", "positive"), ("casme3a", "sad", "negative")],
)  # fmt: skip
def test_the_composite_takes_fewer_negative_words_of_casme2(dataset, written, three) -> None:
    assert scheme(written, 3, dataset) == three
