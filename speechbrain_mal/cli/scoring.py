"""What the commands that score clips have in common: their options, and their clips."""

import argparse
import os
from pathlib import Path

import yaml

from speechbrain_mal.metrics import (
    METRICS,
    Clip,
    clips_from_folders,
    clips_from_manifest,
)

INCOMPLETE = 3  # exit status: the result is there, but not of every clip


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """Add the options of all commands that score."""
    parser.add_argument("--clean", type=Path, help="folder of the clean clips")
    parser.add_argument("--manifest", type=Path, help="a recipe's JSON, instead")
    parser.add_argument("--data-folder", default="", help="{data_root} of the manifest")
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=["intrusive"],
        help=f"intrusive (default), all, or out of: {', '.join(METRICS)}",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="METRIC.NAME=VALUE",
        help="of a metric, such as nisqa.weights=nisqa.tar; may be repeated",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="processes (default: %(default)s)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("scores"), help="folder to write to"
    )


def read_clips(enhanced: str | Path, options: argparse.Namespace) -> list[Clip]:
    """Return the clips that the options name."""
    if options.manifest:
        return clips_from_manifest(options.manifest, enhanced, options.data_folder)
    return clips_from_folders(enhanced, options.clean)


def metric_options(texts: list[str]) -> dict[str, dict]:
    """Return options by metric, from `metric.name=value`."""
    options: dict[str, dict] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        metric, dot, name = key.partition(".")
        if not (equals and dot):
            raise ValueError(f"--option {text}: write METRIC.NAME=VALUE.")
        options.setdefault(metric, {})[name] = yaml.safe_load(value)
    return options


def named(system: str) -> tuple[str, Path]:
    """Return a system's name, `NAME=` or from `results/<system>/<seed>`, and folder."""
    name, _, folder = system.rpartition("=")
    folder = Path(folder)
    if not name:
        name = folder.parent.name if folder.name.isdigit() else folder.name
    return name, folder
