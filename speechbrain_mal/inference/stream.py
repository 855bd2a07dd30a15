"""A signal that arrives in pieces of any size: in, enhanced, out."""

from typing import Any, Protocol

import torch
from torch import Tensor

BLOCK_FRAMES = 300  # of a long piece at a time: memory stays small


class StreamingEngine(Protocol):
    """What a `Stream` runs on: a `StreamingDeepFilterNet2` or an `OnnxDeepFilterNet2`.

    It takes whole hops, and has what goes from one call to the next in a state that it
    returns.
    """

    sample_rate: int  # in Hz
    n_fft: int  # samples of a frame
    hop_length: int  # samples from frame to frame
    latency_samples: int  # that one waits from arrival to return
    device: torch.device

    def start(self, batch: int) -> Any:
        """Return the state before the first sample of `batch` signals."""

    def step(self, samples: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Enhance `[B, k * hop_length]`: what is ready of it, and the next state."""

    def finish(self, state: Any) -> Tensor:
        """Return what is left, `[B, m * hop_length]`."""


class Stream:
    """One signal on its way through a DeepFilterNet2; many may share the model.

    What `push` and `flush` return is, put together, what the model makes of the whole
    signal at once. The memory it takes does not grow.

    Arguments
    ---------
    streaming : StreamingEngine
        The model, a `StreamingDeepFilterNet2` or an `OnnxDeepFilterNet2`.
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
        streaming: StreamingEngine,
        channels: int | None = None,
        atten_lim_db: float | None = None,
    ):
        self._streaming = streaming
        self._shape = (-1,) if channels is None else (channels, -1)
        self.sample_rate = streaming.sample_rate
        self._hop_length = streaming.hop_length
        self._noise_gain = noise_gain(atten_lim_db)
        self._state = streaming.start(channels or 1)
        nothing = torch.zeros(channels or 1, 0, device=streaming.device)
        self._pending = nothing  # samples that make no hop yet
        self._noisy = nothing  # samples whose enhanced ones are to come, for the mix
        # Samples to drop: those before the signal.
        self._early = streaming.n_fft - streaming.hop_length
        self._heard = self._returned = 0
        self._ended = False

    @property
    def latency_ms(self) -> float:
        """Time from a sample's arrival to its return, at most, in ms.

        Pieces are taken to be shorter than the model's hop; longer ones add to it what
        they have more.
        """
        return 1000 * self._streaming.latency_samples / self.sample_rate

    @torch.inference_mode()
    def push(self, samples: Tensor) -> Tensor:
        """Take the next samples, and return those that are ready.

        Arguments
        ---------
        samples : Tensor
            `[n]`, or `[channels, n]`; floating point, any number of them.

        Returns
        -------
        Tensor
            Enhanced samples that follow those already returned, of the same kind.

        Raises
        ------
        ValueError
            When the shape or the type is wrong, or samples are not finite. The stream
            is as before, and goes on.
        RuntimeError
            After `flush`.
        """
        samples = self._checked(samples)
        self._heard += samples.shape[1]
        if self._noise_gain:
            self._noisy = torch.cat([self._noisy, samples], dim=1)
        return self._mixed(self._enhance(samples))

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """End the signal, and return the rest of it.

        Raises
        ------
        RuntimeError
            When called again.
        """
        self._check_not_ended()
        self._ended = True
        # To the end of the last hop that the signal is in, and a frame more.
        silence = self._streaming.n_fft - self._heard % self._hop_length
        last = [
            self._enhance(self._pending.new_zeros(self._pending.shape[0], silence)),
            self._without_early(self._streaming.finish(self._state)),
        ]
        last = torch.cat(last, dim=1)[:, : self._heard - self._returned]
        self._state = self._pending = None
        return self._mixed(last)

    def _enhance(self, samples: Tensor) -> Tensor:
        """Return what whole hops of pending and new samples complete, `[C, m]`."""
        samples = torch.cat([self._pending, samples], dim=1)
        ready = samples.shape[1] // self._hop_length * self._hop_length
        outputs = []
        for block in samples[:, :ready].split(BLOCK_FRAMES * self._hop_length, dim=1):
            if block.shape[1]:
                output, self._state = self._streaming.step(block, self._state)
                outputs.append(output)
        # A clone: the view would keep the whole piece in memory.
        self._pending = samples[:, ready:].clone()
        return self._without_early(torch.cat([samples[:, :0], *outputs], dim=1))

    def _without_early(self, enhanced: Tensor) -> Tensor:
        dropped = min(self._early, enhanced.shape[1])
        self._early -= dropped
        return enhanced[:, dropped:]

    def _mixed(self, enhanced: Tensor) -> Tensor:
        number = enhanced.shape[1]
        self._returned += number
        if self._noise_gain:
            noisy, self._noisy = self._noisy.split(
                [number, self._noisy.shape[1] - number], dim=1
            )
            self._noisy = self._noisy.clone()
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
        if not samples.is_floating_point():
            raise ValueError(
                f"Samples are floating point numbers in [-1, 1], not {samples.dtype}."
            )
        if not samples.isfinite().all():
            raise ValueError("The samples hold NaN or infinite values.")
        return samples.to(self._pending).reshape(channels, -1)

    def _check_not_ended(self) -> None:
        if self._ended:
            raise RuntimeError("The stream was flushed; a new signal needs a new one.")


def noise_gain(atten_lim_db: float | None) -> float:
    """Return the share of the noisy signal in the output, `10 ** (-limit / 20)`.

    Arguments
    ---------
    atten_lim_db : float or None
        By how many dB noise is lowered at most; None is no limit. The output is
        `gain * noisy + (1 - gain) * enhanced`, as in the package `deepfilternet`.

    Raises
    ------
    ValueError
        When the limit is negative.

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
