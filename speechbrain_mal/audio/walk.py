"""One walk over the audio files of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from speechbrain_mal.audio.ffmpeg import FFMPEG_SUFFIXES, find_ffmpeg
from speechbrain_mal.files import printable

# What libsndfile reads from start to end and at any position.
SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .w64 .rf64 .caf"
    " .voc .sph".split()
)
AUDIO_SUFFIXES = SUFFIXES | FFMPEG_SUFFIXES


@dataclass
class Found:
    """What a walk over a folder found."""

    files: list[Path] = field(default_factory=list)  # sorted
    # What can't be looked at, and why: links that lead nowhere, folders without
    # permission, pipes and devices that are named like audio.
    broken: dict[Path, str] = field(default_factory=dict)
    ignored: list[Path] = field(default_factory=list)  # of a kind that isn't read here

    def ignored_note(self) -> str:
        """Return what to say about the ignored files; empty if there are none."""
        kinds = ", ".join(sorted({path.suffix.lower() for path in self.ignored}))
        note = f"{len(self.ignored)} file(s) ignored ({kinds}): install ffmpeg, or "
        return f"{note}'speechbrain-mal[formats]', to read them." if kinds else ""


def find_audio(
    folder: str | os.PathLike,
    leave_out: str | os.PathLike | None = None,
    only_seekable: bool = False,
) -> Found:
    """Find the audio files of a folder and of those in it, by their suffix.

    Hidden names (`.x`, `._x.wav`) are left out. Links are followed, each folder once.

    Arguments
    ---------
    folder : path
        FileNotFoundError when it is none.
    leave_out : path, optional
        A folder that is not looked into, such as the output's.
    only_seekable : bool
        Whether to ignore what ffmpeg has to decode, for what reads pieces of files.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> for name in ("b.flac", "a.WAV", "._a.wav", "notes.txt"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> [path.name for path in find_audio(folder).files]
    ['a.WAV', 'b.flac']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{printable(folder)} is not a folder.")
    decoded = FFMPEG_SUFFIXES if find_ffmpeg() and not only_seekable else frozenset()
    found = Found()
    seen = {os.path.realpath(leave_out)} if leave_out is not None else set()
    for path in _walk(folder, seen, found.broken):
        suffix = path.suffix.lower()
        if suffix not in AUDIO_SUFFIXES:
            continue
        if not path.exists():
            found.broken[path] = f"{printable(path)}: a link that leads nowhere."
        elif not path.is_file():
            found.broken[path] = f"{printable(path)}: not a regular file."
        elif suffix in SUFFIXES or suffix in decoded:
            found.files.append(path)
        else:
            found.ignored.append(path)
    found.files.sort()
    return found


def _walk(folder: Path, seen: set[str], broken: dict[Path, str]) -> Iterator[Path]:
    """Yield all that is no folder; `seen` are the folders that were entered."""
    # Links to folders come last: one that leads into the tree finds it entered.
    waiting, links = [folder], []
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        if (real := os.path.realpath(here)) in seen:
            continue
        seen.add(real)
        try:
            paths = [here / entry.name for entry in os.scandir(here)]
        except OSError as error:
            broken[here] = f"{printable(here)}: it can't be opened: {error.strerror}."
            continue
        for path in sorted(paths):
            if path.name.startswith("."):
                continue
            if not path.is_dir():
                yield path
            else:
                (links if path.is_symlink() else waiting).append(path)
