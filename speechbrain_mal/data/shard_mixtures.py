"""Mixtures out of shards, made while these are read from start to end."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from speechbrain_mal.data.mixing import Mixing
from speechbrain_mal.data.mixtures import make_mixture
from speechbrain_mal.data.plan import Plan, Planner
from speechbrain_mal.data.segments import Piece
from speechbrain_mal.data.shards import PackedFile, read_index, read_shard
from speechbrain_mal.data.skipped import SkippedFiles
from speechbrain_mal.data.sources import read_piece


class ShardedMixtures(IterableDataset):
    """Mixtures whose speech and noise stream out of shards.

    Every process of DDP and every worker of its loader is a reader with shards of clean
    speech of its own, in an order that (seed, epoch) decides; no two read the same. It
    keeps some hundred files of speech, noises and impulse responses each, and replaces
    those that a mixture used, or could not read, by the next ones. Each mixture is
    planned and rendered as those of `mixed_dataset` are, out of what is kept.

    Mixtures are a function of (seed, epoch, reader, number of readers): unlike those of
    `mixed_dataset` they change with the number of workers, and a run that was stopped
    within an epoch begins that epoch's shards again.

    Arguments
    ---------
    mixing : Mixing
        The settings, and the epoch.
    folder : path
        What `pack_shards` wrote.
    examples : int
        Mixtures of an epoch, of all processes together; each makes an equal share.
    split : str
        "train" or "valid".
    buffer, noise_buffer, rir_buffer : int
        Files of speech, noise and impulse responses that a reader keeps; all that it
        has, if they are no more than twice as many.
    rank, processes : int
        Number of this process, and how many there are.
    skipped : SkippedFiles, optional
        Where unreadable files are counted.

    Raises
    ------
    FileNotFoundError
        When there is no index.
    ValueError
        When processes and workers are more than shards of clean speech.
    """

    def __init__(
        self,
        mixing: Mixing,
        folder: str | os.PathLike,
        examples: int,
        split: str = "train",
        buffer: int = 500,
        noise_buffer: int = 100,
        rir_buffer: int = 500,
        rank: int = 0,
        processes: int = 1,
        skipped: SkippedFiles | None = None,
    ):
        self.mixing, self.folder = mixing, os.fspath(folder)
        self.index = read_index(folder, split)
        self.sizes = {"clean": buffer, "noise": noise_buffer, "rir": rir_buffer}
        self.rank, self.processes = rank, processes
        self.examples = examples // processes
        self.skipped = skipped or SkippedFiles()

    def __len__(self) -> int:
        """Return the mixtures of an epoch that this process makes."""
        return self.examples

    def __iter__(self) -> Iterator[dict]:
        """Yield `id`, `noisy` and `clean` of each mixture."""
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        readers, reader = self.processes * workers, self.rank * workers + number
        if readers > len(self.index["clean"]):
            raise ValueError(
                f"{self.processes} processes with {workers} workers each want as many"
                f" shards of clean speech, and {self.folder} has"
                f" {len(self.index['clean'])}: pack smaller ones, or use fewer workers"
            )
        share = len(range(number, self.examples, workers))
        yield from self._mixtures(reader, readers, share)

    def _mixtures(self, reader: int, readers: int, number: int) -> Iterator[dict]:
        mixing, epoch = self.mixing, self.mixing.epoch
        order = np.random.SeedSequence((mixing.seed, epoch))
        own = np.random.default_rng((mixing.seed, epoch, reader, 1))
        speech = np.random.default_rng(order).permutation(len(self.index["clean"]))
        shards = {"clean": speech[reader::readers]}
        for kind in sorted(self.index.keys() - {"clean"}):
            shards[kind] = own.permutation(len(self.index[kind]))
        buffers = {kind: self._buffer(kind, order) for kind, order in shards.items()}
        for i in range(number):
            index = reader + i * readers
            files = {kind: buffer.files for kind, buffer in buffers.items()}
            noisy, clean, used = self._make(index, files)
            yield {"id": f"mix{index:07d}", "noisy": noisy, "clean": clean}
            for kind, numbers in used.items():
                buffers[kind].replace(numbers)

    def _make(self, index: int, kept: dict[str, list[PackedFile]]) -> tuple:
        """Return noisy, clean, and by kind which files were used or can't be."""
        rate = self.mixing.sample_rate

        def read(kind: str, piece: Piece) -> np.ndarray:
            file = kept[kind][piece.file]
            samples = piece.samples
            if kind == "rir":
                samples = file.samples * rate // file.sample_rate
            return read_piece(
                lambda: io.BytesIO(file.audio),
                file.name,
                (piece.start, samples),
                file.sample_rate,
                rate,
            )

        lengths = {
            kind: [file.samples * rate // file.sample_rate for file in files]
            for kind, files in kept.items()
        }
        planner = Planner(
            self.mixing,
            lengths["clean"],
            lengths["noise"],
            len(lengths.get("rir", [])),
        )
        used: dict[str, set[int]] = {kind: set() for kind in kept}

        def note(plan: Plan) -> None:
            for kind, file in _files(plan):
                used[kind].add(file)

        pair = make_mixture(planner, self.mixing, read, index, self.skipped, note)
        return (*pair, used)

    def _buffer(self, kind: str, shards: np.ndarray) -> _Buffer:
        files = sum(len(self.index[kind][number]["samples"]) for number in shards)
        return _Buffer(self._stream(kind, shards), files, self.sizes[kind])

    def _stream(self, kind: str, shards: np.ndarray) -> Iterator[PackedFile]:
        """Yield the files of shards, over and over."""
        while True:
            for number in shards:
                yield from read_shard(self.folder, self.index[kind][number])


def _files(plan: Plan) -> Iterator[tuple[str, int]]:
    """Yield the kind and number of each file that a plan takes."""
    yield from (("clean", piece.file) for piece in plan.speech.pieces)
    for track in plan.noises:
        yield from (("noise", piece.file) for piece in track.pieces)
    if plan.rir is not None:
        yield "rir", plan.rir


class _Buffer:
    """So many of a stream's files, which it repeats; used ones are replaced by others.

    Of a stream that has few more, most are here already, and finding one that is not
    would take reading through it: then all are kept.
    """

    def __init__(self, stream: Iterator[PackedFile], files: int, size: int):
        self._stream = stream
        self._holds_all = files <= 2 * size
        # One more than all: the last shard's checksum is looked at behind its end.
        kept = itertools.islice(stream, files + 1 if self._holds_all else size)
        self.files = list(kept)[: files if self._holds_all else size]
        self._names = {file.name for file in self.files}

    def replace(self, used: set[int]) -> None:
        if self._holds_all:
            return
        for i in sorted(used):
            file = next(self._stream)
            while file.name in self._names:  # left over from the pass before
                file = next(self._stream)
            self._names.remove(self.files[i].name)
            self._names.add(file.name)
            self.files[i] = file
