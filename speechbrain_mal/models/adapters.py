"""SpeechBrain's own enhancement models as enhancers with an encoder.

The computation around each network is that of SpeechBrain's recipes; what differs is
that every output has its input's length, is aligned to the sample, and is not scaled.
"""

from collections.abc import Sequence

import torch
from speechbrain.processing.features import ISTFT, STFT, spectral_magnitude
from speechbrain.processing.signal_processing import resynthesize
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.models.tapped import TappedEnhancer, fit_length


class SpectralMaskEnhancer(TappedEnhancer):
    """A network that masks log magnitudes: CNNTransformerSE, 2D-FCN, BLSTM, MetricGAN.

    `expm1(mask * log1p(|STFT|))` with the noisy phase, as in SpeechBrain's
    VoiceBank/enhance/spectral_mask and MetricGAN.

    Arguments
    ---------
    network : nn.Module
        Log magnitudes `[B, T, F]` to a mask of as many values.
    parts, time_dim
        As of `TappedEnhancer`.
    sample_rate : int
        In Hz.
    n_fft : int
        FFT size in samples.
    win_length, hop_length : float
        In milliseconds.
    min_mask : float
        Lowest value of the mask (0.05 in the MetricGAN recipe).
    takes_lengths : bool
        Whether the network takes `lengths` (MetricGAN's generator).

    Example
    -------
    >>> from speechbrain.lobes.models.transformer.TransformerSE import CNNTransformerSE
    >>> network = CNNTransformerSE(64, 257, nhead=4, num_layers=1, d_ffn=32,
    ...     custom_emb_module=nn.Linear(257, 64))
    >>> enhancer = SpectralMaskEnhancer(network, ["custom_emb_module", "encoder"])
    >>> enhancer(torch.randn(2, 16000)).shape
    torch.Size([2, 16000])
    >>> [list(x.shape) for x in enhancer.encoder(torch.randn(2, 16000))]
    [[2, 63, 64], [2, 63, 64]]
    """

    def __init__(
        self,
        network: nn.Module,
        parts: Sequence[str],
        time_dim: int | Sequence[int] = 1,
        sample_rate: int = 16000,
        n_fft: int = 512,
        win_length: float = 32,
        hop_length: float = 16,
        min_mask: float = 0.0,
        takes_lengths: bool = False,
    ):
        super().__init__(network, parts, time_dim)
        frames = {"win_length": win_length, "hop_length": hop_length}
        self.stft = STFT(sample_rate, n_fft=n_fft, **frames)
        self.istft = ISTFT(sample_rate, n_fft=n_fft, **frames)
        self.sample_rate = sample_rate
        self.min_mask = min_mask
        self.takes_lengths = takes_lengths

    def forward(self, noisy: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return enhanced `[B, samples]`, aligned with noisy `[B, samples]`."""
        features = torch.log1p(spectral_magnitude(self.stft(noisy), power=0.5))
        if self.takes_lengths:
            whole = torch.ones(noisy.shape[0], device=noisy.device)
            mask = self.network(features, whole if lengths is None else lengths)
        else:
            mask = self.network(features)
        mask = mask.reshape(features.shape).clamp(min=self.min_mask)
        magnitude = torch.expm1(mask * features)
        return resynthesize(
            magnitude, noisy, self.stft, self.istft, normalize_wavs=False
        )


class WaveformEnhancer(TappedEnhancer):
    """A network from waveform to waveform: SEGAN's generator, FCN, EnhanceResnet.

    Arguments
    ---------
    network : nn.Module
        Waveforms to waveforms, or to a tuple that begins with them.
    parts, time_dim
        As of `TappedEnhancer`.
    channel_dim : int or None
        Where the network wants a dimension of size 1 for the channel: 2 for
        `[B, samples, 1]` (SEGAN, FCN), None for `[B, samples]` (EnhanceResnet).
    multiple : int
        The network takes multiples of so many samples: 2048 for SEGAN's eleven
        strides of 2. The clip is filled up with zeros, and the output cut.
    margin : int
        Zeros to add to the clip's end besides, where the network returns fewer
        samples than it takes (EnhanceResnet: its hop length).

    Example
    -------
    >>> from speechbrain.lobes.models.segan_model import Generator
    >>> generator = Generator(kernel_size=31, latent_vae=False, z_prob=False)
    >>> parts = [f"EncodeLayers.{i}" for i in range(11)]
    >>> enhancer = WaveformEnhancer(generator, parts, 2, channel_dim=2, multiple=2048)
    >>> enhancer(torch.randn(2, 3000)).shape
    torch.Size([2, 3000])
    >>> list(enhancer.encoder(torch.randn(2, 3000))[-1].shape)
    [2, 2, 1024]
    """

    def __init__(
        self,
        network: nn.Module,
        parts: Sequence[str],
        time_dim: int | Sequence[int] = 1,
        channel_dim: int | None = None,
        multiple: int = 1,
        margin: int = 0,
    ):
        super().__init__(network, parts, time_dim)
        self.channel_dim = channel_dim
        self.multiple = multiple
        self.margin = margin

    def forward(self, noisy: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return enhanced `[B, samples]`, aligned with noisy `[B, samples]`."""
        batch, samples = noisy.shape
        padded = samples + self.margin
        noisy = F.pad(noisy, (0, self.margin + -padded % self.multiple))
        if self.channel_dim is not None:
            noisy = noisy.unsqueeze(self.channel_dim)
        enhanced = self.network(noisy)
        enhanced = enhanced if isinstance(enhanced, Tensor) else enhanced[0]
        return fit_length(enhanced.reshape(batch, -1), samples)


class LearnedBasisEnhancer(TappedEnhancer):
    """Encoder, mask network and decoder: Conv-TasNet, DPRNN, SepFormer.

    All three use `dual_path.Encoder` and `Decoder` in SpeechBrain's recipes. Where the
    decoder returns fewer samples than the clip has, zeros follow, as there.

    Arguments
    ---------
    encoder : nn.Module
        Waveforms `[B, samples]` to a learned representation.
    masknet : nn.Module
        That to masks with the sources on dim 0 (one source for enhancement).
    decoder : nn.Module
        The masked representation to waveforms.
    parts, time_dim
        As of `TappedEnhancer`; the names begin with `encoder` or `masknet`.

    Example
    -------
    >>> from speechbrain.lobes.models import dual_path
    >>> block = lambda: dual_path.SBRNNBlock(16, 16, 1, "LSTM", bidirectional=True)
    >>> enhancer = LearnedBasisEnhancer(
    ...     dual_path.Encoder(16, 32),
    ...     dual_path.Dual_Path_Model(32, 16, block(), block(), K=20, num_spks=1),
    ...     dual_path.Decoder(in_channels=32, out_channels=1, kernel_size=16, stride=8),
    ...     parts=["encoder", "masknet.norm", "masknet.conv1d", "masknet.dual_mdl.0"],
    ...     time_dim=[2, 2, 2, 3],
    ... )
    >>> enhancer(torch.randn(2, 8003)).shape
    torch.Size([2, 8003])
    """

    def __init__(
        self,
        encoder: nn.Module,
        masknet: nn.Module,
        decoder: nn.Module,
        parts: Sequence[str],
        time_dim: int | Sequence[int] = 1,
    ):
        network = nn.ModuleDict(
            {"encoder": encoder, "masknet": masknet, "decoder": decoder}
        )
        super().__init__(network, parts, time_dim)

    def forward(self, noisy: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return enhanced `[B, samples]`, aligned with noisy `[B, samples]`."""
        batch, samples = noisy.shape
        encoded = self.network["encoder"](noisy)
        masks = self.network["masknet"](encoded)
        enhanced = self.network["decoder"](encoded * masks[0])
        # The decoder drops the batch's dimension where it is 1.
        return fit_length(enhanced.reshape(batch, -1), samples)
