import numpy as np
import pytest

from speechbrain_mal.metrics.pesq import pesq_wb
from speechbrain_mal.metrics.sdr import si_sdr
from speechbrain_mal.metrics.stoi import estoi


@pytest.fixture
def clean(speech):
    return speech[0].numpy()


def noisy(clean, snr_db):
    noise = np.random.default_rng(0).standard_normal(len(clean)).astype("float32")
    return clean + noise * clean.std() * 10 ** (-snr_db / 20)


@pytest.mark.parametrize("metric", [pesq_wb, estoi, si_sdr])
def test_falls_with_the_snr(metric, clean):
    scores = [metric(noisy(clean, snr), clean, 16000) for snr in (30, 15, 0)]
    assert scores[0] > scores[1] > scores[2]


def test_agreement_with_the_packages(clean):
    from pesq import pesq
    from pystoi import stoi

    bad = noisy(clean, 10)
    assert pesq_wb(bad, clean, 16000) == pesq(16000, clean, bad, "wb")
    expected = stoi(clean, bad, 16000, extended=True)
    # BLAS sums in another order from call to call
    assert estoi(bad, clean, 16000) == pytest.approx(expected, rel=1e-12)


def test_si_sdr_by_construction(clean):
    noise = noisy(clean, 0) - clean
    noise -= (noise @ clean) / (clean @ clean) * clean  # orthogonal
    for snr_db in (-5, 0, 20):
        gain = 10 ** (-snr_db / 20) * np.linalg.norm(clean) / np.linalg.norm(noise)
        value = si_sdr(0.1 * (clean + gain * noise), clean)
        assert value == pytest.approx(snr_db, abs=1e-3)  # float32 waveforms
    assert si_sdr(clean, clean) > 100


def test_perfect_scores(clean):
    assert pesq_wb(clean, clean, 16000) == pytest.approx(4.644, abs=1e-3)
    assert estoi(clean, clean, 16000) == pytest.approx(1.0, abs=1e-6)


def test_pesq_at_48_khz_is_that_at_16(clean):
    from scipy.signal import resample_poly

    bad = noisy(clean, 10)
    high = [resample_poly(x, 3, 1) for x in (bad, clean)]
    expected = pesq_wb(bad, clean, 16000)
    # Noise up to 8 kHz loses its top through two anti-aliasing filters.
    assert pesq_wb(*high, 48000) == pytest.approx(expected, abs=0.1)
