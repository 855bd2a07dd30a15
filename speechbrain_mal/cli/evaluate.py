"""`speechbrain-mal evaluate`: score enhanced clips."""

import argparse
from pathlib import Path

from speechbrain_mal.cli.scoring import (
    INCOMPLETE,
    add_scoring,
    metric_options,
    read_clips,
    say,
)
from speechbrain_mal.metrics import clips_from_list, evaluate
from speechbrain_mal.metrics.registry import expand, versions


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("evaluate", help="score enhanced clips")
    parser.set_defaults(run=_evaluate)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--enhanced", help="folder of clips; with --manifest, or noisy")
    group.add_argument(
        "--list", type=Path, help="CSV: enhanced, clean, clip, transcript"
    )
    add_scoring(parser)


def _evaluate(options: argparse.Namespace) -> int:
    if options.list:
        clips = clips_from_list(options.list)
    else:
        clips = read_clips(options.enhanced, options)
    further = metric_options(options.option)
    names = expand(options.metrics, further)
    table = evaluate(
        clips,
        names,
        further,
        options.jobs,
        options.output / "progress.jsonl",
        progressbar=True,
    )
    table.write(options.output, command=options.line, versions=versions(names))
    say(table.markdown())
    return INCOMPLETE if table.failures else 0
