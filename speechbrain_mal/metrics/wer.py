"""Word error rate: what a speech recogniser makes of the enhanced speech."""

import collections
import functools
import hashlib
import os
import unicodedata

import numpy as np
import torch
from ruamel.yaml import YAML
from speechbrain.inference.ASR import EncoderASR, EncoderDecoderASR, WhisperASR
from speechbrain.utils.edit_distance import accumulatable_wer_stats
from speechbrain.utils.fetching import fetch

from speechbrain_mal.metrics.learned import one_thread

WORDS_PER_SECOND = 8  # more are no speech: Whisper may repeat itself without an end
_said: dict[tuple, str] = {}  # in clean clips: several systems share them


def wer(
    enhanced: np.ndarray,
    clean: np.ndarray | None = None,
    sample_rate: int = 16000,
    *,
    source: str,
    savedir: str | os.PathLike | None = None,
    transcript: str | None = None,
) -> dict[str, float]:
    """Word error rate in percent, and the number of words in the reference.

    The rate of several clips is their mean weighed by their words. Words are compared
    in upper case and without punctuation; an apostrophe within a word stays (`DON'T`),
    a hyphen parts two. A silent enhanced clip is not refused: it has no words, which is
    an error rate of 100 %. Undefined where the reference has no words, there is none,
    or what is heard in the clean clip has more than eight words a second.

    Arguments
    ---------
    enhanced, clean, sample_rate
        As of all metrics. The recogniser hears a clip whole, whatever memory it takes.
    source : str
        Folder or hub name of an `EncoderASR`, `EncoderDecoderASR` or `WhisperASR`. Its
        `hyperparams.yaml` is executed: use sources that you trust.
    savedir : path, optional
        Where the recogniser's files are put; without, the hub's cache.
    transcript : str, optional
        The words that were said; without, what it hears in the clean clip.

    Example
    -------
    >>> wer(np.ones(16000), source="speechbrain/asr-crdnn-rnnlm-librispeech")
    Traceback (most recent call last):
    ValueError: there is neither a transcript nor a clean clip
    """
    place = str(source), None if savedir is None else str(savedir)
    if transcript is None:
        if clean is None:
            raise ValueError("there is neither a transcript nor a clean clip")
        key = hashlib.sha256(clean.tobytes()).digest(), sample_rate, *place
        if key not in _said:
            _said[key] = _transcribe(clean, sample_rate, *place)
        transcript = _said[key]
        if len(_words(transcript)) > WORDS_PER_SECOND * len(clean) / sample_rate:
            raise ValueError("in the clean clip the recogniser hears too many words")
    reference = _words(transcript)
    if not reference:
        raise ValueError("the reference has no words")
    heard = _words(_transcribe(enhanced, sample_rate, *place))
    stats = accumulatable_wer_stats([reference], [heard], collections.Counter())
    return {"wer": stats["WER"], "wer_words": len(reference)}


def _words(text: str) -> list[str]:
    text = unicodedata.normalize("NFC", text).upper()
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    kept = (c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    words = (word.strip("'") for word in "".join(kept).split())
    return [word for word in words if word]


def _transcribe(
    clip: np.ndarray, sample_rate: int, source: str, savedir: str | None
) -> str:
    if not np.any(clip):
        return ""
    recogniser = _recogniser(source, savedir)
    waveform = torch.from_numpy(clip.astype(np.float32))[:, None]
    with one_thread():
        waveform = recogniser.audio_normalizer(waveform, sample_rate)
        words, _ = recogniser.transcribe_batch(waveform[None], torch.ones(1))
    return words[0] if isinstance(words[0], str) else " ".join(words[0])


@functools.lru_cache
def _recogniser(
    source: str, savedir: str | None
) -> EncoderASR | EncoderDecoderASR | WhisperASR:
    path = fetch("hyperparams.yaml", source=source, savedir=savedir)
    with open(path, encoding="utf-8") as file:
        keys = YAML().load(file)  # as mere text: what it would construct is left alone
    interface = EncoderDecoderASR
    if "decoding_function" in keys:
        interface = EncoderASR
    elif "whisper" in keys.get("modules", {}):
        interface = WhisperASR
    return interface.from_hparams(
        source=source, savedir=savedir, run_opts={"device": "cpu"}
    )
