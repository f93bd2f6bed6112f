"""What a data set's emotion word is in the schemes of the field: 3, 5 and 8 classes.

The words differ ("sad", "Sadness", "happyiness", a Roman class), so they are first brought to one word each
(`plain`). A class that a scheme lacks is None: such clips are left out and counted, never put somewhere.

* 3 classes (MEGC 2019): negative, positive, surprise. Anger, contempt, disgust, fear, sadness, repression, pain, helpless
  and SMIC's "negative" are negative; happiness is positive. Of CASME II the challenge takes only disgust and repression
  as negative (its 7 sad and 2 fearful clips are left out): give the data set's name.
* 5 classes: those of work on CASME II alone, disgust, happiness, repression, surprise, others (sadness and fear dropped).
  SAMM's five, given its name, are its most frequent words: anger 57, others 26, happiness 26, surprise 15, contempt 12,
  together 136 of 159 clips.
* 8 classes: the labels of streamfer's own records.
"""

from __future__ import annotations

from typing import Literal

from streamfer.records import LABELS

Scheme = Literal[3, 5, 8]
SCHEMES: dict[int, tuple[str, ...]] = {
    3: ("negative", "positive", "surprise"),
    5: ("disgust", "happiness", "repression", "surprise", "others"),
    8: LABELS,
}
SPELLINGS: dict[str, str] = {
    # as written in the tables, in lower case -> one word
    "happy": "happiness", "happyiness": "happiness", "hapiness": "happiness", "happness": "happiness",
    "sad": "sadness", "angry": "anger", "disgusted": "disgust", "fearful": "fear", "surprised": "surprise",
    "other": "others", "repressed": "repression", "tense": "tense", "neg": "negative", "ne": "negative",
    "pos": "positive", "po": "positive", "sur": "surprise", "positivity": "positive", "negativity": "negative",
}  # fmt: skip
SAMM_FIVE = ("anger", "contempt", "happiness", "surprise", "others")
NEGATIVE = ("anger", "contempt", "disgust", "fear", "sadness", "repression", "pain", "helpless", "negative")
NEGATIVE_OF = {"casme2": ("disgust", "repression")}
"""Where the composite of MEGC 2019 takes fewer words as negative."""


def plain(written: str) -> str:
    """One word for an emotion however it is written; an unknown one in lower case."""
    word = " ".join(written.split()).casefold().rstrip(".")
    return SPELLINGS.get(word, word)


def names_of(classes: int, dataset: str = "") -> tuple[str, ...]:
    """The classes of a scheme, in a data set by its name in datasets.LOADERS. Raises KeyError for another number."""
    return SAMM_FIVE if classes == 5 and dataset in ("samm", "samm_lv") else SCHEMES[classes]


def scheme(written: str, classes: int, dataset: str = "") -> str | None:
    """The class of an emotion in the scheme of 3, 5 or 8 classes; None where it has none.

    `dataset` is a name of datasets.LOADERS. Raises KeyError for another number of classes.
    """
    word, names = plain(written), names_of(classes, dataset)
    if classes == 3:
        if word in NEGATIVE_OF.get(dataset, NEGATIVE):
            return "negative"
        word = "positive" if word == "happiness" else word
        return word if word in ("positive", "surprise") else None
    return word if word in names else None
