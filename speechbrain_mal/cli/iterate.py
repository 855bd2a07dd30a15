"""`speechbrain-mal iterate`: feed systems their own output."""

import argparse

from speechbrain_mal.cli.export import add_trust
from speechbrain_mal.cli.scoring import (
    INCOMPLETE,
    add_scoring,
    metric_options,
    named,
    positive,
    read_clips,
    say,
)
from speechbrain_mal.metrics.registry import expand


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "iterate", help="self-consistency: feed systems their own output"
    )
    parser.set_defaults(run=_iterate)
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="[NAME=]FOLDER",
        help="output folders of a recipe's runs",
    )
    parser.add_argument("--noisy", help="folder of noisy clips; a manifest has them")
    parser.add_argument("--clips", type=positive, default=20, help="how many (20)")
    parser.add_argument("--passes", type=positive, default=100, help="how many (100)")
    parser.add_argument(
        "--keep-level", action="store_true", help="give each pass its input's level"
    )
    add_trust(parser)
    add_scoring(parser)


def _iterate(options: argparse.Namespace) -> int:
    from speechbrain_mal.analysis.self_consistency import (
        keeping_level,
        self_consistency,
    )
    from speechbrain_mal.export.runs import enhancement_of

    if not (options.noisy or options.manifest):
        raise ValueError("Name the folder of the noisy clips: --noisy.")
    clips = read_clips(options.noisy or "noisy", options)
    further = metric_options(options.option)
    step = max(1, len(clips) // options.clips)
    chosen = clips[::step][: options.clips]
    systems = {}
    for name, folder in named(options.systems).items():
        enhance = enhancement_of(folder, options.trust)
        systems[name] = keeping_level(enhance) if options.keep_level else enhance
    tables = self_consistency(
        systems,
        {clip.name: clip.enhanced for clip in chosen},
        {clip.name: clip.clean for clip in chosen if clip.clean},
        options.passes,
        expand(options.metrics, further),
        options.output,
        further,
        options.jobs,
        progressbar=True,
    )
    say((options.output / "passes.csv").read_text(encoding="utf-8"))
    failures = [t.failures for by_pass in tables.values() for t in by_pass.values()]
    return INCOMPLETE if any(failures) else 0
