"""ScoreQ: speech quality by wav2vec 2.0, with or without the clean speech.

A. Ragano, J. Skoglund, A. Hines, "SCOREQ: Speech quality assessment with contrastive
regression", NeurIPS 2024. The definition is the package `scoreq` 1.0's; it is not used
itself, because importing it fetches a model, and it scores files only.
"""

import os

import numpy as np

from speechbrain_mal.metrics.learned import onnx_session, weights_file
from speechbrain_mal.metrics.resample import resample
from speechbrain_mal.metrics.silence import refuse_silence

SCOREQ_RATE = 16000  # Hz
STRIDE = 320  # samples of a frame of wav2vec 2.0: clips are filled up to a multiple
MIN_SAMPLES = 400  # its first frame
# Its attention needs memory with the square of the frames: 0.4 GB a layer at a minute.
MAX_SECONDS = 60

CACHED = "~/.cache/scoreq/onnx-models/"  # as the package has it
URL = "https://zenodo.org/records/15739280/files/"
DOMAINS = {"natural": "telephone", "synthetic": "synthetic"}  # and the files' names


def scoreq(
    enhanced: np.ndarray,
    clean: np.ndarray | None = None,
    sample_rate: int = 16000,
    *,
    domain: str = "natural",
    weights: str | os.PathLike | None = None,
) -> float:
    """ScoreQ of one clip without a reference: a mean opinion score.

    Arguments
    ---------
    enhanced : np.ndarray
        Waveform, `[samples]`, of 0.025 to 60 s; other rates than 16 kHz are resampled
        to it.
    clean : np.ndarray, optional
        Not used; metrics share their signature.
    sample_rate : int
        Sampling rate in Hz.
    domain : str
        `natural` speech or `synthetic` speech: the data that the model was trained on.
    weights : str or os.PathLike, optional
        The ONNX model of that domain. Without, the package's place for it in
        `~/.cache/scoreq`, fetched from Zenodo if it isn't there.

    Returns
    -------
    float
        About 1 to 5.

    Raises
    ------
    ValueError
        When the clip is silent, too short or too long, or the domain is unknown.
    FileNotFoundError
        When there is no model and it can't be fetched.
    ModuleNotFoundError
        Without the extra `eval`.

    Example
    -------
    >>> scoreq(np.ones(16000), weights="nowhere/adapt_nr_telephone.onnx")
    Traceback (most recent call last):
    FileNotFoundError: ScoreQ: no weights at nowhere/adapt_nr_telephone.onnx
    """
    clip = _prepare("enhanced", enhanced, sample_rate)
    return float(_run(clip, f"adapt_nr_{_file(domain)}", weights).item())


def scoreq_ref(
    enhanced: np.ndarray,
    clean: np.ndarray,
    sample_rate: int = 16000,
    *,
    domain: str = "natural",
    weights: str | os.PathLike | None = None,
) -> float:
    """ScoreQ of one clip with a reference: the distance of two embeddings.

    Arguments and errors are those of `scoreq`; here `clean` is needed, and may be any
    clean speech.

    Returns
    -------
    float
        From 0 (identical); lower is better.

    Example
    -------
    >>> scoreq_ref(np.ones(16000), np.zeros(16000))
    Traceback (most recent call last):
    ValueError: ScoreQ: the clean clip is silent
    """
    clips = [
        _prepare(name, clip, sample_rate)
        for name, clip in (("enhanced", enhanced), ("clean", clean))
    ]
    name = f"fixed_nmr_{_file(domain)}"
    embeddings = [_run(clip, name, weights) for clip in clips]
    return float(np.linalg.norm(embeddings[0] - embeddings[1]))


def _file(domain: str) -> str:
    if domain not in DOMAINS:
        raise ValueError(f"ScoreQ: no domain {domain!r}, choose from {[*DOMAINS]}")
    return f"{DOMAINS[domain]}.onnx"


def _prepare(name: str, clip: np.ndarray, sample_rate: int) -> np.ndarray:
    refuse_silence("ScoreQ", **{name: clip})
    clip = resample(clip, sample_rate, SCOREQ_RATE)
    seconds = len(clip) / SCOREQ_RATE
    if len(clip) < MIN_SAMPLES or seconds > MAX_SECONDS:
        raise ValueError(
            f"ScoreQ: {seconds:.3f} s of the {name} clip, not 0.025 to {MAX_SECONDS}"
        )
    return np.pad(clip, (0, -len(clip) % STRIDE)).astype(np.float32)


def _run(clip: np.ndarray, name: str, weights: str | os.PathLike | None) -> np.ndarray:
    path = weights_file("ScoreQ", weights, CACHED + name, URL + name)
    session = onnx_session("ScoreQ", path)
    return session.run(None, {session.get_inputs()[0].name: clip[None]})[0]
