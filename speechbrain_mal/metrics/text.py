"""Text files from strangers and for spreadsheets: read with a message, no traps."""

import csv
import os
from io import StringIO
from pathlib import Path

from speechbrain_mal.files import printable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def read_text(path: str | os.PathLike) -> str:
    """Return the content of a text file, without the mark some programs begin it with.

    A FileNotFoundError where there is none; a ValueError where it is a folder, a pipe
    or a device, or no UTF-8.

    Example
    -------
    >>> read_text("/")
    Traceback (most recent call last):
    ValueError: / is not a file.
    """
    path = Path(path)
    where = printable(path)
    if not path.exists():
        raise FileNotFoundError(f"{where} does not exist.")
    if not path.is_file():  # reading a pipe would wait for its writer
        raise ValueError(f"{where} is not a file.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not text in UTF-8 ({error.reason}).") from error


def read_rows(path: str | os.PathLike, column: str) -> list[dict[str, str]]:
    r"""Read a table with a head, separated by commas, semicolons or tabs.

    Errors are those of `read_text`, and a ValueError where there is no such `column`,
    or a row is longer or shorter than the head.

    Example
    -------
    >>> path = getfixture("tmp_path") / "table.csv"
    >>> _ = path.write_text("clip;noise\np232_001;bus")
    >>> read_rows(path, "clip")
    [{'clip': 'p232_001', 'noise': 'bus'}]
    """
    text = read_text(path)
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    rows = csv.DictReader(StringIO(text, newline=""), delimiter=separator)
    if column not in (rows.fieldnames or []):
        raise ValueError(f"{printable(path)} has no column {column!r}.")
    found = list(rows)
    for number, row in enumerate(found, 2):
        if None in row or None in row.values():
            raise ValueError(
                f"{printable(path)}: row {number} is not as long as the head."
            )
    return found


def to_cell(name: str) -> str:
    """Return a name as a CSV has it: a spreadsheet takes `=1+1` for a formula.

    Bytes of a file's name that are no UTF-8 are written out.

    Example
    -------
    >>> to_cell("=1+1"), from_cell(to_cell("=1+1")), to_cell("p232_001")
    ("'=1+1", '=1+1', 'p232_001')
    """
    name = name.encode(errors="backslashreplace").decode()
    return f"'{name}" if name.startswith(_FORMULA) else name


def from_cell(cell: str) -> str:
    """Return the name that `to_cell` wrote."""
    return cell.removeprefix("'") if cell[1:].startswith(_FORMULA) else cell


def check_system(name: str) -> None:
    r"""Raise ValueError where a name can't be that of a folder of its own.

    It must not lead elsewhere, and a terminal must not obey it.

    Example
    -------
    >>> check_system("../../x")
    Traceback (most recent call last):
    ValueError: '../../x' can't be a system's name: write NAME=FOLDER, NAME without '/'.
    """
    if name in ("", ".", "..") or set(name) & {"/", "\\"} or not name.isprintable():
        raise ValueError(
            f"{name!r} can't be a system's name: write NAME=FOLDER, NAME without '/'."
        )
