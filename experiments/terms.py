"""Terms that the decisive experiment compares with Model as Loss."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speechbrain_mal.audio import find_audio
from speechbrain_mal.contracts import Encoder, PlainEncoder
from speechbrain_mal.export import load_run
from speechbrain_mal.hub.folder import load_folder
from speechbrain_mal.lengths import mean_over_clips, sample_counts, silence_padding
from speechbrain_mal.losses.deepfilternet import SILENCE
from speechbrain_mal.losses.model_as_loss import ModelAsLoss
from speechbrain_mal.metrics.clips import read_mono


def encoder_of(folder: str) -> Encoder:
    """Return the encoder of an enhancer: of an exported folder, or of a run's last."""
    if (Path(folder) / "config.json").exists():
        model, _ = load_folder(Path(folder))
    else:
        model, _ = load_run(folder, "last")
    model.encoder.pretrained = True  # checkpoints hold its checksum
    return model.encoder


def calibrated(
    encoder: Encoder, folder: str, clips: int = 64, seconds: float = 2.0
) -> Encoder:
    """Give an encoder the BatchNorm statistics of real speech, a folder's, and keep it.

    Of a random encoder that is in evaluation mode with a new layer's statistics, the
    features hardly depend on the input.
    """
    norms = [x for x in encoder.modules() if isinstance(x, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    paths = find_audio(folder).files
    paths = paths[:: max(1, len(paths) // clips)][:clips]
    samples = round(seconds * encoder.sample_rate)
    speech = [torch.from_numpy(read_mono(path)[0])[:samples] for path in paths]
    with torch.no_grad():
        encoder.train()(pad_sequence(speech, batch_first=True))
    return encoder


class WhisperFeatures(PlainEncoder):
    """Whisper's encoder: its two convolutions, its layers, and their normalised end.

    Clips are not padded to the 30 s that transcription takes, which costs as much
    however short they are. A clip's features depend on no other clip's, as they do by
    SpeechBrain's spectrogram, which the batch's loudest limits.

    Arguments
    ---------
    network : nn.Module
        SpeechBrain's `speechbrain.integrations.huggingface.whisper.Whisper`.
    """

    pretrained, sample_rate = True, 16000

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return every stage's features, `[B, T, C]`, shallow to deep."""
        encoder, window = self.network.model.encoder, torch.hann_window(400)
        spectrum = torch.stft(
            waveforms, 400, 160, window=window.to(waveforms), return_complex=True
        )
        mel = self.network._mel_filters @ spectrum[..., :-1].abs().square()
        mel = mel.clamp_min(1e-10).log10()
        mel = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8)
        hidden, stages = (mel + 4) / 4, []
        for convolution in (encoder.conv1, encoder.conv2):
            hidden = nn.functional.gelu(convolution(hidden))
            stages.append(hidden.transpose(1, 2))
        hidden = stages[-1] + encoder.embed_positions.weight[: stages[-1].shape[1]]
        for layer in encoder.layers:
            hidden = layer(hidden, None)
            stages.append(hidden)
        return [*stages, encoder.layer_norm(hidden)]


class RelativeToNoisy(ModelAsLoss):
    """Each clip's distance relative to that of the noisy input, `d(E, C) / d(N, C)`.

    So a clip counts by the share of its noise that is left, however noisy it was.
    Arguments as of `ModelAsLoss`.
    """

    inputs = ("noisy",)

    def forward(
        self,
        enhanced: Tensor,
        clean: Tensor,
        lengths: Tensor | None = None,
        noisy: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a scalar; arguments as of every loss."""
        enhanced, clean, noisy = silence_padding(lengths, enhanced, clean, noisy)
        targets, frames = self._features(clean, lengths)
        if enhanced.requires_grad:
            self.observe(targets, frames)
        far, near = (
            self._by_clip(self._features(speech, lengths)[0], targets, frames)
            for speech in (noisy, enhanced)
        )
        return (near / (far + 1e-3 * far.mean())).mean()

    def _by_clip(
        self,
        features: list[Tensor],
        targets: list[Tensor],
        frames: list[Tensor | None],
    ) -> Tensor:
        """Return every clip's distance from the clean one, `[B, L]`."""
        apart = [a - b for a, b in zip(features, targets, strict=True)]
        return torch.stack(
            [
                self._sizes(
                    [x[i : i + 1] for x in apart],
                    [None if n is None else n[i : i + 1] for n in frames],
                )
                for i in range(len(targets[0]))
            ]
        )


class OverSuppression(nn.Module):
    """Squared error of compressed magnitudes where the enhanced speech has too little.

    What Model as Loss might do beside L_df, which punishes too much noise and too
    little speech alike.

    Arguments
    ---------
    front_end : nn.Module
        Gives the spectrum, as of `DeepFilterNetLoss`.
    gamma : float
        Exponent of the compression.
    """

    def __init__(self, front_end: nn.Module, gamma: float = 0.3):
        super().__init__()
        self.front_end, self.gamma = front_end, gamma

    def forward(
        self, enhanced: Tensor, clean: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar; arguments as of every loss."""
        frames = None
        if lengths is not None:
            frames = self.front_end.frames(sample_counts(clean, lengths))
        enhanced, clean = silence_padding(lengths, enhanced, clean)
        ours, theirs = (
            self.front_end.analysis(x).abs().clamp_min(SILENCE) ** self.gamma
            for x in (enhanced, clean)
        )
        return mean_over_clips((theirs - ours).relu().square(), frames)
