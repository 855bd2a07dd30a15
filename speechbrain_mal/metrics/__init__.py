"""Metrics, one family a file, and the table that gathers their scores."""

from speechbrain_mal.metrics.pesq import pesq_wb
from speechbrain_mal.metrics.sdr import si_sdr
from speechbrain_mal.metrics.stoi import estoi
from speechbrain_mal.metrics.table import METRICS, ScoreTable

__all__ = ["METRICS", "ScoreTable", "estoi", "pesq_wb", "si_sdr"]
