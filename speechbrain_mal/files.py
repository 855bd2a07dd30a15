"""Files: a stranger's read as plain data, our own written whole or not at all."""

import contextlib
import errno
import hashlib
import json
import math
import os
import reprlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

JSON_BYTES = 1 << 16  # of a config.json; that of the largest recipe has 4 KB
_SHORT = reprlib.Repr()  # of what is nested deeper than `repr` can go, too
_SHORT.maxstring = _SHORT.maxother = 100


def open_file(folder: str | os.PathLike, name: str, limit: int) -> BinaryIO:
    """Open a regular file of a folder for reading, of at most `limit` bytes.

    What is checked is what was opened, so nothing can be put in its place in between.
    No link is followed but those of a snapshot in huggingface_hub's cache, which lead
    into its `blobs`; the folder itself may be reached through one. ValueError when the
    file is missing, unreadable, too large, a link or none (a folder, a pipe, a device).

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> (folder / "link").symlink_to("/etc/passwd")
    >>> open_file(folder, "link", limit=100)
    Traceback (most recent call last):
    ValueError: ...link: a link, which is not followed; put the file itself there.
    """
    path = Path(folder, name)
    where, place = printable(path), _blob(path) if path.is_symlink() else path
    flags = [getattr(os, f"O_{f}", 0) for f in ("NOFOLLOW", "NONBLOCK", "BINARY")]
    try:
        # Opening a device can do something, and a pipe would wait for its writer.
        kind = stat.S_IFMT(os.lstat(place).st_mode) if place else stat.S_IFLNK
        if kind == stat.S_IFLNK:
            raise OSError(errno.ELOOP, "")
        if kind != stat.S_IFREG:
            raise ValueError(f"{where}: not a regular file.")
        number = os.open(place, os.O_RDONLY | sum(flags))
    except OSError as error:
        said = {
            errno.ELOOP: "a link, which is not followed; put the file itself there.",
            errno.ENOENT: "there is no such file.",
        }.get(error.errno, f"it can't be read: {error.strerror}.")
        raise ValueError(f"{where}: {said}") from error
    status = os.fstat(number)
    if stat.S_ISREG(status.st_mode) and status.st_size <= limit:
        return os.fdopen(number, "rb")
    os.close(number)
    size = f"{status.st_size} bytes, and no more than {limit} are read"
    said = size if stat.S_ISREG(status.st_mode) else "not a regular file"
    raise ValueError(f"{where}: {said}.")


def read_bytes(folder: str | os.PathLike, name: str, limit: int) -> bytes:
    """Return a file's content; arguments and errors are those of `open_file`."""
    with open_file(folder, name, limit) as file:
        return file.read(limit)


def parse_json(data: bytes, where: str) -> Any:
    """Return plain JSON, held to the letter; errors call the file `where`.

    ValueError when it is no JSON, has a key twice, a number that is not finite or has
    more than 18 digits, or is nested too deep.

    Example
    -------
    >>> parse_json(b'{"format": 2}', "config.json")
    {'format': 2}
    >>> parse_json(b'{"format": 2, "format": 1}', "config.json")
    Traceback (most recent call last):
    ValueError: config.json: no plain JSON (the key 'format' stands there twice).
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_number,
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: no plain JSON ({printable(error)[:200]})."
        ) from error


def printable(text: object) -> str:
    r"""Return text whose control characters are written out: a terminal obeys them.

    Example
    -------
    >>> printable("\x1b[2Jred")
    '\\x1b[2Jred'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def shown(value: object) -> str:
    """Return a stranger's value as a message shows it: short, without control codes."""
    text = printable(_SHORT.repr(value))
    return text if len(text) <= 60 else f"{text[:60]}..."


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file so that it appears under its name when it is whole.

    What is yielded becomes the file at the end, and is removed after an error; one of
    that name stays until then.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> with whole_file(folder / "a.txt") as partial:
    ...     _ = partial.write_text("all of it")
    >>> [path.name for path in folder.iterdir()]
    ['a.txt']
    """
    path = Path(path)
    # Short, so that a name of 255 bytes has one, too.
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=6).hexdigest()
    partial = path.with_name(f".{digest}.{os.getpid()}.partial")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(path)  # an error where the name is too long
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, whole or not at all, through no link."""
    with whole_file(path) as partial:
        partial.unlink(missing_ok=True)
        with open(partial, "x", encoding="utf-8", newline="") as file:
            file.write(text)


def lock_folder(folder: str | os.PathLike) -> BinaryIO:
    """Keep a folder, made if needed, for this process, as long as it runs.

    Returns its file `.lock`; the lock ends when that is closed, or with the process.
    ValueError when another process has it.

    Example
    -------
    >>> lock = lock_folder(getfixture("tmp_path"))
    """
    path = Path(folder, ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "ab")
    try:
        import fcntl

        # Unlike flock's, it is not the workers', which may live on for a moment.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: nobody is kept out
        pass
    except OSError as error:
        file.close()
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return file  # a file system without locks
        raise ValueError(
            f"{printable(folder)}: another process works in this folder; wait for it, "
            "or name another."
        ) from None
    return file


def remove_partials(folder: Path) -> None:
    """Remove what processes that were killed in `whole_file` left in a folder."""
    for path in folder.rglob(".*.partial"):
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


def _blob(link: Path) -> Path | None:
    """Return where a link of a snapshot in huggingface_hub's cache leads.

    The cache is `models--user--name/snapshots/commit`; contents are in the repository's
    `blobs`, or in the `blobs` that all repositories share. Neither folder is resolved:
    were it a link, it would not be the hub's.
    """
    root, target = (Path(os.path.realpath(path)) for path in (link.parent, link))
    repository = root.parent.parent
    homes = (repository / "blobs", repository.parent / "blobs")
    cached = root.parent.name == "snapshots" and repository.name[:8] == "models--"
    return target if cached and any(map(target.is_relative_to, homes)) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} stands there twice")
        found[key] = value
    return found


def _number(text: str) -> int | float:
    digits = text.lstrip("-")
    if digits.isdigit() and len(digits) <= 18:
        return int(text)
    if digits.isdigit() or not math.isfinite(number := float(text)):
        raise ValueError(f"the number {shown(text)} is too large, or none")
    return number
