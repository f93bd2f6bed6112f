"""`streamfer explain OUT`: write the explanations that are missing, for example after the queue was down."""

from __future__ import annotations

from pathlib import Path

import click

from streamfer.cli._common import config_options, load_config, logging_options


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--backend", type=click.Choice(["auto", "nano", "composer", "openai", "transformers"]), help="Who writes the explanations."
)
@click.option("--redis", "redis_url", metavar="URL", help="Explain by the workers at this server.")
@click.option("--again", is_flag=True, help="Explain all events again; each keeps its old text until there is a new one.")
@config_options
@logging_options
def command(
    folder: Path,
    backend: str | None,
    redis_url: str | None,
    again: bool,
    config_path: str | None,
    assignments: tuple[str, ...],
) -> int:
    """Write the explanations that an analysed folder (or all folders in it) still lacks, and its reports."""
    from streamfer.cli._progress import progress_for
    from streamfer.cli._results import print_outcome
    from streamfer.explaining import Explainer
    from streamfer.output import Output
    from streamfer.reporting.folder import find_folders, load
    from streamfer.runs import Outcome, exit_code, stop_on_signals

    outcomes = []
    for out in find_folders(folder):
        config, _ = load_config(
            config_path,
            assignments,
            {
                "output.formats": load(out).run["config"]["output"]["formats"],
                "explain.backend": backend,
                "queue.url": redis_url,
            },
        )
        with stop_on_signals() as stop, Explainer(config, "all" if again else "failed") as explainer:
            code = Output(out).explain_and_export(config, explainer, 0, progress_for(False), stop, again=again)
        outcomes.append(Outcome(out, out, code))
        print_outcome(outcomes[-1])
    return exit_code(outcomes)
