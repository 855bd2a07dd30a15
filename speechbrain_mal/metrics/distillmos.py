"""Distill-MOS: a mean opinion score as predicted from the enhanced speech alone.

B. Stahl, H. Gamper, "Distillation and pruning for scalable self-supervised
representation-based speech quality assessment", ICASSP 2025; package `distillmos`, with
its weights.
"""

import contextlib
import functools
import math
import os

import numpy as np
import torch

from speechbrain_mal.metrics.learned import one_thread, require
from speechbrain_mal.metrics.resample import resample
from speechbrain_mal.metrics.silence import refuse_silence

DISTILLMOS_RATE = 16000  # Hz
SEGMENT = 122880  # samples, 7.68 s
MAX_HOP = 16000


def distillmos(
    enhanced: np.ndarray, clean: np.ndarray | None = None, sample_rate: int = 16000
) -> float:
    """Distill-MOS of one clip, the mean over its segments.

    Segments of 7.68 s begin at most a second apart; zeros fill a shorter clip, so any
    length is defined. Each is scaled to a peak of 1: the level doesn't matter.

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
    float
        Between 1 and 5.

    Raises
    ------
    ValueError
        When the clip is silent.
    ModuleNotFoundError
        Without the extra `eval`.

    Example
    -------
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> round(distillmos(noise), 1)
    2.3
    """
    refuse_silence("Distill-MOS", enhanced=enhanced)
    clip = resample(enhanced, sample_rate, DISTILLMOS_RATE).astype(np.float32)
    clip = np.pad(clip, (0, max(SEGMENT - len(clip), 0)))
    beyond = len(clip) - SEGMENT
    model = _model()
    scores = []
    # One segment at a time: the package's own batch of them takes 30 MB a second.
    with one_thread():
        for part in np.linspace(0, 1, math.ceil(beyond / MAX_HOP) + 1):
            start = int(part * beyond)
            segment = torch.from_numpy(clip[None, start : start + SEGMENT])
            scores.append(model(segment).item())
    return sum(scores) / len(scores)


@functools.lru_cache
def _model():
    package = require("Distill-MOS", "distillmos")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        model = package.ConvTransformerSQAModel(segmenting_in_forward=False)
    return model.eval()
