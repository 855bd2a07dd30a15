"""`speechbrain-mal export`, `convert`, `publish`: enhancers for others to load."""

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands and their options."""
    parser = commands.add_parser("export", help="write a run's enhancer as a folder")
    parser.set_defaults(run=_export)
    parser.add_argument("run_folder", type=Path, help="output folder of a recipe's run")
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--name", help="of the model, or its hub id user/name")
    parser.add_argument(
        "--scores",
        type=_named,
        action="append",
        default=[],
        metavar="TEST SET=FOLDER",
        help="folder that `evaluate` wrote, for the card; may be repeated",
    )
    parser.add_argument(
        "--training-data", default="", help="what it was trained on, and the licences"
    )
    parser.add_argument(
        "--licence", help="of the weights, as the hub names it: apache-2.0, say"
    )
    parser.add_argument("--example", type=Path, help="noisy clip to show")

    add_trust(parser)

    parser = commands.add_parser(
        "convert",
        help="rewrite a folder that an earlier version exported",
        description="Write the network that a folder's hyperparams.yaml describes into "
        "its config.json. The YAML is read as text, and nothing in it is executed.",
    )
    parser.set_defaults(run=_convert)
    parser.add_argument("folder", type=Path)

    parser = commands.add_parser("publish", help="upload a folder that `export` wrote")
    parser.set_defaults(run=_publish)
    parser.add_argument("folder", type=Path)
    parser.add_argument("repository", help="on the Hugging Face hub: user/name")
    parser.add_argument("--private", action="store_true", help="only you can read it")
    parser.add_argument("--revision", help="branch (default: main)")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that build the enhancers of runs."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="EXECUTE the hyperparams.yaml of results folders, which can do whatever "
        "you can. Needed for those without system.json, which runs of this package "
        "have, and for networks of your own; without it nothing there is executed",
    )


def _named(text: str) -> tuple[str, Path]:
    name, _, folder = text.rpartition("=")
    if not (name and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not TEST SET=FOLDER")
    return name, Path(folder)


def _export(options: argparse.Namespace) -> int:
    from speechbrain_mal.export import export

    folder = export(
        options.run_folder,
        options.output,
        options.name,
        dict(options.scores),
        options.training_data,
        options.licence,
        options.example,
        options.trust,
    )
    for path in sorted(folder.iterdir()):
        print(f"{path}  {path.stat().st_size} bytes")
    return 0


def _convert(options: argparse.Namespace) -> int:
    from speechbrain_mal.hub.translate import convert

    print(convert(options.folder))
    return 0


def _publish(options: argparse.Namespace) -> int:
    from speechbrain_mal.hub.repositories import publish

    folder, repository = options.folder, options.repository
    print(publish(folder, repository, options.private, options.revision))
    return 0
