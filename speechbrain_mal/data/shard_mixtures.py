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
from speechbrain_mal.data.plan import Piece, Plan, Planner
from speechbrain_mal.data.shards import PackedFile, read_index, read_shard
from speechbrain_mal.data.shared import SkippedFiles
from speechbrain_mal.data.sources import read_piece


class ShardedMixtures(IterableDataset):
    """Mixtures whose speech and noise stream out of shards.

    Every process of DDP and every worker of its loader is a reader with shards of clean
    speech of its own, in an order that (seed, epoch) decides. It keeps some hundred
    files of speech, noises and impulse responses each, and replaces those that a
    mixture used, or could not read, by the next ones. Each mixture is planned and
    rendered as those of `mixed_dataset` are, out of what is kept.

    Mixtures are a function of (seed, epoch, reader, number of readers): unlike those of
    `mixed_dataset` they change with the number of workers, and a run that was stopped
    within an epoch begins that epoch's shards again.

    Arguments
    ---------
    mixing, skipped
        As of `mixed_dataset`.
    folder : path
        What `pack_shards` wrote; a ValueError where it is damaged, or has less speech
        shards than readers.
    examples : int
        Mixtures of an epoch, of all processes together; each makes an equal share.
    buffer, noise_buffer, rir_buffer : int
        Files of each kind that a reader keeps; all, if there are at most twice as many.
    rank, processes : int
        Number of this process, and how many there are.
    """

    def __init__(
        self,
        mixing: Mixing,
        folder: str | os.PathLike,
        examples: int,
        buffer: int = 500,
        noise_buffer: int = 100,
        rir_buffer: int = 500,
        rank: int = 0,
        processes: int = 1,
        skipped: SkippedFiles | None = None,
    ):
        self.mixing, self.folder = mixing, os.fspath(folder)
        self.index = read_index(folder)
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
                f"{self.processes} processes with {workers} workers each want as many "
                f"shards of clean speech, and {self.folder} has "
                f"{len(self.index['clean'])}: pack smaller ones, or use fewer workers"
            )
        buffers = self._buffers(reader, readers)
        for i in range(number, self.examples, workers):
            index = reader + i // workers * readers
            used: dict[str, set[int]] = {kind: set() for kind in buffers}
            noisy, clean = self._make(index, buffers, used)
            yield {"id": f"mix{index:07d}", "noisy": noisy, "clean": clean}
            for kind, buffer in buffers.items():
                buffer.replace(used[kind])

    def _buffers(self, reader: int, readers: int) -> dict[str, Buffer]:
        words = (self.mixing.seed, self.mixing.epoch)
        common = np.random.default_rng(np.random.SeedSequence(words))
        own = np.random.default_rng((*words, reader, 1))
        speech = common.permutation(len(self.index["clean"]))[reader::readers]
        order = {"clean": speech}
        for kind in sorted(self.index.keys() - {"clean"}):
            order[kind] = own.permutation(len(self.index[kind]))
        buffers = {}
        for kind, numbers in order.items():
            shards = [self.index[kind][number] for number in numbers]
            files = sum(len(shard["samples"]) for shard in shards)
            buffers[kind] = Buffer(self._stream(shards), files, self.sizes[kind])
        return buffers

    def _stream(self, shards: list[dict]) -> Iterator[PackedFile]:
        """Yield the files of shards, over and over."""
        for shard in itertools.cycle(shards):
            yield from read_shard(self.folder, shard)

    def _make(
        self, index: int, kept: dict[str, Buffer], used: dict[str, set[int]]
    ) -> tuple:
        """Return noisy and clean; note in `used` which files were used, or can't be."""
        rate = self.mixing.sample_rate
        lengths: dict[str, list[int]] = {"rir": []}
        for kind, buffer in kept.items():
            lengths[kind] = [f.samples * rate // f.sample_rate for f in buffer.files]
        planner = Planner(
            self.mixing, lengths["clean"], lengths["noise"], len(lengths["rir"])
        )

        def plan(epoch: int, index: int, attempt: int) -> Plan:
            found = planner(epoch, index, attempt)
            noises = [piece for track in found.noises for piece in track.pieces]
            used["clean"].update(piece.file for piece in found.speech.pieces)
            used["noise"].update(piece.file for piece in noises)
            if found.rir is not None:
                used["rir"].add(found.rir)
            return found

        def read(kind: str, piece: Piece) -> np.ndarray:
            file = kept[kind].files[piece.file]
            samples = lengths[kind][piece.file] if kind == "rir" else piece.samples
            return read_piece(
                lambda: io.BytesIO(file.audio),
                file.name,
                (piece.start, samples),
                file.sample_rate,
                rate,
            )

        return make_mixture(index, self.mixing, plan, read, self.skipped)


class Buffer:
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
        """Replace the files of these numbers, unless all there are are kept."""
        for i in sorted(used) if not self._holds_all else ():
            file = next(self._stream)
            while file.name in self._names:  # left over from the pass before
                file = next(self._stream)
            self._names.remove(self.files[i].name)
            self._names.add(file.name)
            self.files[i] = file
