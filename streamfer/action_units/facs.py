"""The one registry of action units (AUs): number, name, words, muscles, place on the face, and how other systems
call the same movement.

    facs.name(12)                 -> "lip corner puller"
    facs.UNITS[12].muscles        -> ("zygomaticus major",)
    facs.column("AU12", "left")   -> "AU12_L"
    facs.parse("AU12_L")          -> (12, "left")
    facs.UNITS[12].blendshapes    -> ("mouthSmileLeft", "mouthSmileRight")

Left and right are the person's own, everywhere. MediaPipe's and ICT-FaceKit's "Left" are the person's left too:
checked with one-sided renders of the ICT face and with the mirror images of them (docs/au-model.md, "Sides").

An empty mapping means that the other system has **no counterpart**; `remark` says when a counterpart is only near.
It holds no opinion on what AUs mean: that is emotions.py.

Names and muscles: Ekman, Friesen & Hager, FACS (2002). FEAFA's 24 units: Yan et al., FEAFA (2019). ME-VQA names:
MEGC 2025's annotation files. Blendshapes: MediaPipe's 52 (the ARKit list). ICT units: ICT-FaceKit (MIT).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from streamfer.records import Side

Region = Literal[
    "brow", "lid", "cheek", "nose", "mouth corner", "lips", "chin", "jaw", "neck", "tongue", "head", "eyes"
]
Part = Literal["upper", "mid", "lower", "whole"]


@dataclass(frozen=True, slots=True)
class Unit:
    """One AU, or one of FACS's action descriptors (19, 29-39, 51-64), which have no muscle of their own."""

    number: int
    name: str  # the manual's name, lower case
    movement: str  # what one sees, as a clause: "the inner brow is raised"
    noun: str  # the same as a noun: "raise of the inner brow"
    muscles: tuple[str, ...]
    sided: bool  # can act on one side only
    part: Part
    region: Region
    blendshapes: tuple[str, ...] = ()  # MediaPipe: (left, right) where it has both, else one for the whole face
    feafa: tuple[int, ...] = ()  # indices into FEAFA's 24
    ict: tuple[str, ...] = ()  # ICT-FaceKit's units, (left, right) pairs
    vqa: str = ""  # the name in ME-VQA answers
    remark: str = ""  # what makes a counterpart only near

    @property
    def code(self) -> str:
        return f"AU{self.number}"

    @property
    def columns(self) -> tuple[str, ...]:
        """("AU12_L", "AU12_R") or ("AU17",)."""
        return (f"AU{self.number:02d}_L", f"AU{self.number:02d}_R") if self.sided else (f"AU{self.number:02d}",)


def _pair(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{side}" for name in names for side in ("Left", "Right"))


def _lr(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for name in names for side in "LR")


_SIDED, _WHOLE = True, False
_TABLE = (
    # --- upper face
    Unit(1, "inner brow raiser", "the inner brow is raised", "raise of the inner brow",
         ("frontalis, pars medialis",), _SIDED, "upper", "brow", ("browInnerUp",), (6, 7), _lr("browInnerUp"),
         "inner brow raiser", "MediaPipe has one value for both sides; FEAFA's brow raise joins AU1 and AU2"),
    Unit(2, "outer brow raiser", "the outer brow is raised", "raise of the outer brow",
         ("frontalis, pars lateralis",), _SIDED, "upper", "brow", _pair("browOuterUp"), (6, 7), _lr("browOuterUp"),
         "outer brow raiser", "FEAFA's brow raise joins AU1 and AU2"),
    Unit(4, "brow lowerer", "the brow is lowered and drawn inward", "lowering of the brow",
         ("corrugator supercilii", "depressor supercilii", "procerus"), _SIDED, "upper", "brow", _pair("browDown"),
         (4, 5), _lr("browDown"), "brow lowerer", "MediaPipe's browDown answers weakly"),
    Unit(5, "upper lid raiser", "the upper lid is raised and the eye widened", "raise of the upper lid",
         ("levator palpebrae superioris",), _SIDED, "upper", "lid", _pair("eyeWide"), (2, 3), _lr("eyeWide"),
         "upper lid raiser"),
    Unit(6, "cheek raiser", "the cheek is raised and the eye narrowed from below", "raise of the cheek",
         ("orbicularis oculi, pars orbitalis",), _SIDED, "upper", "cheek", _pair("cheekSquint"), (),
         _lr("cheekRaiser", "cheekSquint"), "cheek raiser", "MediaPipe's cheekSquint gives 0 always"),
    Unit(7, "lid tightener", "the lower lid is tightened and raised", "tightening of the lids",
         ("orbicularis oculi, pars palpebralis",), _SIDED, "upper", "lid", _pair("eyeSquint"), (), _lr("eyeSquint"),
         "lid tightener"),
    Unit(43, "eyes closed", "the eye is closed", "closing of the eye", ("relaxed levator palpebrae superioris",
         "orbicularis oculi, pars palpebralis"), _SIDED, "upper", "lid", _pair("eyeBlink"), (0, 1), _lr("eyeBlink"),
         "eye closure", "43, 45 and 46 are one movement; how long it lasts and on which side tells them apart"),
    Unit(45, "blink", "the eyes close and open again within half a second", "blink",
         ("relaxed levator palpebrae superioris", "orbicularis oculi, pars palpebralis"), _SIDED, "upper", "lid",
         _pair("eyeBlink"), (0, 1), _lr("eyeBlink"), "", "as AU43, short"),
    Unit(46, "wink", "one eye closes and opens again", "wink", ("orbicularis oculi",), _SIDED, "upper", "lid",
         _pair("eyeBlink"), (0, 1), _lr("eyeBlink"), "", "as AU43, on one side"),
    # --- mid face
    Unit(9, "nose wrinkler", "the nose is wrinkled and its wings are drawn up", "wrinkling of the nose",
         ("levator labii superioris alaeque nasi",), _SIDED, "mid", "nose", _pair("noseSneer"), (23,),
         _lr("noseSneer"), "nose wrinkler", "MediaPipe's noseSneer gives 0 always"),
    Unit(10, "upper lip raiser", "the upper lip is raised", "raise of the upper lip", ("levator labii superioris",),
         _SIDED, "mid", "lips", _pair("mouthUpperUp"), (18,), _lr("mouthUpperUp"), "upper lip raiser"),
    Unit(11, "nasolabial deepener", "the middle of the nasolabial furrow deepens", "deepening of the nasolabial furrow",
         ("zygomaticus minor",), _SIDED, "mid", "cheek"),
    Unit(38, "nostril dilator", "the nostrils are flared", "flaring of the nostrils", ("nasalis, pars alaris",), _WHOLE,
         "mid", "nose", vqa="nostril dilater"),
    Unit(39, "nostril compressor", "the nostrils are compressed", "compression of the nostrils",
         ("nasalis, pars transversa", "depressor septi nasi"), _WHOLE, "mid", "nose", vqa="nostril compress"),
    Unit(40, "sniff", "air is drawn in through the nose", "sniff", (), _WHOLE, "mid", "nose"),
    # --- lower face
    Unit(8, "lips toward each other", "the parted lips are drawn toward each other", "drawing together of the lips",
         ("orbicularis oris",), _WHOLE, "lower", "lips", ("mouthClose",), (), ("mouthClose",),
         remark="mouthClose shuts the lips over an open jaw"),
    Unit(12, "lip corner puller", "the lip corner is pulled up and back", "pull of the lip corner",
         ("zygomaticus major",), _SIDED, "lower", "mouth corner", _pair("mouthSmile"), (11, 12), _lr("mouthSmile"),
         "lip corner puller"),
    Unit(13, "sharp lip puller", "the lip corner is pulled sharply up and the cheek puffs",
         "sharp pull of the lip corner", ("levator anguli oris",), _SIDED, "lower", "mouth corner"),
    Unit(14, "dimpler", "the lip corner is tightened and tucked in", "tucking in of the lip corner", ("buccinator",),
         _SIDED, "lower", "mouth corner", _pair("mouthDimple"), (), _lr("mouthDimple"), "dimpler"),
    Unit(15, "lip corner depressor", "the lip corner is pulled down", "lowering of the lip corner",
         ("depressor anguli oris",), _SIDED, "lower", "mouth corner", _pair("mouthFrown"), (), _lr("mouthFrown"),
         "lip corner depressor"),
    Unit(16, "lower lip depressor", "the lower lip is pulled down", "lowering of the lower lip",
         ("depressor labii inferioris",), _SIDED, "lower", "lips", _pair("mouthLowerDown"), (19,),
         _lr("mouthLowerDown"), "lower lip depressor"),
    Unit(17, "chin raiser", "the chin boss and the lower lip are pushed up", "raise of the chin", ("mentalis",), _WHOLE,
         "lower", "chin", ("mouthShrugLower",), (20,), ("mouthShrugLower",), "chin raiser"),
    Unit(18, "lip pucker", "the lips are puckered", "pucker of the lips",
         ("incisivii labii superioris", "incisivii labii inferioris"), _WHOLE, "lower", "lips", ("mouthPucker",), (21,),
         ("mouthPucker",)),
    Unit(20, "lip stretcher", "the lip corner is stretched sideways", "stretch of the lips", ("risorius", "platysma"),
         _SIDED, "lower", "mouth corner", _pair("mouthStretch"), (13, 14), _lr("mouthStretch"), "lip stretcher"),
    Unit(21, "neck tightener", "the neck is tightened", "tightening of the neck", ("platysma",), _WHOLE, "lower",
         "neck", vqa="neck tightener"),
    Unit(22, "lip funneler", "the lips are funnelled outward", "funnelling of the lips", ("orbicularis oris",), _WHOLE,
         "lower", "lips", ("mouthFunnel",), (), ("mouthFunnel",)),
    Unit(23, "lip tightener", "the lips are tightened and their red part narrows", "tightening of the lips",
         ("orbicularis oris",), _WHOLE, "lower", "lips", ("mouthRollLower", "mouthRollUpper"), (15, 16),
         ("mouthRollLower", "mouthRollUpper"), "lip tightener",
         "no system has a lip tightener: the nearest is rolling both lips in a little, which is AU28 when strong"),
    Unit(24, "lip pressor", "the lips are pressed together", "pressing of the lips", ("orbicularis oris",), _WHOLE,
         "lower", "lips", _pair("mouthPress"), (), _lr("mouthPress"), "lip pressor",
         "the others have a left and a right; FACS scores the whole mouth"),
    Unit(25, "lips part", "the lips part", "parting of the lips", ("depressor labii inferioris",
         "relaxed mentalis or orbicularis oris"), _WHOLE, "lower", "lips", vqa="lips part",
         remark="no unit of its own elsewhere: it is the gap between the lips, whatever opened it"),
    Unit(26, "jaw drop", "the jaw drops", "drop of the jaw", ("relaxed masseter, temporalis and internal pterygoid",),
         _WHOLE, "lower", "jaw", ("jawOpen",), (8,), ("jawOpen",), "jaw drop"),
    Unit(27, "mouth stretch", "the mouth is stretched wide open", "stretch of the open mouth",
         ("pterygoids", "digastric"), _WHOLE, "lower", "jaw", ("jawOpen",), (8,), ("jawOpen",),
         remark="jawOpen near 1; the landmarks do not tell a stretched jaw from a dropped one"),
    Unit(28, "lip suck", "the lips are sucked in over the teeth", "sucking in of the lips", ("orbicularis oris",),
         _WHOLE, "lower", "lips", ("mouthRollLower", "mouthRollUpper"), (15, 16), ("mouthRollLower", "mouthRollUpper")),
    # --- action descriptors
    Unit(19, "tongue show", "the tongue shows", "showing of the tongue", (), _WHOLE, "lower", "tongue"),
    Unit(29, "jaw thrust", "the jaw is thrust forward", "thrust of the jaw", (), _WHOLE, "lower", "jaw",
         ("jawForward",), (17,), ("jawForward",)),
    Unit(30, "jaw sideways", "the jaw moves sideways", "sideways movement of the jaw", (), _SIDED, "lower", "jaw",
         _pair("jaw"), (9, 10), ("jawLeft", "jawRight")),
    Unit(31, "jaw clencher", "the jaw is clenched", "clenching of the jaw", ("masseter",), _WHOLE, "lower", "jaw",
         vqa="jaw clencher"),
    Unit(32, "lip bite", "a lip is bitten", "biting of a lip", (), _WHOLE, "lower", "lips"),
    Unit(33, "cheek blow", "air is blown out through puffed cheeks", "blowing of the cheeks", (), _WHOLE,
         "lower", "cheek"),
    Unit(34, "cheek puff", "the cheek is puffed", "puff of the cheeks", (), _SIDED, "lower", "cheek", ("cheekPuff",),
         (22,), _lr("cheekPuff"), remark="MediaPipe's cheekPuff gives 0 always"),
    Unit(35, "cheek suck", "the cheeks are sucked in", "sucking in of the cheeks", (), _WHOLE, "lower", "cheek"),
    Unit(36, "tongue bulge", "the tongue bulges the cheek or lip", "bulge by the tongue", (), _WHOLE,
         "lower", "tongue"),
    Unit(37, "lip wipe", "the tongue wipes the lips", "wiping of the lips", (), _WHOLE, "lower", "tongue"),
    # --- head and eyes: positions, not muscles
    Unit(51, "head turn left", "the head turns left", "turn of the head to the left", (), _WHOLE, "whole", "head"),
    Unit(52, "head turn right", "the head turns right", "turn of the head to the right", (), _WHOLE, "whole", "head"),
    Unit(53, "head up", "the head goes up", "raise of the head", (), _WHOLE, "whole", "head"),
    Unit(54, "head down", "the head goes down", "lowering of the head", (), _WHOLE, "whole", "head"),
    Unit(55, "head tilt left", "the head tilts left", "tilt of the head to the left", (), _WHOLE, "whole", "head"),
    Unit(56, "head tilt right", "the head tilts right", "tilt of the head to the right", (), _WHOLE, "whole", "head",
         vqa="tilt right"),
    Unit(57, "head forward", "the head moves forward", "forward movement of the head", (), _WHOLE, "whole", "head"),
    Unit(58, "head back", "the head moves back", "backward movement of the head", (), _WHOLE, "whole", "head"),
    Unit(61, "eyes turn left", "the eyes turn left", "turn of the eyes to the left", (), _WHOLE, "upper", "eyes",
         ("eyeLookOutLeft", "eyeLookInRight"), (), ("eyeLookOut_L", "eyeLookIn_R"), "eyes left"),
    Unit(62, "eyes turn right", "the eyes turn right", "turn of the eyes to the right", (), _WHOLE, "upper", "eyes",
         ("eyeLookInLeft", "eyeLookOutRight"), (), ("eyeLookIn_L", "eyeLookOut_R")),
    Unit(63, "eyes up", "the eyes turn up", "upward turn of the eyes", (), _WHOLE, "upper", "eyes",
         _pair("eyeLookUp"), (), _lr("eyeLookUp")),
    Unit(64, "eyes down", "the eyes turn down", "downward turn of the eyes", (), _WHOLE, "upper", "eyes",
         _pair("eyeLookDown"), (), _lr("eyeLookDown")),
)  # fmt: skip

UNITS: dict[int, Unit] = {unit.number: unit for unit in sorted(_TABLE, key=lambda unit: unit.number)}
"""All action units and descriptors by number, in the order of their numbers."""

BY_VQA_NAME: dict[str, int] = {unit.vqa: unit.number for unit in UNITS.values() if unit.vqa}
"""ME-VQA's names (MEGC 2025 and 2026) -> number. "eye closure" is 43; one baseline of 2026 maps it to 46."""

FEAFA: tuple[str, ...] = (
    "left eye close", "right eye close", "left lid raise", "right lid raise", "left brow lower", "right brow lower",
    "left brow raise", "right brow raise", "jaw drop", "jaw slide left", "jaw slide right", "left lip corner pull",
    "right lip corner pull", "left lip corner stretch", "right lip corner stretch", "upper lip suck",
    "lower lip suck", "jaw thrust", "upper lip raise", "lower lip depress", "chin raise", "lip pucker", "cheek puff",
    "nose wrinkle",
)  # fmt: skip
"""FEAFA's 24 units in its order (intensity 0-1), the order of ExpLLM's `au` vectors too."""

OPENFACE_INTENSITY = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""AUs for which OpenFace 2.2 writes AUxx_r."""

_COLUMN = re.compile(r"AU_?0*([1-9]\d?)(?:_([LR]))?", re.IGNORECASE)
_SIDE: dict[str, Side] = {"L": "left", "R": "right"}


def name(number: int) -> str:
    """The manual's name. Raises KeyError for a number that FACS does not have."""
    return UNITS[number].name


def parse(text: str) -> tuple[int, Side]:
    """'AU12_L' -> (12, 'left'), 'AU4' and 'AU04' -> (4, 'both'). Raises ValueError for anything else."""
    match = _COLUMN.fullmatch(text.strip())
    if match is None or int(match[1]) not in UNITS:
        raise ValueError(f"'{text}' is not an action unit: write AU12, AU12_L or AU12_R, with a number that FACS has")
    number, side = int(match[1]), _SIDE.get((match[2] or "").upper(), "both")
    if side != "both" and not UNITS[number].sided:
        raise ValueError(f"'{text}': AU{number} ({name(number)}) has no sides")
    return number, side


def column(au: str | int, side: Side = "both") -> str:
    """The column of one AU: ('AU12', 'left') -> 'AU12_L'; (17, 'both') -> 'AU17'.

    'both' of a sided AU names the whole-face column 'AU12', as models without sides give it. Raises ValueError.
    """
    number, written = parse(au if isinstance(au, str) else f"AU{au}")
    side = written if side == "both" else side
    if side != "both" and not UNITS[number].sided:
        raise ValueError(f"AU{number} ({name(number)}) has no sides")
    return f"AU{number:02d}" + {"left": "_L", "right": "_R", "both": ""}[side]


def ordered(columns: Iterable[str]) -> list[str]:
    """Columns by number, whole face before left before right."""
    order: tuple[Side, ...] = ("both", "left", "right")
    return sorted(columns, key=lambda text: (parse(text)[0], order.index(parse(text)[1])))
