"""Every imitation, read back: exactly the planted repairs, and every planted expression where it was planted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamfer import datasets
from streamfer.cli import cli
from streamfer.datasets.demo import make
from streamfer.datasets.demo_layouts import LAYOUTS
from streamfer.errors import SourceMissing, SourceUnreadable, UsageError

NAMES = [*datasets.LOADERS]
LOST = {"offset_zero", "apex_offset_swapped", "apex_missing", "onset_zero"}


@pytest.fixture(autouse=True, scope="module")
def small_pictures():
    """The layout and the tables are tested here, not the drawing: eight pixels do."""
    import numpy as np

    from streamfer.datasets import demo

    patch = pytest.MonkeyPatch()
    patch.setattr(demo, "_pictures", lambda chosen, times, subject, keep: (np.zeros((8, 8, 3), np.uint8) for _ in keep))
    yield
    patch.undo()


def test_every_loader_has_an_imitation() -> None:
    assert set(LAYOUTS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_exactly_the_planted_quirks(name: str, tmp_path: Path) -> None:
    made = make(name, tmp_path / "set")
    read = datasets.load(name, tmp_path / "set")
    assert Counter(r.rule for r in read.remarks) == made.rules
    assert len(read.clips) == made.clips == len({clip.name for clip in read.clips})


@pytest.mark.parametrize("name", NAMES)
def test_clean_tables_need_no_repair_and_keep_the_truth(name: str, tmp_path: Path) -> None:
    made = make(name, tmp_path / "set", quirks=False, seed=3)
    read = datasets.load(name, tmp_path / "set")
    assert read.remarks == () and {clip.fps for clip in read.clips} == {LAYOUTS[name].fps}
    shift = LAYOUTS[name].cut
    planted = sorted((t.kind, 0 if shift else t.onset, t.offset - (t.onset if shift else 0)) for t in made.truths)
    assert sorted((a.kind, a.onset, a.offset) for a in read.annotations) == planted
    if name not in ("casme3c",) and not name.startswith("smic"):  # no apex is annotated there
        assert sorted(a.apex for a in read.annotations) == sorted(t.apex for t in made.truths)
        numbers = [a.aus.numbers(doubtful=True) for a in read.annotations if a.aus is not None]
        assert len(numbers) == len(made.truths) and all(numbers)


@pytest.mark.parametrize("name", ["casme2", "samm_lv", "casme_sq"])
def test_another_frame_rate_is_said(name: str, tmp_path: Path) -> None:
    make(name, tmp_path / "set", fps=50.0, quirks=False)
    read = datasets.load(name, tmp_path / "set")
    assert {clip.fps for clip in read.clips} == {50.0}
    assert [r.rule for r in read.remarks] == ["fps_file"]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "plain"])
def test_a_wrong_folder_says_what_was_expected_and_seen(name: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises((SourceMissing, SourceUnreadable)) as caught:
        datasets.load(name, tmp_path)
    assert "holiday.jpg" in str(caught.value) and str(tmp_path) in str(caught.value)


def test_unknown_names_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'casme2'"):
        datasets.load("casme-2", tmp_path)
    with pytest.raises(SourceMissing, match="no such folder"):
        datasets.load("casme2", tmp_path / "none")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        make("casme2", tmp_path / "full")


def test_check_command(tmp_path: Path) -> None:
    made = make("casme_sq", tmp_path / "set")
    run = CliRunner().invoke(cli, ["dataset", "check", "casme_sq", str(tmp_path / "set"), "--rows"])
    assert run.exit_code == 0, run.output
    assert "micro: 12 (published: 57)" in run.output and "subjects: 3 (published: 22)" in run.output
    assert "repaired    1 x offset_zero" in run.output and "ends at its apex" in run.output
    run = CliRunner().invoke(cli, ["dataset", "check", "casme_sq", str(tmp_path / "set"), "--json"])
    told = json.loads(run.output)
    assert {rule["rule"]: rule["rows"] for rule in told["rules"]} == dict(made.rules)
    assert told["counts"]["macro"] == {"here": 12, "published": 300}


def test_list_and_demo_commands(tmp_path: Path) -> None:
    run = CliRunner().invoke(cli, ["dataset", "list"])
    assert run.exit_code == 0 and all(f"{name} " in run.output for name in NAMES)
    run = CliRunner().invoke(cli, ["dataset", "demo", "samm", str(tmp_path / "set"), "--subjects", "2"])
    assert run.exit_code == 0 and "4 clips" in run.output, run.output
