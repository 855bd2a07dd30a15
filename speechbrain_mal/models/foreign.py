"""Networks trained elsewhere as encoders, for `DeepFeatureLoss`.

The perceptual metrics CDPAM and Distill-MOS bring their weights, so they work offline:
`pip install "speechbrain-mal[perceptual]"`. WavLM, wav2vec 2.0 and HuBERT, the paper's
rivals of the own encoder, need `"speechbrain-mal[ssl]"`.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.transforms import Resample

from speechbrain_mal.contracts import PlainEncoder
from speechbrain_mal.extras import require


class ForeignEncoder(PlainEncoder):
    """A network of its own rate, to which waveforms are resampled, differentiably."""

    network_rate = 16000  # Hz, also of every published WavLM, wav2vec 2.0 and HuBERT
    pretrained = True  # loaded by whoever made the network: not for checkpoints

    def __init__(self, network: nn.Module, sample_rate: int):
        super().__init__(network)
        self.sample_rate = sample_rate
        self.resample = Resample(sample_rate, self.network_rate)


class CDPAMEncoder(ForeignEncoder):
    """Features of CDPAM, a learned metric of perceptual similarity, at 22,050 Hz.

    P. Manocha, Z. Jin, R. Zhang, A. Finkelstein, "CDPAM: Contrastive learning for
    perceptual audio similarity", ICASSP 2021; package `cdpam`, an ImportError without
    it. A deep convolutional network on the waveform: as a loss it costs many times a
    small model's step.
    """

    network_rate = 22050  # Hz

    def __init__(self, sample_rate: int = 16000):
        cdpam = require("cdpam", "perceptual")
        base_encoder = require("cdpam.models", "perceptual").base_encoder
        # Pickled in a way that the safe loader does not know, inside the package: who
        # imports the package has trusted it already.
        name = "CDPAM_trained/scratchJNDdefault_best_model.pth"
        path = Path(cdpam.__file__).parent / name
        state = torch.load(path, "cpu", weights_only=False)["state"]
        prefix = "base_encoder."
        super().__init__(base_encoder(n_layers=16, nefilters=64), sample_rate)
        self.network.load_state_dict(
            {k.removeprefix(prefix): v for k, v in state.items() if prefix in k}
        )

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return features of `[B, samples]` in [-1, 1], shallow to deep.

        The four blocks of the network, `[B, T, C]`, then what CDPAM itself compares:
        the acoustic half of a clip's embedding, of length 1, `[B, 1, 512]`: a clip's
        mean.
        """
        hidden = 32768 * self.resample(waveforms)[:, None]  # 16-bit scale
        features = []
        layers = zip(self.network.encoder, self.network.ebatch, strict=True)
        for number, (convolution, norm) in enumerate(layers, start=1):
            hidden = F.leaky_relu(norm(convolution(hidden)), 0.1)
            if number % 4 == 0:
                hidden = hidden[..., ::2]
                features.append(hidden.transpose(1, 2))
        acoustic = hidden.mean(-1).chunk(2, dim=1)[0]
        return [*features, F.normalize(acoustic, dim=1)[:, None]]


class DistillMOSEncoder(ForeignEncoder):
    """Features of Distill-MOS, a small predictor of mean opinion scores, at 16 kHz.

    B. Stahl, H. Gamper, "Distillation and pruning for scalable self-supervised
    representation-based speech quality assessment", ICASSP 2025; package `distillmos`,
    an ImportError without it. Its convolutional layers; a clip is scaled to a peak of 1
    first, as there, so they don't hear its level.
    """

    def __init__(self, sample_rate: int = 16000):
        network = require("distillmos", "perceptual").ConvTransformerSQAModel().cnn
        # Faster on a CPU with the channels innermost: benchmarks/loss_cost.py.
        super().__init__(network.cnn.to(memory_format=torch.channels_last), sample_rate)
        self.win_length, self.hop_length = network.win_length, network.hop_length
        self.register_buffer("window", torch.hann_window(self.win_length))

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return the six layers' features, `[B, T, C, F]`, shallow to deep."""
        waveforms = self.resample(waveforms)
        peak = waveforms.abs().amax(dim=1, keepdim=True)
        hidden = self._compressed_spectrum(waveforms / (peak + 1e-8))
        features = []
        for layer in self.network:
            hidden = layer(hidden)
            if not isinstance(layer, nn.Conv2d):  # after the activation
                features.append(hidden.permute(0, 3, 1, 2))
        return features

    def _compressed_spectrum(self, waveforms: Tensor) -> Tensor:
        """Return the spectrum with magnitudes to the power of 0.3, `[B, 2, F, T]`.

        The package's own has no gradient (NaN) where the spectrum is 0, which is every
        frame of digital silence; this one has none (0) there.
        """
        margin = (self.win_length - self.hop_length) // 2
        spectrum = torch.stft(
            F.pad(waveforms, (margin, margin), mode="reflect"),
            self.win_length,
            self.hop_length,
            window=self.window,
            center=False,
            return_complex=True,
        )
        parts = torch.view_as_real(spectrum)
        power = parts.square().sum(-1, keepdim=True).clamp_min(1e-24)
        return (parts * power**-0.35).permute(0, 3, 1, 2)


class SelfSupervisedEncoder(ForeignEncoder):
    """Features of a self-supervised speech model, at 16 kHz.

    The deepest of the convolutional layers is the paper's choice for WavLM-Base-Plus;
    the transformer is then not computed at all.

    Arguments
    ---------
    network : nn.Module
        SpeechBrain's `speechbrain.integrations.huggingface` `wavlm.WavLM`,
        `wav2vec2.Wav2Vec2` or `hubert.HuBERT`, from a folder or the hub;
        a ValueError where it is no such model.
    sample_rate : int
        Of the waveforms, in Hz.
    transformer : bool
        Add the hidden states of the transformer to the convolutional layers.

    Example
    -------
    >>> def wavlm_loss(source, savedir):
    ...     from speechbrain.integrations.huggingface.wavlm import WavLM
    ...     from speechbrain_mal import DeepFeatureLoss
    ...     network = WavLM(source, savedir, freeze=True)
    ...     return DeepFeatureLoss(SelfSupervisedEncoder(network, sample_rate=48000))
    """

    def __init__(
        self, network: nn.Module, sample_rate: int = 16000, transformer: bool = False
    ):
        super().__init__(network, sample_rate)
        model = getattr(network, "model", None)
        if not hasattr(getattr(model, "feature_extractor", None), "conv_layers"):
            raise ValueError(
                f"network is a {type(network).__name__}, and has no convolutional "
                "feature extractor: give it SpeechBrain's WavLM, Wav2Vec2 or HuBERT."
            )
        self.network, self.normalize = model, network.normalize_wav
        self.transformer = transformer

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return every layer's features, `[B, T, C]`, shallow to deep."""
        waveforms = self.resample(waveforms)
        if self.normalize:
            waveforms = F.layer_norm(waveforms, waveforms.shape[1:])
        features, hidden = [], waveforms[:, None]
        for layer in self.network.feature_extractor.conv_layers:
            hidden = layer(hidden)
            features.append(hidden.transpose(1, 2))
        if self.transformer:
            features += self.network(waveforms, output_hidden_states=True).hidden_states
        return features
