"""One HTML page on which a comparison can be heard: audio, spectrograms, scores.

Everything is in the file: it can be mailed, or opened without a network.
"""

import base64
import html
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from speechbrain_mal.analysis.plots import RANGE_DB, decibels
from speechbrain_mal.extras import require
from speechbrain_mal.metrics.clips import read_mono
from speechbrain_mal.metrics.registry import HEADINGS, LOWER_IS_BETTER

_TEMPLATE = Path(__file__).with_name("listening.html")


def listening_page(
    audio: Mapping[str, Mapping[str, Path]],
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    facts: Mapping[str, Mapping[str, str]],
    title: str,
) -> str:
    """Return the page.

    `audio` is `{clip: {system: file}}`, in the order to show; `scores`, of which those
    that are missing or NaN are left out, `{system: {clip: {column: score}}}`; `facts`,
    such as the clip's noise, `{clip: {name: value}}`. A file that can't be read is a
    ValueError.
    """
    clips, columns = [], {}
    for clip, files in audio.items():
        waveforms = {name: read_mono(path) for name, path in files.items()}
        levels = {name: decibels(*pair) for name, pair in waveforms.items()}
        top = max(level.max() for level in levels.values())
        versions = []
        for name, pair in waveforms.items():
            row = scores.get(name, {}).get(clip, {})
            row = {k: v for k, v in row.items() if math.isfinite(v)}
            for column in row:
                heading, lower = HEADINGS.get(column, column), column in LOWER_IS_BETTER
                columns[column] = {"heading": heading, "lower": lower}
            versions.append(
                {
                    "system": name,
                    "audio": flac_url(*pair),
                    "picture": _picture(levels[name], top),
                    "scores": row,
                }
            )
        told = dict(facts.get(clip, {}))
        clips.append({"clip": clip, "facts": told, "versions": versions})
    data = json.dumps({"clips": clips, "columns": columns}).replace("<", "\\u003c")
    page = _TEMPLATE.read_text(encoding="utf-8")
    return page.replace("{{title}}", html.escape(title)).replace("{{data}}", data)


def flac_url(waveform: np.ndarray, rate: int) -> str:
    """Return the waveform as it is, without a change of level, in a data URL."""
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format="FLAC", subtype="PCM_16")
    return _data_url("audio/flac", file)


def _picture(level: np.ndarray, top: float) -> str:
    """Return a spectrogram of 128 by at most 480 pixels in a data URL."""
    file = io.BytesIO()
    rows, columns = -(-level.shape[0] // 128), -(-level.shape[1] // 480)
    require("matplotlib.image", "eval").imsave(
        file,
        level[::rows, ::columns],
        origin="lower",
        cmap="magma",
        vmin=top - RANGE_DB,
        vmax=top,
        format="png",
    )
    return _data_url("image/png", file)


def _data_url(kind: str, file: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
