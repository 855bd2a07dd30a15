"""Write a corpus's manifests all at once, and know when they need not be made again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_STAMP = "prepare.json"


def fingerprint(paths: Iterable[Path]) -> str:
    """Return a digest of the files' folders, names, sizes and modification times.

    Reading contents would take as long as preparing the corpus. The path above a
    file's folder is left out, so that a corpus may be moved.

    Example
    -------
    >>> path = getfixture("tmp_path") / "p225_001.wav"
    >>> _ = path.write_bytes(b"abc")
    >>> before = fingerprint([path])
    >>> _ = path.write_bytes(b"abcd")
    >>> fingerprint([path]) == before
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        stat = path.stat()
        name = f"{path.parent.name}/{path.name}"
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def is_current(folder: Path, names: Iterable[str], stamp: Mapping) -> bool:
    """Return whether all the manifests are there and were written with this stamp."""
    if not all((folder / name).is_file() for name in names):
        return False
    try:
        return json.loads((folder / _STAMP).read_text(encoding="utf-8")) == stamp
    except (OSError, ValueError):  # somebody else's manifests, or a damaged stamp
        return False


def write_manifests(
    folder: Path, manifests: Mapping[str, Mapping], stamp: Mapping
) -> None:
    """Write manifests so that those one finds always belong together.

    All are written under temporary names first. Then the old ones go, before the first
    new one appears, and the stamp comes last: a process that is killed in between
    leaves an incomplete set, never a mixed one, and the next call prepares it again.

    Arguments
    ---------
    folder : Path
        Where to write; made if needed.
    manifests : mapping of str to mapping
        The contents, ready for JSON, by file name.
    stamp : mapping
        What the manifests were made from, for `is_current`.

    Raises
    ------
    OSError
        If the folder cannot be written. Nothing new is left in it.

    Example
    -------
    >>> folder, stamp = getfixture("tmp_path"), {"sample_rate": 16000}
    >>> is_current(folder, ["test.json"], stamp)
    False
    >>> write_manifests(folder, {"test.json": {"p232_001": {"length": 1.5}}}, stamp)
    >>> is_current(folder, ["test.json"], stamp)
    True
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {**manifests, _STAMP: stamp}
    finals = [folder / name for name in contents]
    temporaries = [path.with_name(f".{path.name}.{os.getpid()}") for path in finals]
    unwanted = list(temporaries)
    try:
        for path, content in zip(temporaries, contents.values(), strict=True):
            with open(path, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=2, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
        unwanted += finals  # from here on, the old manifests are lost in any case
        for path in reversed(finals):
            path.unlink(missing_ok=True)
        for temporary, path in zip(temporaries, finals, strict=True):
            os.replace(temporary, path)
    except BaseException:
        for path in unwanted:
            path.unlink(missing_ok=True)
        raise
