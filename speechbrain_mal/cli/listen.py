"""`speechbrain-mal listen`: a blind listening test, and what its answers say."""

import argparse
import json
from pathlib import Path

from speechbrain_mal.cli.scoring import named, positive, say
from speechbrain_mal.files import parse_json, read_bytes, write_text
from speechbrain_mal.metrics import clips_from_folders


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "listen",
        help="a blind listening test of systems, on one page",
        description="Write a page that listeners open in a browser, without a network, "
        "and that saves their answers; then, with --answers, what these say.",
    )
    parser.set_defaults(run=_listen)
    parser.add_argument(
        "systems", nargs="*", metavar="[NAME=]FOLDER", help="enhanced clips"
    )
    parser.add_argument("--clean", type=Path, help="folder of the clean clips")
    parser.add_argument("--noisy", type=Path, help="folder of noisy ones, the anchor")
    parser.add_argument(
        "--clips", type=positive, default=10, help="trials (default: %(default)s)"
    )
    parser.add_argument(
        "--answers", nargs="+", type=Path, help="files that listeners saved"
    )
    parser.add_argument("--control", help="to compare with (default: the first)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("listening"),
        help="folder of test.html, key.json and results.md (default: %(default)s)",
    )


def _listen(options: argparse.Namespace) -> int:
    from speechbrain_mal.analysis import listening_test as tests

    key = options.output / "key.json"
    if options.answers:
        known = parse_json(read_bytes(key.parent, key.name, tests.MOST_BYTES), str(key))
        control = options.control or known["control"]
        text = tests.summary(tests.read_answers(known, options.answers), control)
        write_text(options.output / "results.md", text + "\n")
        say(text)
        return 0
    if not (options.systems and options.clean):
        raise ValueError("Name folders of enhanced clips, and --clean; or --answers.")
    if key.exists():
        raise ValueError(f"{key} is there: answers to its page would be lost.")
    folders = named(options.systems)
    if options.noisy:
        folders["noisy"] = options.noisy
    found = {
        name: {clip.name: clip for clip in clips_from_folders(folder, options.clean)}
        for name, folder in folders.items()
    }
    names = sorted(set.intersection(*map(set, found.values())))
    count = min(len(names), options.clips + 1)  # one for practice
    chosen = [names[i * len(names) // count] for i in range(count)]
    audio = [
        {system: clips[name].enhanced for system, clips in found.items()}
        | {tests.REFERENCE: next(iter(found.values()))[name].clean}
        for name in chosen
    ]
    page, answers = tests.listening_test(audio)
    options.output.mkdir(parents=True, exist_ok=True)
    write_text(options.output / "test.html", page)
    # Last: with a key, nothing is written again.
    write_text(key, json.dumps({"control": next(iter(folders)), **answers}, indent=1))
    say(
        f"{options.output / 'test.html'} has {count - 1} trials of {len(found) + 1} "
        f"versions. Give it to listeners, and keep {key} to yourself."
    )
    return 0
