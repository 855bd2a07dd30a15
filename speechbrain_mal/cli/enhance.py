"""`speechbrain-mal enhance`: files and folders, with a trained enhancer."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from speechbrain_mal.cli.scoring import INCOMPLETE, positive

if TYPE_CHECKING:
    from speechbrain_mal.inference import MALEnhancement


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("enhance", help="remove noise from audio files")
    parser.set_defaults(run=_enhance)
    parser.add_argument(
        "inputs", nargs="+", type=Path, help="files and folders; - for standard input"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="folder, made if needed; for one file a file, by its suffix, or - for "
        "standard output",
    )
    add_model(parser)
    parser.add_argument(
        "--jobs", type=positive, default=1, help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--atten-lim-db", type=float, help="lower noise by no more than this, in dB"
    )
    parser.add_argument("--format", help="of the outputs, such as flac")
    parser.add_argument("--subtype", help="of the outputs, such as PCM_16")
    parser.add_argument("--sample-rate", type=int, help="of the outputs, in Hz")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose an enhancer."""
    parser.add_argument(
        "--model",
        help="exported folder, id on the Hugging Face hub, or name of an enhancer "
        "that comes with the package (default: the larger of these)",
    )
    parser.add_argument("--revision", help="of the hub repository")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")


def load_model(options: argparse.Namespace) -> MALEnhancement:
    """Load the enhancer that the options name."""
    from speechbrain_mal.inference import MALEnhancement

    config = None
    if options.revision:
        from speechbrain.utils.fetching import FetchConfig

        config = FetchConfig(revision=options.revision)
    return MALEnhancement.from_hparams(
        _source(options.model),
        fetch_config=config,
        run_opts={"device": options.device},
    )


def _enhance(options: argparse.Namespace) -> int:
    from speechbrain_mal.inference import enhance_files, enhance_one

    audio = {
        "atten_lim_db": options.atten_lim_db,
        "subtype": options.subtype,
        "sample_rate": options.sample_rate,
    }
    suffix = f".{options.format.lower().lstrip('.')}" if options.format else None
    with _streams(options.inputs, options.output, suffix) as (inputs, output):
        enhancer, bar = load_model(options), not options.quiet
        if _is_one_file(inputs, output):
            report = enhance_one(enhancer, inputs[0], output, bar, **audio)
        else:
            report = enhance_files(
                enhancer, inputs, output, options.jobs, suffix, bar, **audio
            )
    print(report, file=sys.stderr if str(options.output) == "-" else sys.stdout)
    return INCOMPLETE if report.failures else 0


@contextlib.contextmanager
def _streams(
    inputs: list[Path], output: Path, suffix: str | None
) -> Iterator[tuple[list[Path], Path]]:
    """Put files in the place of `-`: formats are read and written at any position."""
    if "-" not in map(str, (*inputs, output)):
        yield inputs, output
        return
    if len(inputs) > 1 or (str(output) == "-" and inputs[0].is_dir()):
        raise ValueError("- stands for one file: give one input, and no folder.")
    if (sys.stdin is None and str(inputs[0]) == "-") or sys.stdout is None:
        raise ValueError("Standard input or output is closed.")
    with tempfile.TemporaryDirectory(prefix="speechbrain-mal-") as folder:
        source, target = inputs[0], output
        if str(source) == "-":
            source = Path(folder, "standard-input")
            with open(source, "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        if str(target) == "-":
            target = Path(folder, f"standard-output{suffix or '.wav'}")
        yield [source], target
        if str(output) == "-" and target.exists():
            with open(target, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _source(model: str | None) -> str | Path:
    from speechbrain_mal.inference import shipped_model

    if model is None:
        return shipped_model()
    if "/" in model or Path(model).exists():
        return model  # a folder, or on the hub
    try:
        return shipped_model(model)
    except ValueError as error:
        raise ValueError(f"There is no folder {model!r} here. {error}") from None


def _is_one_file(inputs: list[Path], output: Path) -> bool:
    """Say whether the output is a file, which its suffix tells."""
    from speechbrain_mal.audio.walk import AUDIO_SUFFIXES, SUFFIXES

    if len(inputs) > 1 or not inputs[0].is_file() or output.is_dir():
        return False
    suffix = output.suffix.lower()
    if suffix not in AUDIO_SUFFIXES and (
        near := difflib.get_close_matches(suffix, sorted(SUFFIXES), 1, 0.7)
    ):
        raise ValueError(
            f"{output}: {suffix!r} is no audio format; did you mean {near[0]!r}? If "
            "it is to be a folder, make it first, or name it without an ending."
        )
    return suffix in AUDIO_SUFFIXES
