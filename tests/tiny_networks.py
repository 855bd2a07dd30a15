"""Tiny networks with random weights: SpeechBrain's enhancers, self-supervised ones."""

from pathlib import Path

import torch
import yaml
from hyperpyyaml import load_hyperpyyaml

from speechbrain_mal.hub.translate import enhancer_yaml

FILE = Path(__file__).with_name("networks.yaml")


def enhancer_nodes():
    """Return the YAML nodes of `networks.yaml`, by name."""
    root = yaml.compose(FILE.read_text(encoding="utf-8"), yaml.SafeLoader)
    return {key.value: node for key, node in root.value}


def build_enhancer(name):
    """Return one of `networks.yaml`, with seeded weights."""
    torch.manual_seed(0)
    return load_hyperpyyaml(enhancer_yaml(enhancer_nodes()[name]))["enhancer"]


SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16, 16, 16),
    "conv_stride": (5, 4, 4),
    "conv_kernel": (10, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def save_tiny(name, folder):
    """Save a random WavLM, Wav2Vec2 or Hubert to a folder, and return its path."""
    import transformers

    config = getattr(transformers, f"{name}Config")(**SIZES)
    torch.manual_seed(0)
    getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    extractor.save_pretrained(folder)
    return str(folder)
