"""WavLM, wav2vec 2.0 and HuBERT as encoders: the paper's rivals of the own encoder."""

from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.transforms import Resample

from speechbrain_mal.contracts import PlainEncoder

NETWORK_RATE = 16000  # Hz, of every published WavLM, wav2vec 2.0 and HuBERT


class SelfSupervisedEncoder(PlainEncoder):
    """Features of a self-supervised speech model, for `DeepFeatureLoss`.

    The deepest of the convolutional layers is the paper's choice for WavLM-Base-Plus;
    the transformer is then not computed at all.

    Arguments
    ---------
    network : nn.Module
        SpeechBrain's `speechbrain.integrations.huggingface` `wavlm.WavLM`,
        `wav2vec2.Wav2Vec2` or `hubert.HuBERT`, from a folder or the hub.
    sample_rate : int
        Rate of the waveforms in Hz; they are resampled to 16 kHz, differentiably.
    transformer : bool
        Add the hidden states of the transformer to the convolutional layers.

    Raises
    ------
    ValueError
        When `network` is no model of this kind.

    Example
    -------
    Needs a network or a folder, and `pip install "speechbrain-mal[ssl]"`:

    >>> def wavlm_loss(source, savedir):
    ...     from speechbrain.integrations.huggingface.wavlm import WavLM
    ...     from speechbrain_mal import DeepFeatureLoss
    ...     network = WavLM(source, savedir, freeze=True)
    ...     return DeepFeatureLoss(SelfSupervisedEncoder(network, sample_rate=48000))
    """

    pretrained = True  # loaded by whoever made the network: not for checkpoints

    def __init__(
        self, network: nn.Module, sample_rate: int = 16000, transformer: bool = False
    ):
        super().__init__(network)
        model = getattr(network, "model", None)
        if not hasattr(getattr(model, "feature_extractor", None), "conv_layers"):
            raise ValueError(
                f"network is a {type(network).__name__}, and has no convolutional "
                "feature extractor: give it SpeechBrain's WavLM, Wav2Vec2 or HuBERT."
            )
        self.network, self.normalize = model, network.normalize_wav
        self.transformer = transformer
        self.sample_rate = sample_rate
        self.resample = Resample(sample_rate, NETWORK_RATE)

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return every layer's features, `[B, T, C]`, shallow to deep.

        Arguments
        ---------
        waveforms : Tensor
            `[B, samples]`, without padding: the networks normalise over a clip.
        """
        waveforms = self.resample(waveforms)
        if self.normalize:
            waveforms = F.layer_norm(waveforms, waveforms.shape[1:])
        features, hidden = [], waveforms[:, None]
        for layer in self.network.feature_extractor.conv_layers:
            hidden = layer(hidden)
            features.append(hidden.transpose(1, 2))
        if self.transformer:
            features += self.network(waveforms, output_hidden_states=True).hidden_states
        return features
