"""Analysis, synthesis and input features of DeepFilterNet2, all differentiable.

The definitions are those of the public package (`deepfilternet` 0.5.6, `libDF`):
a Vorbis window for analysis and synthesis, a short-time Fourier transform in
streaming alignment, log power in ERB bands minus its running mean, and the lowest
bins divided by the root of their running mean magnitude. With `level_invariant` they
are those of the signal at the level of training, and without its offset.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.models.erb import erb_widths
from speechbrain_mal.models.level import OffsetRemoval, SignalLevel
from speechbrain_mal.models.running_mean import exponential_running_mean
from speechbrain_mal.spectrum import power, short_time_spectrum

ERB_NORM_INIT_DB = (-60.0, -90.0)  # libDF MEAN_NORM_INIT, first to last band
UNIT_NORM_INIT = (1e-3, 1e-4)  # libDF UNIT_NORM_INIT, first to last bin
LEVEL_FROM_HZ = 80.0  # the level is that of the bins above, where speech is


class FeatureState(NamedTuple):
    """What one block of frames leaves to the features of the next."""

    mean_db: Tensor  # running mean that started at zero, [B, bands]
    mean: Tensor  # likewise, [B, df_bins]
    fade: Tensor  # the initial means' weight in both, [B, 1]
    level: Tensor  # of `SignalLevel`, [B, 5]


def full_precision(method: Callable) -> Callable:
    """Turn autocast off in a method: decibels and phases need more than 8 bits."""

    @functools.wraps(method)
    def inner(self: nn.Module, signal: Tensor, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(signal.device.type, enabled=False):
            if not signal.is_complex():
                signal = signal.to(self.window.dtype)
            return method(self, signal, *args, **kwargs)

    return inner


class FrontEnd(nn.Module):
    """Waveform to spectrum and features, and spectrum back to a waveform.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    n_fft, hop_length : int
        FFT size, and frame shift, which divides it and is at most half of it, in
        samples.
    erb_bands, min_erb_bins : int
        Number of ERB bands, and least STFT bins of each.
    df_bins : int
        Lowest STFT bins that the complex feature takes.
    tau_seconds : float
        Time constant of the running means.
    level_invariant : bool
        Whether features are those of the signal at the level of training and without
        its constant offset, see `SignalLevel`; the public package has no such thing.

    Raises
    ------
    ValueError
        When `hop_length` does not divide `n_fft`, or the bins do not suffice.

    Example
    -------
    >>> front_end = FrontEnd(sample_rate=16000, n_fft=320, hop_length=160)
    >>> spectrum = front_end.analysis(torch.randn(2, 16000))
    >>> spectrum.shape
    torch.Size([2, 102, 161])
    >>> erb, low = front_end.features(spectrum)
    >>> erb.shape, low.shape
    (torch.Size([2, 102, 32]), torch.Size([2, 102, 96]))
    >>> front_end.synthesis(spectrum, 16000).shape
    torch.Size([2, 16000])
    """

    def __init__(
        self,
        sample_rate: int = 48000,
        n_fft: int = 960,
        hop_length: int = 480,
        erb_bands: int = 32,
        min_erb_bins: int = 2,
        df_bins: int = 96,
        tau_seconds: float = 1.0,
        level_invariant: bool = False,
    ):
        super().__init__()
        if n_fft % hop_length or n_fft < 2 * hop_length:
            raise ValueError(
                f"hop_length ({hop_length}) must divide n_fft ({n_fft}) and be at "
                "most half of it."
            )
        if df_bins > n_fft // 2 + 1:
            raise ValueError(
                f"df_bins is {df_bins}; an FFT of {n_fft} has {n_fft // 2 + 1} bins."
            )
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.overlap = n_fft - hop_length
        self.df_bins = df_bins
        self.level_invariant = level_invariant
        self.level = SignalLevel(sample_rate / hop_length)
        self.offset = OffsetRemoval(sample_rate / hop_length)
        self.level_from = math.ceil(LEVEL_FROM_HZ * n_fft / sample_rate)
        self.decay = _decay(hop_length / sample_rate / tau_seconds)
        widths = torch.tensor(erb_widths(sample_rate, n_fft, erb_bands, min_erb_bins))
        # Everything below follows from the arguments, so no checkpoint holds it.
        band = torch.repeat_interleave(torch.arange(erb_bands), widths)
        spread = F.one_hot(band, erb_bands).float()
        window = _vorbis_window(n_fft)
        self.register_buffer("window", window, persistent=False)
        scaled = window * (2 * hop_length / n_fft**2)  # libDF's spectra are scaled so
        self.register_buffer("analysis_window", scaled, persistent=False)
        self.register_buffer("erb_mean", spread / widths, persistent=False)
        self.register_buffer("erb_spread", spread.t().contiguous(), persistent=False)
        initial_db = torch.linspace(*ERB_NORM_INIT_DB, erb_bands)
        self.register_buffer("erb_initial", initial_db, persistent=False)
        initial_magnitude = torch.linspace(*UNIT_NORM_INIT, df_bins)
        self.register_buffer("unit_initial", initial_magnitude, persistent=False)

    def frames(self, samples: int | Tensor) -> int | Tensor:
        """Return the number of frames of a clip of so many samples."""
        return samples // self.hop_length + self.n_fft // self.hop_length

    def clip_frames(self, waveforms: Tensor, lengths: Tensor | None) -> Tensor | None:
        """Return each clip's frames, `[B]`, of relative lengths `[B]`, or None."""
        if lengths is None:
            return None
        return self.frames((lengths * waveforms.shape[1]).round().long())

    @full_precision
    def analysis(self, waveforms: Tensor) -> Tensor:
        """Return the spectrum `[B, frames(samples), n_fft // 2 + 1]` of `[B, samples]`.

        Frame `t` ends at sample `(t + 1) * hop_length`; `n_fft` zeros follow the clip.
        """
        samples = waveforms.shape[-1]
        tail = self.frames(samples) * self.hop_length - samples
        return self.transform(F.pad(waveforms, (self.overlap, tail)))

    def transform(self, waveforms: Tensor) -> Tensor:
        """Return the spectrum of the whole frames of `[B, samples]`."""
        return short_time_spectrum(waveforms, self.analysis_window, self.hop_length)

    def input_spectrum(self, waveforms: Tensor) -> Tensor:
        """Return `analysis` of the waveforms, or of them without their offset."""
        if not self.level_invariant:
            return self.analysis(waveforms)
        samples = waveforms.shape[-1]
        hops = F.pad(waveforms, (0, -samples % self.hop_length))
        hops = hops.unflatten(1, (-1, self.hop_length))
        hops, _ = self.offset(hops, self.offset.start(len(hops)).to(hops))
        spectrum = self.analysis(hops.flatten(1))
        return spectrum[:, : self.frames(samples)]

    @full_precision
    def synthesis(self, spectrum: Tensor, samples: int) -> Tensor:
        """Return waveforms `[B, samples]`, aligned to the sample, of `analysis`."""
        return self.overlap_add(spectrum)[:, self.overlap : self.overlap + samples]

    def overlap_add(self, spectrum: Tensor) -> Tensor:
        """Inverse of `transform`, the overlaps at both ends included."""
        frames = torch.fft.irfft(spectrum, n=self.n_fft, norm="forward") * self.window
        hops = frames.unflatten(-1, (-1, self.hop_length)).unbind(2)
        last = len(hops) - 1
        stream = sum(F.pad(hop, (0, 0, i, last - i)) for i, hop in enumerate(hops))
        return stream.flatten(1)

    @full_precision
    def features(
        self, spectrum: Tensor, frames: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the ERB feature and the complex feature of a spectrum `[B, T, F]`.

        Log power per band over its running mean, in units of 40 dB,
        `[B, T, erb_bands]`; lowest bins over the root of their running mean magnitude,
        complex, `[B, T, df_bins]`. Beyond a clip's number of `frames`, `[B]`, both are
        zero, as they are beyond the last frame of a clip on its own.
        """
        erb, low, _ = self.running_features(spectrum, self.start(len(spectrum)))
        if frames is not None:
            inside = torch.arange(erb.shape[1], device=erb.device) < frames[:, None]
            erb, low = erb * inside[..., None], low * inside[..., None]
        return erb, low

    def start(self, batch: int) -> FeatureState:
        """Return the features' state before the first frame of `batch` signals."""
        zeros = self.erb_initial.new_zeros
        return FeatureState(
            zeros(batch, len(self.erb_initial)),
            zeros(batch, self.df_bins),
            zeros(batch, 1) + 1,
            self.level.start(batch).to(self.window),
        )

    def running_features(
        self, spectrum: Tensor, state: FeatureState
    ) -> tuple[Tensor, Tensor, FeatureState]:
        """Return both features of a block's spectrum, and the state behind it.

        The state is that of `start`, or what the block before returned.
        """
        low = spectrum[..., : self.df_bins]
        erb, scale, state = self.scales(power(spectrum), low.abs(), state)
        return erb, low * scale, state

    def scales(
        self, power: Tensor, magnitude: Tensor, state: FeatureState
    ) -> tuple[Tensor, Tensor, FeatureState]:
        """Return the ERB feature, what scales the lowest bins, and the state.

        With `level_invariant` both are those that the signal so far has at the level of
        training: a gain for all that was heard changes the initial means alone. `power`
        is of all bins, `[B, T, F]`, `magnitude` of the lowest, `[B, T, df_bins]`.
        """
        gain_db, gain, level = 0.0, 1.0, state.level
        if self.level_invariant:
            heard = power[..., self.level_from :].sum(-1)
            gain_db, level = self.level(heard, level)
            gain = 10 ** (gain_db / 20)
        frame = torch.arange(power.shape[1], device=power.device, dtype=power.dtype)
        fade = state.fade[:, None] * self.decay ** (frame[:, None] + 1)
        level_db = 10 * (power @ self.erb_mean * gain**2 + 1e-10).log10() - gain_db
        mean_db = exponential_running_mean(level_db, self.decay, state.mean_db)
        erb = (level_db - mean_db - fade * (self.erb_initial - gain_db)) / 40
        mean = exponential_running_mean(magnitude, self.decay, state.mean)
        # After minutes of digital silence the mean underflows and 0/0 would follow;
        # 1e-12 is far below the least significant bit of 16-bit audio.
        scaled = (mean * gain + fade * self.unit_initial).clamp_min(1e-12)
        state = FeatureState(mean_db[:, -1], mean[:, -1], fade[:, -1], level)
        return erb, gain / scaled.sqrt(), state


def _vorbis_window(n_fft: int) -> Tensor:
    phase = torch.arange(n_fft, dtype=torch.float64).add(0.5) * math.pi / n_fft
    return torch.sin(math.pi / 2 * phase.sin().square()).float()


def _decay(hops_per_tau: float) -> float:
    """Return `exp(-hops_per_tau)` rounded as the package does: 3 digits, if below 1."""
    exact, digits = math.exp(-hops_per_tau), 3
    while round(exact, digits) >= 1:
        digits += 1
    return round(exact, digits)
