"""`speechbrain-mal compare`: systems on the same clips."""

import argparse
from pathlib import Path

from speechbrain_mal.cli.scoring import (
    INCOMPLETE,
    add_scoring,
    metric_options,
    named,
    read_clips,
    say,
)
from speechbrain_mal.metrics.registry import expand


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("compare", help="compare systems on the same clips")
    parser.set_defaults(run=_compare)
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="[NAME=]FOLDER",
        help="enhanced clips, or the output folder of a recipe's run",
    )
    parser.add_argument(
        "--noisy", help="folder of the noisy clips; a manifest has them"
    )
    parser.add_argument("--control", help="system to compare with (default: the first)")
    parser.add_argument("--log", type=Path, help="lines of <clip> <noise> <SNR in dB>")
    parser.add_argument(
        "--listen",
        type=int,
        default=12,
        help="clips on the page (default: %(default)s)",
    )
    add_scoring(parser)


def _compare(options: argparse.Namespace) -> int:
    from speechbrain_mal.analysis.comparison import read_log
    from speechbrain_mal.analysis.report import write_report

    folders = named(options.systems)
    control = options.control or next(iter(folders))
    further = metric_options(options.option)
    systems = {}
    if options.noisy or options.manifest:
        if "noisy" in folders:
            raise ValueError("The noisy clips have the name noisy: write NAME=FOLDER.")
        systems["noisy"] = read_clips(options.noisy or "noisy", options)
    for name, folder in folders.items():
        systems[name] = read_clips(_enhanced(folder), options)
    failures = write_report(
        systems,
        expand(options.metrics, further),
        control,
        options.output,
        further,
        options.jobs,
        read_log(options.log) if options.log else None,
        options.listen,
        progressbar=True,
        command=options.line,
    )
    say((options.output / "comparison.md").read_text(encoding="utf-8"))
    return INCOMPLETE if failures else 0


def _enhanced(folder: Path) -> Path:
    """Return the folder of clips, the one `enhanced_*` of a run's output folder."""
    inside = sorted(folder.glob("enhanced_*"))
    if len(inside) > 1:
        raise ValueError(f"{folder} has {len(inside)} folders enhanced_*: name one.")
    return inside[0] if inside else folder
