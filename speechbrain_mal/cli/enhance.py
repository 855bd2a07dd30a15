"""`speechbrain-mal enhance`: files and folders, with a trained enhancer."""

import argparse
from pathlib import Path

from speechbrain_mal.cli.scoring import INCOMPLETE


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("enhance", help="remove noise from audio files")
    parser.set_defaults(run=_enhance)
    parser.add_argument("inputs", nargs="+", type=Path, help="files and folders")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="folder, made if needed; or for one file a file, by its suffix",
    )
    parser.add_argument(
        "--model",
        help="exported folder, id on the Hugging Face hub, or name of an enhancer "
        "that comes with the package (default: the larger of these)",
    )
    parser.add_argument("--revision", help="of the hub repository")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help=argparse.SUPPRESS
    )  # of earlier versions: refused with the reason
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--atten-lim-db", type=float, help="lower noise by no more than this, in dB"
    )
    parser.add_argument("--format", help="of the outputs, such as flac")
    parser.add_argument("--subtype", help="of the outputs, such as PCM_16")
    parser.add_argument("--sample-rate", type=int, help="of the outputs, in Hz")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _enhance(options: argparse.Namespace) -> int:
    from speechbrain_mal.inference import MALEnhancement, enhance_files, enhance_one

    config = None
    if options.revision:
        from speechbrain.utils.fetching import FetchConfig

        config = FetchConfig(revision=options.revision)
    enhancer = MALEnhancement.from_hparams(
        _source(options.model),
        fetch_config=config,
        trust_remote_code=options.trust_remote_code,
        run_opts={"device": options.device},
    )
    audio = {
        "atten_lim_db": options.atten_lim_db,
        "subtype": options.subtype,
        "sample_rate": options.sample_rate,
    }
    if _is_one_file(options):
        report = enhance_one(
            enhancer, options.inputs[0], options.output, not options.quiet, **audio
        )
    else:
        report = enhance_files(
            enhancer,
            options.inputs,
            options.output,
            options.jobs,
            f".{options.format.lower().lstrip('.')}" if options.format else None,
            not options.quiet,
            **audio,
        )
    print(report)
    return INCOMPLETE if report.failures else 0


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


def _is_one_file(options: argparse.Namespace) -> bool:
    from speechbrain_mal.inference.targets import SUFFIXES

    return (
        len(options.inputs) == 1
        and options.inputs[0].is_file()
        and options.output.suffix.lower() in SUFFIXES
        and not options.output.is_dir()
    )
