"""What an exported folder's YAML names besides the model, for SpeechBrain's interfaces.

`MALEnhancement` never reads that YAML. SpeechBrain's classes execute it; what they find
there loads weights from safetensors, strictly: their own only warn.
"""

import os
from pathlib import Path
from typing import Any

from speechbrain.utils.fetching import FetchSource, guess_source
from speechbrain.utils.parameter_transfer import Pretrainer
from torch import Tensor, nn

from speechbrain_mal.hub.tensors import load_weights


class SafetensorsPretrainer(Pretrainer):
    """SpeechBrain's Pretrainer, strict, of weights in `<name>.safetensors`."""

    def __init__(self, loadables: dict[str, nn.Module]):
        super().__init__(None, loadables, custom_hooks=dict.fromkeys(loadables, _load))

    def collect_files(
        self, default_source: str | os.PathLike | FetchSource, **options: Any
    ) -> dict[str, Path]:
        """Fetch the weights from the source, as SpeechBrain's Pretrainer does."""
        if not isinstance(default_source, FetchSource):
            default_source = FetchSource(*guess_source(str(default_source)))
        kind, source = default_source
        for name in self.loadables:
            path = FetchSource(kind, f"{source}/{name}.safetensors")
            self.add_paths({name: path})
        return super().collect_files(default_source, **options)


def _load(module: nn.Module, path: str | os.PathLike) -> None:
    with open(path, "rb") as file:
        load_weights(module, file, path)


class EnhanceModel(nn.Module):
    """An enhancer of waveforms `[B, samples]` as `WaveformEnhancement` calls it."""

    def __init__(self, enhancer: nn.Module):
        super().__init__()
        self.enhancer = enhancer

    def forward(self, noisy: Tensor) -> tuple[Tensor, None]:
        """Return the enhanced waveforms, and no features."""
        return self.enhancer(noisy), None
