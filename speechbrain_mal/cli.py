"""The command line: it parses, calls, and prints.

Exit status: 0 when all went well, 1 after an error, 2 for wrong arguments, 3 when the
result is there but not every clip could be scored.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

import yaml

from speechbrain_mal.metrics import (
    METRICS,
    Clip,
    clips_from_folders,
    clips_from_list,
    clips_from_manifest,
    evaluate,
)
from speechbrain_mal.metrics.registry import expand, versions

INCOMPLETE = 3


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="speechbrain-mal",
        description="Speech enhancement with the model itself as the loss.",
        epilog=__doc__.split("\n\n")[1],
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (_add_evaluate, _add_compare, _add_iterate):
        add(commands)
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(arguments)
    options.line = shlex.join(["speechbrain-mal", *arguments])
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
        print(f"speechbrain-mal {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped: the same command goes on where it was.", file=sys.stderr)
        return 130


# ------------------------------------------------------------------------- evaluate


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("evaluate", help="score enhanced clips")
    parser.set_defaults(run=_evaluate)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--enhanced", help="folder of clips; with --manifest, or noisy")
    group.add_argument(
        "--list", type=Path, help="CSV: enhanced, clean, clip, transcript"
    )
    _add_scoring(parser)


def _evaluate(options: argparse.Namespace) -> int:
    if options.list:
        clips = clips_from_list(options.list)
    else:
        clips = _clips(options.enhanced, options)
    further = _metric_options(options.option)
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
    print(table.markdown(), end="")
    return INCOMPLETE if table.failures else 0


# -------------------------------------------------------------------------- compare


def _add_compare(commands: argparse._SubParsersAction) -> None:
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
    _add_scoring(parser)


def _compare(options: argparse.Namespace) -> int:
    from speechbrain_mal.analysis.breakdown import read_log
    from speechbrain_mal.analysis.report import write_report

    folders = dict(_named(system) for system in options.systems)
    if len(folders) < len(options.systems):
        raise ValueError("Two systems have the same name: write NAME=FOLDER.")
    control = options.control or next(iter(folders))
    further = _metric_options(options.option)
    systems = {}
    if options.noisy or options.manifest:
        systems["noisy"] = _clips(options.noisy or "noisy", options)
    for name, folder in folders.items():
        systems[name] = _clips(_enhanced(folder), options)
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
    print((options.output / "comparison.md").read_text(encoding="utf-8"), end="")
    return INCOMPLETE if failures else 0


def _named(system: str) -> tuple[str, Path]:
    """Return a system's name, `NAME=` or from `results/<system>/<seed>`, and folder."""
    name, _, folder = system.rpartition("=")
    folder = Path(folder)
    if not name:
        name = folder.parent.name if folder.name.isdigit() else folder.name
    return name, folder


def _enhanced(folder: Path) -> Path:
    """Return the folder of clips, the one `enhanced_*` of a run's output folder."""
    inside = sorted(folder.glob("enhanced_*"))
    if len(inside) > 1:
        raise ValueError(f"{folder} has {len(inside)} folders enhanced_*: name one.")
    return inside[0] if inside else folder


# -------------------------------------------------------------------------- iterate


def _add_iterate(commands: argparse._SubParsersAction) -> None:
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
    parser.add_argument("--clips", type=int, default=20, help="how many (20)")
    parser.add_argument("--passes", type=int, default=100, help="how many (100)")
    _add_scoring(parser)


def _iterate(options: argparse.Namespace) -> int:
    from speechbrain_mal.analysis.self_consistency import self_consistency
    from speechbrain_mal.inference.runs import enhancement_of

    if options.clips < 1 or options.passes < 1:
        raise ValueError("--clips and --passes are at least 1.")
    if not (options.noisy or options.manifest):
        raise ValueError("Name the folder of the noisy clips: --noisy.")
    clips = _clips(options.noisy or "noisy", options)
    further = _metric_options(options.option)
    step = max(1, len(clips) // options.clips)
    chosen = clips[::step][: options.clips]
    systems = {}
    for system in options.systems:
        name, folder = _named(system)
        if name in systems:
            raise ValueError("Two systems have the same name: write NAME=FOLDER.")
        systems[name] = enhancement_of(folder)
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
    print((options.output / "passes.csv").read_text(encoding="utf-8"), end="")
    failures = [t.failures for by_pass in tables.values() for t in by_pass.values()]
    return INCOMPLETE if any(failures) else 0


# ------------------------------------------------------------------- what all take


def _add_scoring(parser: argparse.ArgumentParser) -> None:
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


def _clips(enhanced: str | Path, options: argparse.Namespace) -> list[Clip]:
    if options.manifest:
        return clips_from_manifest(options.manifest, enhanced, options.data_folder)
    return clips_from_folders(enhanced, options.clean)


def _metric_options(texts: list[str]) -> dict[str, dict]:
    """Return options by metric, from `metric.name=value`."""
    options: dict[str, dict] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        metric, dot, name = key.partition(".")
        if not (equals and dot):
            raise ValueError(f"--option {text}: write METRIC.NAME=VALUE.")
        options.setdefault(metric, {})[name] = yaml.safe_load(value)
    return options


if __name__ == "__main__":
    sys.exit(main())
