"""DeepFilterNet2 on a block of hops, its state explicit: one glue, live and in ONNX.

Its computation is the model's own, and shapes are constant: what there is not yet is
zero. Two gates stand for a signal's beginning and end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechbrain_mal.models.decoders import DFDecoderState
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2, NetworkState
from speechbrain_mal.models.encoder import EncoderState
from speechbrain_mal.models.frontend import FeatureState, FrontEnd


class StreamState(NamedTuple):
    """What one block leaves to the next, of `B` signals; ONNX files use the names."""

    samples: Tensor  # the overlap with the next frame, [B, n_fft - hop]
    offset: Tensor  # of `OffsetRemoval`, [B, 2]
    mean_db: Tensor  # of the features, as `FeatureState` has them
    mean: Tensor
    fade: Tensor
    level: Tensor
    waiting: Tensor  # spectra whose look-ahead is to come, [B, lookahead, F, 2]
    erb: Tensor  # of the network, as `NetworkState` has them
    low: Tensor
    encoder_gru: Tensor
    erb_gru: Tensor
    df0: Tensor
    df_gru: Tensor
    masked: Tensor  # spectra the deep filter needs again, [B, df_order - 1, F, 2]
    taps: Tensor  # its taps for frames to come, [B, df_lookahead, bins, df_order, 2]
    tail: Tensor  # end of the overlap-add, [B, n_fft - hop]


class StreamingDeepFilterNet2:
    """A DeepFilterNet2 that continues from an explicit state; a `Stream` runs on it.

    Arguments
    ---------
    model : DeepFilterNet2
        In evaluation mode; its weights are shared.
    fourier : object, optional
        What has the methods of `ComplexFourier`, the default.

    Example
    -------
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... ).eval()
    >>> streaming, noisy = StreamingDeepFilterNet2(model), torch.randn(1, 1600)
    >>> with torch.inference_mode():
    ...     state, outputs = streaming.start(batch=1), []
    ...     for hops, gates in ((2, (1, 0)), (8, (1, 1))):  # it looks two frames ahead
    ...         block, noisy = noisy.tensor_split([160 * hops], dim=1)
    ...         output, state = streaming.step(block, gates, state)
    ...         outputs.append(output)
    >>> [output.shape[1] for output in outputs]
    [320, 1280]
    """

    def __init__(self, model: DeepFilterNet2, fourier: Any = None):
        self.model = model
        self.front_end = model.encoder.front_end
        self.fourier = fourier or ComplexFourier(self.front_end)
        self.lookahead: int = model.encoder.lookahead
        self.sample_rate: int = self.front_end.sample_rate
        self.n_fft: int = self.front_end.n_fft
        self.hop_length: int = self.front_end.hop_length
        ahead = self.lookahead + model.df_lookahead
        # That one waits from arrival to return: a frame and both look-aheads.
        self.latency_samples = self.n_fft + ahead * self.hop_length

    @property
    def device(self) -> torch.device:
        """Where the model is, and samples have to be."""
        return self.front_end.window.device

    @torch.no_grad()
    def start(self, batch: int) -> StreamState:
        """Return the state before the first sample of `batch` signals."""
        model, front_end = self.model, self.front_end
        zeros, bands = front_end.window.new_zeros, len(front_end.erb_initial)
        bins = front_end.n_fft // 2 + 1
        # The network's own state, after one frame, has the shapes.
        inputs = zeros(batch, 1, 1, bands), zeros(batch, 2, 1, front_end.df_bins)
        network = _flat(model.step(*inputs)[1])
        return StreamState(
            samples=zeros(batch, front_end.overlap),
            offset=front_end.offset.start(batch).to(front_end.window),
            **front_end.start(batch)._asdict(),
            waiting=zeros(batch, self.lookahead, bins, 2),
            **{name: zeros(x.shape) for name, x in network.items()},
            masked=zeros(batch, model.df_order - 1, bins, 2),
            taps=zeros(batch, model.df_lookahead, front_end.df_bins, model.df_order, 2),
            tail=zeros(batch, front_end.overlap),
        )

    def step(
        self, samples: Tensor, gates: Any, state: StreamState
    ) -> tuple[Tensor, StreamState]:
        """Return a block of whole hops, enhanced, and the state for the next.

        Arguments
        ---------
        samples : Tensor
            `[B, k * hop_length]`, k >= 1; the enhanced ones are late by
            `latency_samples - hop_length`.
        gates : pair of float or Tensor
            1 until the signal's last hop, then 0; and 0 for the first `lookahead` hops,
            then 1. Both are of all of the block.
        state : StreamState
            Of `start`, or what the block before returned.
        """
        front_end, (heard, running) = self.front_end, gates
        hop, offset = self.hop_length, state.offset
        if front_end.level_invariant:
            hops, offset = front_end.offset(samples.unflatten(1, (-1, hop)), offset)
            samples = hops.flatten(1)
        samples = torch.cat([state.samples, samples], dim=1)
        spectrum = self.fourier.transform(samples)
        erb, low, features = self._features(spectrum, state)
        encoder = EncoderState(state.erb, state.low, state.encoder_gru)
        df_decoder = DFDecoderState(state.df0, state.df_gru)
        network = NetworkState(encoder, state.erb_gru, df_decoder)
        outputs, network = self.model.step(heard * erb, heard * low, network)
        gains, taps, _ = outputs
        frames = spectrum.shape[1]
        waiting = torch.cat([state.waiting, heard * spectrum], dim=1)
        gains = (gains @ front_end.erb_spread).unsqueeze(-1)
        masked = torch.cat([state.masked, waiting[:, :frames] * gains], dim=1)
        taps = torch.cat([state.taps, running * taps], dim=1)
        stream = self.fourier.overlap_add(self._filtered(masked, taps[:, :frames]))
        stream = stream + F.pad(state.tail, (0, frames * hop))
        following = StreamState(
            samples=samples[:, frames * hop :],
            offset=offset,
            **features._asdict(),
            waiting=waiting[:, frames:],
            **{name: running * x for name, x in _flat(network).items()},
            masked=masked[:, frames:],
            taps=taps[:, frames:],
            tail=stream[:, frames * hop :],
        )
        return stream[:, : frames * hop], following

    def _features(
        self, spectrum: Tensor, state: StreamState
    ) -> tuple[Tensor, Tensor, FeatureState]:
        """Return what `FrontEnd.running_features` does, as the network takes it."""
        bins, (real, imaginary) = self.front_end.df_bins, spectrum.unbind(-1)
        power = real * real + imaginary * imaginary
        features = FeatureState(*(getattr(state, x) for x in FeatureState._fields))
        magnitude = power[..., :bins].sqrt()
        erb, scale, features = self.front_end.scales(power, magnitude, features)
        low = spectrum[:, :, :bins] * scale.unsqueeze(-1)
        return erb[:, None], low.permute(0, 3, 1, 2), features

    def _filtered(self, spectrum: Tensor, taps: Tensor) -> Tensor:
        """Return what `deep_filter_within` does, of real and imaginary parts."""
        order, (frames, bins) = self.model.df_order, taps.shape[1:3]
        spans = [spectrum[:, i : i + frames, :bins] for i in range(order)]
        real, imaginary = torch.stack(spans, dim=3).unbind(-1)
        a, b = taps.unbind(-1)
        low = [(real * a - imaginary * b).sum(-1), (real * b + imaginary * a).sum(-1)]
        now = order - 1 - self.model.df_lookahead
        high = spectrum[:, now : now + frames, bins:]
        return torch.cat([torch.stack(low, dim=-1), high], dim=2)


class ComplexFourier:
    """The front end's transform and its inverse; spectra are `[B, T, F, 2]`."""

    def __init__(self, front_end: FrontEnd):
        self._front_end = front_end

    def transform(self, samples: Tensor) -> Tensor:
        """Return the spectra of the whole frames of `[B, samples]`."""
        return torch.view_as_real(self._front_end.transform(samples))

    def overlap_add(self, spectrum: Tensor) -> Tensor:
        """Return the sum of the frames, the overlaps at both ends included."""
        return self._front_end.overlap_add(torch.view_as_complex(spectrum))


def _flat(state: NetworkState) -> dict[str, Tensor]:
    """Return the network's state with the names of `StreamState`."""
    names = "erb low encoder_gru erb_gru df0 df_gru".split()
    encoder, erb_gru, df_decoder = state
    return dict(zip(names, (*encoder, erb_gru, *df_decoder), strict=True))
