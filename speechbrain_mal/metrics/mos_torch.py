"""Opinion scores by networks in torch: Distill-MOS and NISQA.

* Distill-MOS: Stahl, Gamper, "Distillation and pruning for scalable self-supervised
  representation-based speech quality assessment", ICASSP 2025; package `distillmos`,
  with its weights.
* NISQA: Mittag et al., Interspeech 2021; the network and its features are torchmetrics'
  port of version 2.0. The weights are CC BY-NC-SA 4.0.
"""

import contextlib
import functools
import math
import os

import numpy as np
import torch

from speechbrain_mal.extras import require
from speechbrain_mal.metrics.learned import one_thread, weights_file
from speechbrain_mal.metrics.level import set_level

SEGMENT = 122880  # samples of Distill-MOS, 7.68 s
MAX_HOP = 16000

NISQA_FILE = "~/.torchmetrics/NISQA/nisqa.tar"  # as torchmetrics has it
_URL = "https://github.com/gabrielmittag/NISQA/raw/refs/heads/master/weights/nisqa.tar"
# In the order of the network's outputs, which is not that of the papers.
DIMENSIONS = ("mos", "noi", "dis", "col", "loud")


def distillmos(
    enhanced: np.ndarray, clean: np.ndarray | None = None, sample_rate: int = 16000
) -> float:
    """Distill-MOS, 1 to 5: the mean over segments.

    Segments of 7.68 s begin at most a second apart; zeros fill a shorter clip, so any
    length but silence is defined. Each is scaled to a peak of 1: the level doesn't
    matter.

    Example
    -------
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> round(distillmos(noise), 1)
    2.3
    """
    clip = enhanced.astype(np.float32)
    clip = np.pad(clip, (0, max(SEGMENT - len(clip), 0)))
    beyond = len(clip) - SEGMENT
    model = _distillmos()
    scores = []
    # One segment at a time: the package's own batch of them takes 30 MB a second.
    with one_thread():
        for part in np.linspace(0, 1, math.ceil(beyond / MAX_HOP) + 1):
            start = int(part * beyond)
            segment = torch.from_numpy(clip[None, start : start + SEGMENT])
            scores.append(model(segment).item())
    return sum(scores) / len(scores)


@functools.lru_cache
def _distillmos():
    package = require("distillmos", "eval")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        model = package.ConvTransformerSQAModel(segmenting_in_forward=False)
    return model.eval()


def nisqa(
    enhanced: np.ndarray,
    clean: np.ndarray | None = None,
    sample_rate: int = 16000,
    *,
    weights: str | os.PathLike | None = None,
    level_db: float | None = -26.0,
) -> dict[str, float]:
    """NISQA: overall, noisiness, discontinuity, coloration, loudness; about 1 to 5.

    Higher is better for all. The clip is scored at its own sampling rate (the mel
    filters go up to 20 kHz). It is scaled first to an active speech level (ITU-T P.56)
    of `level_db` dBov, so that enhancers are not told apart by their gain, and
    undefined where it has none. None leaves it as it is, which is what NISQA's own
    program and torchmetrics score. `weights` is the file `nisqa.tar`; without, it is
    torchmetrics' own, fetched if it isn't there.
    """
    for module in ("librosa", "requests"):  # which torchmetrics only misses when called
        require(module, "eval")
    package = require("torchmetrics.functional.audio.nisqa", "eval")
    path = weights_file(weights, NISQA_FILE, _URL)
    clip = enhanced.astype(np.float32)
    if level_db is not None:
        clip = set_level(clip, sample_rate, level_db)
    model, settings = _nisqa(path)
    with one_thread():
        mel = package._get_librosa_melspec(clip[None], sample_rate, settings)
        segments, count = package._segment_specs(torch.from_numpy(mel), settings)
        scores = model(segments, count.expand(1))[0]
    names = [f"nisqa_{name}" for name in DIMENSIONS]
    return dict(zip(names, scores.tolist(), strict=True))


@functools.lru_cache
def _nisqa(path: str):
    from torchmetrics.functional.audio.nisqa import _NISQADIM

    checkpoint = torch.load(path, "cpu", weights_only=True)
    model = _NISQADIM(checkpoint["args"])
    model.load_state_dict(checkpoint["model_state_dict"])
    return model.eval(), checkpoint["args"]
