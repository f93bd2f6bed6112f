"""peaks.py: shapes are found where they were put, at any sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfer.screening import peaks
from streamfer.screening.series import Series


def test_resample_interpolates_between_frames_and_holds_the_ends():
    times = np.array([0.0, 0.1, 0.4])
    values = np.array([[0.0, 1.0], [1.0, 1.0], [4.0, 1.0]])
    got = peaks.resample(times, values, np.array([-1.0, 0.05, 0.25, 9.0]))
    np.testing.assert_allclose(got[:, 0], [0.0, 0.5, 2.5, 4.0])
    np.testing.assert_allclose(got[:, 1], 1.0)


def test_low_pass_keeps_slow_movement_in_place_and_removes_fast():
    times = np.arange(120) / 60
    slow = np.sin(2 * np.pi * times)
    out = peaks.low_pass(slow + np.sin(2 * np.pi * 20 * times), 60.0, 6.0)
    assert np.abs(out - slow)[15:-15].max() < 0.05


def test_plateau_is_zero_one_and_between():
    got = peaks.plateau(np.array([0.9, 1.0, 1.1, 1.2, 1.5, 1.8, 2.0, 2.1]), 1.0, 1.2, 1.6, 2.0)
    np.testing.assert_allclose(got, [0, 0, 0.5, 1, 1, 0.5, 0, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("rise", "fall"),
    [pytest.param(0.1, 0.1, id="fast"), pytest.param(0.2, 0.3, id="slow-fall"), pytest.param(0.25, 0.1, id="slow-rise")],
)
def test_bank_finds_apex_and_length_under_drift(rise, fall):
    shapes = peaks.bank(60.0)
    times = np.arange(180) / 60
    curve = 0.05 * peaks.bump(times, 1.5 - rise, 1.5, 1.5 + fall) + 0.03 * times + 0.01 * times**2
    values = np.stack([curve, np.zeros_like(curve)], axis=1)[:, None]
    apexes = np.arange(shapes.before, len(times) - shapes.after)
    coefficients, energy = peaks.fit_bank(shapes, values, apexes)
    share = (coefficients**2).sum(axis=3)[:, shapes.bumps, 0] / energy[:, :1]
    k, j = np.unravel_index(share.argmax(), share.shape)
    shape = [s for s, is_bump in zip(shapes.shapes, shapes.bumps, strict=True) if is_bump][j]
    assert abs(times[apexes[k]] - 1.5) <= 1 / 30
    assert abs(shape.rise_s - rise) <= 0.06
    assert abs((shape.fall_s or 0) - fall) <= 0.06
    assert share.max() > 0.97


@settings(max_examples=30, deadline=None)
@given(
    rise=st.floats(0.1, 0.3), fall=st.floats(0.1, 0.4), shift=st.floats(-0.03, 0.03), fps=st.sampled_from([25, 30, 60, 200]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_refine_comes_back_to_the_truth(rise, fall, shift, fps, seed):
    rng = np.random.default_rng(seed)
    times = np.sort(np.arange(0, 1.4, 1 / fps) + rng.uniform(-0.2, 0.2, len(np.arange(0, 1.4, 1 / fps))) / fps)
    values = np.outer(peaks.bump(times, 0.6 - rise, 0.6, 0.6 + fall), [0.0, -0.05]) + 0.02 * times[:, None]
    start = (0.6 - rise + shift, 0.6 + shift, 0.6 + shift, 0.6 + fall + shift)
    (onset, apex, release, offset), share = peaks.refine(times, values, start, 0.02)
    assert share > 0.98
    assert release == apex
    assert abs(apex - 0.6) < 1 / 30
    assert abs(onset - (0.6 - rise)) < 0.06
    assert abs(offset - (0.6 + fall)) < 0.06


@given(keep=st.integers(1, 50), steps=st.integers(1, 400))
def test_series_remembers_what_is_recent_and_no_more(keep, steps):
    series = Series(2, capacity=4)
    for i in range(steps):
        series.append(i * 0.1, i, np.array([i, -i]))
        series.trim(i * 0.1 - keep * 0.1 + 1e-6)
    assert len(series) == min(keep, steps)
    assert list(series.frames) == list(range(steps - len(series), steps))
    np.testing.assert_array_equal(series.rows[:, 0], series.frames)
    assert series.capacity <= max(4, 4 * (keep + 1))
    assert series.nearest((steps - 1) * 0.1 + 5) == len(series) - 1


@pytest.mark.parametrize(("rate_hz", "corner_hz"), [(60.0, 1.2), (60.0, 6.0), (30.0, 2.0)])
def test_low_pass_is_scipys_butterworth_run_forth_and_back(rate_hz, corner_hz):
    from scipy import signal

    values = np.cumsum(np.random.default_rng(0).normal(size=(400, 3)), axis=0)
    sections = signal.butter(2, corner_hz, fs=rate_hz, output="sos")
    wanted = signal.sosfiltfilt(sections, values, axis=0, padlen=120)
    got = peaks.low_pass(values, rate_hz, corner_hz)
    assert np.abs(got - wanted)[30:-30].max() < 0.01 * np.abs(values).max()
