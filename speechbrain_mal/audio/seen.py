"""Which files were done, and what came of it: JSON lines that survive a kill."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from speechbrain_mal.files import printable


class SeenFiles:
    """Remember a result of each file, until the file changes.

    `path` is a file of JSON lines, made if needed. A line that was cut off is left out.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "a.wav").write_bytes(b"1")
    >>> SeenFiles(folder / "seen.jsonl").add("a", stamp_of(folder / "a.wav"), 5)
    >>> SeenFiles(folder / "seen.jsonl").get("a", stamp_of(folder / "a.wav"))
    5
    >>> _ = (folder / "a.wav").write_bytes(b"12")
    >>> SeenFiles(folder / "seen.jsonl").get("a", stamp_of(folder / "a.wav"))
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._records: dict[str, tuple[list[int], Any]] = {}
        if not self.path.exists():
            return
        if not self.path.is_file():
            raise ValueError(f"{printable(path)}: not a regular file; remove it.")
        content = self.path.read_text(encoding="utf-8", errors="replace")
        for line in content.splitlines():
            with contextlib.suppress(ValueError, TypeError):
                name, stamp, result = json.loads(line)
                self._records[name] = (stamp, result)
        if content and not content.endswith("\n"):
            self._append("\n")

    def __getstate__(self) -> dict:
        return {"path": self.path, "_records": {}}  # worker processes only add

    def get(self, name: str, stamp: list[int]) -> Any:
        """Return the result of a file, None if it is another file by now."""
        known, result = self._records.get(name, ([], None))
        return result if known == stamp and stamp else None

    def add(self, name: str, stamp: list[int], result: Any) -> None:
        """Remember a result, which JSON can hold."""
        self._records[name] = (stamp, result)
        self._append(json.dumps([name, stamp, result]) + "\n")

    def _append(self, text: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text)


def stamp_of(path: str | os.PathLike) -> list[int]:
    """Return a file's size in bytes and its time in ns; empty if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]
