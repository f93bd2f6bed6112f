"""What action units have been found with which expression label: published tables as data, no judgement.

* `PROTOTYPES`: full (macro-) expressions. EMFACS as given by Wikipedia's "Affective computing", OpenDBM's
  documentation, and the strongest combinations of table 11-1 of the FACS Investigator's Guide.
* `MICRO_SHARE`: share of micro-expression clips of each label that contain an AU, counted on the released annotation
  tables of DFME (2,629 clips) and of CASME II and SAMM (414 clips). Micro-expressions are partial: score them by
  these shares (likelihood ratios), never by matching a prototype. AU4 alone is shared by four labels. AUs that are
  not listed were in less than about a tenth of the clips.
* `OBJECTIVE_CLASSES`: the label-free classes I-VI of Davison et al. (2018); anything else is VII.
"""

from __future__ import annotations


def _sets(*combinations: str) -> tuple[frozenset[int], ...]:
    """'6+12' -> frozenset({6, 12}), as tables of AU combinations are written."""
    return tuple(frozenset(int(number) for number in text.split("+")) for text in combinations)


def _prototypes(**combinations: str) -> dict[str, frozenset[int]]:
    return {label: _sets(text)[0] for label, text in combinations.items()}


PROTOTYPES: dict[str, dict[str, frozenset[int]]] = {
    "EMFACS": _prototypes(
        happiness="6+12", sadness="1+4+15", surprise="1+2+5+26", fear="1+2+4+5+20+26", anger="4+5+7+23",
        disgust="9+15+16", contempt="12+14",
    ),
    "OpenDBM": _prototypes(
        happiness="6+12", sadness="1+4+15", surprise="1+2+5+26", fear="1+2+4+5+7+20+26", anger="4+5+7+23",
        disgust="9+15+16", contempt="12+14",
    ),
    "FACS 11-1": _prototypes(
        happiness="6+12+25", sadness="1+4+15", surprise="1+2+5+26", fear="1+2+4+5+20+25", anger="4+5+7+24",
        disgust="4+10+17",
    ),
}  # fmt: skip
"""Table -> label -> AUs. Contempt's 12 and 14 are on one side only (EMFACS: R12A+R14A); FACS 11-1 lists none."""

MICRO_SHARE: dict[str, dict[str, dict[int, float]]] = {
    "DFME": {
        "happiness": {12: 0.79, 6: 0.49},
        "surprise": {2: 0.77, 1: 0.75, 5: 0.67},
        "disgust": {4: 0.74, 7: 0.40, 10: 0.12},
        "anger": {4: 0.70, 7: 0.24, 24: 0.13},
        "fear": {4: 0.51, 7: 0.31, 5: 0.17, 24: 0.13},
        "sadness": {4: 0.39, 14: 0.23, 24: 0.17, 7: 0.15, 17: 0.12},
        "contempt": {12: 0.65, 6: 0.16},  # AU12 on one side
    },
    "CASME II + SAMM": {
        "happiness": {12: 0.91, 6: 0.19},
        "surprise": {2: 0.60, 1: 0.55, 5: 0.23},
        "disgust": {4: 0.83, 7: 0.42, 10: 0.31, 9: 0.24},
        "anger": {7: 0.74, 4: 0.37},
        "repression": {17: 0.70, 15: 0.41},
        "fear": {20: 0.80, 26: 0.20},
        "sadness": {1: 0.69, 17: 0.23, 15: 0.15},
        "contempt": {14: 1.00, 17: 0.25},
        "others": {4: 0.68},
    },
}
"""Data set -> label -> AU -> share of the clips (0-1)."""

OBJECTIVE_CLASSES: dict[str, tuple[frozenset[int], ...]] = {
    "I": _sets("6", "12", "6+12", "6+7+12", "7+12"),
    "II": _sets("1+2", "5", "25", "1+2+25", "25+26", "5+24"),
    "III": _sets("23", "4", "4+7", "4+5", "4+5+7", "17+24", "4+6+7", "4+38"),
    "IV": _sets("10", "9", "4+9", "4+40", "4+5+40", "4+7+9", "4+9+17", "4+7+10", "4+5+7+9", "7+10"),
    "V": _sets("1", "15", "1+4", "6+15", "15+17"),
    "VI": _sets("1+2+4", "20"),
}


def objective_class(aus: frozenset[int]) -> str:
    """'I' ... 'VII' of Davison et al. (2018) for the AUs of one micro-expression."""
    return next((label for label, sets in OBJECTIVE_CLASSES.items() if aus in sets), "VII")
