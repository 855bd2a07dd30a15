"""One hop of a DeepFilterNet2 as an ONNX file, its state explicit.

The file's shapes are constant. Where `StreamingDeepFilterNet2` has no state yet, or a
shorter one, this has zeros; and a gate keeps the network's state at zero until the
look-ahead is heard.
"""

import json
import os
import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn

import speechbrain_mal
from speechbrain_mal.extras import require
from speechbrain_mal.files import whole_file
from speechbrain_mal.inference.folding import fold
from speechbrain_mal.inference.fourier import RealFourier
from speechbrain_mal.inference.onnx_stream import FORMAT, PREFIX
from speechbrain_mal.models.decoders import DFDecoderState
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2, NetworkState
from speechbrain_mal.models.encoder import EncoderState
from speechbrain_mal.models.frontend import FeatureState

OPSET = 17


class HopState(NamedTuple):
    """What a hop leaves to the next; the file's inputs and outputs have these names."""

    samples: Tensor  # the overlap with the next frame, [1, n_fft - hop]
    offset: Tensor  # of `OffsetRemoval`, [1, 2]
    mean_db: Tensor  # of the features, as `FeatureState` has them
    mean: Tensor
    fade: Tensor
    level: Tensor
    waiting: Tensor  # spectra whose look-ahead is to come, [lookahead, F, 2]
    erb: Tensor  # of the network, as `NetworkState` has them
    low: Tensor
    encoder_gru: Tensor
    erb_gru: Tensor
    df0: Tensor
    df_gru: Tensor
    masked: Tensor  # spectra the deep filter needs again, [df_order - 1, F, 2]
    taps: Tensor  # its taps for frames to come, [df_lookahead, df_bins, df_order, 2]
    tail: Tensor  # end of the overlap-add, [1, n_fft - hop]


class HopStep(nn.Module):
    """A DeepFilterNet2 from one hop to one hop, in real numbers and constant shapes.

    Arguments
    ---------
    model : DeepFilterNet2
        In evaluation mode; its weights are shared.

    Example
    -------
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... ).eval()
    >>> step = HopStep(model)
    >>> with torch.inference_mode():
    ...     enhanced, *state = step(torch.randn(1, 160), torch.ones(2), *step.start())
    >>> enhanced.shape
    torch.Size([1, 160])
    """

    def __init__(self, model: DeepFilterNet2):
        super().__init__()
        self.model = model
        self.front_end = front_end = model.encoder.front_end
        scale = 2 * front_end.hop_length / front_end.n_fft**2
        self.fourier = RealFourier(front_end.window, scale)

    @torch.no_grad()
    def start(self) -> HopState:
        """Return the state before the first sample."""
        model, front_end = self.model, self.front_end
        zeros = front_end.window.new_zeros
        erb = zeros(1, 1, 1, front_end.erb_initial.shape[0])
        # The network's own state, of one frame, has the shapes.
        _, network = model.step(erb, zeros(1, 2, 1, front_end.df_bins))
        order, bins = model.df_order, self.fourier.bins
        return HopState(
            samples=zeros(1, front_end.overlap),
            offset=front_end.offset.start(1),
            **front_end.start(1)._asdict(),
            waiting=zeros(model.encoder.lookahead, bins, 2),
            **{name: zeros(x.shape) for name, x in _flat(network).items()},
            masked=zeros(order - 1, bins, 2),
            taps=zeros(model.df_lookahead, front_end.df_bins, order, 2),
            tail=zeros(1, front_end.overlap),
        )

    def forward(
        self, samples: Tensor, gates: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        """Enhance a hop.

        Arguments
        ---------
        samples : Tensor
            `[1, hop_length]`.
        gates : Tensor
            `[2]`: 1 until the signal's last hop, then 0; and 0 for the first
            `lookahead` hops, then 1.
        *state : Tensor
            Of `start`, or what the hop before returned.

        Returns
        -------
        tuple of Tensor
            The enhanced hop, `[1, hop_length]`, late by both look-aheads; and the
            state for the next hop.
        """
        state, (heard, running) = HopState(*state), gates.unbind()
        offset = state.offset
        if self.front_end.level_invariant:
            samples, offset = self.front_end.offset(samples[:, None], offset)
            samples = samples[:, 0]
        samples = torch.cat([state.samples, samples], dim=1)
        spectrum = self.fourier.transform(samples[0])
        erb, low, features = self._features(spectrum, state)
        waiting = torch.cat([state.waiting, heard * spectrum[None]])
        (gains, taps, _), network = self.model.step(
            heard * erb,
            heard * low,
            NetworkState(
                EncoderState(state.erb, state.low, state.encoder_gru),
                state.erb_gru,
                DFDecoderState(state.df0, state.df_gru),
            ),
        )
        masked = waiting[:1] * (gains @ self.front_end.erb_spread).unsqueeze(-1)[0]
        masked = torch.cat([state.masked, masked])
        taps = torch.cat([state.taps, running * taps[0]])
        frame = self.fourier.inverse(self._filtered(masked, taps[0]))[None]
        hop = self.front_end.hop_length
        stream = nn.functional.pad(state.tail, (0, hop)) + frame
        following = HopState(
            samples=samples[:, hop:],
            offset=offset,
            **features._asdict(),
            waiting=waiting[1:],
            **{name: running * x for name, x in _flat(network).items()},
            masked=masked[1:],
            taps=taps[1:],
            tail=stream[:, hop:],
        )
        return (stream[:, :hop], *following)

    def _features(
        self, spectrum: Tensor, state: HopState
    ) -> tuple[Tensor, Tensor, FeatureState]:
        """Return what `FrontEnd.running_features` does, as the network takes it."""
        bins = self.front_end.df_bins
        power = spectrum.square().sum(-1)[None, None]  # [1, 1, F]
        features = FeatureState(*(getattr(state, x) for x in FeatureState._fields))
        magnitude = power[..., :bins].sqrt()
        erb, scale, features = self.front_end.scales(power, magnitude, features)
        low = spectrum[:bins].t()[None, :, None] * scale[:, None]
        return erb[:, None], low, features

    def _filtered(self, spectrum: Tensor, taps: Tensor) -> Tensor:
        """Return what `deep_filter_within` does: of `[order, F, 2]` one frame."""
        bins, (a, b) = taps.shape[0], taps.transpose(0, 1).unbind(-1)
        real, imaginary = spectrum[:, :bins].unbind(-1)
        low = [(real * a - imaginary * b).sum(0), (real * b + imaginary * a).sum(0)]
        now = self.model.df_order - 1 - self.model.df_lookahead
        return torch.cat([torch.stack(low, dim=-1), spectrum[now, bins:]])


def _flat(state: NetworkState) -> dict[str, Tensor]:
    """Return the network's state with the names of `HopState`."""
    encoder, erb_gru, df_decoder = state
    return {
        "erb": encoder.erb,
        "low": encoder.low,
        "encoder_gru": encoder.gru,
        "erb_gru": erb_gru,
        "df0": df_decoder.df0,
        "df_gru": df_decoder.gru,
    }


def export_onnx(model: DeepFilterNet2, path: str | os.PathLike) -> None:
    """Write the streaming step of a model for `OnnxDeepFilterNet2` and others.

    The file's inputs are `noisy` `[1, hop_length]`, `gates` `[2]`, and the state, see
    `HopStep`; its outputs are `enhanced` and, named `next_...`, the next state. The
    first state is zero but for `fade`, which is 1.

    Arguments
    ---------
    model : DeepFilterNet2
        In evaluation mode, on a CPU.
    path : path
        The file, replaced when it is there; it appears when it is whole.

    Raises
    ------
    ImportError
        Without the extra `onnx`.
    ValueError
        When the model is in training mode.
    """
    onnx = require("onnx", "onnx")
    step = HopStep(fold(model))
    state, front_end = step.start(), model.encoder.front_end
    ahead = model.encoder.lookahead + model.df_lookahead
    metadata = {
        "format": FORMAT,
        "sample_rate": front_end.sample_rate,
        "n_fft": front_end.n_fft,
        "hop_length": front_end.hop_length,
        "lookahead": model.encoder.lookahead,
        "df_lookahead": model.df_lookahead,
        "latency_samples": front_end.n_fft + ahead * front_end.hop_length,
        "version": speechbrain_mal.__version__,
        "torch": torch.__version__,
    }
    inputs = (torch.zeros(1, front_end.hop_length), torch.ones(2), *state)
    with whole_file(path) as partial:
        with warnings.catch_warnings():
            # The newer exporter needs another package, and makes a loop of a GRU.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                step,
                inputs,
                str(partial),
                input_names=["noisy", "gates", *HopState._fields],
                output_names=[
                    "enhanced",
                    *(f"next_{name}" for name in HopState._fields),
                ],
                opset_version=OPSET,
                dynamo=False,
            )
        exported = onnx.load(partial)
        for key, value in metadata.items():
            exported.metadata_props.add(key=PREFIX + key, value=json.dumps(value))
        onnx.checker.check_model(exported)
        onnx.save(exported, partial)
