"""Tar shards in WebDataset's format, for storage that is read from start to end.

A shard holds audio files as they are, and beside each a `.json` with its name, samples,
rate and, where it is known, speaker. Files are dealt out in an order that depends on
their names alone, so that one shard mixes speakers and corpora. `index_<split>.json`
lists the shards with a SHA-256 each, by which damage is found as they are read.
Python's own tarfile writes and reads them: any WebDataset reader can, too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from speechbrain_mal.data.sources import KINDS

_READ_SIZE = 2**20


class BadShardError(OSError):
    """A shard is not the one that was packed."""


@dataclass(frozen=True)
class PackedFile:
    """One file of a shard: its audio as it was on disk, and what its manifest says."""

    name: str
    audio: bytes
    samples: int
    sample_rate: int
    speaker: str | None = None


def pack_shards(
    manifest_folder: str | os.PathLike,
    data_folder: str | os.PathLike,
    output: str | os.PathLike,
    split: str = "train",
    max_bytes: int = 512 * 2**20,
    progressbar: bool = True,
) -> Path:
    """Pack the files of a split's manifests into shards.

    A shard appears under its name when it is whole; a call that was stopped goes on
    with those that are missing. The index comes last.

    Arguments
    ---------
    manifest_folder, data_folder : path
        What `prepare_dns` wrote, and what the names in it are relative to.
    output : path
        Folder of the shards; made if needed.
    split : str
        "train" or "valid".
    max_bytes : int
        Size of a shard; a single file may be larger.
    progressbar : bool
        Whether to show one.

    Returns
    -------
    Path
        The index.

    Raises
    ------
    FileNotFoundError
        When a manifest or a file is missing.
    OSError
        When the disk is full, naming the shard; no part of it is left.

    Example
    -------
    >>> import numpy, soundfile
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "a.wav", numpy.zeros(800), 16000)
    >>> entry = {"a.wav": {"samples": 800, "sample_rate": 16000}}
    >>> for kind in ("clean", "noise"):
    ...     _ = (folder / f"train_{kind}.json").write_text(json.dumps(entry))
    >>> index = pack_shards(folder, folder, folder / "shards", progressbar=False)
    >>> shards = json.loads(index.read_text())["clean"]
    >>> [file.name for file in read_shard(index.parent, shards[0])]
    ['a.wav']
    """
    manifest_folder, data_folder, output = map(
        Path, (manifest_folder, data_folder, output)
    )
    plan = {}
    for kind in KINDS:
        path = manifest_folder / f"{split}_{kind}.json"
        if kind != "rir" or path.exists():
            entries = json.loads(path.read_text(encoding="utf-8"))
            plan[kind] = _divide(entries, data_folder, max_bytes)
    output.mkdir(parents=True, exist_ok=True)
    index: dict[str, list[dict]] = {kind: [] for kind in plan}
    files = sum(len(shard) for shards in plan.values() for shard in shards)
    with tqdm(total=files, desc="packing", unit="file", disable=not progressbar) as bar:
        for kind, shards in plan.items():
            for number, entries in enumerate(shards):
                name = f"{split}_{kind}-{number:06d}.tar"
                index[kind].append(_pack(output / name, entries, data_folder))
                bar.update(len(entries))
    path = output / f"index_{split}.json"
    _write_whole(path, lambda file: file.write(json.dumps(index, indent=1).encode()))
    return path


def read_shard(folder: str | os.PathLike, shard: dict) -> Iterator[PackedFile]:
    """Yield the files of a shard, reading it from start to end, once.

    Arguments
    ---------
    folder : path
        Where the shards are.
    shard : dict
        Its entry of the index.

    Raises
    ------
    BadShardError
        When it is missing, cut off or changed: behind its last file, if nothing else
        shows it before.
    """
    path = Path(folder) / shard["name"]
    try:
        with open(path, "rb") as raw:
            hashing = _HashingReader(raw)
            with tarfile.open(fileobj=hashing, mode="r|") as tar:
                audio = b""
                for member in tar:
                    content = tar.extractfile(member).read()
                    if not member.name.endswith(".json"):
                        audio = content
                        continue
                    facts = json.loads(content)
                    yield PackedFile(audio=audio, **facts)
            hashing.finish()
    except (OSError, tarfile.TarError, ValueError, TypeError) as error:
        raise BadShardError(f"{path} can't be read to its end: {error}") from error
    if hashing.hexdigest() != shard["sha256"]:
        raise BadShardError(
            f"{path} is not as it was packed (its SHA-256 is another): copy it again,"
            " or delete it and pack again"
        )


def read_index(folder: str | os.PathLike, split: str) -> dict[str, list[dict]]:
    """Return the shards of each kind that `pack_shards` wrote.

    Raises
    ------
    FileNotFoundError
        When there is no index: nothing was packed, or not to the end.
    """
    path = Path(folder) / f"index_{split}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: pack the shards first")
    return json.loads(path.read_text(encoding="utf-8"))


def _divide(
    entries: dict[str, dict], data_folder: Path, max_bytes: int
) -> list[list[dict]]:
    """Return the files of each shard, in an order that their names decide."""
    shards: list[list[dict]] = []
    size = max_bytes
    for name in sorted(entries, key=lambda n: hashlib.blake2b(n.encode()).digest()):
        length = (data_folder / name).stat().st_size
        if size + length > max_bytes:
            shards.append([])
            size = 0
        size += length
        shards[-1].append({"name": name, **entries[name]})
    return shards


def _pack(path: Path, entries: list[dict], data_folder: Path) -> dict:
    """Write a shard unless it is there; return its entry of the index."""
    facts = path.with_suffix(".json")
    if path.exists() and facts.exists():
        known = json.loads(facts.read_text(encoding="utf-8"))
        if known["entries"] == entries:
            return {key: known[key] for key in ("name", "sha256", "samples")}

    def write(file: IO[bytes]) -> None:
        with tarfile.open(fileobj=file, mode="w|") as tar:
            for number, entry in enumerate(entries):
                suffix = Path(entry["name"]).suffix.lower()
                audio = (data_folder / entry["name"]).read_bytes()
                _add(tar, f"{number:06d}{suffix}", audio)
                _add(tar, f"{number:06d}.json", json.dumps(entry).encode())

    digest = _write_whole(path, write)
    entry = {
        "name": path.name,
        "sha256": digest,
        "samples": [entry["samples"] for entry in entries],
    }
    known = {**entry, "entries": entries}
    _write_whole(facts, lambda file: file.write(json.dumps(known).encode()))
    return entry


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> str:
    """Write a file and rename it when it is on the disk; return its SHA-256."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as raw:
            hashing = _HashingWriter(raw)
            write(hashing)
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # of writing
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    return hashing.hexdigest()


class _HashingWriter:
    """A file that is written, and its digest."""

    def __init__(self, raw: IO[bytes]):
        self._raw, self._digest = raw, hashlib.sha256()
        self.hexdigest = self._digest.hexdigest

    def write(self, content: bytes) -> int:
        self._digest.update(content)
        return self._raw.write(content)


class _HashingReader:
    """A file that is read from start to end, and its digest."""

    def __init__(self, raw: IO[bytes]):
        self._raw, self._digest = raw, hashlib.sha256()
        self.hexdigest = self._digest.hexdigest

    def read(self, size: int = -1) -> bytes:
        content = self._raw.read(size)
        self._digest.update(content)
        return content

    def finish(self) -> None:
        while self.read(_READ_SIZE):
            pass
