"""A signal that arrives in pieces of any size: in, enhanced, out."""

from typing import Any

import torch
from torch import Tensor

BLOCK_FRAMES = 300  # of a long piece at a time: memory stays small


class Stream:
    """One signal on its way through a DeepFilterNet2; many may share the model.

    What `push` and `flush` return is, put together, what the model makes of the whole
    signal at once. The memory it takes does not grow.

    Arguments
    ---------
    engine : StreamingDeepFilterNet2 or OnnxDeepFilterNet2
        The model.
    channels : int, optional
        Number of channels, each enhanced on its own: samples are then `[channels, n]`.
        Without it there is one, and samples are `[n]`.
    atten_lim_db : float, optional
        Noise is lowered by no more than this, in dB; see `noise_gain`.

    Example
    -------
    >>> from speechbrain_mal.inference import StreamingDeepFilterNet2
    >>> from speechbrain_mal.models import DeepFilterNet2
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... ).eval()
    >>> stream = Stream(StreamingDeepFilterNet2(model))
    >>> stream.latency_ms
    60.0
    >>> noisy = torch.randn(4000)
    >>> pieces = [stream.push(piece) for piece in noisy.split(1000)] + [stream.flush()]
    >>> [len(piece) for piece in pieces]
    [160, 960, 960, 1120, 800]
    >>> torch.allclose(torch.cat(pieces), model(noisy[None])[0], atol=1e-6)
    True
    """

    def __init__(
        self,
        engine: Any,
        channels: int | None = None,
        atten_lim_db: float | None = None,
    ):
        self._engine = engine
        self._shape = (-1,) if channels is None else (channels, -1)
        self.sample_rate: int = engine.sample_rate
        self._noise_gain = noise_gain(atten_lim_db)
        self._state = engine.start(channels or 1)
        nothing = torch.zeros(channels or 1, 0, device=engine.device)
        self._pending = nothing  # samples that make no hop yet
        self._noisy = nothing  # samples whose enhanced ones are to come, for the mix
        # Samples to drop: those before the signal.
        self._early = engine.latency_samples - engine.hop_length
        self._hops = self._heard = self._returned = 0
        self._ended = False

    @property
    def latency_ms(self) -> float:
        """Time from a sample's arrival to its return, at most, in ms.

        Pieces longer than the model's hop add to it what they have more.
        """
        return 1000 * self._engine.latency_samples / self.sample_rate

    @torch.inference_mode()
    def push(self, samples: Tensor) -> Tensor:
        """Take the next samples, any number, and return the next that are enhanced.

        Both are `[n]` or `[channels, n]`. ValueError when the shape or the type is
        wrong, or samples are not finite: the stream is as before, and goes on.
        RuntimeError after `flush`.
        """
        samples = self._checked(samples)
        self._heard += samples.shape[1]
        if self._noise_gain:
            self._noisy = torch.cat([self._noisy, samples], dim=1)
        samples = torch.cat([self._pending, samples], dim=1)
        ready = samples.shape[1] // self._engine.hop_length * self._engine.hop_length
        # A clone: the view would keep the whole piece in memory.
        self._pending = samples[:, ready:].clone()
        return self._mixed(self._enhanced(samples[:, :ready]))

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """End the signal, and return the rest of it; RuntimeError when called again."""
        self._check_not_ended()
        self._ended = True
        n_fft, silence = self._engine.n_fft, self._pending.new_zeros
        late = silence(len(self._pending), self._engine.latency_samples - n_fft)
        # As many frames as the whole signal has, and then what is late.
        last = self._pending, silence(len(late), n_fft - self._pending.shape[1])
        last = self._enhanced(torch.cat(last, dim=1)), self._enhanced(late, heard=False)
        last = torch.cat(last, dim=1)[:, : self._heard - self._returned]
        self._state = self._pending = None
        return self._mixed(last)

    def _enhanced(self, samples: Tensor, heard: bool = True) -> Tensor:
        """Return what whole hops `[C, k * hop_length]` complete, `[C, m]`."""
        outputs, hop = [samples[:, :0]], self._engine.hop_length
        while samples.shape[1]:
            # The first hops go apart: their features are of no frame.
            ahead = max(self._engine.lookahead - self._hops, 0)
            size = hop * (ahead or BLOCK_FRAMES)
            block, samples = samples[:, :size], samples[:, size:]
            gates = float(heard), float(not ahead)
            output, self._state = self._engine.step(block, gates, self._state)
            outputs.append(output)
            self._hops += block.shape[1] // hop
        enhanced = torch.cat(outputs, dim=1)
        dropped = min(self._early, enhanced.shape[1])
        self._early -= dropped
        return enhanced[:, dropped:]

    def _mixed(self, enhanced: Tensor) -> Tensor:
        number = enhanced.shape[1]
        self._returned += number
        if self._noise_gain:
            noisy = self._noisy[:, :number]
            self._noisy = self._noisy[:, number:].clone()
            enhanced = torch.lerp(enhanced, noisy, self._noise_gain)
        return enhanced.reshape(self._shape).clone()

    def _checked(self, samples: Tensor) -> Tensor:
        self._check_not_ended()
        channels = self._pending.shape[0]
        expected = "[n]" if len(self._shape) == 1 else f"[{channels}, n]"
        if samples.dim() != len(self._shape) or (
            samples.dim() == 2 and samples.shape[0] != channels
        ):
            raise ValueError(
                f"This stream takes samples {expected}, not {list(samples.shape)}."
            )
        check_samples(samples)
        return samples.to(self._pending).reshape(channels, -1)

    def _check_not_ended(self) -> None:
        if self._ended:
            raise RuntimeError("The stream was flushed; a new signal needs a new one.")


def check_samples(samples: Tensor) -> None:
    """Raise a ValueError for samples that are no finite floating point numbers."""
    if not samples.is_floating_point():
        raise ValueError(
            f"Samples are floating point numbers in [-1, 1], not {samples.dtype}."
        )
    if not samples.isfinite().all():
        raise ValueError("The samples hold NaN or infinite values.")


def noise_gain(atten_lim_db: float | None) -> float:
    """Return the share of the noisy signal in the output, `10 ** (-limit / 20)`.

    The limit is by how many dB noise is lowered at most; None is none, and a negative
    one a ValueError. The output is `gain * noisy + (1 - gain) * enhanced`, as in the
    package `deepfilternet`.

    Example
    -------
    >>> noise_gain(20.0), noise_gain(None)
    (0.1, 0.0)
    """
    if atten_lim_db is None:
        return 0.0
    if not atten_lim_db >= 0:
        raise ValueError(f"atten_lim_db must be 0 dB or more, not {atten_lim_db}.")
    return 10 ** (-atten_lim_db / 20)
