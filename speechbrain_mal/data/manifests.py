"""Manifests: written all at once, made again when needed, checked as they are read."""

import contextlib
import difflib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from speechbrain.utils.logger import get_logger

from speechbrain_mal.audio import stamp_of
from speechbrain_mal.audio.reader import RATES
from speechbrain_mal.data.scan import Facts, scan
from speechbrain_mal.files import parse_json, printable, read_bytes, shown, whole_file

logger = get_logger(__name__)

_STAMP = "prepare.json"
_MOST_BYTES = 1 << 32  # of a manifest; one of a million files has 0.1 GB


def check_rate(sample_rate: Any) -> int:
    """Return a sample rate, or raise the ValueError that names the key."""
    if isinstance(sample_rate, Integral) and sample_rate in RATES:
        return int(sample_rate)
    raise ValueError(
        f"sample_rate is {shown(sample_rate)}: give a whole number from {RATES[0]} to "
        f"{RATES[-1]} (Hz)."
    )


def read_json(path: str | os.PathLike) -> Any:
    """Return a JSON file's content, or raise the error that names the file."""
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{printable(path)} does not exist: prepare the data first."
        )
    folder, name = os.path.split(os.path.realpath(path))  # it may be a link
    return parse_json(read_bytes(folder, name, _MOST_BYTES), printable(path))


def read_manifest(path: str | os.PathLike, keys: Iterable[str]) -> dict[str, dict]:
    """Return a manifest's entries, each with at least these keys, of the right type."""
    where, entries = printable(path), read_json(path)
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"{where} names no file: prepare the data again.")
    for name, entry in entries.items():
        if fault := _fault(name, entry, keys):
            raise ValueError(f"{where}: {shown(name)} {fault}: prepare the data again.")
    return entries


_CHECKS = {  # of a key's value; others are text
    "samples": lambda value: type(value) is int and value >= 0,
    "sample_rate": lambda value: type(value) is int and value in RATES,
    "length": lambda value: type(value) in (int, float) and value > 0,
}


def _fault(name: str, entry: Any, keys: Iterable[str]) -> str:
    for key in keys:
        if not isinstance(entry, dict) or key not in entry:
            return f"has no {key}"
        is_right = _CHECKS.get(key, lambda value: isinstance(value, str))
        if not is_right(entry[key]):
            return f"has {key} {shown(entry[key])}"
    # Manifests with rates are those whose names are files.
    if "sample_rate" in keys and leaves(name):
        return "is outside of the data folder"
    return ""


def leaves(name: str) -> bool:
    """Tell whether a relative name may lead out of its folder."""
    return os.path.isabs(name) or ".." in re.split(r"[/\\]", name)


def as_bytes(name: str) -> bytes:
    """Return a file's name as bytes, which need not be UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def hash_of(name: str) -> int:
    """Return 64 bits that depend on a name alone, in every process."""
    digest = hashlib.blake2b(as_bytes(name), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def existing_folder(folder: str | os.PathLike, key: str, advice: str = "") -> Path:
    """Return a folder, or raise the FileNotFoundError that names what is there."""
    missing = Path(folder).absolute()
    if missing.is_dir():
        return Path(folder)
    # The first part of the path that does not exist is the one that is misspelt.
    while not missing.parent.is_dir():
        missing = missing.parent
    names = sorted(path.name for path in missing.parent.iterdir() if path.is_dir())
    holds = ", ".join(map(printable, names[:20])) or "no folder"
    close = difflib.get_close_matches(missing.name, names, n=1)
    hint = f" Did you mean {printable(missing.parent / close[0])}?" if close else ""
    raise FileNotFoundError(
        f"{key}: {printable(folder)} is not a folder. {printable(missing.parent)} "
        f"holds {holds}.{hint}{advice}"
    )


def require_manifests(folder: str | os.PathLike, names: Iterable[str]) -> None:
    """Raise FileNotFoundError unless the manifests are there, for `skip_prep`."""
    if missing := [name for name in names if not Path(folder, name).is_file()]:
        raise FileNotFoundError(
            f"skip_prep is set, but {printable(folder)} has no {', '.join(missing)}: "
            "run once without skip_prep."
        )


def make_manifests(
    data_folder: Path,
    files: Sequence[str],
    save_folder: str | os.PathLike,
    written: Iterable[str],
    settings: Mapping,
    make: Callable[[Iterator[tuple[str, Facts]]], dict[str, dict]],
    decode: bool = True,
) -> None:
    """Write manifests, unless those that are there are of the same files and settings.

    `make` makes their contents of the files' names and facts; its errors leave what is
    there as it is. Files are told by their names, sizes and times: reading them would
    take as long as preparing the corpus, which may be moved.
    """
    save_folder, digest = Path(save_folder), hashlib.blake2b(digest_size=16)
    for name in files:
        digest.update(as_bytes(f"{name} {stamp_of(data_folder / name)}\n"))
    stamp = {**settings, "files": digest.hexdigest()}
    if not is_current(save_folder, written, stamp):
        with scan(data_folder, files, save_folder, decode) as scanned:
            contents = make(scanned)
        write_manifests(save_folder, contents, stamp)


def is_current(folder: Path, names: Iterable[str], stamp: Mapping) -> bool:
    """Return whether all the manifests are there, as written with this stamp."""
    try:
        sizes = {name: os.path.getsize(folder / name) for name in names}
        found = read_json(folder / _STAMP) == {**stamp, "bytes": sizes}
    except (OSError, ValueError):  # none, somebody else's, or damaged ones
        return False
    if found:
        logger.info(f"The manifests in {printable(folder)} are up to date: skipped.")
    return found


def write_manifests(
    folder: Path, manifests: Mapping[str, Mapping], stamp: Mapping
) -> None:
    """Write manifests so that those one finds always belong together.

    All are written under temporary names first. Then the old ones go, before the first
    new one appears, and the stamp, which tells `is_current` what they were made from,
    comes last: a kill leaves an incomplete set, never a mixed one.
    """
    texts = {name: json.dumps(content, indent=2) for name, content in manifests.items()}
    sizes = {name: len(text) for name, text in texts.items()}  # they are ASCII
    stamp = json.dumps({**stamp, "bytes": sizes}, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:  # the last that is entered appears first
        for name, text in {_STAMP: stamp, **texts}.items():
            stack.enter_context(whole_file(folder / name)).write_text(text, newline="")
        for name in (_STAMP, *texts):
            (folder / name).unlink(missing_ok=True)
    counts = ", ".join(f"{len(c)} in {name}" for name, c in manifests.items())
    logger.info(f"Wrote manifests to {printable(folder)}: {counts}.")
