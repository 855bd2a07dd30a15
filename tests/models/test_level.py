"""A level-invariant model's results depend on neither level nor constant offset."""

import pytest
import torch
from streaming_models import make_model, noise

from speechbrain_mal.models import FrontEnd
from speechbrain_mal.models.level import OffsetRemoval, SignalLevel

# Of the largest sample: rounding, and of the offset, which takes bits of the samples.
EXACT = 1e-5
HOP = 160


@pytest.fixture(scope="module")
def model():
    return make_model(sample_rate=16000, level_invariant=True)


def speech_like(samples):
    """Return noise, and after 0.3 s bursts 25 dB louder, `[1, samples]`."""
    time = torch.arange(samples) / 16000
    bursts = (time > 0.3) & (time * 3 % 1 < 0.6)
    return noise(1, samples) * (0.05 + bursts)


def near(actual, expected):
    limit = EXACT * expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


@pytest.mark.parametrize("gain_db", [-20, -40, -60])
@pytest.mark.parametrize("samples", [4037, 16000])
def test_level_changes_that_of_the_output_alone(model, gain_db, samples):
    noisy, gain = 0.3 * speech_like(samples), 10 ** (gain_db / 20)
    near(model(gain * noisy) / gain, model(noisy))


def test_louder_speech_is_at_its_level_after_a_word():
    """Its first frames could be noise, above which speech would be yet louder."""
    level, power = SignalLevel(100.0), torch.full((1, 300), 1e-4)
    power[:, 50:] = 1e-2
    (quiet, _), (loud, _) = (level(x, level.start(1)) for x in (power, 10 * power))
    assert (quiet - loud - 10)[:, 80:].abs().max() < 0.5
    assert -10.01 <= (loud - quiet).min() and (loud - quiet).max() <= 0


@pytest.mark.parametrize("offset", [0.1, -0.3])
@pytest.mark.parametrize("samples", [100, 16000])
def test_a_constant_offset_changes_nothing(model, offset, samples):
    noisy = speech_like(samples)
    near(model(noisy + offset), model(noisy))


def test_without_it_level_and_offset_count():
    model, noisy = make_model(sample_rate=16000), speech_like(16000)
    assert (model(0.01 * noisy) * 100 - model(noisy)).abs().max() > 1e-3
    assert (model(noisy + 0.1) - model(noisy)).abs().max() > 1e-3


def test_features_are_those_of_speech_at_the_level_of_training():
    """After a few words: those of a plain front end that hears it at that level."""
    plain = FrontEnd(16000, 2 * HOP, HOP)
    invariant = FrontEnd(16000, 2 * HOP, HOP, level_invariant=True)
    noisy = speech_like(48000)
    spectrum = plain.analysis(noisy)
    power = spectrum[..., 2:].abs().square().sum(-1)
    gain_db, _ = invariant.level(power, invariant.level.start(1))
    expected = plain.features(spectrum * 10 ** (gain_db[:, -1:] / 20))
    actual = invariant.features(spectrum)
    for ours, plain_ones in zip(actual, expected, strict=True):
        # The gain still moves by some tenths of a dB, of 40 in the ERB feature.
        torch.testing.assert_close(
            ours[:, 200:], plain_ones[:, 200:], rtol=0.1, atol=0.02
        )


def test_gain_does_not_pump():
    """Between words it stays: it is the level of what stands out."""
    level = SignalLevel(100.0)
    power = torch.full((1, 2000), 1e-6)
    power[:, 50:300] = power[:, 1000:1100] = 1e-3
    gain_db, _ = level(power, level.start(1))
    assert (gain_db[:, 200:] - gain_db[:, 200:201]).abs().max() < 0.5


def test_level_finds_speech_whatever_precedes_it():
    level, gains = SignalLevel(100.0), []
    for before in (0.0, 1e-6, 1e-5):  # silence, noise 30 and 20 dB below
        power = torch.full((1, 400), before)
        power[:, 100:] = 1e-3
        power[:, 110::20] = 1e-5  # words
        gains.append(level(power, level.start(1))[0][0, 250])
    assert max(gains) - min(gains) < 1.5  # dB


def test_offset_removal_leaves_a_signal_without_offset():
    hops = noise(1, 500, HOP)
    offset = OffsetRemoval(100.0)
    kept, _ = offset(hops, offset.start(1))
    # What the mean of the first hop is off by, 1 / sqrt(160), in ever smaller steps.
    assert (kept - hops).square().mean() < 1e-3 * hops.square().mean()
