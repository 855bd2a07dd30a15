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

from speechbrain_mal.kernels import fused
from speechbrain_mal.lengths import mean_over_clips, sample_counts, silence_padding
from speechbrain_mal.spectrum import short_time_spectrum

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
    spectral, multi_resolution : pair of float
        Factors of either loss: of the magnitudes, of the complex spectra.
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
        # The package takes the spectra of several resolutions of what its inverse STFT
        # returns, which is the waveform times n_fft ** -0.5; theirs are orthonormal.
        for n_fft in self.n_ffts:
            window = torch.hann_window(n_fft) * (n_fft * front_end.n_fft) ** -0.5
            self.register_buffer(f"window_{n_fft}", window, persistent=False)
        hop_ms = 1000 * front_end.hop_length / front_end.sample_rate
        frame_ms = 1000 * front_end.n_fft / front_end.sample_rate
        span = max(round(1 + (20 - frame_ms) / hop_ms), 1)
        for name, frames in (("speech_window", span), ("noise_window", 2 * span)):
            frames += 1 - frames % 2
            window = torch.hann_window(frames) / frames
            self.register_buffer(name, window, persistent=False)

    def forward(
        self,
        enhanced: Tensor,
        clean: Tensor,
        lengths: Tensor | None = None,
        noisy: Tensor | None = None,
        local_snr: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a scalar; arguments as of every loss.

        The local-SNR term takes `noisy`, `[B, samples]`, and the model's estimate in
        dB, `[B, T]`, and is left out without them.
        """
        counts = None if lengths is None else sample_counts(clean, lengths)
        frames = None if lengths is None else self.front_end.frames(counts)
        with torch.autocast(clean.device.type, enabled=False):
            enhanced, clean = enhanced.float(), clean.float()
            noise = clean if noisy is None else noisy - clean
            enhanced, clean, noise = silence_padding(lengths, enhanced, clean, noise)
            spectrum = self.front_end.analysis(clean)
            estimate = self.front_end.analysis(enhanced)
            loss = self._distance(estimate, spectrum, frames, self.spectral)
            for n_fft in self.n_ffts:
                spectra = (self._stft(x, n_fft) for x in (enhanced, clean))
                steps = None if lengths is None else counts // (n_fft // 4) + 1
                loss = loss + self._distance(*spectra, steps, self.multi_resolution)
            if noisy is not None and local_snr is not None:
                target = self.local_snr_target(spectrum, self.front_end.analysis(noise))
                error = (local_snr.float() - target).square()
                loss = loss + self.local_snr * mean_over_clips(error, frames)
        return loss

    def _stft(self, waveforms: Tensor, n_fft: int) -> Tensor:
        """Return the spectrum at a resolution, `[B, T, F]`, zeros around the clip."""
        waveforms = F.pad(waveforms, (n_fft // 2, n_fft // 2))
        window = getattr(self, f"window_{n_fft}")
        return short_time_spectrum(waveforms, window, n_fft // 4)

    def _distance(
        self,
        estimate: Tensor,
        target: Tensor,
        frames: Tensor | None,
        factors: tuple[float, float],
    ) -> Tensor:
        """Compressed magnitude and complex distance of two spectra `[B, T, F]`."""
        estimate, target = torch.view_as_real(estimate), torch.view_as_real(target)
        if kernels := fused("distance", estimate):
            distances = kernels.compressed_distance(
                estimate, target, self.gamma, factors, SILENCE
            )
            return mean_over_clips(distances, frames)
        estimate, estimate_magnitude = self._compress(estimate)
        target, target_magnitude = self._compress(target)
        # The package averages the complex error over real and imaginary parts.
        error = factors[0] * (estimate_magnitude - target_magnitude).square()
        error = error + factors[1] / 2 * (estimate - target).square().sum(-1)
        return mean_over_clips(error, frames)

    def _compress(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Return `Y |Y|^(gamma-1)`, of `[B, T, F, 2]`, and `|Y|^gamma`, `[B, T, F]`."""
        real, imaginary = spectrum.unbind(-1)  # faster than a sum over the last axis
        power = (real * real + imaginary * imaginary).clamp_min(SILENCE**2)
        log_power = power.log()  # two exponentials cost less than a power does
        magnitude = (log_power * (self.gamma / 2)).exp()
        scale = (log_power * ((self.gamma - 1) / 2)).exp()
        return spectrum * scale[..., None], magnitude

    @torch.no_grad()
    def local_snr_target(self, clean: Tensor, noise: Tensor) -> Tensor:
        """Local SNR in dB, `[B, T]`, of the spectra of clean and noise `[B, T, F]`.

        The package's `LocalSnrTarget`: energies under Hann windows of 20 ms for the
        speech and twice the frames for the noise, clamped to the model's range and
        1 dB beyond.
        """
        speech_energy = _local_energy(clean, self.speech_window)
        noise_energy = _local_energy(noise, self.noise_window)
        snr = speech_energy / noise_energy.clamp_min(SILENCE)
        return (10 * snr.clamp_min(SILENCE).log10()).clamp(*SNR_RANGE_DB)


def _local_energy(spectrum: Tensor, window: Tensor) -> Tensor:
    """Return the energy under a window of frames around each, `[B, T]`."""
    real, imaginary = torch.view_as_real(spectrum).unbind(-1)
    around = len(window) // 2
    energy = F.pad((real * real + imaginary * imaginary).sum(-1), (around, around))
    return energy.unfold(-1, len(window), 1) @ window
