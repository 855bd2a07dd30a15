"""What is drawn: how often, of which files, and what depends on what."""

import dataclasses
import hashlib

import numpy as np
import pytest

from speechbrain_mal.data import Mixing
from speechbrain_mal.data.plan import Planner

RATE = 16000
CLEAN = [5 * RATE, 10 * RATE, 15 * RATE]
NOISE = [RATE // 2] * 20 + [4 * RATE] * 4
PLANS = 400


def plans(number=PLANS, noise=NOISE, clean=CLEAN, rirs=7, epoch=1, **settings):
    mixing = Mixing(seconds=2, sample_rate=RATE, **settings)
    planner = Planner(mixing, clean, noise, rirs)
    return [planner(epoch, index) for index in range(number)]


def about(share, number=PLANS):
    """Return a share of so many draws, and four standard deviations around it."""
    return pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / number) + 1e-9)


def shares(values):
    return {value: values.count(value) / len(values) for value in set(values)}


def assert_even(values, lowest, highest):
    even = np.linspace(lowest, highest, len(values))
    furthest = np.abs(np.sort(values) - even).max() / (highest - lowest)
    assert lowest <= min(values) and max(values) <= highest
    # Kolmogorov and Smirnov's bound at 1e-6.
    assert furthest < 2.7 / np.sqrt(len(values))


# How often


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_so_many_are_reverberant_limited_and_so_on(probability):
    names = ("filter", "reverb", "clipping", "noise_clipping")
    names += ("band_limit", "attenuation", "offset")
    found = plans(**{f"p_{name}": probability for name in names}, noises=2)
    for value in ("rir", "cutoff_hz", "attenuation_db", "offset"):
        share = np.mean([getattr(plan, value) is not None for plan in found])
        assert share == about(probability)
    for value in ("filter", "clipping"):
        speech = [getattr(plan.speech, value) is not None for plan in found]
        noises = [
            getattr(track, value) is not None for plan in found for track in plan.noises
        ]
        assert np.mean(speech) == about(probability)
        assert np.mean(noises) == about(probability, 2 * PLANS)


def test_lists_ranges_and_numbers_are_drawn_as_they_say():
    found = plans(snr_db=[-5, 0, 20, 40], noises=[1, 2], gain_db=[-6, 6], p_reverb=1)
    for values, listed in [
        ([plan.snr_db for plan in found], [-5, 0, 20, 40]),
        ([plan.gain_db for plan in found], [-6, 6]),
        ([len(plan.noises) for plan in found], [1, 2]),
        ([plan.rir for plan in found], range(7)),
    ]:
        assert shares(values) == {value: about(1 / len(listed)) for value in listed}
    assert_even([plan.snr_db for plan in plans(snr_db="-5..25")], -5, 25)
    found = plans(50, snr_db=7.5, gain_db=None, level_db=-26, noises=3)
    values = {(p.snr_db, p.level_db, p.gain_db, len(p.noises)) for p in found}
    assert values == {(7.5, -26.0, None, 3)}


def test_every_second_of_speech_is_equally_likely():
    pieces = [plan.speech.pieces[0] for plan in plans()]
    files = [piece.file for piece in pieces]
    assert shares(files) == {0: about(1 / 6), 1: about(2 / 6), 2: about(3 / 6)}
    # A segment starts anywhere from which it ends within the file.
    assert_even([piece.start for piece in pieces if piece.file == 2], 0, 13 * RATE)


# Of which files


def test_pieces_lie_in_their_files_and_fill_the_mixture():
    clean = [RATE, RATE // 3, RATE // 4]
    for plan in plans(300, clean=clean):
        for lengths, tracks in ((clean, [plan.speech]), (NOISE, plan.noises)):
            for track in tracks:
                for piece in track.pieces:
                    assert 0 <= piece.start
                    assert 0 < piece.samples <= lengths[piece.file] - piece.start
                total = sum(piece.samples for piece in track.pieces)
                assert total - track.fade * (len(track.pieces) - 1) == 2 * RATE


def test_no_noise_is_in_a_mixture_twice():
    several = 0
    for plan in plans(300, noises=[2, 3, 4, 5]):
        files = [piece.file for track in plan.noises for piece in track.pieces]
        assert len(files) == len(set(files))
        several += len(files) > len(plan.noises)
    assert several > 100  # short files were continued by others
    found = plans(100, noise=[2 * RATE, 2 * RATE], noises=5)
    assert {len(plan.noises) for plan in found} == {2}  # where they run out


def test_short_speech_is_used_again_once_all_was():
    for plan in plans(20, clean=[RATE // 2, RATE // 2]):
        files = [piece.file for piece in plan.speech.pieces]
        assert len(files) == 5  # 2 s of half seconds, less the crossfades
        assert set(files[:2]) == set(files[2:4]) == {0, 1}


# What depends on what


def of_tracks(plan, names):
    """Return a plan without some values of its tracks."""
    without = dict.fromkeys(names)
    speech, *noises = (
        dataclasses.replace(track, **without) for track in (plan.speech, *plan.noises)
    )
    return dataclasses.replace(plan, speech=speech, noises=tuple(noises))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("p_reverb", "rir"),
        ("p_band_limit", "cutoff_hz"),
        ("p_attenuation", "attenuation_db"),
        ("p_offset", "offset"),
        ("snr_db", "snr_db"),
        ("gain_db", "gain_db"),
        ("p_filter", "filter"),
        ("p_clipping", "clipping"),
        ("p_noise_clipping", "clipping"),
    ],
)
def test_one_setting_changes_one_value(setting, value):
    chances = ("reverb", "band_limit", "attenuation", "offset")
    everything = {f"p_{name}": 0.5 for name in chances}
    choices = (0.2, 0.8) if setting.startswith("p_") else (3, "10..20")
    parts = (plans(60, **{**everything, setting: choice}) for choice in choices)
    changed = 0
    for first, second in zip(*parts, strict=True):
        changed += first != second
        if hasattr(first, value):
            second = dataclasses.replace(second, **{value: getattr(first, value)})
        else:
            first, second = (of_tracks(plan, [value]) for plan in (first, second))
        assert first == second
    assert changed > 15


def test_plans_are_the_same_in_every_release():
    # Runs that are repeated would silently see other mixtures.
    chances = "filter reverb clipping noise_clipping band_limit attenuation".split()
    found = plans(40, seed=3, **{f"p_{name}": 0.5 for name in chances})
    numbers = []
    for plan in found:
        numbers += [plan.snr_db, plan.gain_db, plan.rir, plan.cutoff_hz]
        numbers += [plan.attenuation_db]
        for track in (plan.speech, *plan.noises):
            numbers += [track.gain_db, track.clipping, *(track.filter or ())]
            for piece in track.pieces:
                numbers += [piece.file, piece.start, piece.samples]
    numbers = [None if number is None else float(number) for number in numbers]
    digest = hashlib.sha256(repr(numbers).encode()).hexdigest()
    assert digest[:16] == "a20331d6b31e5383"


# Errors


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"clean": [100]}, "no clean file is longer than 0.02 s"),
        ({"noise": [RATE, RATE]}, "all noise files together are shorter than one mix"),
        ({"rirs": 0}, "p_reverb is 0.1, but there are no room impulse responses"),
        ({"offset": "0..2"}, "offset is 0..2: it must be from -1 to 1"),
        ({"seed": -1}, "seed is -1: it must not be negative"),
        ({"p_reverb": 1.1}, "p_reverb is 1.1: a probability is from 0 to 1"),
        ({"target": "late"}, "target is early or reverberant, not 'late'"),
        ({"early_ms": -1}, "early_ms is -1"),
        ({"level_db": -20}, "gain_db is .* and level_db is -20: give one"),
        ({"gain_db": None}, "gain_db is None and level_db is None: give one"),
        ({"snr_db": "loud"}, "snr_db is 'loud': give a number, a list of numbers, or"),
        ({"snr_db": []}, r"snr_db is \[\]: give a number"),
        ({"snr_db": "0.."}, "snr_db is '0..': give a number"),
        ({"snr_db": "5..0"}, "snr_db is .*: it must be from -200 to 200"),
        ({"noises": 0}, "noises is 0: it must be from 1 to inf"),
        ({"clipping": [0, 1]}, r"clipping is \[0, 1\]: it must be from 0.001 to 1"),
        ({"p_band_limit": 1, "cutoff_hz": 9000}, "cutoff_hz is 9000: it must be from"),
        ({"attenuation_db": -6}, "attenuation_db is -6: it must be from 0 to inf"),
    ],
)
def test_wrong_settings_and_too_few_files_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        plans(1, **setting)


def test_lengths_and_rates_of_mixtures():
    for rate in (0, 1, "abc", None):
        with pytest.raises(ValueError, match="sample_rate is .*: give a whole number"):
            Mixing(seconds=1, sample_rate=rate)
    with pytest.raises(ValueError, match="seconds is 0"):
        Mixing(seconds=0, sample_rate=RATE)
    # Listed cut-offs above the band are ignored.
    assert max(Mixing(seconds=1, sample_rate=RATE).cutoff_hz) == 6000
