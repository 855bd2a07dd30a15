"""DeepFilterNet2's input features as an encoder: what it hears before it learns."""

import torch
from torch import Tensor

from speechbrain_mal.contracts import Encoder, Features
from speechbrain_mal.models.frontend import FrontEnd


class InputFeatures(Encoder):
    """Waveform to the ERB and the complex feature; no weights, nothing learned.

    The control for any loss on learned features: gains of deep feature losses have been
    matched by losses on the filter bank in front of the network (M. R. Saddler et al.,
    "Speech denoising with auditory models", 2020).

    Arguments
    ---------
    front_end : FrontEnd
        Analysis and features, such as a model's `encoder.front_end`.

    Example
    -------
    >>> features = InputFeatures(FrontEnd(16000, n_fft=320, hop_length=160))
    >>> [list(stage.shape) for stage in features(torch.randn(2, 16000)).stages]
    [[2, 102, 32], [2, 102, 96, 2]]
    """

    def __init__(self, front_end: FrontEnd):
        super().__init__()
        self.front_end = front_end
        self.sample_rate = front_end.sample_rate

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Features:
        """Return the ERB feature `[B, T, bands]` and the complex one `[B, T, bins, 2]`.

        Arguments
        ---------
        waveforms : Tensor
            `[B, samples]`.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`. Features beyond are zero.
        """
        frames = self.front_end.clip_frames(waveforms, lengths)
        erb, low = self.front_end.features(
            self.front_end.input_spectrum(waveforms), frames
        )
        stages = [erb, torch.view_as_real(low)]
        return Features(stages, None if frames is None else [frames, frames])
