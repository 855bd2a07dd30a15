"""Which file is enhanced into which, and whose files an output folder holds."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path

from speechbrain_mal.audio import Found, find_audio
from speechbrain_mal.audio.writer import format_of
from speechbrain_mal.files import (
    JSON_BYTES,
    parse_json,
    printable,
    read_bytes,
    write_text,
)

RECORD = "enhance.json"


def targets_of(
    inputs: list[Path], output: Path, suffix: str | None = None
) -> tuple[dict[Path, Path], Found]:
    """Return every audio file by where its enhanced one goes, and what can't be one.

    Arguments are those of `enhance_files`; ValueError when an input is missing or the
    output itself, or holds no audio.
    """
    targets, found = {}, Found()
    for given in inputs:
        if not os.path.lexists(given):
            raise ValueError(f"{printable(given)}: there is no such file or folder.")
        folder, files = given.parent, [given]
        if given.is_dir():
            if _identity(output) == _identity(given):
                place = printable(output)
                raise ValueError(f"{place} is the input, too: name another folder.")
            here = find_audio(given, leave_out=output)
            if not (here.files or here.broken or here.ignored):
                raise ValueError(f"{printable(given)} holds no audio file.")
            folder, files = given, here.files
            found.ignored += here.ignored
            found.broken |= here.broken
        found.files += files
        for source in files:
            place = source.relative_to(folder)
            if suffix or format_of(place.suffix) is None:
                place = place.with_suffix(suffix or ".wav")
            target = output / place
            if targets.get(target) not in (None, source):
                found.broken[source] = (
                    f"{printable(source)}: {printable(targets[target])} has the same "
                    "output: enhance it into another folder."
                )
            else:
                targets[target] = source
    taken = {_identity(source) for source in found.files} - {None}
    for target in [target for target in targets if _identity(target) in taken]:
        source, place = targets.pop(target), printable(target)
        found.broken[source] = (
            f"{printable(source)}: its output would replace {place}, an input: name "
            "another folder."
        )
    return targets, found


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what two names of one file have in common; None if there is no file."""
    with contextlib.suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


def check_record(output: Path, record: dict) -> None:
    """Keep apart what different enhancers or options made."""
    path = output / RECORD
    # No limit of the attenuation is infinity, which JSON can't say.
    record = {k: v for k, v in record.items() if v is not None and v != math.inf}
    if not os.path.lexists(path):
        write_text(path, json.dumps(record, indent=2) + "\n")
    known = None
    with contextlib.suppress(ValueError):
        known = parse_json(read_bytes(output, RECORD, JSON_BYTES), printable(path))
    if known != record:
        raise ValueError(
            f"{printable(output)} holds files of another enhancer, or with other "
            f"options ({RECORD} says which): name another folder, or remove it."
        )
