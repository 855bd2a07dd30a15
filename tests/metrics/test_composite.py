import numpy as np
import pytest
from scipy.signal import resample_poly

from speechbrain_mal.metrics.composite import composite
from speechbrain_mal.metrics.llr import llr
from speechbrain_mal.metrics.pesq import pesq_wb
from speechbrain_mal.metrics.segmental import segmental_snr
from speechbrain_mal.metrics.wss import wss

# LLR of digital silence, of which the samples have more than the 5 % that are left out,
# is rounding: see test_llr.py.
SILENCE_TOLERANCE = 0.01


def tolerance(clip: str) -> float:
    return SILENCE_TOLERANCE if clip.startswith("p232") else 1e-6


def test_composite_agrees_with_pysepm(pairs, references):
    for clip, (noisy, clean) in pairs.items():
        expected = {n: references[f"{clip}@16000"][n] for n in ("csig", "cbak", "covl")}
        limit = tolerance(clip)
        assert composite(noisy, clean, 16000) == pytest.approx(expected, limit)


def test_composite_is_the_published_regression(minibank_pairs, at_snr):
    for noisy, clean in minibank_pairs.values():
        clips = (at_snr(noisy, clean, 15), clean, 16000)  # no score is limited there
        terms = [pesq_wb(*clips), llr(*clips), wss(*clips), segmental_snr(*clips), 1]
        # Hu and Loizou 2008: PESQ, LLR, WSS, segmental SNR, constant
        assert composite(*clips) == pytest.approx(
            {
                "csig": np.dot([0.603, -1.029, -0.009, 0, 3.093], terms),
                "cbak": np.dot([0.478, 0, -0.007, 0.063, 1.634], terms),
                "covl": np.dot([0.805, -0.512, -0.007, 0, 1.594], terms),
            }
        )


def test_composite_falls_with_the_snr(minibank_pairs, at_snr):
    for noisy, clean in minibank_pairs.values():
        mixed = (at_snr(noisy, clean, snr_db) for snr_db in (20, 10, 0))
        perfect, *rows = (composite(x, clean, 16000) for x in (clean, *mixed))
        assert perfect == {"csig": 5, "cbak": 5, "covl": 5}
        for name in perfect:
            scores = [row[name] for row in rows]
            assert 5 > scores[0] > scores[1] > scores[2] >= 1


def test_composite_names_what_it_lacks(sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    with pytest.raises(ValueError, match="composite: PESQ: the enhanced.*silent"):
        composite(0 * noisy, clean, 16000)
    with pytest.raises(ValueError, match="composite: PESQ: Buffer needs to be"):
        composite(noisy[16000:16160], clean[16000:16160], 16000)


def test_48_khz_is_scored_at_16(sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    high = [resample_poly(x, 3, 1) for x in (noisy, clean)]
    low = [resample_poly(x, 1, 3) for x in high]
    assert composite(*high, 48000) == composite(*low, 16000)
