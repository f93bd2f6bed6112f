"""Records survive the trip through JSON, and what is not a record is refused with the field's name."""

import json

import numpy as np
import pytest

from streamfer.errors import PayloadInvalid
from streamfer.records import (
    LABELS,
    AUChange,
    Box,
    Event,
    Frame,
    Job,
    KeyFrame,
    Moment,
    RegionMotion,
    from_json,
    to_dict,
    to_json,
)

EVENT = Event(
    id="e1",
    source="clip",
    person="P1",
    track=1,
    kind="micro",
    onset=Moment(10, 1 / 3),
    apex=Moment(14, 0.4666666),
    offset=Moment(20, 0.6666666),
    rise_s=0.1333333,
    duration_s=0.3333333,
    aus=(AUChange("AU12", "left", 1.5, 1.25),),
    motion=(RegionMotion("mouth corner left", 0.06, 45.0, "up-right"),),
    score=0.75,
    flags=("talking",),
)


def test_event_survives_json() -> None:
    assert to_dict(from_json(Event, to_json(EVENT))) == to_dict(EVENT)


def test_floats_are_rounded_to_millionths() -> None:
    assert json.loads(to_json(EVENT))["onset"]["time_s"] == 0.333333


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"kind": "tiny"}, "kind", id="kind-not-in-list"),
        pytest.param({"apex": {"frame": "x", "time_s": 0}}, "apex.frame", id="frame-not-a-number"),
        pytest.param({"score": None}, "score", id="score-missing"),
        pytest.param({"aus": [{"au": "AU12"}]}, "aus.0.side", id="nested-field-missing"),
    ],
)
def test_wrong_field_is_named(change: dict, field: str) -> None:
    with pytest.raises(PayloadInvalid, match=field):
        from_json(Event, json.dumps({**to_dict(EVENT), **change}))


def test_other_schema_is_refused() -> None:
    with pytest.raises(PayloadInvalid, match="schema 99"):
        from_json(Event, json.dumps({**to_dict(EVENT), "schema": 99}))


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"id": 1}', "null"])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(PayloadInvalid, match="not a valid Job"):
        from_json(Job, text)


def test_job_holds_its_event() -> None:
    job = Job("e1", EVENT, (KeyFrame("apex", 14, 0.46),), created_unix_s=1.0)
    assert from_json(Job, to_json(job)).event.aus[0].side == "left"


def test_repr_shows_shapes_not_pixels() -> None:
    frame = Frame(3, 0.1, np.zeros((4, 5, 3), np.uint8))
    assert repr(frame) == "Frame(index=3, time_s=0.1, image=array(4, 5, 3), segment=0)"


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Box(0, 0, 1, 1).x = 2  # type: ignore[misc]


def test_labels_are_the_closed_list_of_eight() -> None:
    assert LABELS == ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
