"""What the commands that score clips have in common: their options, and their clips."""

import argparse
import os
from pathlib import Path
from typing import TextIO

import yaml

from speechbrain_mal.files import printable
from speechbrain_mal.metrics import (
    METRICS,
    Clip,
    clips_from_folders,
    clips_from_manifest,
)
from speechbrain_mal.metrics.text import check_system

INCOMPLETE = 3  # exit status: the result is there, but not of every clip


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """Add the options of all commands that score."""
    parser.add_argument("--clean", type=Path, help="folder of the clean clips")
    parser.add_argument(
        "--pair",
        choices=["name", "fileid"],
        default="name",
        help="what pairs files of two folders: their names (default), or the number of "
        "fileid_<number> in them, as in the DNS Challenge's synthetic test sets",
    )
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
        type=positive,
        default=os.cpu_count(),
        help="processes (default: %(default)s)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("scores"), help="folder to write to"
    )


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def read_clips(enhanced: str | Path, options: argparse.Namespace) -> list[Clip]:
    """Return the clips that the options name."""
    if options.manifest:
        return clips_from_manifest(options.manifest, enhanced, options.data_folder)
    return clips_from_folders(enhanced, options.clean, options.pair)


def metric_options(texts: list[str]) -> dict[str, dict]:
    """Return options by metric, from `metric.name=value`."""
    options: dict[str, dict] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        metric, dot, name = key.partition(".")
        if not (equals and dot):
            raise ValueError(f"--option {text}: write METRIC.NAME=VALUE.")
        try:
            options.setdefault(metric, {})[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(f"--option {text}: {value!r} is no YAML.") from None
    return options


def named(systems: list[str]) -> dict[str, Path]:
    """Return folders by the systems' names: `NAME=`, or `results/<name>/<seed>`."""
    folders: dict[str, Path] = {}
    for system in systems:
        name, _, text = system.rpartition("=")
        folder = Path(text)
        if not name:
            place = Path(os.path.abspath(folder))
            name = place.parent.name if place.name.isdigit() else place.name
        check_system(name)
        if name in folders:
            raise ValueError(f"Two systems have the same name, {name}: NAME=FOLDER.")
        folders[name] = folder
    return folders


def say(text: str, file: TextIO | None = None) -> None:
    """Print lines, with names that a terminal does not obey."""
    print("\n".join(map(printable, text.splitlines())), file=file)
