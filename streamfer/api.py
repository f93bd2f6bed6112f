"""`streamfer.analyze`: the same run as the command line, for Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamfer import config as config_module
from streamfer.errors import EXIT_DONE, EXIT_EXPLANATIONS_FAILED, EXIT_SOURCE_DAMAGED, StreamferError, UsageError
from streamfer.reporting.folder import Analysis, load


def analyze(
    source: str | Path,
    output: str | Path = "out",
    *,
    options: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    overwrite: bool = False,
) -> Analysis:
    """Analyse one source into `output`/<name>/ and load the result.

    `options` are dotted config keys, such as {"faces.max_faces": 2, "explain.backend": "none"}; `config` is a YAML
    file. Results that are there already are loaded, or completed when the run was interrupted; results of another
    source or configuration raise OutputMismatch unless `overwrite`. A source that is damaged part-way gives what
    could be read, with the damage in `analysis.run["warnings"]`.
    """
    from streamfer.runs import analyze_all
    from streamfer.video import expand

    overrides = {**(options or {}), "output.folder": str(output)}
    loaded, _ = config_module.load(config, overrides)
    paths = expand([str(source)])
    if len(paths) != 1:
        raise UsageError(f"{source} is {len(paths)} sources: call analyze once for each")
    (outcome,) = analyze_all(paths, loaded, what="overwrite" if overwrite else "resume", command="streamfer.analyze")
    if outcome.exit_code not in (EXIT_DONE, EXIT_SOURCE_DAMAGED, EXIT_EXPLANATIONS_FAILED):
        error = StreamferError(outcome.message or f"{source}: ended with code {outcome.exit_code}")
        error.exit_code = outcome.exit_code
        raise outcome.error or error
    return load(outcome.folder)
