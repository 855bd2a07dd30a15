"""A trained enhancer's encoder as a loss for any other network."""

import os

from torch import Tensor
from torchaudio.transforms import Resample

from speechbrain_mal.contracts import Encoder, Features
from speechbrain_mal.hub.folder import FILES, fetch_folder, load_folder


class EnhancerEncoder(Encoder):
    """The encoder of an exported enhancer, for `DeepFeatureLoss`.

    Whatever is trained needs no encoder of its own then. In the decisive experiment of
    RESULTS.md other trained encoders do as much as the model's own.

    Arguments
    ---------
    source : str or path
        Folder or hub id, as of `MALEnhancement.from_hparams`.
    sample_rate : int
        Rate of the waveforms in Hz; they are resampled to the enhancer's.

    Raises
    ------
    ValueError
        When the source is none.

    Example
    -------
    >>> from speechbrain_mal import AuxiliaryLoss, DeepFeatureLoss
    >>> from speechbrain_mal.inference import shipped_model
    >>> loss = DeepFeatureLoss(EnhancerEncoder(shipped_model("dfn2-mal-16k-tiny")))
    >>> auxiliary = AuxiliaryLoss(loss, balance="gradient")
    """

    pretrained = True  # checkpoints hold its checksum

    def __init__(self, source: str | os.PathLike, sample_rate: int = 16000):
        super().__init__()
        model, rate = load_folder(fetch_folder(source, FILES))
        self.encoder, self.sample_rate = model.encoder, sample_rate
        self.resample = Resample(sample_rate, rate)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Features:
        """Return the features, see `Encoder`."""
        return self.encoder(self.resample(waveforms), lengths)
