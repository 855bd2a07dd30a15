"""`MALEnhancement`: a trained enhancer, loaded from a folder or the hub."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from speechbrain_mal.hub.folder import FILES, fetch_folder, load_folder
from speechbrain_mal.inference.folding import fold
from speechbrain_mal.inference.step import StreamingDeepFilterNet2
from speechbrain_mal.inference.stream import Stream, check_samples, noise_gain
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2

if TYPE_CHECKING:
    from speechbrain.utils.fetching import FetchConfig

    from speechbrain_mal.inference.folders import FolderReport


class MALEnhancement(nn.Module):
    """A ready-to-use enhancer, loaded by `from_hparams`.

    It has the attributes of SpeechBrain's `Pretrained` that its methods need (`mods`,
    `hparams`, `device`), and is none: importing that takes longer than enhancing does.

    Arguments
    ---------
    modules : dict of str to nn.Module
        `enhancer`, noisy waveforms `[B, samples]` to enhanced ones.
    hparams : dict
        `sample_rate` in Hz, and whatever is to be found in `hparams`.
    run_opts : dict, optional
        `device`; without it an accelerator, where there is one.

    Example
    -------
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... )
    >>> enhancer = MALEnhancement({"enhancer": model}, {"sample_rate": 16000})
    >>> noisy = torch.randn(2, 16000)
    >>> enhancer.enhance_batch(noisy, lengths=torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 16000])
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        hparams: dict[str, Any],
        run_opts: dict[str, Any] | None = None,
    ):
        super().__init__()
        options = dict(run_opts or {})
        self.device = _device(options.pop("device", None))
        if options:
            raise ValueError(f"run_opts: only 'device' counts here, not {options}.")
        self.hparams = SimpleNamespace(**hparams)
        self.sample_rate: int = self.hparams.sample_rate
        self.mods = nn.ModuleDict(modules).to(self.device)
        self.mods.eval().requires_grad_(False)
        model, self._streaming = self.mods.enhancer, None
        if isinstance(model, DeepFilterNet2):
            model = fold(model)
            self._streaming = StreamingDeepFilterNet2(model)
        self._model = (model,)  # a tuple: its weights are those of `mods`

    @property
    def can_stream(self) -> bool:
        """Whether `stream` works, and files take constant memory."""
        return self._streaming is not None

    @classmethod
    def from_hparams(
        cls,
        source: str | os.PathLike,
        savedir: str | os.PathLike | None = None,
        fetch_config: FetchConfig | None = None,
        **kwargs: Any,
    ) -> MALEnhancement:
        """Load an enhancer that `speechbrain-mal export` wrote.

        `config.json` and the weights are read, as plain data; nothing is executed. The
        source is a folder, or the id of a repository on the hub: see `fetch_folder`,
        and `load_folder` for errors. `run_opts` is the class'.
        """
        model, rate = load_folder(fetch_folder(source, FILES, savedir, fetch_config))
        return cls({"enhancer": model}, {"sample_rate": rate}, **kwargs)

    def load_audio(self, path: str | os.PathLike) -> Tensor:
        """Return a file's waveform `[samples]`, mono and at `sample_rate`."""
        from speechbrain.dataio.audio_io import load
        from speechbrain.dataio.preprocess import AudioNormalizer

        waveform, rate = load(str(path), channels_first=False)
        return AudioNormalizer(self.sample_rate)(waveform.to(self.device), rate)

    @torch.no_grad()
    def enhance_batch(
        self,
        noisy: Tensor,
        lengths: Tensor | None = None,
        atten_lim_db: float | None = None,
    ) -> Tensor:
        """Return enhanced waveforms, aligned with the noisy ones and at their level.

        Arguments
        ---------
        noisy : Tensor
            `[B, samples]`, at `sample_rate`. ValueError where the shape or type is
            wrong, or samples are NaN or infinite.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`; a clip's result does not depend on
            what follows its end, and is zero there.
        atten_lim_db : float, optional
            Noise is lowered by no more than this, in dB; see `noise_gain`.
        """
        noisy, lengths = self._checked(noisy, lengths)
        gain, (model,) = noise_gain(atten_lim_db), self._model
        if lengths is None:
            enhanced = model(noisy)
        else:
            ends = (lengths * noisy.shape[1]).round().long()
            inside = torch.arange(noisy.shape[1], device=self.device) < ends[:, None]
            noisy = noisy * inside
            if self.can_stream:
                enhanced = model(noisy, lengths) * inside
            else:  # other models may mix a clip's end with what follows
                enhanced = torch.zeros_like(noisy)
                for clip, row, end in zip(noisy, enhanced, ends.tolist(), strict=True):
                    row[:end] = model(clip[None, :end])[0]
        return torch.lerp(enhanced, noisy, gain) if gain else enhanced

    def forward(self, noisy: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Enhance waveforms as `enhance_batch` does."""
        return self.enhance_batch(noisy, lengths)

    def enhance_file(
        self, path: str | os.PathLike, output: str | os.PathLike, **options: Any
    ) -> list[str]:
        """Enhance an audio file, see `speechbrain_mal.inference.enhance_file`.

        DeepFilterNet2 takes constant memory; other models hold the whole file.
        """
        from speechbrain_mal.inference.files import enhance_file

        return enhance_file(self._new_stream, path, output, **options)

    def enhance_folder(
        self, folder: str | os.PathLike, output: str | os.PathLike, **options: Any
    ) -> FolderReport:
        """Enhance the audio files of a folder and those in it, see `enhance_files`."""
        from speechbrain_mal.inference.folders import enhance_files

        return enhance_files(self, [folder], output, **options)

    def stream(
        self, channels: int | None = None, atten_lim_db: float | None = None
    ) -> Stream:
        """Return a new `Stream`, of any number; TypeError when the model can't."""
        if not self.can_stream:
            kind = type(self.mods.enhancer).__name__
            raise TypeError(f"{kind} can't stream; a DeepFilterNet2 can.")
        return Stream(self._streaming, channels, atten_lim_db)

    def fingerprint(self) -> str:
        """Return a digest of the weights: two enhancers with one do the same."""
        digest = hashlib.blake2b(digest_size=16)
        for name, weight in sorted(self.mods.enhancer.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _new_stream(self, channels: int) -> Any:
        return self.stream(channels) if self.can_stream else _WholeSignal(self)

    def _checked(
        self, noisy: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if noisy.dim() != 2 or not noisy.shape[1]:
            raise ValueError(
                f"noisy is [batch, samples], not {list(noisy.shape)}: one waveform is "
                "noisy[None]."
            )
        check_samples(noisy)
        if lengths is not None:
            lengths = lengths.to(self.device, torch.float32)
            if lengths.shape != noisy.shape[:1] or not (
                ((lengths > 0) & (lengths <= 1)).all()
            ):
                raise ValueError(
                    "lengths are one number in (0, 1] for each of the "
                    f"{len(noisy)} clips, relative to the longest."
                )
        return noisy.to(self.device, torch.float32), lengths


class _WholeSignal:
    """What a `Stream` is, for models that have to hear all of a signal first."""

    def __init__(self, enhancer: MALEnhancement):
        self.sample_rate = enhancer.sample_rate
        self._enhancer, self._pieces = enhancer, []

    def push(self, samples: Tensor) -> Tensor:
        self._pieces.append(samples)
        return samples[:, :0]

    def flush(self) -> Tensor:
        return self._enhancer.enhance_batch(torch.cat(self._pieces, dim=1))


def _device(device: str | None) -> str:
    """Return the device asked for, or the accelerator that SpeechBrain would take."""
    if device is None:
        device = "cpu"
        if torch.accelerator.is_available():
            device = str(torch.accelerator.current_accelerator())
            if "LOCAL_RANK" in os.environ:
                device += f":{os.environ['LOCAL_RANK']}"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # torch's, of those it lacks
        reason = str(error).partition("\n")[0]
        raise ValueError(f"Device {device!r} can't be used here: {reason}") from error
    return device
