"""`MALEnhancement`: a trained enhancer, loaded from a folder or the hub."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.fetching import FetchConfig
from torch import Tensor

from speechbrain_mal.hub.fetching import fetch_folder
from speechbrain_mal.hub.inside import check_inside
from speechbrain_mal.hub.safe_yaml import load_safely, read_text
from speechbrain_mal.inference.files import enhance_file
from speechbrain_mal.inference.folders import FolderReport, enhance_folder
from speechbrain_mal.inference.folding import fold
from speechbrain_mal.inference.stream import Stream, noise_gain
from speechbrain_mal.inference.streaming import StreamingDeepFilterNet2
from speechbrain_mal.inference.whole import WholeSignal
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2

FORMAT = 1  # of an exported folder; a higher one needs a later version of this package
CONFIG = "config.json"
WEIGHTS = "enhancer.safetensors"


class MALEnhancement(Pretrained):
    """A ready-to-use enhancer.

    It is loaded by `from_hparams`, and takes what SpeechBrain's `Pretrained` does.

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

    HPARAMS_NEEDED = ["sample_rate"]
    MODULES_NEEDED = ["enhancer"]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sample_rate: int = self.hparams.sample_rate
        model, self._streaming = self.mods.enhancer, None
        frozen = not any(weight.requires_grad for weight in model.parameters())
        if isinstance(model, DeepFilterNet2) and frozen:
            model = fold(model)
            self._streaming = StreamingDeepFilterNet2(model)
        self._model = (model,)  # a tuple: its weights are those of `mods`

    @property
    def can_stream(self) -> bool:
        """Whether `stream` works, and files take constant memory."""
        return self._streaming is not None

    # ---------------------------------------------------------------------- loading

    @classmethod
    def from_hparams(
        cls,
        source: str | os.PathLike,
        hparams_file: str = "hyperparams.yaml",
        overrides: dict | str | None = None,
        savedir: str | os.PathLike | None = None,
        fetch_config: FetchConfig = FetchConfig(),  # noqa: B008 (frozen)
        trust_remote_code: bool = False,
        **kwargs: Any,
    ) -> MALEnhancement:
        """Load an enhancer that `speechbrain-mal export` wrote.

        Arguments
        ---------
        source : str or path
            A folder, or the id of a repository on the Hugging Face hub.
        hparams_file : str
            Name of the YAML file in it.
        overrides : dict or str, optional
            Changes to the YAML; each has to match a key.
        savedir : path, optional
            Where files of a hub repository go, instead of the cache.
        fetch_config : FetchConfig
            SpeechBrain's: `revision`, `token`, `allow_network`, cache.
        trust_remote_code : bool
            Whether to execute whatever the YAML says. Without it, a YAML that does
            anything but build networks out of a list is refused, see `load_safely`.
        **kwargs
            Of `Pretrained`, such as `run_opts={"device": "cuda"}`.

        Raises
        ------
        ValueError
            When the folder or repository is not there or holds no exported enhancer,
            needs another version of this package, has an unsafe YAML, or weights that
            are damaged or of another model.
        """
        folder = fetch_folder(
            source, [hparams_file, CONFIG, WEIGHTS], savedir, fetch_config
        )
        yaml_path, config_path = (
            check_inside(folder, name) for name in (hparams_file, CONFIG)
        )
        check_inside(folder, WEIGHTS)
        _check_config(config_path)
        if trust_remote_code:
            with open(yaml_path, encoding="utf-8") as file:
                hparams = load_hyperpyyaml(file, overrides)
        else:
            hparams = load_safely(read_text(yaml_path), overrides, str(yaml_path))
        for key in ("modules", "pretrainer", *cls.HPARAMS_NEEDED):
            if key not in hparams:
                raise ValueError(f"{yaml_path} has no {key!r}: export it again.")
        hparams["pretrainer"].collect_files(default_source=str(folder))
        hparams["pretrainer"].load_collected()
        return cls(hparams["modules"], hparams, **kwargs)

    # -------------------------------------------------------------------- enhancing

    @torch.no_grad()
    def enhance_batch(
        self,
        noisy: Tensor,
        lengths: Tensor | None = None,
        atten_lim_db: float | None = None,
    ) -> Tensor:
        """Enhance waveforms.

        Arguments
        ---------
        noisy : Tensor
            `[B, samples]`, at `sample_rate`.
        lengths : Tensor, optional
            SpeechBrain's relative lengths, `[B]`; a clip's result does not depend on
            what follows its end.
        atten_lim_db : float, optional
            Noise is lowered by no more than this, in dB; see `noise_gain`.

        Returns
        -------
        Tensor
            `[B, samples]`, aligned with `noisy`, at its level; zero beyond the lengths.

        Raises
        ------
        ValueError
            When the shape, the type or the lengths are wrong, or samples are NaN or
            infinite.
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
    ) -> None:
        """Enhance an audio file of any length, rate and number of channels.

        DeepFilterNet2 takes constant memory; other models hold the whole file.

        Arguments
        ---------
        path, output : path
            Files. The output has the input's rate, channels, length and subtype, and
            appears when it is whole.
        **options
            `atten_lim_db`, `sample_rate`, `subtype`, `progress`: see
            `speechbrain_mal.inference.enhance_file`, also for its errors.
        """
        enhance_file(self._new_stream, path, output, **options)

    def enhance_folder(
        self, folder: str | os.PathLike, output: str | os.PathLike, **options: Any
    ) -> FolderReport:
        """Enhance all audio files of a folder and of those in it.

        Arguments
        ---------
        folder, output : path
            Folders; files keep their names and places.
        **options
            `jobs`, `progressbar` and those of `enhance_file`: see
            `speechbrain_mal.inference.enhance_folder`, also for its errors.

        Returns
        -------
        FolderReport
            What was enhanced, what was there already, and what could not be read.
        """
        return enhance_folder(self, folder, output, **options)

    def stream(
        self, channels: int | None = None, atten_lim_db: float | None = None
    ) -> Stream:
        """Return a new live stream; many may be open at once.

        Arguments
        ---------
        channels, atten_lim_db
            As of `Stream`.

        Raises
        ------
        TypeError
            When the model can't stream.
        """
        if not self.can_stream:
            kind = type(self.mods.enhancer).__name__
            raise TypeError(f"{kind} can't stream; a frozen DeepFilterNet2 can.")
        return Stream(self._streaming, channels, atten_lim_db)

    def fingerprint(self) -> str:
        """Return a digest of the weights: two enhancers with one do the same."""
        digest = hashlib.blake2b(digest_size=16)
        for name, weight in sorted(self.mods.enhancer.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _new_stream(self, channels: int) -> Stream | WholeSignal:
        if not self.can_stream:
            return WholeSignal(self.enhance_batch, self.sample_rate, channels)
        return self.stream(channels)

    def _checked(
        self, noisy: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if noisy.dim() != 2 or not noisy.shape[1]:
            raise ValueError(
                f"noisy is [batch, samples], not {list(noisy.shape)}: one waveform is "
                "noisy[None]."
            )
        if not noisy.is_floating_point():
            raise ValueError(
                f"Samples are floating point numbers in [-1, 1], not {noisy.dtype}."
            )
        if not noisy.isfinite().all():
            raise ValueError("noisy holds NaN or infinite samples.")
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


def _check_config(path: Path) -> None:
    """Refuse a folder that this version can't read."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["speechbrain_mal"]
        number, version = int(known["format"]), known["version"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not of a folder that `speechbrain-mal export` wrote."
        ) from error
    if number > FORMAT:
        raise ValueError(
            f"{path}: written by speechbrain-mal {version}, in format {number}; this "
            f"version reads up to {FORMAT}. Upgrade: pip install -U speechbrain-mal."
        )
