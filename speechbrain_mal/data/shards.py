"""Tar shards in WebDataset's format, for storage that is read from start to end.

A shard holds audio files as they are, and beside each a `.json` with its name, samples,
rate and, where it is known, speaker. Files are dealt out in an order that depends on
their names alone, so that one shard mixes speakers and corpora. The index lists the
shards with their size and SHA-256, by which damage is found as they are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

from speechbrain_mal.audio.reader import RATES
from speechbrain_mal.data.manifests import as_bytes, read_json, read_manifest
from speechbrain_mal.data.sources import open_regular
from speechbrain_mal.files import printable, remove_partials, whole_file, write_text

_KINDS = ("clean", "noise", "rir")
_INDEX = "index_train.json"
_FACTS_BYTES = 1 << 16  # of the .json beside a file
_READ_SIZE = 1 << 20


class BadShardError(OSError):
    """A shard is not the one that was packed."""


class PackedFile(NamedTuple):
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
    max_bytes: int = 512 * 2**20,
) -> Path:
    """Pack the files of the training manifests into shards; return the index' path.

    A shard appears under its name when it is whole; a call that was stopped goes on
    with those that are missing. The index comes last. `data_folder` is what the names
    in the manifests of `prepare_dns` are relative to. A shard has `max_bytes`, unless a
    single file is larger.

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        When a manifest is damaged, or a file is missing or outside of the data folder;
        when the disk is full, naming the shard, of which no part is left.

    Example
    -------
    >>> import numpy, soundfile
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "a.wav", numpy.zeros(800), 16000)
    >>> entry = {"a.wav": {"samples": 800, "sample_rate": 16000}}
    >>> for kind in ("clean", "noise"):
    ...     _ = (folder / f"train_{kind}.json").write_text(json.dumps(entry))
    >>> index = pack_shards(folder, folder, folder / "shards")
    >>> shards = read_index(index.parent)["clean"]
    >>> [file.name for file in read_shard(index.parent, shards[0])]
    ['a.wav']
    """
    manifest_folder, root, output = map(Path, (manifest_folder, data_folder, output))
    plan = {}
    for kind in _KINDS:
        path = manifest_folder / f"train_{kind}.json"
        if kind != "rir" or path.exists():
            for number, entries in enumerate(_divide(path, root, max_bytes)):
                plan[kind, f"train_{kind}-{number:06d}.tar"] = entries
    output.mkdir(parents=True, exist_ok=True)
    remove_partials(output)
    index: dict[str, list[dict]] = {}
    for (kind, name), entries in tqdm(plan.items(), "Packing", unit="shard"):
        index.setdefault(kind, []).append(_pack(output / name, entries, root))
    write_text(output / _INDEX, json.dumps(index, indent=1))
    return output / _INDEX


def read_index(folder: str | os.PathLike) -> dict[str, list[dict]]:
    """Return the shards of each kind that `pack_shards` wrote; the index is checked."""
    path = Path(folder) / _INDEX
    if not path.exists():
        raise FileNotFoundError(f"{printable(path)} does not exist: pack the shards")
    index = read_json(path)
    kinds = index.keys() if isinstance(index, dict) else set()
    if not {"clean", "noise"} <= kinds <= set(_KINDS) or not all(
        isinstance(shards, list) and shards and all(map(_is_shard, shards))
        for shards in index.values()
    ):
        raise ValueError(f"{printable(path)} is no index of shards: pack them again.")
    return index


def read_shard(folder: str | os.PathLike, shard: dict) -> Iterator[PackedFile]:
    """Yield the files of a shard of the index, reading it from start to end, once.

    When it is missing, cut off or changed, it is a `BadShardError`: behind its last
    file, if nothing else shows it before. No more is read than the index says.
    """
    path, digest = Path(folder) / shard["name"], hashlib.sha256()
    try:
        with open_regular(str(path)) as raw:
            size = os.fstat(raw.fileno()).st_size
            if size != shard["bytes"]:
                raise ValueError(f"it has {size} bytes, not {shard['bytes']}")
            hashing = _Hashing(raw, digest)
            with tarfile.open(fileobj=hashing, mode="r|") as tar:
                for samples in shard["samples"]:
                    yield _next_file(tar, samples, size)
                if tar.next() is not None:
                    raise ValueError("it holds more files than were packed")
            while hashing.read(_READ_SIZE):
                pass
        if digest.hexdigest() != shard["sha256"]:
            raise ValueError("its SHA-256 is another")
    except (OSError, tarfile.TarError, ValueError, TypeError) as error:
        raise BadShardError(
            f"{printable(path)} is not as it was packed ({printable(error)}): copy it "
            "again, or delete it and pack again."
        ) from error


def _next_file(tar: tarfile.TarFile, samples: int, size: int) -> PackedFile:
    """Return the next two members of a shard of `size` bytes."""
    contents = []
    for most in (size, _FACTS_BYTES):
        member = tar.next()
        if member is None:
            raise ValueError("it ends early")
        # The holes of a sparse member are in no file: it could be of any size.
        is_plain = member.isreg() and not member.issparse() and "/" not in member.name
        if not is_plain or member.size > most:
            raise ValueError(f"{member.name} is too large, or no plain file")
        contents.append(tar.extractfile(member).read())
    file = PackedFile(audio=contents[0], **json.loads(contents[1]))
    if file.samples != samples or file.sample_rate not in RATES:
        raise ValueError(f"{member.name} says something else than the index")
    return file


def _is_shard(shard: object) -> bool:
    match shard:
        case {"name": str(name), "bytes": int(), "sha256": str(), "samples": list(n)}:
            return os.path.basename(name) == name and all(type(i) is int for i in n)
    return False


def _divide(manifest: Path, root: Path, max_bytes: int) -> list[list[dict]]:
    """Return the files of each shard, in an order that their names decide."""
    entries = read_manifest(manifest, ("samples", "sample_rate"))
    shards: list[list[dict]] = []
    size = 0
    for name in sorted(entries, key=lambda n: hashlib.blake2b(as_bytes(n)).digest()):
        length = (root / name).stat().st_size
        if not shards or size + length > max_bytes:
            shards.append([])
            size = 0
        size += length
        shards[-1].append({"name": name, **entries[name]})
    return shards


def _pack(path: Path, entries: list[dict], root: Path) -> dict:
    """Write a shard unless it is there; return its entry of the index."""
    record = path.with_suffix(".json")
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # none, damaged
        known = read_json(record)
        shard = known["shard"]
        if known["entries"] == entries and path.stat().st_size == shard["bytes"]:
            return shard
    digest = hashlib.sha256()
    try:
        with whole_file(path) as partial, open(partial, "wb") as raw:
            with tarfile.open(fileobj=_Hashing(raw, digest), mode="w|") as tar:
                for number, entry in enumerate(entries):
                    suffix = Path(entry["name"]).suffix.lower()
                    with open_regular(str(root / entry["name"])) as file:
                        _add(tar, f"{number:06d}{suffix}", file)
                    facts = io.BytesIO(json.dumps(entry).encode())
                    _add(tar, f"{number:06d}.json", facts)
            raw.flush()
            os.fsync(raw.fileno())
    except OSError as error:
        if error.filename is None:  # of writing
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    shard = {
        "name": path.name,
        "bytes": path.stat().st_size,
        "sha256": digest.hexdigest(),
        "samples": [entry["samples"] for entry in entries],
    }
    write_text(record, json.dumps({"shard": shard, "entries": entries}))
    return shard


def _add(tar: tarfile.TarFile, name: str, file: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size = file.seek(0, os.SEEK_END)
    file.seek(0)
    tar.addfile(member, file)


class _Hashing:
    """A file that is read or written from start to end, and its digest."""

    def __init__(self, raw: BinaryIO, digest: hashlib._Hash):
        self._raw, self._digest = raw, digest

    def write(self, content: bytes) -> int:
        self._digest.update(content)
        return self._raw.write(content)

    def read(self, size: int) -> bytes:
        content = self._raw.read(size)
        self._digest.update(content)
        return content
