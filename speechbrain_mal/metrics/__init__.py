"""Metrics, and the engine that scores clips with them.

A metric is a row of `METRICS`: a function of an enhanced and a clean waveform, and what
has to be known of it. `evaluate` scores clips with some of them, into a `ScoreTable`.
"""

from speechbrain_mal.metrics.clips import (
    Clip,
    clips_from_batch,
    clips_from_folders,
    clips_from_list,
    clips_from_manifest,
)
from speechbrain_mal.metrics.engine import evaluate
from speechbrain_mal.metrics.metric import Metric
from speechbrain_mal.metrics.registry import METRICS
from speechbrain_mal.metrics.table import ScoreTable, read_scores

__all__ = [
    "METRICS",
    "Clip",
    "Metric",
    "ScoreTable",
    "clips_from_batch",
    "clips_from_folders",
    "clips_from_list",
    "clips_from_manifest",
    "evaluate",
    "read_scores",
]
