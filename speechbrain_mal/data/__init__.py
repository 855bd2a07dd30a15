"""Manifests and pipelines of paired noisy and clean speech."""

from speechbrain_mal.data.pairs import RandomCrop, paired_dataset
from speechbrain_mal.data.voicebank import prepare_voicebank

__all__ = ["RandomCrop", "paired_dataset", "prepare_voicebank"]
