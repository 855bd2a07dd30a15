"""NISQA: speech quality and four of its dimensions, from the enhanced speech alone.

G. Mittag, B. Naderi, A. Chehadi, S. Möller, "NISQA", Interspeech 2021; the network and
its features are torchmetrics' port of version 2.0. The weights are CC BY-NC-SA 4.0.
"""

import functools
import os

import numpy as np
import torch

from speechbrain_mal.metrics.learned import one_thread, require, weights_file
from speechbrain_mal.metrics.level import set_level
from speechbrain_mal.metrics.silence import refuse_silence

CACHED = "~/.torchmetrics/NISQA/nisqa.tar"  # as torchmetrics has it
URL = "https://github.com/gabrielmittag/NISQA/raw/refs/heads/master/weights/nisqa.tar"
# In the order of the network's outputs, which is not that of the papers.
DIMENSIONS = ("mos", "noi", "dis", "col", "loud")


def nisqa(
    enhanced: np.ndarray,
    clean: np.ndarray | None = None,
    sample_rate: int = 16000,
    *,
    weights: str | os.PathLike | None = None,
    level_db: float | None = -26.0,
) -> dict[str, float]:
    """NISQA of one clip, at its own sampling rate (the mel filters go up to 20 kHz).

    Arguments
    ---------
    enhanced : np.ndarray
        Waveform, `[samples]`, of 0.14 to 52 s.
    clean : np.ndarray, optional
        Not used; metrics share their signature.
    sample_rate : int
        Sampling rate in Hz.
    weights : str or os.PathLike, optional
        The file `nisqa.tar`. Without, `~/.torchmetrics/NISQA/nisqa.tar`, fetched from
        NISQA's repository if it isn't there.
    level_db : float, optional
        Active speech level (ITU-T P.56) in dBov to which the clip is scaled first, so
        that enhancers are not told apart by their gain. None: as it is, which is what
        NISQA's own program and torchmetrics score.

    Returns
    -------
    dict of str to float
        `nisqa_mos` (overall), `nisqa_noi` (noisiness), `nisqa_dis` (discontinuity),
        `nisqa_col` (coloration), `nisqa_loud` (loudness): about 1 to 5, higher is
        better for all.

    Raises
    ------
    ValueError
        When the clip is silent, too short or too long, or has no active speech level.
    FileNotFoundError
        When there are no weights and they can't be fetched.
    ModuleNotFoundError
        Without the extra `eval`.

    Example
    -------
    >>> nisqa(np.ones(16), weights="nowhere/nisqa.tar")
    Traceback (most recent call last):
    FileNotFoundError: NISQA: no weights at nowhere/nisqa.tar
    """
    refuse_silence("NISQA", enhanced=enhanced)
    package = _package()
    model, settings = _model(weights_file("NISQA", weights, CACHED, URL))
    frames = 1 + len(enhanced) // int(sample_rate * settings["ms_hop_length"])
    windows = frames - settings["ms_seg_length"] + 1
    seconds = len(enhanced) / sample_rate
    if windows < 1:
        raise ValueError(f"NISQA: {seconds:.2f} s are too short, 0.14 are needed")
    if windows > settings["ms_max_segments"] * settings["ms_seg_hop_length"]:
        raise ValueError(f"NISQA: {seconds:.0f} s are too long, it takes up to 52")
    if level_db is not None:
        try:
            enhanced = set_level(enhanced, sample_rate, level_db)
        except ValueError as error:
            raise ValueError(f"NISQA: {error}") from error
    with one_thread():
        mel = package._get_librosa_melspec(
            enhanced[None].astype(np.float32), sample_rate, settings
        )
        segments, count = package._segment_specs(torch.from_numpy(mel), settings)
        scores = model(segments, count.expand(1))[0]
    names = [f"nisqa_{name}" for name in DIMENSIONS]
    return dict(zip(names, scores.tolist(), strict=True))


def _package():
    for module in ("librosa", "requests"):  # which torchmetrics only misses when called
        require("NISQA", module)
    return require("NISQA", "torchmetrics.functional.audio.nisqa")


@functools.lru_cache
def _model(path: str):
    checkpoint = torch.load(path, "cpu", weights_only=True)
    model = _package()._NISQADIM(checkpoint["args"])
    model.load_state_dict(checkpoint["model_state_dict"])
    return model.eval(), checkpoint["args"]
