"""SIGMOS: seven scores of ITU-T P.804, as predicted from the enhanced speech alone.

N.-C. Ristea, A. Saabas, R. Cutler, B. Naderi, S. Braun, S. Branets, "ICASSP 2024 Speech
Signal Improvement Challenge" (arXiv 2401.14444). The definition is the estimator
published with the challenge (`sigmos.py`); its network is a file of ONNX.
"""

import os

import numpy as np
from scipy.signal import resample

from speechbrain_mal.metrics.learned import onnx_session, weights_file
from speechbrain_mal.metrics.silence import refuse_silence

SIGMOS_RATE = 48000  # Hz
WINDOW = 960  # samples
HOP = 480
MIN_FRAMES = 16  # the network halves them four times
COMPRESSION = 0.3  # power of the magnitudes

NAME = "model-sigmos_1697718653_41d092e8-epo-200.onnx"
CACHED = f"~/.cache/sigmos/{NAME}"
URL = f"https://github.com/microsoft/SIG-Challenge/raw/main/ICASSP2024/sigmos/{NAME}"
# In the order of the network's outputs.
SCORES = ("col", "disc", "loud", "noise", "reverb", "sig", "ovrl")


def sigmos(
    enhanced: np.ndarray,
    clean: np.ndarray | None = None,
    sample_rate: int = 16000,
    *,
    weights: str | os.PathLike | None = None,
    peak_db: float | None = -10.0,
) -> dict[str, float]:
    """SIGMOS of one clip.

    The clip is scored at one peak level, so that enhancers are not told apart by their
    gain, and at 48 kHz: lower rates are resampled by the Fourier transform, as in the
    published estimator, and leave the upper bands empty, which is heard as coloration.

    Arguments
    ---------
    enhanced : np.ndarray
        Waveform, `[samples]`, of at least 0.15 s.
    clean : np.ndarray, optional
        Not used; metrics share their signature.
    sample_rate : int
        Sampling rate in Hz.
    weights : str or os.PathLike, optional
        The ONNX model. Without, `~/.cache/sigmos/model-sigmos_*.onnx`, fetched from
        the challenge's repository if it isn't there.
    peak_db : float, optional
        Peak level in dBFS to which the clip is scaled first, as S. R. Phaye et al.
        (Interspeech 2025) do. None: as it is, which the published estimator scores.

    Returns
    -------
    dict of str to float
        `sigmos_col` (coloration), `sigmos_disc` (discontinuity), `sigmos_loud`
        (loudness), `sigmos_noise`, `sigmos_reverb`, `sigmos_sig` (the signal) and
        `sigmos_ovrl` (overall): 1 to 5, higher is better for all.

    Raises
    ------
    ValueError
        When the clip is silent or too short, or the model is another.
    FileNotFoundError
        When there is no model and it can't be fetched.
    ModuleNotFoundError
        Without the extra `eval`.

    Example
    -------
    >>> sigmos(np.ones(16), weights="nowhere/sigmos.onnx")
    Traceback (most recent call last):
    FileNotFoundError: SIGMOS: no weights at nowhere/sigmos.onnx
    """
    refuse_silence("SIGMOS", enhanced=enhanced)
    session = onnx_session("SIGMOS", weights_file("SIGMOS", weights, CACHED, URL))
    if sample_rate != SIGMOS_RATE:
        samples = -(-len(enhanced) * SIGMOS_RATE // sample_rate)
        enhanced = resample(enhanced, samples)
    if peak_db is not None:
        enhanced = enhanced * (10 ** (peak_db / 20) / np.abs(enhanced).max())
    features = _features(enhanced)
    if features.shape[2] < MIN_FRAMES:
        seconds = len(enhanced) / SIGMOS_RATE
        raise ValueError(f"SIGMOS: {seconds:.2f} s are too short, 0.15 are needed")
    scores = session.run(None, {session.get_inputs()[0].name: features})[0][0]
    return {f"sigmos_{name}": float(x) for name, x in zip(SCORES, scores, strict=True)}


def _features(clip: np.ndarray) -> np.ndarray:
    """Return compressed magnitudes, real and imaginary parts, `[1, 3, frames, 481]`."""
    frames = -(-len(clip) // HOP) + 1  # half a window of zeros in front, zeros behind
    padded = np.pad(clip.astype(float), (HOP, frames * HOP - len(clip)))
    padded = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = np.sin(np.pi * np.arange(WINDOW) / WINDOW)  # the root of a Hann window
    spectrum = np.fft.rfft(padded * window)
    power = np.maximum(np.abs(spectrum) ** 2, 1e-12)
    compressed = power ** ((COMPRESSION - 1) / 2) * spectrum
    parts = [power ** (COMPRESSION / 2), compressed.real, compressed.imag]
    return np.stack(parts)[None].astype(np.float32)
