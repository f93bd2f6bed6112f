"""What the composer says about each action unit: its words, checked against the descriptions of FACS.

For every action unit: what moves (`one` side, `both` sides; the same for the middle of the face), two or three ways
to say how it moved (`acts`: past tense, `{adv}` takes the strength), the same as nouns (`nouns`: `{adj}` strength,
`{of}` what moved), and two things the action may speak for on its own (`hints`): always hedged, never one emotion
alone where several use the action. Names, muscles and sides are in action_units/facs.py; an action unit without an
entry here is told in the registry's words. Appearance follows the FACS manual (Ekman, Friesen & Hager 2002) and its
public summaries; the wording is ours. No logic here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    one: str
    both: str
    acts: tuple[str, ...]
    nouns: tuple[str, ...]
    hints: tuple[str, ...]
    hints_one: tuple[str, ...] = ()  # instead of `hints` when it stayed on one side


PHRASES: dict[int, Phrase] = {
    1: Phrase(
        "inner {side} brow", "inner corners of both brows",
        ("rose {adv}", "moved {adv} upward", "lifted {adv}"),
        ("{adj} raise of the {of}", "{adj} lift of the {of}"),
        ("a movement found in sadness, fear and surprise alike", "in itself open between distress and surprise"),
    ),
    2: Phrase(
        "outer {side} brow", "outer parts of both brows",
        ("rose {adv}", "arched {adv}", "lifted {adv}"),
        ("{adj} raise of the {of}", "{adj} arching of the {of}"),
        ("common in surprise and fear, and in people who stress a word", "a sign of alerting or of emphasis in talk"),
    ),
    4: Phrase(
        "{side} brow", "brows",
        ("lowered {adv} and drew inward", "drew {adv} down and together", "knitted {adv}"),
        ("{adj} lowering of the {of}", "{adj} frown of the {of}"),
        (
            "shared by anger, sadness, fear, disgust and plain concentration",
            "a sign of effort or of something unpleasant, not of one emotion",
        ),
    ),
    5: Phrase(
        "upper {side} lid", "upper lids",
        ("rose {adv}", "drew back {adv}", "widened the eye opening {adv}"),
        ("{adj} raise of the {of}", "{adj} retraction of the {of}"),
        ("seen when attention sharpens, in surprise, fear and anger", "a sign of alerting"),
    ),
    6: Phrase(
        "{side} cheek", "cheeks",
        ("rose {adv}, narrowing the eye from below", "lifted {adv} towards the eye", "moved {adv} up under the eye"),
        ("{adj} raise of the {of}", "{adj} lift of the {of}"),
        ("the eye part of full enjoyment, but also of pain and squinting", "usual in strong joy, but not only there"),
    ),
    7: Phrase(
        "{side} lids", "lids of both eyes",
        ("tightened {adv}", "narrowed {adv}", "tensed {adv}"),
        ("{adj} tightening of the {of}", "{adj} tensing of the {of}"),
        ("found in anger, disgust and in looking closely", "a sign of tension or of scrutiny"),
    ),
    9: Phrase(
        "{side} side of the nose", "sides of the nose",
        ("wrinkled {adv}", "drew up {adv} into wrinkles"),
        ("{adj} wrinkling along the {of}",),
        ("the movement most specific to disgust", "the classical reaction to something repellent"),
    ),
    10: Phrase(
        "{side} half of the upper lip", "upper lip",
        ("rose {adv}", "drew up {adv}", "lifted {adv}"),
        ("{adj} raise of the {of}", "{adj} lift of the {of}"),
        ("usual in disgust, at times part of anger or scorn", "more often aversion than anything else"),
    ),
    11: Phrase(
        "{side} nasolabial furrow", "nasolabial furrows",
        ("deepened {adv}",),
        ("{adj} deepening of the {of}",),
        ("found at times in sadness",),
    ),
    12: Phrase(
        "{side} lip corner", "lip corners",
        ("rose {adv} and drew back", "pulled {adv} up and outward", "lifted {adv} towards the cheekbone"),
        ("{adj} oblique pull of the {of}", "{adj} upward pull of the {of}"),
        ("the mouth part of every smile, felt or polite", "a smile movement, which politeness makes as readily as joy"),
        ("half a smile, which may be wry", "a smile movement kept to one side, as in irony or a beginning smile"),
    ),
    13: Phrase(
        "{side} lip corner", "lip corners",
        ("rose {adv} and sharpened",),
        ("{adj} sharp pull of the {of}",),
        ("without a settled meaning",),
    ),
    14: Phrase(
        "{side} lip corner", "lip corners",
        ("tightened {adv} and tucked in", "tucked {adv} inward, dimpling the cheek"),
        ("{adj} tightening of the {of}", "{adj} tuck of the {of}"),
        ("a way to hold the mouth in check, also in listening", "more often self-control than emotion"),
        ("on one side a sign of scorn or scepticism", "a lopsided tuck that goes with scorn, irony or doubt"),
    ),
    15: Phrase(
        "{side} lip corner", "lip corners",
        ("dropped {adv}", "pulled {adv} down", "turned {adv} downward"),
        ("{adj} downward pull of the {of}", "{adj} drop of the {of}"),
        ("typical of sadness, and of doubt or a shrug", "a downcast movement, also used as a facial shrug"),
    ),
    16: Phrase(
        "{side} half of the lower lip", "lower lip",
        ("dropped {adv}", "pulled {adv} down"),
        ("{adj} lowering of the {of}",),
        ("seen in disgust and in speech",),
    ),
    17: Phrase(
        "chin boss", "chin boss",
        ("pushed {adv} up against the lower lip", "rose {adv}"),
        ("{adj} raise of the {of}", "{adj} upward push of the {of}"),
        ("part of pouting, doubt, sadness and restrained anger", "often a sign of doubt or of holding back"),
    ),
    18: Phrase(
        "lips", "lips",
        ("puckered {adv}", "drew {adv} together to a pucker"),
        ("{adj} pucker of the {of}",),
        ("without emotional meaning",),
    ),
    20: Phrase(
        "{side} lip corner", "lip corners",
        ("stretched {adv} sideways", "pulled {adv} straight back"),
        ("{adj} sideways stretch of the {of}",),
        ("the mouth part of fear, and of an awkward grimace", "typical of fear or strain"),
    ),
    22: Phrase(
        "lips", "lips",
        ("funnelled {adv}",),
        ("{adj} funnelling of the {of}",),
        ("mostly speech",),
    ),
    23: Phrase(
        "lips", "lips",
        ("tightened {adv} and thinned", "narrowed {adv} under tension"),
        ("{adj} tightening of the {of}",),
        ("a frequent sign of anger, or of its control", "often restraint, frequently of anger"),
    ),
    24: Phrase(
        "lips", "lips",
        ("pressed {adv} together",),
        ("{adj} pressing together of the {of}",),
        ("found in anger and wherever something is held back", "a sign of restraint or resolve"),
    ),
    25: Phrase(
        "lips", "lips",
        ("parted {adv}", "came {adv} apart"),
        ("{adj} parting of the {of}",),
        ("without emotional meaning",),
    ),
    26: Phrase(
        "jaw", "jaw",
        ("dropped {adv}", "sank {adv} open"),
        ("{adj} drop of the {of}",),
        ("found in surprise, and in speech and breathing",),
    ),
    27: Phrase(
        "mouth", "mouth",
        ("stretched {adv} open",),
        ("{adj} stretching open of the {of}",),
        ("found in surprise, fear and yawning",),
    ),
    28: Phrase(
        "lips", "lips",
        ("rolled {adv} inward",),
        ("{adj} inward roll of the {of}",),
        ("mostly restraint or habit",),
    ),
    43: Phrase(
        "{side} eye", "eyes",
        ("closed {adv}",),
        ("{adj} closing of the {of}",),
        ("no sign of an emotion by itself",),
    ),
    45: Phrase(
        "{side} eye", "eyes",
        ("blinked",),
        ("blink of the {of}",),
        ("a blink, not an expression",),
    ),
}  # fmt: skip

MIDDLE = frozenset({10, 16, 17, 18, 22, 23, 24, 25, 26, 27, 28})
"""Action units of the middle of the face: "both sides" is not said of them."""

COMBINATIONS: tuple[tuple[frozenset[int], str, tuple[str, ...]], ...] = (
    # (action units, kind of meeting, ways to say what they mean together); the first that match are used
    (frozenset({1, 2, 4}), "fear brow", (
        "The brows rose and drew together at once ({codes}), which sets fear apart from plain surprise",
        "Raised brows that also draw together ({codes}) form the brow of fear",
        "{codes} in one movement make the raised but tense brow that goes with fear",
    )),
    (frozenset({1, 2, 5}), "surprise upper face", (
        "Raised brows with raised upper lids ({codes}) form the upper face of surprise",
        "Whole brow and upper lids went up together ({codes}), the alerting pattern of surprise",
        "{codes} together open the upper face as in surprise",
    )),
    (frozenset({1, 4}), "grief brow", (
        "Inner brow raised against a lowered brow ({codes}) gives the oblique brow of grief, hard to make at will",
        "The two brow movements pulled against each other ({codes}), the oblique brow of sorrow",
    )),
    (frozenset({1, 2}), "brow raise", (
        "Inner and outer brow went up as one ({codes}), which serves surprise as well as emphasis in talk",
        "Together {codes} lift the whole brow: surprise, interest or a speaker's emphasis",
    )),
    (frozenset({6, 12}), "Duchenne smile", (
        "Cheeks and lip corners rose together ({codes}), the Duchenne configuration, "
        "which is more frequent in enjoyment than in posed smiles without proving it",
        "The eye region took part in the smile ({codes}); such Duchenne smiles go with enjoyment more often than "
        "smiles of the mouth alone, though they can be posed",
    )),
    (frozenset({9, 10}), "disgust centre", (
        "Nose wrinkling and upper lip raise reinforce each other ({codes}) as the centre of disgust",
        "With {codes} the two central signs of disgust moved together",
    )),
    (frozenset({10, 17}), "disgust mouth", (
        "Upper lip raised against a pushed-up chin ({codes}) is a known mouth of disgust",
    )),
    (frozenset({23, 24}), "control", (
        "Lips tightened and pressed at once ({codes}) speak for restraint, often of anger",
        "Tight and pressed lips in one ({codes}) are the mouth of held-back anger, or of resolve",
    )),
    (frozenset({4, 5, 7}), "anger eyes", (
        "Lowered brows over lids at once raised and tense ({codes}) make the stare of anger",
    )),
    (frozenset({4, 7}), "tense upper face", (
        "Lowered brows with tensed lids ({codes}) suit anger, disgust or strained attention",
        "Brow and lids tensed together ({codes}), as in anger, disgust or close scrutiny",
    )),
    (frozenset({4, 23}), "anger", ("Brows lowered while the lips tightened ({codes}), a pairing typical of anger",)),
    (frozenset({4, 24}), "anger", ("Brows lowered over pressed lips ({codes}), as in restrained anger",)),
    (frozenset({15, 17}), "sad mouth", (
        "Lip corners down and chin up ({codes}) shape the mouth of sadness or of a facial shrug",
        "The chin raise holds the turned-down lip corners ({codes}), a mouth of sadness, or of doubt",
    )),
    (frozenset({12, 14}), "checked smile", (
        "The lip corners tightened as they rose ({codes}): a smile held in check, or a smirk if on one side",
    )),
    (frozenset({12, 15}), "mixed mouth", (
        "The lip corners were pulled up and down at once ({codes}), as in a smile that is dampened",
    )),
)  # fmt: skip
