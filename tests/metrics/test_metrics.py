"""One harness for all metrics: references, perfect scores, order, rates, errors."""

import inspect
import sys

import numpy as np
import pesq
import pystoi
import pytest
import torch
from distillmos import ConvTransformerSQAModel
from scipy.signal import resample_poly
from speechmos import dnsmos as speechmos_dnsmos
from torch import from_numpy

from speechbrain_mal.metrics import METRICS, Metric
from speechbrain_mal.metrics.composite import llr, wss
from speechbrain_mal.metrics.registry import LOWER_IS_BETTER

RATE = 16000
ONE_SEGMENT = 19200  # samples, which DNSMOS repeats up to one segment: it is slow
# All metrics, and the measures within the composite ones.
EVERY = METRICS | {
    f.__name__: Metric(f, {f.__name__: ""}, seconds=(0.0375, np.inf))
    for f in (llr, wss)
}
INTRUSIVE = [n for n, metric in EVERY.items() if metric.needs_clean and not metric.file]
every = pytest.mark.parametrize("name", EVERY)
intrusive = pytest.mark.parametrize("name", INTRUSIVE)


@pytest.fixture
def score(options):
    """Return a function that scores a clip with a metric: numbers by column."""

    def scores(name, enhanced, clean, rate=RATE, **further):
        return EVERY[name].score(enhanced, clean, rate, **options(name), **further)

    return scores


# --------------------------------------------------------------------- references

# float32 networks and tensors; a sum in another order; rounding that silence shows.
SINGLE, EXACT = {"abs": 1e-4}, {"rel": 1e-9}


def _dnsmos(noisy, clean):
    scores = speechmos_dnsmos.run(noisy.astype("float32"), RATE)
    return [scores[f"{name}_mos"] for name in ("sig", "bak", "ovrl", "p808")]


def _distillmos(noisy, clean):
    with torch.no_grad():
        return ConvTransformerSQAModel().eval()(from_numpy(noisy)[None].float()).item()


def _torchmetrics(name):
    def score(*pair):
        from torchmetrics.functional import audio  # takes 6 s

        return getattr(audio, name)(*map(from_numpy, pair)).item()

    return score


PACKAGES = {
    "pesq": (lambda noisy, clean: pesq.pesq(RATE, clean, noisy, "wb"), EXACT),
    "pesq_nb": (lambda noisy, clean: pesq.pesq(RATE, clean, noisy, "nb"), EXACT),
    # ESTOI adds noise of the size of rounding
    "stoi": (lambda noisy, clean: pystoi.stoi(clean, noisy, RATE), EXACT),
    "estoi": (lambda noisy, clean: pystoi.stoi(clean, noisy, RATE, True), EXACT),
    # torchmetrics adds 2e-16 to each energy
    "snr": (_torchmetrics("signal_noise_ratio"), {"abs": 1e-6}),
    "si_sdr": (
        _torchmetrics("scale_invariant_signal_distortion_ratio"),
        {"abs": 1e-6},
    ),
    "dnsmos": (_dnsmos, SINGLE),
    "distillmos": (_distillmos, SINGLE),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_agrees_with_the_package(name, pairs, score):
    package, tolerance = PACKAGES[name]
    for pair in [*pairs.values()][: 1 if name == "dnsmos" else 3]:
        if name == "dnsmos":
            pair = [clip[:ONE_SEGMENT] for clip in pair]
        scores = [*score(name, *pair).values()]
        assert scores == pytest.approx(np.atleast_1d(package(*pair)), **tolerance)


@pytest.mark.parametrize(
    "name", ["composite", "llr", "wss", "segmental_snr", "lsd", "mcd"]
)
def test_agrees_with_public_programs(name, pairs, references, score):
    for clip, pair in pairs.items():
        scores = score(name, *pair)
        expected = {column: references[f"{clip}@{RATE}"][column] for column in scores}
        # More of the samples is digital silence than the 5 % of frames left out, and
        # LPC of a constant 2e-16 is rounding: 4e-3 between two orders of summing.
        silent = clip.startswith("p232") and name in ("llr", "composite")
        limit = {"abs": 0.01} if silent else {"rel": 1e-6, "abs": 1e-9}
        if name in ("lsd", "mcd", "wss", "segmental_snr"):
            limit = {"rel": 1e-9, "abs": 1e-9}
        assert scores == pytest.approx(expected, **limit)


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_agrees_at_other_rates(rate, pairs, references, score):
    clip, pair = next(iter(pairs.items()))
    for name in ("lsd", "mcd"):
        scores = score(name, *(resample_poly(x, rate, RATE) for x in pair), rate)
        # resampled bands hold 1e-8 and less, where another scipy counts
        expected = references[f"{clip}@{rate}"][name]
        assert scores[name] == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------ what is perfect

PERFECT = {
    # The mappings' values at a raw score of 4.5, which identical clips have:
    # 0.999 + 4 / (1 + exp(-1.4945 * 4.5 + 4.6607)) of P.862.1, and of P.862.2
    # 0.999 + 4 / (1 + exp(-1.3669 * 4.5 + 3.8224)).
    "pesq": pytest.approx(4.6439, abs=1e-4),
    "pesq_nb": pytest.approx(4.5486, abs=1e-4),
    "stoi": pytest.approx(1, abs=1e-9),
    "estoi": pytest.approx(1, abs=1e-9),
    "snr": np.inf,
    "segmental_snr": 35,
    "composite": 5,
    "llr": 0,
    "wss": 0,
    "lsd": pytest.approx(0, abs=1e-3),  # the constant 1e-8 beside the magnitudes
    "mcd": pytest.approx(0, abs=1e-5),
    "scoreq_ref": 0,
    "wer": 0,
}


@pytest.mark.parametrize("name", PERFECT)
def test_a_perfect_clip(name, pair, score):
    # no digital silence, at which several definitions stop
    clean = pair.clean + np.random.default_rng(0).normal(0, 1e-4, len(pair.clean))
    scores = score(name, clean, clean)
    scores.pop("wer_words", None)
    assert all(value == PERFECT[name] for value in scores.values())


def test_si_sdr_of_a_copy_is_limited_by_rounding(pair, score):
    assert score("si_sdr", pair.clean, pair.clean)["si_sdr"] > 250


@intrusive
def test_worse_with_every_step_of_noise(name, pair, score):
    rows = [score(name, pair.at_snr(snr), pair.clean) for snr in (20, 10, 0)]
    for column in rows[0]:
        values = [row[column] for row in rows]
        worse = column in LOWER_IS_BETTER or name in ("llr", "wss")
        assert values == sorted(values, reverse=not worse), column
        assert len(set(values)) == 3, column


@pytest.mark.parametrize("name", ["dnsmos", "distillmos", "nisqa"])
def test_hears_noise_without_a_reference(name, minibank_pairs, score):
    def means(snr_db):
        clips = [pair.at_snr(snr_db)[:ONE_SEGMENT] for pair in minibank_pairs.values()]
        rows = [score(name, clip, None) for clip in clips]
        return {column: np.mean([row[column] for row in rows]) for column in rows[0]}

    noisy, clean = means(5), means(60)
    for column in noisy:
        assert noisy[column] < clean[column], column


# -------------------------------------------------- level, polarity, rate, length

LEVEL = {
    "pesq": {"abs": 0.02},  # 16-bit integers, of which -6 dB costs one bit
    "pesq_nb": {"abs": 0.02},
    "stoi": {"abs": 1e-6},
    "estoi": {"abs": 1e-6},
    "si_sdr": {"abs": 1e-9},
    "llr": {"rel": 1e-6},  # 2e-16 is added to the samples
    "wss": {"rel": 1e-6},
    "lsd": {"rel": 1e-4},  # 1e-8 beside the energy, in the gain that is undone
    "mcd": {"rel": 1e-5},
    "distillmos": {"abs": 1e-4},  # the network divides by the peak + 1e-8
    "sigmos": {"abs": 1e-3},
    "nisqa": {"abs": 0.05},  # P.56's level follows the gain to about 0.3 dB
}


@pytest.mark.parametrize("name", LEVEL)
def test_the_level_changes_nothing(name, minibank_pairs, score):
    noisy, clean = next(iter(minibank_pairs.values()))
    expected = pytest.approx(score(name, noisy, clean), **LEVEL[name])
    assert score(name, 0.5 * noisy, clean) == expected
    if name not in ("pesq", "pesq_nb", "distillmos", "sigmos", "nisqa"):
        assert score(name, -noisy, clean) == expected


RESAMPLED = ["pesq", "pesq_nb", "composite", "dnsmos", "distillmos", "scoreq"]


@every
def test_rates(name, sample, score):
    clips = [clip[: ONE_SEGMENT if name == "dnsmos" else 32000] for clip in sample]
    high = [resample_poly(clip, 3, 1) for clip in clips]
    scores = score(name, *high, 48000)
    assert all(map(np.isfinite, scores.values()))
    if name in RESAMPLED:  # those of one rate score what resampling leaves
        assert scores == score(name, *(resample_poly(clip, 1, 3) for clip in high))
    if name not in ("wer", "sigmos"):
        low = [resample_poly(clip, 1, 2) for clip in clips]
        assert all(map(np.isfinite, score(name, *low, 8000).values()))


def test_narrow_band_pesq_takes_8_khz_as_it_is(sample, score):
    noisy, clean = (resample_poly(clip, 1, 2) for clip in sample)
    expected = pesq.pesq(8000, clean, noisy, "nb")
    assert score("pesq_nb", noisy, clean, 8000) == {"pesq_nb": expected}


# Seconds: the shortest clip that is scored, and the longest.
LENGTHS = {
    "pesq": (0.25, 40),
    "pesq_nb": (0.25, 40),
    "composite": (0.25, 40),
    "stoi": (0.384, None),
    "estoi": (0.384, None),
    "segmental_snr": (0.0375, None),
    "llr": (0.0375, None),
    "wss": (0.0375, None),
    "nisqa": (0.14, 52),
    "sigmos": (0.15, None),
    "scoreq": (0.025, 60),
    "scoreq_ref": (0.025, 60),
    "wer": (0.1, None),
}


@every
def test_short_and_long_clips(name, sample, score):
    shortest, longest = LENGTHS.get(name, (0.064, None))  # a frame of MCD's
    middle = [clip[len(clip) // 2 :] for clip in sample]
    short = [clip[: round(shortest * RATE) - 1] for clip in middle]
    enough = [clip[: round(shortest * RATE)] for clip in middle]
    if name in LENGTHS:
        message = rf"the \w+ clip has .* s, and at least {shortest:g} s can be scored"
        with pytest.raises(ValueError, match=message):
            score(name, *short)
    if name not in ("pesq", "pesq_nb", "composite", "stoi", "estoi", "wer"):
        assert score(name, *enough)  # where those may find no speech, or no word
    if longest:
        long = [np.resize(clip, round((longest + 1) * RATE)) for clip in sample]
        message = f"clip has {longest + 1}.000 s, and at most {longest} s can be scored"
        with pytest.raises(ValueError, match=message):
            score(name, *long)


@pytest.mark.parametrize("name", ["snr", "segmental_snr", "llr", "wss", "lsd", "mcd"])
def test_a_minute_is_as_a_few_seconds(name, sample, score):
    pair = [clip[: 3 * RATE] for clip in sample]
    minute = (np.tile(clip, 20) for clip in pair)
    # frames see joints instead of zeros at the clip's ends
    assert score(name, *minute) == pytest.approx(score(name, *pair), rel=0.1)


@pytest.mark.parametrize("name", ["pesq", "pesq_nb"])
def test_as_many_pauses_as_pesq_s_limit_is_meant_for(name, sample, score):
    burst = np.zeros(int(0.8 * RATE))  # 0.5 s of speech, 0.3 s of pause
    burst[:8000] = sample.clean[8000:16000]
    longest = np.resize(burst, RATE * 40)
    assert score(name, longest, longest)[name] > 4.5


# ------------------------------------------------------------------------- silence

# What is left of an enhanced clip that is silent: an error, or scores from to.
SILENT = {
    "stoi": (-0.05, 0.05),
    "estoi": (-0.05, 0.05),
    "snr": (0, 0),
    "segmental_snr": (-10, 0),
    "llr": (0, 50),
    "wss": (0, 1000),
    "lsd": (5, 99),
    "mcd": (5, 99),
}


@every
def test_silence(name, sample, score):
    noisy, clean = sample
    if name in SILENT:
        low, high = SILENT[name]
        assert low <= score(name, 0 * noisy, clean)[name] <= high
    elif name == "wer":  # it has no words
        assert score(name, 0 * noisy, None, transcript="A B") == {
            "wer": 100,
            "wer_words": 2,
        }
    else:
        with pytest.raises(ValueError, match="the enhanced clip is silent"):
            score(name, 0 * noisy, clean)
    if name in INTRUSIVE or name == "scoreq_ref":
        with pytest.raises(ValueError, match="the clean clip is silent"):
            score(name, noisy, 0 * clean)


# ------------------------------------------------------------------ what is missing

PACKAGES_NEEDED = {
    "dnsmos": ["onnxruntime", "librosa"],
    "sigmos": ["onnxruntime"],
    "scoreq": ["onnxruntime"],
    "scoreq_ref": ["onnxruntime"],
    "nisqa": ["librosa", "requests", "torchmetrics.functional.audio.nisqa"],
    "distillmos": ["distillmos"],
}


@pytest.mark.parametrize(
    "name, package",
    [(n, p) for n, packages in PACKAGES_NEEDED.items() for p in packages],
)
def test_a_missing_package_names_the_extra(name, package, sample, score, monkeypatch):
    from speechbrain_mal.metrics import mos_onnx, mos_torch

    mos_torch._distillmos.cache_clear()
    mos_onnx._session.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'{package} is missing: pip install "speechbrain-mal\[eval\]"'
    with pytest.raises(ImportError, match=message):
        score(name, *sample)


@pytest.mark.parametrize("name", METRICS)
def test_a_row_names_all_options_of_its_function(name):
    metric = METRICS[name]
    own = inspect.signature(metric.load()).parameters.keys()
    own -= {"enhanced", "clean", "sample_rate", "transcript"}
    assert own == {metric.file, *metric.options} - {None}


@pytest.mark.parametrize("name", ["nisqa", "sigmos", "scoreq", "scoreq_ref"])
def test_the_users_file_must_exist(name, sample, tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at .*mine.onnx.$"):
        METRICS[name].score(*sample, RATE, weights=tmp_path / "mine.onnx")
