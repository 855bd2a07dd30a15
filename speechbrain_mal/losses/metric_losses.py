"""Differentiable forms of PESQ, STOI and SNR as terms of the loss.

A model that is trained on a score is no longer judged by it: keep others for that.
"""

import math
import warnings

import torch
from torch import Tensor, nn

from speechbrain_mal.extras import require
from speechbrain_mal.lengths import clips_by_length
from speechbrain_mal.spectrum import power, short_time_spectrum

SHORTEST = 0.5  # seconds; both measures need some twenty frames
SILENCE = 1e-4  # RMS, full scale is 1: neither measure is defined for silence


class _ClipLoss(nn.Module):
    """Mean over clips of a `distance` of two waveforms, each without its padding."""

    def __init__(self, sample_rate: int):
        super().__init__()
        self.sample_rate = sample_rate

    def forward(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar; arguments as of every loss.

        Clips under 0.5 s, or silent ones, do not count; without any other it is 0.
        Clips of one length are computed together.
        """
        with torch.autocast(clean.device.type, enabled=False):
            enhanced, clean = enhanced.float(), clean.float()
            parts = [
                self._of_one_length(enhanced[clips, :count], clean[clips, :count])
                for count, clips in clips_by_length(clean, lengths).items()
                if count >= SHORTEST * self.sample_rate
            ]
        if not parts:
            return 0.0 * torch.where(enhanced.isfinite(), enhanced, 0.0).sum()
        values, audible = map(torch.cat, zip(*parts, strict=True))
        return torch.where(audible, values, 0.0).sum() / audible.sum().clamp_min(1)

    def _of_one_length(self, enhanced: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Return each clip's loss, and whether it counts, `[B]` both."""
        with torch.no_grad():
            levels = torch.minimum(enhanced.square().mean(1), clean.square().mean(1))
            audible = levels > SILENCE**2
            # Something else in the place of silence, whose gradient may be NaN.
            time = torch.arange(clean.shape[1], device=clean.device)
            tone = 0.1 * torch.sin(2 * math.pi * 440 / self.sample_rate * time)
        pair = (torch.where(audible[:, None], x, tone) for x in (enhanced, clean))
        return self.distance(*pair), audible


class PESQLoss(_ClipLoss):
    """Disturbance that wideband PESQ hears, `0.1 d_symm + 0.0309 d_asymm`.

    ITU-T P.862 without its alignment in time: 4.5 minus it is the raw score. It does
    not hear what P.862 equalizes: level, and slow filtering. Alone it makes a model
    filter the speech; beside a spectral loss it is a good term.

    J. M. Martin-Doñas et al., "A deep learning loss function based on the perceptual
    evaluation of the speech quality", IEEE Signal Processing Letters, 2018; package
    `torch-pesq`, in the extra `perceptual`: ImportError without it.

    Arguments
    ---------
    sample_rate : int
        Rate of the waveforms in Hz; they are resampled to 16 kHz.

    Example
    -------
    >>> loss = PESQLoss(16000)
    >>> clean = torch.randn(2, 16000)
    >>> near, far = clean + 0.01 * torch.randn(2, 16000), torch.randn(2, 16000)
    >>> bool(loss(near, clean) < loss(far, clean))
    True
    """

    def __init__(self, sample_rate: int = 16000):
        super().__init__(sample_rate)
        measure = require("torch_pesq", "perceptual").PesqLoss
        self.measure = measure(1.0, sample_rate=sample_rate).float()  # some is float64
        # The package's gradient is NaN in digital silence, and where nothing differs.
        self.measure.to_spec = _PowerSpectrogram()
        self.measure.fbank = _FlooredBands(self.measure.fbank)

    def distance(self, enhanced: Tensor, clean: Tensor) -> Tensor:
        """Return the disturbance of every clip, `[B]`, from `[B, samples]`."""
        return self.measure(clean, enhanced)


class STOILoss(_ClipLoss):
    """One minus the (extended) short-time objective intelligibility.

    J. Jensen, C. H. Taal, "An algorithm for predicting the intelligibility of speech
    masked by modulated noise maskers", IEEE/ACM TASLP, 2016; package `torch_stoi`. Its
    detector of silent frames is not used, as it costs more than all else: pauses count.
    In the extra `perceptual`: ImportError without it.

    Arguments
    ---------
    sample_rate : int
        Rate of the waveforms in Hz; they are resampled to 10 kHz.
    extended : bool
        ESTOI, or STOI.

    Example
    -------
    >>> loss = STOILoss(16000)
    >>> clean = torch.randn(2, 16000)
    >>> round(loss(clean, clean).item(), 3)
    0.0
    """

    def __init__(self, sample_rate: int = 16000, extended: bool = True):
        super().__init__(sample_rate)
        measure = require("torch_stoi", "perceptual").NegSTOILoss
        with warnings.catch_warnings():  # of its resampling method's old name
            warnings.simplefilter("ignore")
            self.measure = measure(sample_rate, use_vad=False, extended=extended)

    def distance(self, enhanced: Tensor, clean: Tensor) -> Tensor:
        """Return 1 - STOI of every clip, `[B]`, from `[B, samples]`."""
        return 1 + self.measure(enhanced, clean)


class SNRLoss(_ClipLoss):
    """Negative SNR in dB up to a threshold, `10 log10(|e - c|^2 / |c|^2 + tau)`.

    It hears gain and slow filtering, which PESQ and ESTOI do not. Clips beyond the
    threshold, `-10 log10(tau)`, hardly count (S. Wisdom et al., "Unsupervised sound
    separation using mixture invariant training", NeurIPS 2020).

    Arguments
    ---------
    sample_rate, threshold_db
        Rate of the waveforms in Hz, int, and the threshold in dB, float.

    Example
    -------
    >>> clean = torch.ones(1, 8000)
    >>> round(SNRLoss(16000, threshold_db=30)(0.9 * clean, clean).item(), 2)
    -19.59
    """

    def __init__(self, sample_rate: int = 16000, threshold_db: float = 30.0):
        super().__init__(sample_rate)
        self.tau = 10 ** (-threshold_db / 10)

    def distance(self, enhanced: Tensor, clean: Tensor) -> Tensor:
        """Return the loss of every clip, `[B]`, from `[B, samples]`."""
        error = (enhanced - clean).square().sum(1) / clean.square().sum(1)
        return 10 * (error + self.tau).log10()


class _PowerSpectrogram(nn.Module):
    """torch-pesq's spectrogram, from squares: |z| has no gradient near 0."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(512), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        return power(short_time_spectrum(waveforms, self.window, 256)).mT


class _FlooredBands(nn.Module):
    """torch-pesq's Bark bands, with a disturbance whose sixth power is not 0."""

    def __init__(self, bands: nn.Module):
        super().__init__()
        self.bands = bands

    def forward(self, power: Tensor) -> Tensor:
        return self.bands(power)

    def weighted_norm(self, disturbance: Tensor, p: float) -> Tensor:
        return self.bands.weighted_norm(disturbance, p=p).clamp(min=1e-3)
