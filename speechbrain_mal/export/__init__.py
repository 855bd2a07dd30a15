"""A trained enhancer as a folder that others load: weights, YAML, model card."""

from speechbrain_mal.export.folder import export
from speechbrain_mal.export.model_card import Facts, model_card

__all__ = ["Facts", "export", "model_card"]
