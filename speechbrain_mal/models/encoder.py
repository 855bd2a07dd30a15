"""DeepFilterNet2's front half, and its input features, as encoders."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.contracts import Encoder, Features
from speechbrain_mal.models.frontend import FrontEnd
from speechbrain_mal.models.layers import ConvBlock, GroupedLinear, SqueezedGRU

LOCAL_SNR_RANGE_DB = (-15.0, 35.0)  # lsnr_min, lsnr_max of the public configuration


class EncoderState(NamedTuple):
    """What the encoder remembers from one block of frames to the next."""

    erb: Tensor  # last two frames of the ERB feature, [B, 1, 2, bands]
    low: Tensor  # last two of the complex feature, [B, 2, 2, bins]
    gru: Tensor  # [1, B, E]


class DeepFilterNet2Encoder(Encoder):
    """Waveform to the embedding of every frame: DeepFilterNet2's front half.

    Arguments
    ---------
    front_end : FrontEnd
        Analysis and features.
    channels, embedding_size, linear_groups : int
        As of `DeepFilterNet2`; the embedding is the bottleneck.
    lookahead : int
        Frames of the future that the features contain.

    Example
    -------
    >>> front_end = FrontEnd(sample_rate=16000, n_fft=320, hop_length=160)
    >>> encoder = DeepFilterNet2Encoder(front_end, channels=16, embedding_size=64)
    >>> list(encoder(torch.randn(2, 16000)).stages[-1].shape)
    [2, 102, 64]
    """

    def __init__(
        self,
        front_end: FrontEnd,
        channels: int = 64,
        embedding_size: int = 256,
        linear_groups: int = 8,
        lookahead: int = 2,
    ):
        super().__init__()
        self.front_end = front_end
        self.sample_rate = front_end.sample_rate
        self.lookahead = lookahead
        bands, bins = front_end.erb_spread.shape[0], front_end.df_bins
        self.erb_conv0 = ConvBlock(1, channels, (3, 3))
        self.erb_conv1 = ConvBlock(channels, channels, (1, 3), frequency_stride=2)
        self.erb_conv2 = ConvBlock(channels, channels, (1, 3), frequency_stride=2)
        self.erb_conv3 = ConvBlock(channels, channels, (1, 3))
        self.df_conv0 = ConvBlock(2, channels, (3, 3))
        self.df_conv1 = ConvBlock(channels, channels, (1, 3), frequency_stride=2)
        width = channels * bands // 4
        self.df_fc_emb = nn.Sequential(
            GroupedLinear(channels * bins // 2, width, linear_groups), nn.ReLU()
        )
        self.emb_gru = SqueezedGRU(
            2 * width, embedding_size, linear_groups=linear_groups
        )
        self.lsnr_fc = nn.Sequential(nn.Linear(embedding_size, 1), nn.Sigmoid())

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Features:
        """Return every stage's features of a batch of waveforms.

        Shallow to deep: four stages of the ERB path and two of the DF path
        `[B, T, F, C]`, then the embedding `[B, T, embedding_size]`. With `lengths` the
        features of a clip do not depend on its padding, which has to be zero.
        """
        frames = self.front_end.clip_frames(waveforms, lengths)
        spectrum = self.front_end.input_spectrum(waveforms)
        stages, _ = self.step(*self.inputs(spectrum, frames))
        return Features(stages, None if frames is None else [frames] * len(stages))

    def inputs(
        self, spectrum: Tensor, frames: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what `step` takes, from a complex spectrum `[B, T, F]`."""
        erb, low = self.front_end.features(spectrum, frames)
        low = torch.view_as_real(low).permute(0, 3, 1, 2)
        return self._look_ahead(erb[:, None]), self._look_ahead(low)

    def step(
        self, erb: Tensor, low: Tensor, state: EncoderState | None = None
    ) -> tuple[list[Tensor], EncoderState]:
        """Return the stages of a block of frames, and the state behind it.

        `erb` `[B, 1, T, bands]` and `low`, real and imaginary part, `[B, 2, T, bins]`
        are the front end's features, `lookahead` frames ahead of the stages. The state
        is what the block before returned; none at the start.
        """
        past_erb, past_low, gru = state or (None, None, None)
        erb0, past_erb = self.erb_conv0.step(erb, past_erb)
        erb1 = self.erb_conv1(erb0)
        erb2 = self.erb_conv2(erb1)
        erb3 = self.erb_conv3(erb2)
        df0, past_low = self.df_conv0.step(low, past_low)
        df1 = self.df_conv1(df0)
        erb0, erb1, erb2, erb3, df0, df1 = (
            stage.permute(0, 2, 3, 1) for stage in (erb0, erb1, erb2, erb3, df0, df1)
        )
        joint = torch.cat([erb3.flatten(2), self.df_fc_emb(df1.flatten(2))], dim=-1)
        embedding, gru = self.emb_gru(joint, gru)
        stages = [erb0, erb1, erb2, erb3, df0, df1, embedding]
        return stages, EncoderState(past_erb, past_low, gru)

    def local_snr(self, embedding: Tensor) -> Tensor:
        """Return the local SNR in dB, `[B, T]`, from the embedding `[B, T, E]`."""
        low, high = LOCAL_SNR_RANGE_DB
        return self.lsnr_fc(embedding).squeeze(-1) * (high - low) + low

    def _look_ahead(self, features: Tensor) -> Tensor:
        """Shift `[B, C, T, F]` by the look-ahead, zeros at the end."""
        return F.pad(features, (0, 0, -self.lookahead, self.lookahead))


class InputFeatures(Encoder):
    """Waveform to the ERB and the complex feature; no weights, nothing learned.

    The control for any loss on learned features: gains of deep feature losses have been
    matched by losses on the filter bank in front of the network (M. R. Saddler et al.,
    "Speech denoising with auditory models", 2020). The `front_end` may be a model's,
    `encoder.front_end`.

    Example
    -------
    >>> features = InputFeatures(FrontEnd(16000, n_fft=320, hop_length=160))
    >>> [list(stage.shape) for stage in features(torch.randn(2, 16000)).stages]
    [[2, 102, 32], [2, 102, 96, 2]]
    """

    def __init__(self, front_end: FrontEnd):
        super().__init__()
        self.front_end = front_end
        self.sample_rate = front_end.sample_rate

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Features:
        """Return the ERB feature `[B, T, bands]`, and the complex `[B, T, bins, 2]`."""
        frames = self.front_end.clip_frames(waveforms, lengths)
        erb, low = self.front_end.features(
            self.front_end.input_spectrum(waveforms), frames
        )
        stages = [erb, torch.view_as_real(low)]
        return Features(stages, None if frames is None else [frames, frames])
