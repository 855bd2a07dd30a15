"""Manifests and pipelines: pairs of noisy and clean speech, and mixtures made anew."""

from speechbrain_mal.data.dns import prepare_dns
from speechbrain_mal.data.mixing import Mixing
from speechbrain_mal.data.mixtures import mixed_dataset
from speechbrain_mal.data.pairs import RandomCrop, paired_dataset
from speechbrain_mal.data.shard_mixtures import ShardedMixtures
from speechbrain_mal.data.shards import pack_shards
from speechbrain_mal.data.shared import SkippedFiles
from speechbrain_mal.data.voicebank import prepare_voicebank

__all__ = [
    "Mixing",
    "RandomCrop",
    "ShardedMixtures",
    "SkippedFiles",
    "mixed_dataset",
    "pack_shards",
    "paired_dataset",
    "prepare_dns",
    "prepare_voicebank",
]
