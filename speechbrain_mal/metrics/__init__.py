"""Metrics, one family a file, and the engine that scores clips with them."""

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
