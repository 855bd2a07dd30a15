"""Opinion scores by ONNX models: DNSMOS, SIGMOS and ScoreQ.

* DNSMOS: Reddy, Gopal, Cutler, "DNSMOS P.835", ICASSP 2022, and "DNSMOS", ICASSP 2021.
  The networks are those inside the package `speechmos`; around them is Microsoft's
  `dnsmos_local.py` (DNS Challenge), not the package's function, which refuses samples
  beyond 1.0 and computes on as many threads as it finds.
* SIGMOS: Ristea et al., "ICASSP 2024 Speech Signal Improvement Challenge" (arXiv
  2401.14444), ITU-T P.804; the definition is the challenge's `sigmos.py`.
* ScoreQ: Ragano, Skoglund, Hines, NeurIPS 2024, on wav2vec 2.0. The definition is the
  package `scoreq` 1.0's; importing it would fetch a model, and it scores files only.
"""

import functools
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import signal

from speechbrain_mal.extras import require
from speechbrain_mal.metrics.learned import weights_file

DNSMOS_RATE = 16000  # Hz
SEGMENT_SECONDS = 9.01
SEGMENT = 144160  # samples
# From the network's outputs to the scale of P.835, highest power first.
POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}

_FILE = "model-sigmos_1697718653_41d092e8-epo-200.onnx"
_URL = "https://github.com/microsoft/SIG-Challenge/raw/main/ICASSP2024/sigmos"
SIGMOS_RATE = 48000  # Hz
WINDOW, HOP = 960, 480  # samples
COMPRESSION = 0.3  # power of the magnitudes
SCORES = ("col", "disc", "loud", "noise", "reverb", "sig", "ovrl")  # its outputs

STRIDE = 320  # samples of a frame of ScoreQ: clips are filled up to a multiple
DOMAINS = {"natural": "telephone", "synthetic": "synthetic"}  # and the files' names


@functools.lru_cache
def _session(path: str):
    onnxruntime = require("onnxruntime", "eval")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )


def _run(path: str, inputs: np.ndarray) -> np.ndarray:
    session = _session(path)
    name = session.get_inputs()[0].name
    return session.run(None, {name: inputs.astype(np.float32)})[0]


def dnsmos(
    enhanced: np.ndarray, clean: np.ndarray | None = None, sample_rate: int = 16000
) -> dict[str, float]:
    """DNSMOS: speech, background, overall (P.835) and P.808's overall; about 1 to 5.

    The mean over segments of 9.01 s, one a second; a shorter clip is repeated until it
    fills one. Any length but silence is defined, though a clip without a word in it
    gets a number that means nothing. The level matters.

    Example
    -------
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> {name: round(score, 1) for name, score in dnsmos(noise).items()}
    {'dnsmos_sig': 1.1, 'dnsmos_bak': 1.1, 'dnsmos_ovrl': 1.1, 'dnsmos_p808': 2.1}
    """
    spec = find_spec("speechmos")  # importing it would import all its metrics
    if spec is None:
        require("speechmos", "eval")
    folder = Path(spec.origin).parent / "dnsmos_models"
    p835, p808 = (str(folder / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx"))
    scores = []
    for segment in dnsmos_segments(enhanced.astype(np.float32)):
        raw = _run(p835, segment[None])[0].astype(np.float64)
        fitted = map(np.polyval, POLYNOMIALS.values(), raw)
        overall = _run(p808, _mel_spectrogram(segment[:-160])[None])
        scores.append([*fitted, overall[0, 0]])
    means = np.mean(scores, axis=0, dtype=float).tolist()
    names = [f"dnsmos_{name}" for name in (*POLYNOMIALS, "p808")]
    return dict(zip(names, means, strict=True))


def dnsmos_segments(clip: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the segments of a clip of 16 kHz that the official script scores.

    It computes a segment's end in this way and drops segments that rounding made a
    sample short: those from the 7th to the 23rd second and more after the 119th. What
    is published as DNSMOS does without them.
    """
    while len(clip) < SEGMENT:
        clip = np.concatenate([clip, clip])
    for second in range(int(len(clip) // DNSMOS_RATE - SEGMENT_SECONDS) + 1):
        end = int((second + SEGMENT_SECONDS) * DNSMOS_RATE)
        segment = clip[second * DNSMOS_RATE : end]
        if len(segment) == SEGMENT:
            yield segment


def _mel_spectrogram(segment: np.ndarray) -> np.ndarray:
    """Return P.808's features, `[frames, 120]`: 1 the maximum, -1 80 dB below."""
    librosa = require("librosa", "eval")
    power = librosa.feature.melspectrogram(
        y=segment, sr=DNSMOS_RATE, n_fft=321, hop_length=160, n_mels=120
    )
    return (librosa.power_to_db(power, ref=np.max).T + 40) / 40


def sigmos(
    enhanced: np.ndarray,
    clean: np.ndarray | None = None,
    sample_rate: int = 16000,
    *,
    weights: str | os.PathLike | None = None,
    peak_db: float | None = -10.0,
) -> dict[str, float]:
    """SIGMOS: seven scores, 1 to 5; higher is better for all.

    The clip is scored at one peak level, `peak_db` dBFS, so that enhancers are not told
    apart by their gain, as S. R. Phaye et al. (Interspeech 2025) do; None leaves it as
    it is, which the published estimator scores. At 48 kHz: lower rates are resampled by
    the Fourier transform, as there, and leave the upper bands empty, which is heard as
    coloration. Without `weights`, the ONNX model is that of `~/.cache/sigmos`, fetched
    if it isn't there.
    """
    path = weights_file(weights, f"~/.cache/sigmos/{_FILE}", f"{_URL}/{_FILE}")
    clip = enhanced.astype(np.float32)
    if sample_rate != SIGMOS_RATE:
        clip = signal.resample(clip, -(-len(clip) * SIGMOS_RATE // sample_rate))
    if peak_db is not None:
        clip = clip * (10 ** (peak_db / 20) / np.abs(clip).max())
    scores = _run(path, sigmos_features(clip))[0]
    return {f"sigmos_{name}": float(x) for name, x in zip(SCORES, scores, strict=True)}


def sigmos_features(clip: np.ndarray) -> np.ndarray:
    """Return compressed magnitudes, real and imaginary parts, `[1, 3, frames, 481]`."""
    frames = -(-len(clip) // HOP) + 1  # half a window of zeros in front, zeros behind
    padded = np.pad(clip.astype(float), (HOP, frames * HOP - len(clip)))
    padded = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = np.sin(np.pi * np.arange(WINDOW) / WINDOW)  # the root of a Hann window
    spectrum = np.fft.rfft(padded * window)
    power = np.maximum(np.abs(spectrum) ** 2, 1e-12)
    parts = power ** ((COMPRESSION - 1) / 2) * spectrum
    return np.stack([power ** (COMPRESSION / 2), parts.real, parts.imag])[None]


def scoreq(
    enhanced: np.ndarray,
    clean: np.ndarray | None = None,
    sample_rate: int = 16000,
    *,
    domain: str = "natural",
    weights: str | os.PathLike | None = None,
) -> float:
    """ScoreQ without a reference: a mean opinion score, about 1 to 5, at 16 kHz.

    `domain` is `natural` or `synthetic` speech: what the model was trained on. Without
    `weights`, the ONNX model of that domain, it is in the package's place in
    `~/.cache/scoreq`, fetched from Zenodo if it isn't there.
    """
    return _scoreq(enhanced, "adapt_nr", domain, weights).item()


def scoreq_ref(
    enhanced: np.ndarray,
    clean: np.ndarray,
    sample_rate: int = 16000,
    *,
    domain: str = "natural",
    weights: str | os.PathLike | None = None,
) -> float:
    """ScoreQ with a reference: the distance of two embeddings, from 0 (identical).

    See `scoreq`; here `clean` is needed, and may be any clean speech.
    """
    pair = (_scoreq(clip, "fixed_nmr", domain, weights) for clip in (enhanced, clean))
    return float(np.linalg.norm(np.subtract(*pair)))


def _scoreq(
    clip: np.ndarray, mode: str, domain: str, weights: str | os.PathLike | None
) -> np.ndarray:
    if domain not in DOMAINS:
        raise ValueError(f"no domain {domain!r}, choose from {[*DOMAINS]}")
    name = f"{mode}_{DOMAINS[domain]}.onnx"
    path = weights_file(
        weights,
        f"~/.cache/scoreq/onnx-models/{name}",  # as the package has it
        f"https://zenodo.org/records/15739280/files/{name}",
    )
    return _run(path, np.pad(clip, (0, -len(clip) % STRIDE))[None])
