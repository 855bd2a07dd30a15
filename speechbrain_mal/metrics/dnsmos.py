"""DNSMOS: mean opinion scores as predicted from the enhanced speech alone.

C. K. A. Reddy, V. Gopal, R. Cutler, "DNSMOS P.835", ICASSP 2022, and "DNSMOS", ICASSP
2021. The networks are those inside the package `speechmos`; what is around them is the
definition in Microsoft's `dnsmos_local.py` (DNS Challenge), not the package's function,
which refuses samples beyond 1.0 and computes on as many threads as it finds.
"""

import functools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from speechbrain_mal.metrics.learned import onnx_session, require
from speechbrain_mal.metrics.resample import resample
from speechbrain_mal.metrics.silence import refuse_silence

DNSMOS_RATE = 16000  # Hz
SEGMENT_SECONDS = 9.01
SEGMENT = 144160  # samples

# From the network's outputs to the scale of P.835, highest power first.
POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


def dnsmos(
    enhanced: np.ndarray, clean: np.ndarray | None = None, sample_rate: int = 16000
) -> dict[str, float]:
    """DNSMOS of one clip, the mean over its segments.

    A segment is 9.01 s long and one begins every second; a shorter clip is repeated
    until it fills one, and any length is defined, though a clip without a word in it
    gets a number that means nothing. The level matters.

    Arguments
    ---------
    enhanced : np.ndarray
        Waveform, `[samples]`; other rates than 16 kHz are resampled to it.
    clean : np.ndarray, optional
        Not used; metrics share their signature.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    dict of str to float
        `dnsmos_sig` (the speech), `dnsmos_bak` (the background), `dnsmos_ovrl`
        (overall), as of P.835, and `dnsmos_p808` (overall, P.808): about 1 to 5.

    Raises
    ------
    ValueError
        When the clip is silent.
    ModuleNotFoundError
        Without the extra `eval`.

    Example
    -------
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> {name: round(score, 1) for name, score in dnsmos(noise).items()}
    {'dnsmos_sig': 1.1, 'dnsmos_bak': 1.1, 'dnsmos_ovrl': 1.1, 'dnsmos_p808': 2.1}
    """
    refuse_silence("DNSMOS", enhanced=enhanced)
    clip = resample(enhanced, sample_rate, DNSMOS_RATE).astype(np.float32)
    p835, p808 = _sessions()
    scores = []
    for segment in _segments(clip):
        raw = p835.run(None, {"input_1": segment[None]})[0][0].astype(np.float64)
        fitted = [
            np.polyval(polynomial, score)
            for polynomial, score in zip(POLYNOMIALS.values(), raw, strict=True)
        ]
        features = {"input_1": _mel_spectrogram(segment[:-160])[None]}
        scores.append([*fitted, p808.run(None, features)[0][0, 0]])
    names = [f"dnsmos_{name}" for name in (*POLYNOMIALS, "p808")]
    return dict(zip(names, np.mean(scores, axis=0, dtype=float).tolist(), strict=True))


@functools.lru_cache
def _sessions():
    require("DNSMOS", "onnxruntime")
    spec = find_spec("speechmos")  # importing it would import all its metrics
    if spec is None:
        require("DNSMOS", "speechmos")
    folder = Path(spec.origin).parent / "dnsmos_models"
    names = ("sig_bak_ovr.onnx", "model_v8.onnx")
    return [onnx_session("DNSMOS", str(folder / name)) for name in names]


def _segments(clip: np.ndarray) -> Iterator[np.ndarray]:
    while len(clip) < SEGMENT:
        clip = np.concatenate([clip, clip])
    hops = int(len(clip) // DNSMOS_RATE - SEGMENT_SECONDS) + 1
    for second in range(hops):
        # The official script computes a segment's end in this way and drops segments
        # that rounding made a sample short: those from the 7th to the 23rd second and
        # more after the 119th. What is published as DNSMOS does without them.
        stop = int((second + SEGMENT_SECONDS) * DNSMOS_RATE)
        segment = clip[second * DNSMOS_RATE : stop]
        if len(segment) == SEGMENT:
            yield segment


def _mel_spectrogram(segment: np.ndarray) -> np.ndarray:
    """Return P.808's features, `[frames, 120]`: 1 the maximum, -1 80 dB below."""
    librosa = require("DNSMOS", "librosa")
    power = librosa.feature.melspectrogram(
        y=segment, sr=DNSMOS_RATE, n_fft=321, hop_length=160, n_mels=120
    )
    return (librosa.power_to_db(power, ref=np.max).T + 40) / 40
