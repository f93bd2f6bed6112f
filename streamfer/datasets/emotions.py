"""What a data set's emotion word is in the schemes of the field: 3, 5 and 8 classes.

The words differ ("sad", "Sadness", "happyiness", a Roman class), so they are first brought to one word each
(`plain`). A class that a scheme lacks is None: such clips are left out and counted, never put somewhere.

* 3 classes (MEGC 2019): negative, positive, surprise. Which words a part of the composite takes differs by data set
  (CASME II: only disgust and repression are negative): that is evaluation/recognition.py. Here: anger, contempt, disgust,
  fear, sadness, repression, pain, helpless and SMIC's "negative" are negative; happiness is positive.
* 5 classes (CASME II and SAMM in single-set work): disgust, happiness, repression, surprise, others. CASME II work drops
  sadness and fear.
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
_NEGATIVE = ("anger", "contempt", "disgust", "fear", "sadness", "repression", "pain", "helpless", "negative")


def plain(written: str) -> str:
    """One word for an emotion however it is written; an unknown one in lower case."""
    word = " ".join(written.split()).casefold().rstrip(".")
    return SPELLINGS.get(word, word)


def scheme(written: str, classes: int) -> str | None:
    """The class of an emotion in the scheme of 3, 5 or 8 classes; None where it has none.

    Raises KeyError for another number of classes.
    """
    word, names = plain(written), SCHEMES[classes]
    if classes == 3:
        return "negative" if word in _NEGATIVE else "positive" if word in ("happiness", "positive") else (
            "surprise" if word == "surprise" else None
        )
    return word if word in names else None
