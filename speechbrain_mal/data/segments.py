"""Segments of a set length out of files of any length: which pieces, and their join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_TRIES = 20  # draws before the files that are left are listed


@dataclass(frozen=True)
class Piece:
    """A stretch of one file, in samples at the mixture's rate."""

    file: int
    start: int
    samples: int


class SegmentPool:
    """Draw the pieces that fill a segment, every second of the files equally likely.

    Made of the length of each file, int `[files]`, and the samples that two pieces
    overlap by; what is too short for that at both of its ends is never drawn.

    Example
    -------
    >>> pool = SegmentPool([1000, 300], fade=20)
    >>> rng = np.random.default_rng(0)
    >>> [piece.samples for piece in pool.draw(1200, rng, set())]
    [1000, 220]
    """

    def __init__(self, samples: Sequence[int] | np.ndarray, fade: int):
        self.fade = fade
        self._samples = np.asarray(samples, dtype=np.int64)
        self._weights = np.where(self._samples > 2 * fade, self._samples, 0)
        self._cumulative = np.cumsum(self._weights)

    @property
    def files(self) -> int:
        """How many files are drawn from."""
        return int(np.count_nonzero(self._weights))

    @property
    def longest(self) -> int:
        """Length in samples of a segment of all the files, one after another."""
        return int(self._weights.sum()) - max(self.files - 1, 0) * self.fade

    def draw(
        self,
        samples: int,
        rng: np.random.Generator,
        used: set[int],
        again: bool = False,
    ) -> tuple[Piece, ...]:
        """Return pieces that join to a segment of `samples` after the crossfades.

        Files in `used` are not drawn; those that are drawn are added to it. Once all
        are used up it starts over with `again`, and without it the result is empty.
        """
        pieces: list[Piece] = []
        missing = samples
        while missing:
            file = self._pick(rng, used)
            if file is None and again and used:
                used.clear()
                continue
            if file is None:
                return ()
            used.add(file)
            needed = missing + (self.fade if pieces else 0)
            length = min(needed, int(self._samples[file]))
            start = int(rng.random() * (self._samples[file] - length + 1))
            pieces.append(Piece(file, start, length))
            missing = needed - length
        return tuple(pieces)

    def _pick(self, rng: np.random.Generator, used: set[int]) -> int | None:
        if len(used) < self.files:
            for _ in range(_TRIES):
                file = _at(self._cumulative, rng.random())
                if file not in used:
                    return file
        left = self._weights.copy()
        left[list(used)] = 0
        number = rng.random()
        return _at(np.cumsum(left), number) if left.any() else None


def _at(cumulative: np.ndarray, number: float) -> int:
    """Return the file at a position from 0 to 1 of the whole."""
    return int(np.searchsorted(cumulative, int(number * cumulative[-1]), side="right"))


def join(pieces: Sequence[np.ndarray], fade: int) -> np.ndarray:
    """Join pieces with crossfades that keep the power of what is uncorrelated.

    Pieces `[samples]` are longer than `fade`, those between two others longer than
    twice that; the result is as long as all of them, less `fade` for each join.

    Example
    -------
    >>> join([np.ones(4), np.zeros(4)], fade=2).round(2).tolist()
    [1.0, 1.0, 0.92, 0.38, 0.0, 0.0]
    """
    if len(pieces) == 1:
        return pieces[0]
    total = sum(map(len, pieces)) - fade * (len(pieces) - 1)
    joined = np.zeros(total, dtype=pieces[0].dtype)
    angle = (np.arange(fade) + 0.5) * (np.pi / 2 / max(fade, 1))
    rise, fall = (f(angle).astype(joined.dtype) for f in (np.sin, np.cos))
    position = 0
    for i, piece in enumerate(pieces):
        piece = piece.copy()
        if i > 0:
            piece[:fade] *= rise
        if i < len(pieces) - 1:
            piece[len(piece) - fade :] *= fall
        joined[position : position + len(piece)] += piece
        position += len(piece) - fade
    return joined
