"""L_df, the loss DeepFilterNet2 is trained with.

Magnitude and complex spectral loss on the model's own spectrum, the same at three
resolutions, and a loss on the local SNR that the model estimates (Schroeter et al.,
IWAENC 2022, section 2.4; factors of the public configuration). All spectra are
compressed with an exponent, `Y |Y|^(gamma - 1)`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.lengths import length_mask, mean_over_clips, sample_counts

SILENCE = 1e-12  # magnitudes below it count as it (the package's floor)
SNR_RANGE_DB = (-16.0, 36.0)  # the target's clamp: the model's range and 1 dB beyond


class DeepFilterNetLoss(nn.Module):
    """Spectral, multi-resolution and local-SNR loss of DeepFilterNet2.

    Arguments
    ---------
    front_end : nn.Module
        Gives the spectrum of the first term: `analysis(waveforms)`, complex
        `[B, T, F]`, and `frames(samples)`; `hop_length` and `n_fft` in samples and
        `sample_rate` in Hz. DeepFilterNet2's is `encoder.front_end`.
    gamma : float
        Exponent of the compression.
    spectral : pair of float
        Factors of the spectral loss: of the magnitudes, of the complex spectra.
    multi_resolution : pair of float
        Factors of the multi-resolution loss, likewise.
    n_ffts : sequence of int
        FFT sizes of the multi-resolution loss, in samples.
    local_snr : float
        Factor of the local-SNR loss, which needs the model's estimate.

    Example
    -------
    >>> from speechbrain_mal.models import DeepFilterNet2
    >>> model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    >>> loss = DeepFilterNetLoss(model.encoder.front_end)
    >>> clean = torch.randn(2, 16000)
    >>> loss(clean, clean).item()
    0.0
    """

    inputs = ("noisy", "local_snr")  # what it takes besides, where it is there

    def __init__(
        self,
        front_end: nn.Module,
        gamma: float = 0.3,
        spectral: Sequence[float] = (1000.0, 1000.0),
        multi_resolution: Sequence[float] = (500.0, 500.0),
        n_ffts: Sequence[int] = (256, 512, 1024),
        local_snr: float = 1e-3,
    ):
        super().__init__()
        self.front_end = front_end
        self.gamma = gamma
        self.spectral = tuple(spectral)
        self.multi_resolution = tuple(multi_resolution)
        self.n_ffts = tuple(n_ffts)
        self.local_snr = local_snr

    def forward(
        self,
        enhanced: Tensor,
        clean: Tensor,
        lengths: Tensor | None = None,
        noisy: Tensor | None = None,
        local_snr: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a scalar.

        Arguments
        ---------
        enhanced, clean : Tensor
            `[B, samples]`.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`.
        noisy : Tensor, optional
            `[B, samples]`; needed for the local-SNR loss.
        local_snr : Tensor, optional
            The model's estimate in dB, `[B, T]`; without it that loss is left out.
        """
        counts = sample_counts(clean, lengths)
        mask = length_mask(counts, clean.shape[1])
        with torch.autocast(clean.device.type, enabled=False):
            enhanced, clean = enhanced.float() * mask, clean.float() * mask
            frames = self.front_end.frames(counts)
            loss = self._distance(
                self.front_end.analysis(enhanced),
                self.front_end.analysis(clean),
                frames,
                self.spectral,
            )
            # The package takes these spectra of what its inverse STFT returns, which is
            # the waveform times n_fft ** -0.5; under the exponent that is a factor.
            scale = self.front_end.n_fft**-0.5
            for n_fft in self.n_ffts:
                loss = loss + self._distance(
                    _hann_stft(scale * enhanced, n_fft),
                    _hann_stft(scale * clean, n_fft),
                    counts // (n_fft // 4) + 1,
                    self.multi_resolution,
                )
            if noisy is not None and local_snr is not None:
                target = self.local_snr_target(clean, noisy.float() * mask - clean)
                error = (local_snr.float() - target).square()
                loss = loss + self.local_snr * mean_over_clips(error, frames)
        return loss

    def _distance(
        self,
        estimate: Tensor,
        target: Tensor,
        frames: Tensor,
        factors: tuple[float, float],
    ) -> Tensor:
        """Compressed magnitude and complex distance of two spectra `[B, T, F]`."""
        estimate, estimate_magnitude = self._compress(estimate)
        target, target_magnitude = self._compress(target)
        # The package averages the complex error over real and imaginary parts.
        error = factors[0] * (estimate_magnitude - target_magnitude).square()
        error = error + factors[1] / 2 * (estimate - target).square().sum(-1)
        return mean_over_clips(error, frames)

    def _compress(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Return `Y |Y|^(gamma-1)` as `[B, T, F, 2]` and `|Y|^gamma` as `[B, T, F]`."""
        spectrum = torch.view_as_real(spectrum)
        real, imaginary = spectrum.unbind(-1)  # faster than a sum over the last axis
        power = (real * real + imaginary * imaginary).clamp_min(SILENCE**2)
        log_power = power.log()  # two exponentials cost less than a power does
        magnitude = (log_power * (self.gamma / 2)).exp()
        scale = (log_power * ((self.gamma - 1) / 2)).exp()
        return spectrum * scale[..., None], magnitude

    @torch.no_grad()
    def local_snr_target(self, clean: Tensor, noise: Tensor) -> Tensor:
        """Local SNR in dB, `[B, T]`, of clean and noise `[B, samples]`.

        The package's `LocalSnrTarget`: energies under Hann windows of 20 ms for the
        speech and twice the frames for the noise, clamped to the model's range and
        1 dB beyond.
        """
        hop_ms = 1000 * self.front_end.hop_length / self.front_end.sample_rate
        frame_ms = 1000 * self.front_end.n_fft / self.front_end.sample_rate
        window = max(round(1 + (20 - frame_ms) / hop_ms), 1)
        speech_energy = self._local_energy(clean, window)
        noise_energy = self._local_energy(noise, 2 * window)
        snr = speech_energy / noise_energy.clamp_min(SILENCE)
        return (10 * snr.clamp_min(SILENCE).log10()).clamp(*SNR_RANGE_DB)

    def _local_energy(self, waveforms: Tensor, window: int) -> Tensor:
        window += 1 - window % 2
        spectrum = torch.view_as_real(self.front_end.analysis(waveforms))
        energy = F.pad(spectrum.square().sum((-1, -2)), (window // 2, window // 2))
        weights = torch.hann_window(window, device=energy.device) / window
        return energy.unfold(-1, window, 1) @ weights


def _hann_stft(waveforms: Tensor, n_fft: int) -> Tensor:
    """Orthonormal STFT with a Hann window, `[B, T, F]`, zeros around the clip."""
    spectrum = torch.stft(
        waveforms,
        n_fft,
        n_fft // 4,
        window=torch.hann_window(n_fft, device=waveforms.device),
        pad_mode="constant",
        normalized=True,
        return_complex=True,
    )
    return spectrum.transpose(1, 2)
