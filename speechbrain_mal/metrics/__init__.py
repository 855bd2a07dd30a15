"""Metrics, and the engine that scores clips with them.

Every metric is a function `metric(enhanced, clean, sample_rate, **options)`. Its first
arguments are waveforms `[samples]` of one length, full scale 1.0, and their sampling
rate in Hz; a metric that needs no reference ignores the clean one. It returns a number,
or a dict of numbers by column, and raises ValueError for a clip that it is not defined
for, FileNotFoundError or ImportError where its weights or its package are
missing.
"""

from speechbrain_mal.metrics.batches import BatchClips
from speechbrain_mal.metrics.clips import (
    Clip,
    clips_from_folders,
    clips_from_list,
    clips_from_manifest,
)
from speechbrain_mal.metrics.engine import evaluate
from speechbrain_mal.metrics.registry import METRICS, Metric
from speechbrain_mal.metrics.table import ScoreTable, read_scores

__all__ = [
    "METRICS",
    "BatchClips",
    "Clip",
    "Metric",
    "ScoreTable",
    "clips_from_folders",
    "clips_from_list",
    "clips_from_manifest",
    "evaluate",
    "read_scores",
]
