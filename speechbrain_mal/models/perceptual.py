"""Encoders of two perceptual metrics, CDPAM and Distill-MOS, for `DeepFeatureLoss`.

Both packages bring their weights, so they work offline: `pip install
"speechbrain-mal[perceptual]"`.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.transforms import Resample

from speechbrain_mal.contracts import PlainEncoder
from speechbrain_mal.extras import require


class CDPAMEncoder(PlainEncoder):
    """Features of CDPAM, a learned metric of perceptual similarity.

    P. Manocha, Z. Jin, R. Zhang, A. Finkelstein, "CDPAM: Contrastive learning for
    perceptual audio similarity", ICASSP 2021; package `cdpam`. A deep convolutional
    network on the waveform: as a loss it costs many times a small model's step.

    Arguments
    ---------
    sample_rate : int
        Rate of the waveforms in Hz; they are resampled to 22,050 Hz, differentiably.

    Raises
    ------
    ImportError
        Without the extra `perceptual`.
    """

    network_rate = 22050  # Hz
    pretrained = True

    def __init__(self, sample_rate: int = 16000):
        cdpam = require("cdpam", "perceptual")
        base_encoder = require("cdpam.models", "perceptual").base_encoder
        # Pickled in a way that the safe loader does not know, inside the package: who
        # imports the package has trusted it already.
        name = "CDPAM_trained/scratchJNDdefault_best_model.pth"
        path = Path(cdpam.__file__).parent / name
        state = torch.load(path, "cpu", weights_only=False)["state"]
        prefix = "base_encoder."
        super().__init__(base_encoder(n_layers=16, nefilters=64))
        self.network.load_state_dict(
            {k.removeprefix(prefix): v for k, v in state.items() if prefix in k}
        )
        self.sample_rate = sample_rate
        self.resample = Resample(sample_rate, self.network_rate)

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return features, shallow to deep.

        The four blocks of the network, `[B, T, C]`, then what CDPAM itself compares:
        the acoustic half of a clip's embedding, of length 1, `[B, 1, 512]`.

        Arguments
        ---------
        waveforms : Tensor
            `[B, samples]` in [-1, 1], without padding: the embedding is a clip's mean.
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


class DistillMOSEncoder(PlainEncoder):
    """Features of Distill-MOS, a small predictor of mean opinion scores.

    B. Stahl, H. Gamper, "Distillation and pruning for scalable self-supervised
    representation-based speech quality assessment", ICASSP 2025; package `distillmos`.
    Its convolutional layers; a clip is scaled to a peak of 1 first, as there, so they
    don't hear its level.

    Arguments
    ---------
    sample_rate : int
        Rate of the waveforms in Hz; they are resampled to 16 kHz, differentiably.

    Raises
    ------
    ImportError
        Without the extra `perceptual`.
    """

    network_rate = 16000  # Hz
    pretrained = True

    def __init__(self, sample_rate: int = 16000):
        network = require("distillmos", "perceptual").ConvTransformerSQAModel().cnn
        # Faster on a CPU with the channels innermost: benchmarks/loss_cost.py.
        super().__init__(network.cnn.to(memory_format=torch.channels_last))
        self.win_length, self.hop_length = network.win_length, network.hop_length
        self.register_buffer("window", torch.hann_window(self.win_length))
        self.sample_rate = sample_rate
        self.resample = Resample(sample_rate, self.network_rate)

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return the six layers' features, `[B, T, C, F]`, shallow to deep.

        Arguments
        ---------
        waveforms : Tensor
            `[B, samples]`, without padding: the level is that of a clip's peak.
        """
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
