"""Options: precedence, origins, unknown keys, the digest, and the shipped default.yaml."""

from pathlib import Path

import pytest
import yaml

from streamfer import config as c
from streamfer.errors import UsageError

ROOT = Path(__file__).parents[1]


def test_shipped_default_yaml_is_what_the_code_says() -> None:
    assert (ROOT / "configs/default.yaml").read_text() == c.to_yaml(c.Config())


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_config_loads(path: Path) -> None:
    c.load(path, environ={})


def test_every_option_has_a_meaning() -> None:
    for section in c.Config.model_fields:
        for key, info in type(getattr(c.Config(), section)).model_fields.items():
            assert info.description, f"{section}.{key}"


def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("faces: {max_faces: 2, lost_s: 1.0, min_size_px: 50}\n")
    config, origin = c.load(
        file, {"faces.max_faces": 5}, environ={"STREAMFER_FACES__MAX_FACES": "4", "STREAMFER_FACES__LOST_S": "0.7"}
    )
    assert (config.faces.max_faces, config.faces.lost_s, config.faces.min_size_px) == (5, 0.7, 50)
    assert origin == {
        "faces.max_faces": "command line",
        "faces.lost_s": "environment",
        "faces.min_size_px": str(file),
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param({"faces.max_face": 2}, "did you mean 'faces.max_faces'", id="unknown-key-names-nearest"),
        pytest.param({"faces.max_faces": 0}, "greater than or equal to 1", id="out-of-range"),
        pytest.param({"video.reader": "opencv"}, "'av' or 'decord'", id="not-in-choices"),
        pytest.param({"zzz": 1}, "unknown option 'zzz'", id="unknown-section"),
        pytest.param({"queue.jpeg_quality": 50}, "greater than or equal to 92", id="lossy-key-frames"),
    ],
)
def test_bad_options_are_named(overrides: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        c.load(overrides=overrides, environ={})


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "is not YAML"), ("- 1\n", "expected sections"), ("faces: 3\n", "unknown option 'faces'")],
    ids=["not-yaml", "a-list", "section-is-a-number"],
)
def test_bad_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=message):
        c.load(file, environ={})


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.yaml"):
        c.load(tmp_path / "no.yaml", environ={})


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("output.folder", "elsewhere", True),
        ("queue.url", "redis://h", True),
        ("video.threads", 3, True),
        ("action_units.threads", 2, True),
        ("faces.max_faces", 2, False),
        ("screening.min_score", 0.9, False),
    ],
)
def test_digest_covers_what_changes_events(key: str, value: object, same: bool) -> None:
    changed, _ = c.load(overrides={key: value}, environ={})
    assert (changed.digest() == c.Config().digest()) is same


def test_yaml_round_trip_keeps_every_value() -> None:
    config, _ = c.load(overrides={"output.formats": ["csv"], "action_units.neutral": {"P1": "0:10-0:20"}}, environ={})
    assert c.Config.model_validate(yaml.safe_load(c.to_yaml(config))) == config


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://user:secret@h:6379/0", "redis://user:***@h:6379/0"),
        ("rediss://:p@ss@h", "rediss://:***@h"),
        ("redis://h:6379", "redis://h:6379"),
        (None, ""),
    ],
)
def test_passwords_are_masked(url: str | None, masked: str) -> None:
    assert c.mask(url) == masked


@pytest.mark.parametrize(("text", "pair"), [("a.b=3", ("a.b", 3)), ("a.b=[x, y]", ("a.b", ["x", "y"])), ("a.b=", ("a.b", None))])
def test_assignments_are_yaml(text: str, pair: tuple) -> None:
    assert c.parse_assignment(text) == pair
