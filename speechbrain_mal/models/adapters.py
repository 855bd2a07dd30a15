"""SpeechBrain's own enhancement models as enhancers with an encoder.

The computation around each network is that of SpeechBrain's recipes; what differs is
that every output has its input's length, is aligned to the sample, and is not scaled.
Encoders are the networks' first layers, and share their weights.
"""

from collections.abc import Sequence
from functools import partial

import torch
from speechbrain.lobes.models import dual_path
from speechbrain.lobes.models.transformer.Transformer import (
    TransformerEncoder,
    get_lookahead_mask,
)
from speechbrain.nnet import RNN
from speechbrain.processing.features import ISTFT, STFT, spectral_magnitude
from speechbrain.processing.signal_processing import resynthesize
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.contracts import Enhancer, Features
from speechbrain_mal.lengths import sample_counts
from speechbrain_mal.models.layer_encoder import LayerEncoder, first, named_layers

_PACKED = (RNN.RNN, RNN.LSTM, RNN.GRU)  # they take lengths, and never see padding


class LogMagnitude(nn.Module):
    """`log1p(|STFT|)`, `[B, T, F]`, as SpeechBrain's enhancement recipes have it."""

    def __init__(self, stft: nn.Module):
        super().__init__()
        self.stft = stft

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return the features of `[B, samples]`."""
        return torch.log1p(spectral_magnitude(self.stft(waveforms), power=0.5))


class CausalLayer(nn.Module):
    """Attention layers that see the past alone, as a causal CNNTransformerSE's do."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, C]` to as much."""
        return first(self.layer(x, src_mask=get_lookahead_mask(x)))


class SpectralMaskEncoder(LayerEncoder):
    """The first layers of a network on log magnitudes.

    Padded clips go through recurrent layers in one pass, through others one length at a
    time.
    """

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Features:
        """Return the features, see `Encoder`."""
        if lengths is None or not all(isinstance(x, _PACKED) for x in self.layers):
            return super().forward(waveforms, lengths)
        x, stages = self.front(waveforms), []
        frames = sample_counts(waveforms, lengths) // self.front.stft.hop_length + 1
        for layer in self.layers:
            # Half a frame more: SpeechBrain cuts the product with T to a whole number.
            x = first(layer(x, lengths=(frames + 0.5) / x.shape[1]))
            stages.append(x)
        return Features(stages, [frames] * len(stages))


class SpectralMaskEnhancer(Enhancer):
    """A network that masks log magnitudes: CNNTransformerSE, 2D-FCN, BLSTM, MetricGAN.

    `expm1(mask * log1p(|STFT|))` with the noisy phase, as in SpeechBrain's
    VoiceBank/enhance/spectral_mask and MetricGAN.

    Arguments
    ---------
    network : nn.Module
        Log magnitudes `[B, T, F]` to a mask of as many values.
    layers : sequence of str
        Names of the network's first layers, up to the bottleneck: the encoder.
    sample_rate, n_fft : int
        In Hz, and in samples.
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
    >>> [list(x.shape) for x in enhancer.encoder(torch.randn(2, 16000)).stages]
    [[2, 63, 64], [2, 63, 64]]
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        sample_rate: int = 16000,
        n_fft: int = 512,
        win_length: float = 32,
        hop_length: float = 16,
        min_mask: float = 0.0,
        takes_lengths: bool = False,
    ):
        super().__init__()
        named_layers(network, layers)  # or an error, here and not in training
        self.network, self.layers = network, tuple(layers)
        frames = {"win_length": win_length, "hop_length": hop_length, "n_fft": n_fft}
        self.stft = STFT(sample_rate, **frames)
        self.istft = ISTFT(sample_rate, **frames)
        self.sample_rate = sample_rate
        self.min_mask = min_mask
        self.takes_lengths = takes_lengths

    @property
    def encoder(self) -> SpectralMaskEncoder:
        """The network's first layers."""
        layers = named_layers(self.network, self.layers)
        if getattr(self.network, "causal", False):
            attention = TransformerEncoder
            layers = [CausalLayer(x) if isinstance(x, attention) else x for x in layers]
        return SpectralMaskEncoder(layers, front=LogMagnitude(self.stft))

    def enhance(
        self, noisy: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return enhanced `[B, samples]`."""
        features, further = LogMagnitude(self.stft)(noisy), ()
        if self.takes_lengths:
            further = (noisy.new_ones(len(noisy)) if lengths is None else lengths,)
        mask = self.network(features, *further)
        mask = mask.reshape(features.shape).clamp(min=self.min_mask)
        magnitude = torch.expm1(mask * features)
        enhanced = resynthesize(
            magnitude, noisy, self.stft, self.istft, normalize_wavs=False
        )
        return enhanced, {}


class Framing(nn.Module):
    """Clips filled up with zeros, and with a channel on a dimension, if there is one.

    Their length, `margin` samples besides, becomes a multiple of `multiple`.
    """

    def __init__(
        self, channel_dim: int | None = None, multiple: int = 1, margin: int = 0
    ):
        super().__init__()
        self.channel_dim, self.multiple, self.margin = channel_dim, multiple, margin

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return the framed clips of `[B, samples]`."""
        padded = waveforms.shape[1] + self.margin
        waveforms = F.pad(waveforms, (0, self.margin + -padded % self.multiple))
        if self.channel_dim is None:
            return waveforms
        return waveforms.unsqueeze(self.channel_dim)


class WaveformEnhancer(Enhancer):
    """A network from waveform to waveform, such as the FCN of waveform_map.

    Arguments
    ---------
    network : nn.Module
        Waveforms to waveforms, or to a tuple that begins with them.
    layers : sequence of str
        Names of the network's first layers, up to the bottleneck: the encoder.
    time_dim : int
        Which dimension of the layers' outputs is time.
    channel_dim : int or None
        Where the network takes a channel: 2 for `[B, samples, 1]`; None for none.
    multiple, margin : int
        It takes multiples of so many samples, and so many more zeros at the end.

    Example
    -------
    >>> network = nn.Sequential(nn.Conv1d(1, 4, 9, padding=4), nn.Conv1d(4, 1, 1))
    >>> enhancer = WaveformEnhancer(network, ["0"], time_dim=2, channel_dim=1)
    >>> enhancer(torch.randn(2, 3000)).shape
    torch.Size([2, 3000])
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        time_dim: int = 1,
        channel_dim: int | None = None,
        multiple: int = 1,
        margin: int = 0,
    ):
        super().__init__()
        named_layers(network, layers)
        self.network, self.layers, self.time_dim = network, tuple(layers), time_dim
        self.front = Framing(channel_dim, multiple, margin)

    @property
    def encoder(self) -> LayerEncoder:
        """The network's first layers."""
        layers = named_layers(self.network, self.layers)
        return LayerEncoder(layers, self.time_dim, self.front)

    def enhance(
        self, noisy: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return enhanced `[B, samples]`."""
        return fit_length(first(self.network(self.front(noisy))), noisy), {}


class SEGANEnhancer(WaveformEnhancer):
    """SEGAN's generator, of SpeechBrain's `segan_model`.

    Its encoder is the strided convolutions, `EncodeLayers`.

    Example
    -------
    >>> from speechbrain.lobes.models.segan_model import Generator
    >>> generator = Generator(kernel_size=31, latent_vae=False, z_prob=False)
    >>> enhancer = SEGANEnhancer(generator)
    >>> list(enhancer.encoder(torch.randn(2, 3000)).stages[-1].shape)
    [2, 2, 1024]
    """

    def __init__(self, network: nn.Module):
        names = [f"EncodeLayers.{i}" for i in range(len(network.EncodeLayers))]
        multiple = 2 ** len(names)  # of strides of 2
        super().__init__(network, names, 2, channel_dim=2, multiple=multiple)

    @property
    def encoder(self) -> LayerEncoder:
        """The strided convolutions."""
        layers = named_layers(self.network, self.layers)
        front = Framing(1, self.front.multiple)
        activation = partial(F.leaky_relu, negative_slope=0.3)
        before = dict.fromkeys(range(1, len(layers)), activation)
        return LayerEncoder(layers, 2, front, before)


class EnhanceResnetEnhancer(WaveformEnhancer):
    """SpeechBrain's `EnhanceResnet`: its encoder is the convolutions, `CNN`.

    Example
    -------
    >>> from speechbrain.lobes.models.EnhanceResnet import EnhanceResnet
    >>> enhancer = EnhanceResnetEnhancer(EnhanceResnet(channel_counts=[8, 8]))
    >>> enhancer(torch.randn(2, 3000)).shape
    torch.Size([2, 3000])
    """

    def __init__(self, network: nn.Module):
        # The network drops what begins a last frame.
        super().__init__(network, ["CNN"], margin=network.stft.hop_length)

    @property
    def encoder(self) -> LayerEncoder:
        """The convolutions."""
        front = nn.Sequential(self.front, LogMagnitude(self.network.stft))
        return LayerEncoder([self.network.CNN], 1, front)


class LearnedBasisEnhancer(Enhancer):
    """Encoder, mask network and decoder: Conv-TasNet, DPRNN, SepFormer.

    All three use `dual_path.Encoder` and `Decoder` in SpeechBrain's recipes, and
    `conv_tasnet.MaskNet` or `dual_path.Dual_Path_Model`, of one source. Where the
    decoder returns fewer samples than the clip has, zeros follow, as there. The encoder
    is the learned basis and the mask network up to what its blocks return; of a
    dual-path network the chunks are time.

    Example
    -------
    >>> block = lambda: dual_path.SBRNNBlock(16, 16, 1, "LSTM", bidirectional=True)
    >>> enhancer = LearnedBasisEnhancer(
    ...     dual_path.Encoder(16, 32),
    ...     dual_path.Dual_Path_Model(32, 16, block(), block(), K=20, num_spks=1),
    ...     dual_path.Decoder(in_channels=32, out_channels=1, kernel_size=16, stride=8),
    ... )
    >>> enhancer(torch.randn(2, 8003)).shape
    torch.Size([2, 8003])
    """

    def __init__(self, encoder: nn.Module, masknet: nn.Module, decoder: nn.Module):
        super().__init__()
        self.network = nn.ModuleDict(
            {"encoder": encoder, "masknet": masknet, "decoder": decoder}
        )

    @property
    def encoder(self) -> LayerEncoder:
        """The learned basis and the mask network's first layers."""
        basis, mask = self.network["encoder"], self.network["masknet"]
        if isinstance(mask, dual_path.Dual_Path_Model):
            if mask.use_global_pos_enc:
                raise ValueError("use_global_pos_enc: such a network has no encoder.")
            layers = [basis, mask.norm, mask.conv1d, *mask.dual_mdl]
            time_dims = [2, 2, 2] + [3] * mask.num_layers
            return LayerEncoder(layers, time_dims, before={3: partial(_chunks, mask)})
        convolutions = mask.temporal_conv_net
        layers = [basis, mask.layer_norm, mask.bottleneck_conv1x1, convolutions]
        return LayerEncoder(layers, [2, 1, 1, 1], before={1: _time_on_dim_1})

    def enhance(
        self, noisy: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return enhanced `[B, samples]`."""
        encoded = self.network["encoder"](noisy)
        masks = self.network["masknet"](encoded)
        return fit_length(self.network["decoder"](encoded * masks[0]), noisy), {}


def _chunks(masknet: nn.Module, x: Tensor) -> Tensor:
    """Return overlapping chunks `[B, N, K, chunks]` of `[B, N, T]`."""
    return masknet._Segmentation(x, masknet.K)[0]


def _time_on_dim_1(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


def fit_length(waveforms: Tensor, like: Tensor) -> Tensor:
    """Cut waveforms, or fill them up with zeros, to the shape `[B, samples]`."""
    # SpeechBrain's decoder drops the batch's dimension where it is 1.
    waveforms = waveforms.reshape(len(like), -1)
    return F.pad(waveforms, (0, like.shape[1] - waveforms.shape[1]))
