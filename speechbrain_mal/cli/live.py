"""`speechbrain-mal live`: a microphone, enhanced as one speaks."""

import argparse

from speechbrain_mal.cli.enhance import add_model, load_model


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("live", help="remove noise from a microphone's signal")
    parser.set_defaults(run=_live)
    parser.add_argument(
        "--input", help="sound device, by name or number, or an audio file"
    )
    parser.add_argument("--output", help="the same, for what is enhanced")
    parser.add_argument(
        "--list-devices", action="store_true", help="show the sound devices, and stop"
    )
    parser.add_argument(
        "--block-ms", type=float, default=20.0, help="default: %(default)s"
    )
    parser.add_argument(
        "--atten-lim-db", type=float, help="lower noise by no more than this, in dB"
    )
    add_model(parser)


def _live(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from speechbrain_mal.extras import require
    from speechbrain_mal.inference import run_live

    if options.list_devices:
        print(require("sounddevice", "live").query_devices())
        return 0
    stream = load_model(options).stream(atten_lim_db=options.atten_lim_db)
    waits = f"{stream.latency_ms:g} ms of the model and {options.block_ms:g} of a block"
    print(f"Ctrl-C ends it. Latency: {waits}, and the sound card's.")
    report = None
    session = run_live(
        stream, _device(options.input), _device(options.output), options.block_ms
    )
    with tqdm(bar_format="{desc}") as line:
        for report in session:
            line.set_description_str(str(report))
    print(report or "There was no audio.")
    return 0


def _device(name: str | None) -> str | int | None:
    return int(name) if name and name.isdigit() else name
