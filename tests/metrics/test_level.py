import numpy as np
import pytest

from speechbrain_mal.metrics.level import active_speech_level, set_level

RATE = 16000


def tone(seconds, amplitude=0.1):
    return amplitude * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)


def flow_chart(samples, rate, bits=16):
    """Measure as P.56's method B reads: sample by sample, in a meter of 16 bits."""
    smoothing = np.exp(-1 / (0.03 * rate))
    thresholds = [2.0**-j for j in range(bits - 1, 0, -1)]
    hangover = round(0.2 * rate)
    active, hung = [0] * len(thresholds), [hangover] * len(thresholds)
    p = q = energy = 0.0
    for sample in samples:
        energy += sample * sample
        p = smoothing * p + (1 - smoothing) * abs(sample)
        q = smoothing * q + (1 - smoothing) * p
        for j, threshold in enumerate(thresholds):
            if q >= threshold:
                active[j] += 1
                hung[j] = 0
            elif hung[j] < hangover:
                active[j] += 1
                hung[j] += 1
    last = None
    for count, threshold in zip(active, thresholds, strict=True):
        level = 10 * np.log10(energy / count)
        difference = level - 20 * np.log10(threshold)
        if difference <= 15.9:
            part = (last[1] - 15.9) / (last[1] - difference)
            level = last[0] + part * (level - last[0])
            return level, energy / len(samples) / 10 ** (level / 10)
        last = level, difference


def test_is_the_flow_chart_of_the_standard(pair):
    for clip in pair:
        expected = flow_chart(clip[: 3 * RATE], RATE)
        # the same sums in another order
        assert active_speech_level(clip[: 3 * RATE], RATE) == pytest.approx(expected)


def test_moves_with_the_level_of_the_clip(sample):
    level, activity = active_speech_level(sample.clean, RATE)
    for gain_db in (-40, -10, 3, 20):
        gained = active_speech_level(sample.clean * 10 ** (gain_db / 20), RATE)[0]
        # Not exact: the thresholds stay, and A(c) is not straight between two of them.
        assert gained == pytest.approx(level + gain_db, abs=0.3)
    for steps in (-20, -3, 1, 4):  # also where a 16-bit meter has no threshold
        shifted = active_speech_level(sample.clean * 2.0**steps, RATE)
        assert shifted == pytest.approx((level + 20 * np.log10(2) * steps, activity))


def test_set_level(sample):
    for clip in sample:
        scaled = set_level(clip.astype("float32"), RATE, -26)
        assert scaled.dtype == np.float32
        # as above: measured again it is elsewhere between two thresholds
        assert active_speech_level(scaled, RATE)[0] == pytest.approx(-26, abs=0.3)
        gains = scaled[clip != 0] / clip[clip != 0]
        assert np.ptp(gains) < 1e-5 * gains.mean()  # one gain; float32


def test_what_has_no_level():
    with pytest.raises(ValueError, match="P.56: the clip is silent"):
        active_speech_level(np.zeros(RATE), RATE)
    with pytest.raises(ValueError, match="P.56: no active speech, only a click"):
        active_speech_level(tone(0.01), RATE)
    click = np.zeros(RATE)
    click[100] = 1
    with pytest.raises(ValueError, match="P.56: no active speech, only a click"):
        set_level(click, RATE, -26)
