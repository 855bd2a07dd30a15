"""The level and the constant offset of a noisy signal, estimated causally.

Neither is taken out of what is enhanced by a gain, which could pump: the offset is
subtracted, and the level only scales what the network hears. Both estimates are ratios
of running means that start at zero, so they hold from the first frame on, and of a
signal a tenth as large they are a tenth. Of louder ones they are so once some speech
was heard.
"""

import math

import torch
from torch import Tensor

from speechbrain_mal.models.running_mean import exponential_running_mean

TAU_SECONDS = 10.0  # of both estimates, which change with a microphone, not a word
SILENCE = 1e-18  # power of a frame that says nothing: digital silence, but for rounding
# Chosen on test clips of the minibank, whole and cut into speech, with the shipped
# enhancer (benchmarks/levels.py):
SPEECH_DB = -28.0  # level of speech in training: frames that stand out, as `power` is
ACTIVE = 6.0  # a frame stands out that has so many times the power of the usual one
ABOVE_NOISE_DB = 28.0  # where speech is expected as long as little has stood out,
HIGHEST_DB = -24.0  # but no higher than this, unless what is heard is
EVIDENCE = (
    8.0,
    100.0,
)  # frames that stand out, and frames at all, until it is believed


class SignalLevel:
    """What scales a signal to the level of speech in training, frame by frame.

    The level is the mean power of the frames that stand out: louder than the usual
    frame, the mean of log power, by `ACTIVE`. Until some have, the usual frame may be
    noise or speech: speech is expected `ABOVE_NOISE_DB` above it, but no higher than at
    `HIGHEST_DB`. So speech at the level of training is heard nearly as it is from its
    first frame on, and the gain does not jump as speech sets in after noise.

    Example
    -------
    >>> level, power = SignalLevel(frames_per_second=100.0), 1e-6 * torch.rand(1, 50)
    >>> gain_db, _ = level(power, level.start(1))
    >>> quieter, _ = level(power / 100, level.start(1))
    >>> torch.allclose(quieter, gain_db + 20, atol=1e-4)
    True
    """

    def __init__(self, frames_per_second: float):
        self.decay = math.exp(-1 / frames_per_second / TAU_SECONDS)
        self.evidence = [number * frames_per_second / 100 for number in EVIDENCE]

    def start(self, batch: int) -> Tensor:
        """Return the state before the first frame, `[batch, 5]`."""
        return torch.zeros(batch, 5)

    def __call__(self, power: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gain in dB after each frame, `[B, T, 1]`, and the last state.

        Of the frames' power, without the lowest bins, `[B, T]`; it is 0 as long as
        there is silence only. The state `[B, 5]` has the means of log power and of the
        frames it is of; of power and of the weights it is of; and how much has been
        heard.
        """
        power = power[..., None]
        sounds = (power > SILENCE).to(power.dtype)
        log_power = power.clamp_min(SILENCE).log()
        usual, weighed = state[:, :2], state[:, 2:4]
        usual = self._mean(torch.cat([sounds * log_power, sounds], dim=-1), usual)
        usual_log = usual[..., :1] / usual[..., 1:].clamp_min(1e-20)
        louder = log_power - usual_log - math.log(ACTIVE)
        weight = sounds * torch.sigmoid(4 * louder)
        weighed = self._mean(torch.cat([weight * power, weight], dim=-1), weighed)
        active = weighed[..., :1] / weighed[..., 1:].clamp_min(1e-20)
        heard = weight / self.evidence[0] + sounds / self.evidence[1]
        heard = state[:, None, 4:] + heard.cumsum(dim=1)
        believed = 1 - torch.exp(-heard)
        usual_db = 10 / math.log(10) * usual_log
        expected_db = (usual_db + ABOVE_NOISE_DB).minimum(
            usual_db.clamp_min(HIGHEST_DB)
        )
        active_db = 10 * active.clamp_min(SILENCE).log10()
        level_db = torch.lerp(expected_db, active_db, believed)
        gain_db = (heard > 0) * (SPEECH_DB - level_db)
        last = torch.cat([usual[:, -1], weighed[:, -1], heard[:, -1]], dim=-1)
        return gain_db, last

    def _mean(self, x: Tensor, initial: Tensor) -> Tensor:
        return exponential_running_mean(x, self.decay, initial)


class OffsetRemoval:
    """A signal without its constant offset, hop by hop.

    What is subtracted is the mean of all that was heard, of the present hop too, and
    moves linearly within a hop. Digital silence at a hop's ends, as before and behind a
    signal, stays silent, and does not count.

    Example
    -------
    >>> offset, hops = OffsetRemoval(hops_per_second=100.0), torch.randn(1, 20, 160)
    >>> expected, _ = offset(hops, offset.start(1))
    >>> actual, _ = offset(hops + 0.5, offset.start(1))
    >>> torch.allclose(actual, expected, atol=1e-5)
    True
    """

    def __init__(self, hops_per_second: float):
        self.decay = math.exp(-1 / hops_per_second / TAU_SECONDS)

    def start(self, batch: int) -> Tensor:
        """Return the state before the first hop, `[batch, 2]`."""
        return torch.zeros(batch, 2)

    def __call__(self, hops: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return hops `[B, H, hop_length]` without offset, and the state after them.

        The state `[B, 2]` has the means of the samples, and of the share that is no
        silence.
        """
        size = hops.shape[-1]
        sounds = hops.ne(0).to(hops.dtype)
        behind = sounds.cumsum(-1)
        ahead = behind[..., -1:] - behind + sounds
        sounds = ((behind > 0) & (ahead > 0)).to(hops.dtype)
        parts = [hops.sum(-1, keepdim=True), sounds.sum(-1, keepdim=True)]
        sums = torch.cat(parts, dim=-1) / size
        means = exponential_running_mean(sums, self.decay, state)
        sums = torch.cat([state[:, None], means], dim=1)
        offsets = sums[..., :1] / sums[..., 1:].clamp_min(1e-20)
        now = offsets[:, 1:]
        before = torch.where(sums[:, :-1, 1:] > 0, offsets[:, :-1], now)
        share = torch.arange(1, size + 1, device=hops.device, dtype=hops.dtype) / size
        return hops - sounds * torch.lerp(before, now, share), means[:, -1]
