"""Names of action units from movement and curves, as a truth table."""

from __future__ import annotations

import numpy as np
import pytest

from streamfer.screening.flow import REGIONS
from streamfer.screening.naming import motion_table, moved_aus, name_aus


def moving(**regions: tuple[float, float]) -> np.ndarray:
    out = np.zeros((len(REGIONS), 2))
    for name, (x, y) in regions.items():
        out[REGIONS.index(name)] = (x, y)
    return out


@pytest.mark.parametrize(
    ("displacement", "expected"),
    [
        pytest.param(moving(), set(), id="rest"),
        pytest.param(moving(brow_inner_L=(0, -0.05)), {("AU01", "L")}, id="inner-up"),
        pytest.param(moving(brow_outer_R=(0, -0.05)), {("AU02", "R")}, id="outer-up"),
        pytest.param(
            moving(brow_inner_L=(0, -0.05), brow_outer_L=(0, -0.05)), {("AU01", "L"), ("AU02", "L")}, id="whole-brow-up"
        ),
        pytest.param(moving(brow_inner_R=(0.02, 0.05)), {("AU04", "R")}, id="down-and-in"),
        pytest.param(moving(brow_inner_L=(-0.05, 0.01)), {("AU04", "L")}, id="in-only"),
        pytest.param(moving(mouth_corner_L=(0.04, -0.04)), {("AU12", "L")}, id="corner-up-out"),
        pytest.param(moving(mouth_corner_R=(-0.01, 0.05)), {("AU15", "R")}, id="corner-down"),
        pytest.param(moving(mouth_corner_R=(-0.05, 0.0)), {("AU14", "R")}, id="corner-out"),
        pytest.param(moving(mouth_corner_L=(-0.05, 0), mouth_corner_R=(0.05, 0)), {("AU18", "")}, id="corners-in"),
        pytest.param(moving(cheek_L=(0, -0.05)), {("AU06", "L")}, id="cheek-up"),
        pytest.param(moving(lip_lower=(0, 0.05)), {("AU25", ""), ("AU16", "")}, id="lower-lip-down"),
        pytest.param(moving(lip_lower=(0, 0.05), chin=(0, 0.05)), {("AU25", ""), ("AU26", "")}, id="jaw-drop"),
        pytest.param(moving(lid_upper_L=(0, 0.2), lid_upper_R=(0, 0.2)), set(), id="blink"),
    ],
)
def test_movement_names_action_units(displacement, expected):
    assert set(moved_aus(displacement)) == expected


def test_a_curve_alone_must_rise_far():
    assert name_aus(moving(), {"AU12_L": (0.9, 0.9)}, flow_first=True) == ()
    (change,) = name_aus(moving(), {"AU12_L": (1.5, 1.2)}, flow_first=True)
    assert (change.au, change.side, change.intensity, change.delta) == ("AU12", "left", 1.5, 1.2)


def test_what_was_seen_to_move_comes_first():
    curves = {"AU06_L": (3.0, 3.0)}
    seen = moving(mouth_corner_L=(0.04, -0.04))
    assert [c.au for c in name_aus(seen, curves, flow_first=True)] == ["AU12", "AU06"]
    assert [c.au for c in name_aus(seen, curves, flow_first=False)] == ["AU06", "AU12"]


def test_the_motion_table_is_seen_from_the_camera():
    table = motion_table(moving(mouth_corner_L=(0.03, -0.03), chin=(0.0, 0.1), lip_upper=(0.001, 0)))
    assert [(m.region, m.direction) for m in table] == [("chin", "down"), ("mouth_corner_L", "up-right")]
    assert table[1].direction_deg == pytest.approx(45.0)
    assert table[0].distance == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("curve", "strength", "source"),
    [
        pytest.param((0.2, 0.1), 0.857, "movement", id="curve-silent"),
        pytest.param((0.6, 0.5), 0.857, "movement", id="curve-weaker"),
        pytest.param((2.0, 1.5), 2.0, "model", id="curve-stronger"),
    ],
)
def test_the_source_of_a_strength_is_said(curve, strength, source):
    (change,) = name_aus(moving(brow_inner_L=(0, -0.06)), {"AU01_L": curve}, flow_first=True)
    assert (change.au, change.source) == ("AU01", source) and change.intensity == pytest.approx(strength, abs=1e-3)
