"""Does a text rest its label on a part of the face where nothing was measured and where the network did not look?

An explanation may argue with a region that no action unit stands for ("the tension around the eyes speaks for anger"): the
expression network reads the whole face, and may have found something there. What it looked at for its label is known
(`Expressed.looked`, from LayerCAM). `unlooked` gives one sentence for each region that

* a sentence which gives the text's label, in the interpretation or anywhere in the conclusion, names in plain words, neither
  denied nor told of expressions in general,
* has no measured action unit, movement or, for the eyes, blink, and
* reached less than `LEAST` of the network's strongest region,

provided that the text's label is the network's own: its look at another label says nothing about this one. Measured action
units are never questioned here; claims about unmeasured ones are verify.py's business already.

`LEAST` was chosen by a rule that was written down before the numbers were seen (benchmarks/LOG.md): on photographs of FER+'s
training part that the network reads rightly, the value under which 5 % of the regions lie whose measured action units
speak for the label. A map tells where a score came from, not why: passing this test is no proof of anything.
"""

from __future__ import annotations

import re

from streamfer.expllm.evidence import Evidence, split_region
from streamfer.expllm.text import labels_in
from streamfer.records import FACE_REGIONS, ChainOfThought

LEAST = 0.32

_WORDS = {
    "brows": r"(?:eye)?brows?|forehead",
    "eyes": r"eyes?|(?:eye)?lids?",
    "nose": r"nose|nostrils?",
    "cheeks": r"cheeks?",
    "mouth": r"mouth|lips?",
    "chin": r"chin|jaw",
}
_NAMED = {region: re.compile(rf"\b(?:{words})\b") for region, words in _WORDS.items()}
_NOT_HERE = re.compile(
    r"\b(?:no|not|nor|never|without|neither|nothing|none|\w+n't|lack\w*|absen\w*|missing|would|usual\w*|typical\w*|often|common\w*"
    r"|expect\w*|generally|if|unless|other than)\b"
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_OF_AU: dict[str, frozenset[int]] = {
    "brows": frozenset({1, 2, 3, 4}),
    "eyes": frozenset({5, 6, 7, 41, 42, 43, 44, 45, 46}),
    "nose": frozenset({9, 10, 11, 38, 39}),
    "cheeks": frozenset({6, 9, 11, 12, 13, 14, 33, 34, 35}),
    "mouth": frozenset(range(8, 33)) | {33, 34, 35, 36, 37},
    "chin": frozenset({15, 16, 17, 25, 26, 27, 29, 30, 31}),
}
"""Where the action units show, generously: one that could be meant is enough to leave a text alone."""
_OF_MOTION = {
    "brow_inner": "brows", "brow_outer": "brows", "lid_upper": "eyes", "lid_lower": "eyes", "nose_wing": "nose",
    "cheek": "cheeks", "mouth_corner": "mouth", "lip_upper": "mouth", "lip_lower": "mouth", "chin": "chin",
}  # fmt: skip


def regions_of(number: int) -> frozenset[str]:
    """The regions of the face that an action unit shows in."""
    return frozenset(region for region, numbers in _OF_AU.items() if number in numbers)


def named_for(cot: ChainOfThought) -> list[str]:
    """Regions that the text names as reasons for its label."""
    sentences = [part for part in _SENTENCE.split(cot.interpretation) if cot.label in labels_in(part)]
    sentences += _SENTENCE.split(cot.conclusion)
    told = [sentence.lower() for sentence in sentences if not _NOT_HERE.search(sentence.lower())]
    return [region for region in FACE_REGIONS if any(_NAMED[region].search(sentence) for sentence in told)]


def measured_in(evidence: Evidence) -> frozenset[str]:
    """Regions where something was measured."""
    found = {region for au in (*evidence.aus, *evidence.eased) for region in regions_of(au.number)}
    found |= {_OF_MOTION[name] for motion in evidence.motion if (name := split_region(motion.region)[0]) in _OF_MOTION}
    return frozenset(found | ({"eyes"} if "blink" in evidence.flags else set()))


def unlooked(cot: ChainOfThought, evidence: Evidence) -> list[str]:
    """One sentence for each region that the label is rested on without a measurement and without a look."""
    expressed = evidence.expressed
    if expressed is None or expressed.looked is None or expressed.best[0] != cot.label:
        return []
    measured = measured_in(evidence)
    looked = dict(zip(FACE_REGIONS, expressed.looked, strict=True))
    return [
        f"{cot.label} is rested on the {region}, where no action was measured and the expression model did not look "
        f"({looked[region]:.2f} of its strongest region)"
        for region in named_for(cot)
        if region not in measured and looked[region] < LEAST
    ]


__all__ = ["LEAST", "measured_in", "named_for", "regions_of", "unlooked"]
