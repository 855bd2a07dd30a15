"""DeepFilterNet2 block by block: any block size gives the whole file's result.

What crosses from one block to the next is all in `StreamState`, whose size does not
depend on how much has been heard; the computation is the model's own.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2, NetworkState
from speechbrain_mal.models.frontend import FeatureState


class StreamState(NamedTuple):
    """What one block of frames leaves to the next; `B` signals at once."""

    samples: Tensor  # the overlap with the next frame, [B, n_fft - hop]
    offset: Tensor  # of `OffsetRemoval`, [B, 2]
    features: FeatureState
    waiting: Tensor  # spectra whose look-ahead is to come, complex [B, <= lookahead, F]
    network: NetworkState | None  # None before the first frame
    masked: Tensor  # spectra the deep filter needs again, complex [B, < df_order, F]
    taps: Tensor  # its taps for frames to come, complex [B, <= df_lookahead, bins, O]
    tail: Tensor  # end of the overlap-add, [B, n_fft - hop]


class StreamingDeepFilterNet2:
    """A DeepFilterNet2 that continues from an explicit state.

    Arguments
    ---------
    model : DeepFilterNet2
        In evaluation mode; its weights are shared.

    Example
    -------
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... ).eval()
    >>> streaming = StreamingDeepFilterNet2(model)
    >>> noisy, outputs = torch.randn(1, 1600), []
    >>> with torch.inference_mode():
    ...     state = streaming.start(batch=1)
    ...     for block in noisy.split(800, dim=1):  # five hops each
    ...         output, state = streaming.step(block, state)
    ...         outputs.append(output)
    >>> [output.shape[1] for output in outputs]  # it hears four frames ahead
    [160, 800]
    """

    def __init__(self, model: DeepFilterNet2):
        self.model = model
        self.front_end = model.encoder.front_end
        self.lookahead = model.encoder.lookahead
        self.sample_rate = self.front_end.sample_rate
        self.n_fft = self.front_end.n_fft
        self.hop_length = self.front_end.hop_length

    @property
    def device(self) -> torch.device:
        """Where the model is, and samples have to be."""
        return self.front_end.window.device

    @property
    def latency_samples(self) -> int:
        """Samples that one waits from arrival to return: a frame and the look-ahead."""
        ahead = self.lookahead + self.model.df_lookahead
        return self.n_fft + ahead * self.hop_length

    def start(self, batch: int) -> StreamState:
        """Return the state before the first sample of `batch` signals."""
        front_end, model = self.front_end, self.model
        window = front_end.window
        overlap = window.new_zeros(batch, front_end.overlap)
        bins = front_end.n_fft // 2 + 1
        nothing = window.new_zeros(batch, 0, bins, dtype=torch.complex64)
        past = model.df_order - 1 - model.df_lookahead
        return StreamState(
            samples=overlap,
            offset=front_end.offset.start(batch).to(window),
            features=front_end.start(batch),
            waiting=nothing,
            network=None,
            masked=nothing.new_zeros(batch, past, bins),
            taps=nothing.new_zeros(batch, 0, front_end.df_bins, model.df_order),
            tail=overlap,
        )

    def step(self, samples: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Enhance a block of whole hops.

        Arguments
        ---------
        samples : Tensor
            `[B, k * hop_length]`, k >= 1.
        state : StreamState
            Of `start`, or what the block before returned.

        Returns
        -------
        enhanced : Tensor
            `[B, m * hop_length]`, m = k but for the first blocks, which have to wait
            for the look-ahead. All blocks together are the enhanced signal, after
            `n_fft - hop_length` samples that precede its first.
        state : StreamState
            For the next block.
        """
        offset = state.offset
        if self.front_end.level_invariant:
            hops = samples.unflatten(1, (-1, self.hop_length))
            hops, offset = self.front_end.offset(hops, offset)
            samples = hops.flatten(1)
        samples = torch.cat([state.samples, samples], dim=1)
        spectrum = self.front_end.transform(samples)
        erb, low, features = self.front_end.running_features(spectrum, state.features)
        # The shift by the look-ahead drops the first frames' features.
        dropped = self.lookahead - state.waiting.shape[1]
        state = state._replace(
            samples=samples[:, -self.front_end.overlap :],
            offset=offset,
            features=features,
            waiting=torch.cat([state.waiting, spectrum], dim=1),
        )
        return self._enhance(erb[:, dropped:], low[:, dropped:], state)

    def finish(self, state: StreamState) -> Tensor:
        """Return what is left after the last block, `[B, m * hop_length]`."""
        # Behind the last frame, features and spectra are zero.
        waiting = state.waiting
        bands, bins = self.front_end.erb_initial.shape[0], self.front_end.df_bins
        erb = state.tail.new_zeros(*waiting.shape[:2], bands)
        last, state = self._enhance(erb, torch.zeros_like(waiting[..., :bins]), state)
        silence = waiting.new_zeros(
            waiting.shape[0], state.taps.shape[1], waiting.shape[2]
        )
        rest, _ = self._filter(silence, state.taps[:, :0], state)
        return torch.cat([last, rest], dim=1)

    def _enhance(
        self, erb: Tensor, low: Tensor, state: StreamState
    ) -> tuple[Tensor, StreamState]:
        """Take as many frames from those that wait as there are features."""
        frames = erb.shape[1]
        if frames == 0:
            return state.tail[:, :0], state
        low = torch.view_as_real(low).permute(0, 3, 1, 2)
        (gains, taps, _), network = self.model.step(erb[:, None], low, state.network)
        spectrum = state.waiting[:, :frames] * (gains @ self.front_end.erb_spread)
        state = state._replace(waiting=state.waiting[:, frames:], network=network)
        return self._filter(spectrum, torch.view_as_complex(taps), state)

    def _filter(
        self, masked: Tensor, taps: Tensor, state: StreamState
    ) -> tuple[Tensor, StreamState]:
        """Filter and synthesise the frames that this one completes."""
        model = self.model
        masked = torch.cat([state.masked, masked], dim=1)
        taps = torch.cat([state.taps, taps], dim=1)
        frames = max(masked.shape[1] - model.df_order + 1, 0)
        state = state._replace(masked=masked[:, frames:], taps=taps[:, frames:])
        if frames == 0:
            return state.tail[:, :0], state
        filtered = model.deep_filter_within(masked, taps[:, :frames])
        stream = self.front_end.overlap_add(filtered)
        stream[:, : self.front_end.overlap] += state.tail
        ready = frames * self.hop_length
        return stream[:, :ready], state._replace(tail=stream[:, ready:])
