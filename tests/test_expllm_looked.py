"""LayerCAM agreement: a label may not rest on a part of the face where nothing was measured and the network did not look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from streamfer.action_units.model import Seen
from streamfer.expllm.backends.composer import compose
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.looked import LEAST, measured_in, named_for, unlooked
from streamfer.expllm.verify import check
from streamfer.expression.facemaps import looked
from streamfer.records import FACE_REGIONS, LABELS, ChainOfThought, Event, Expressed, Label, from_json, to_json
from tests.expllm_events import EVENTS, FLOOR, evidence

MOUTH_ONLY = {"mouth": 1.0, "cheeks": 0.6, "nose": 0.5, "chin": 0.4, "brows": 0.02, "eyes": 0.02}


def seen(found: Evidence, label: Label = "happiness", where: dict[str, float] | None = MOUTH_ONLY) -> Evidence:
    apex = tuple(0.93 if name == label else 0.01 for name in LABELS)
    told = None if where is None else tuple(where.get(region, 0.0) for region in FACE_REGIONS)
    return replace(found, expressed=Expressed((1.0, *[0.0] * 7), apex, "m", told))


def text(
    interpretation: str = "This speaks for happiness.", conclusion: str = "The face shows happiness."
) -> ChainOfThought:
    return ChainOfThought("The lip corners rose (AU12).", interpretation, conclusion, "happiness")


SMILE = evidence("12:2.0", "macro")
CASES = {
    "eyes-alone": (SMILE, text("The eyes speak for happiness."), ["eyes"]),
    "brows-and-eyes": (SMILE, text(conclusion="By forehead and lids, happiness."), ["brows", "eyes"]),
    "looked-at": (SMILE, text("The chin and the nose speak for happiness."), []),
    "measured": (evidence("6:1.0 12:2.0", "macro"), text("The eyes speak for happiness."), []),
    "moved": (evidence("12:2.0", "macro", motion="lid_lower_L:0.03:90"), text("The eyes speak for happiness."), []),
    "blinked": (evidence("12:2.0", "macro", flags=("blink",)), text("The eyes speak for happiness."), []),
    "eased": (evidence("12:2.0 7:-1.2", "macro"), text("The eyes speak for happiness."), []),
    "of-another-label": (SMILE, text("The eyes would speak for anger. The mouth speaks for happiness."), []),
    "no-reason": (SMILE, text("The eyes are in the face. The mouth speaks for happiness."), []),
    "denied": (SMILE, text("Nothing in the eyes supports happiness."), []),
    "in-general": (SMILE, text("Happiness usually reaches the eyes."), []),
    "other-sentence": (SMILE, text("The mouth speaks for happiness; the eyes stay as they were."), []),
}


@pytest.mark.parametrize(("found", "cot", "faulty"), [pytest.param(*case, id=name) for name, case in CASES.items()])
def test_a_label_needs_a_measurement_or_a_look(found: Evidence, cot: ChainOfThought, faulty: list[str]) -> None:
    faults = unlooked(cot, seen(found))
    assert len(faults) == len(faulty) and all(
        f"rested on the {part}," in fault for part, fault in zip(faulty, faults, strict=True)
    )
    assert set(faults) <= set(check(cot, seen(found))), "verification does not ask"


def test_no_look_no_fault() -> None:
    cot = text("The eyes speak for happiness.")
    assert unlooked(cot, SMILE) == [] and unlooked(cot, seen(SMILE, where=None)) == []
    assert unlooked(cot, seen(SMILE, "anger")) == [], "the map is another label's"
    assert unlooked(cot, seen(SMILE, where={"mouth": 1.0, "eyes": LEAST})) == []
    assert len(unlooked(cot, seen(SMILE, where={"mouth": 1.0, "eyes": LEAST - 0.01}))) == 1


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_true_texts_are_left_alone_wherever_the_network_looked(e: Event) -> None:
    found = Evidence.of(e, FLOOR)
    nowhere = dict.fromkeys(FACE_REGIONS, 0.0)
    label = compose(found).label
    assert unlooked(compose(seen(found, label, nowhere)), seen(found, label, nowhere)) == []


def test_every_region_is_measured_by_something_and_named_by_something() -> None:
    every = evidence("1 7 9 6 12 17", "macro")
    assert measured_in(every) == set(FACE_REGIONS)
    assert named_for(text(conclusion="Brows, eyes, nose, cheeks, lips and jaw show happiness.")) == list(FACE_REGIONS)


@pytest.mark.parametrize("wanted", ["eyes", "mouth", "chin"])
def test_the_look_is_where_the_map_is_high(wanted: str) -> None:
    """A map with one bright cell: the region under it is the strongest, and the far ones stay dark."""
    points = portrait_points()
    features = np.zeros((1, 14, 14), np.float32)
    x, y = {"eyes": points[159], "mouth": points[13], "chin": (points[17] + points[152]) / 2}[wanted][:2] / 112 * 14
    features[0, int(y), int(x)] = 1.0
    probabilities = np.eye(8, dtype=np.float32)[1]
    one = looked(
        Seen(probabilities, features, np.ones((8, 1), np.float32), 112, np.eye(2, 3, dtype=np.float32)), points
    )
    told = dict(zip(FACE_REGIONS, one, strict=True))
    assert told[wanted] == 1.0, told
    assert told["brows" if wanted != "eyes" else "chin"] < 0.1, told


def portrait_points() -> np.ndarray:
    """(478, 3) px of the shipped portrait in a crop of 112 px."""
    from streamfer.config import Faces
    from streamfer.faces.align import align, transform
    from streamfer.faces.landmarks import FaceMesh
    from streamfer.video import open_video
    from tests.test_expllm_bundled import SAMPLE

    with open_video(SAMPLE) as source:
        frame = next(iter(source))
    finder = FaceMesh(Faces(max_faces=1))
    points = finder.find(frame)[0].points
    finder.close()
    _, matrix = align(frame.image, points, 112, 20)
    return transform(points, matrix)


def test_the_look_survives_json() -> None:
    e = Expressed((1.0, *[0.0] * 7), (1.0, *[0.0] * 7), "m", (0.1, 0.2, 0.3, 0.4, 0.5, 1.0))
    assert from_json(Expressed, to_json(e)) == e
    old = to_json(replace(e, looked=None)).replace(',"looked":null', "")
    assert from_json(Expressed, old).looked is None, "records of earlier versions are read"


def test_the_measure_counts_texts_that_name_a_region() -> None:
    pytest.importorskip("torch")
    from streamfer.evaluation.explanations import looked_at
    from streamfer.expllm.engine import Case

    case = Case("c", seen(SMILE), "happiness")
    assert looked_at(text("The eyes speak for happiness."), case) == 0
    assert looked_at(text("The chin speaks for happiness."), case) == 1
    for cot, other in ((text(), case), (None, case), (text("The eyes speak for happiness."), Case("c", SMILE, None))):
        assert np.isnan(looked_at(cot, other))
