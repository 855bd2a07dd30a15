"""Which file is enhanced into which, and what an output folder holds already."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import soundfile

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64"}
RECORD = "enhance.json"


def targets_of(
    inputs: list[Path], output: Path, suffix: str | None
) -> Iterator[tuple[Path, Path]]:
    """Yield every audio file with where its enhanced one goes."""
    taken: dict[Path, Path] = {}
    for given in inputs:
        if not given.exists():
            raise ValueError(f"{given}: there is no such file or folder.")
        if given.is_dir() and output.exists() and output.samefile(given):
            raise ValueError(f"{output} is the input, too: name another folder.")
        for source in _audio_files(given, output):
            place = source.relative_to(given) if given.is_dir() else Path(source.name)
            target = output / (place.with_suffix(suffix) if suffix else place)
            if target in taken:
                raise ValueError(
                    f"{taken[target]} and {source} would both become {target}: "
                    "enhance them into two folders."
                )
            taken[target] = source
            yield source, target


def _audio_files(given: Path, output: Path) -> list[Path]:
    if given.is_file():
        return [given]
    files = sorted(
        path
        for path in given.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(given).parts)
        and not path.is_relative_to(output)
    )
    if not files:
        known = ", ".join(sorted(SUFFIXES))
        raise ValueError(f"{given} holds no audio file ({known}).")
    return files


def seconds_of(path: Path) -> float:
    """Return a file's duration as its header tells it; 0 when it can't be read."""
    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, OSError):
        return 0.0


def check_record(output: Path, record: dict) -> None:
    """Keep apart what different enhancers or options made."""
    path = output / RECORD
    record = json.loads(json.dumps({k: v for k, v in record.items() if v is not None}))
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            known = None
        if known != record:
            raise ValueError(
                f"{output} holds files of another enhancer, or with other options "
                f"({path.name} says which): name another folder, or remove it."
            )
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_remains(output: Path) -> None:
    """Remove what killed processes left half-written."""
    for path in output.rglob(".*.partial"):
        process = path.name.split(".")[-2]
        if process.isdigit() and not _is_running(int(process)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere the same call would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
