"""A SpeechBrain dataset of aligned noisy/clean crops that any run can repeat."""

import os
from functools import partial

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes

from speechbrain_mal.data.manifests import check_rate, hash_of, read_manifest
from speechbrain_mal.data.shared import SharedEpoch
from speechbrain_mal.data.sources import (
    UnreadableFileError,
    open_regular,
    read_samples,
)
from speechbrain_mal.files import printable


class RandomCrop(SharedEpoch):
    """Choose a random segment of a clip, anew in every epoch.

    The position depends on the seed, the epoch and the clip's id, and on nothing else:
    it is the same for any number of loader workers, any order of the clips, and after a
    run was resumed. Call `set_epoch` in the Brain's `on_stage_start`. A clip shorter
    than `seconds`, at `sample_rate` (Hz), is taken whole.

    Example
    -------
    >>> crop = RandomCrop(seconds=2.0, sample_rate=16000, seed=1)
    >>> start, stop = crop("p225_001", samples=48000)
    >>> stop - start
    32000
    """

    def __init__(self, seconds: float, sample_rate: int, seed: int = 0):
        super().__init__()
        self.sample_rate = check_rate(sample_rate)
        self.samples = round(seconds * sample_rate)
        if self.samples < 1:
            raise ValueError(f"seconds is {seconds}: a crop has one sample at least.")
        self.seed = seed

    def __call__(self, clip_id: str, samples: int) -> tuple[int, int]:
        """Return the segment of a clip of so many samples: its start and its end."""
        if samples < 1:
            raise ValueError(f"clip {clip_id!r} has {samples} samples: remove it")
        if samples <= self.samples:
            return 0, samples
        number = hash_of(f"{self.seed}/{self.epoch}/{clip_id}")
        start = number % (samples - self.samples + 1)
        return start, start + self.samples


def paired_dataset(
    manifest: str | os.PathLike,
    data_folder: str | os.PathLike,
    crop: RandomCrop | None = None,
) -> DynamicItemDataset:
    """Build the dataset of noisy and clean waveforms that a manifest describes.

    Only the needed segment is read from disk. The items are `id` (str), `noisy` and
    `clean` (float32, `[samples]` each, of the same segment) and `clean_wav`, the path
    of the clean file. It can be sorted and filtered by `length` (seconds), `samples`
    and `speaker`; the same `crop` stays in charge. Without a crop, as for validation
    and test, a clip is whole.

    A manifest of `prepare_voicebank` that does not exist, is damaged or of another rate
    than the crop, or of which the audio is not in `data_folder` (its `{data_root}`), is
    a FileNotFoundError or ValueError.

    Example
    -------
    >>> import json, numpy, soundfile
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "p225_001.wav", numpy.zeros(16000), 16000)
    >>> wav = "{data_root}/p225_001.wav"
    >>> clip = {"noisy_wav": wav, "clean_wav": wav, "length": 1.0, "samples": 16000}
    >>> _ = (folder / "train.json").write_text(json.dumps({"p225_001": clip}))
    >>> crop = RandomCrop(seconds=0.5, sample_rate=16000)
    >>> dataset = paired_dataset(folder / "train.json", folder, crop)
    >>> dataset[0]["noisy"].shape
    torch.Size([8000])
    """
    clips = read_manifest(manifest, ("noisy_wav", "clean_wav", "length", "samples"))
    root = os.fspath(data_folder)
    for clip in clips.values():
        for key in ("noisy_wav", "clean_wav"):
            clip[key] = clip[key].replace("{data_root}", root)
    first = next(iter(clips.values()))
    if not os.path.exists(first["noisy_wav"]):
        raise FileNotFoundError(
            f"{printable(first['noisy_wav'])} does not exist: is data_folder "
            f"{printable(root)} the one that {printable(manifest)} was made from?"
        )
    samples, rate = first["samples"], crop.sample_rate if crop else 0
    # Lengths may have been rounded.
    if crop and abs(samples - first["length"] * rate) > 0.01 * samples:
        raise ValueError(
            f"{printable(manifest)}: {samples} samples in {first['length']} s are not "
            f"{rate} Hz, which the crop is for: give both the same rate"
        )
    dataset = DynamicItemDataset(clips)
    read = provides("noisy", "clean")(partial(_read_pair, crop))
    dataset.add_dynamic_item(takes("id", "noisy_wav", "clean_wav", "samples")(read))
    dataset.set_output_keys(["id", "noisy", "clean", "clean_wav"])
    return dataset


def _read_pair(
    crop: RandomCrop | None, clip_id: str, noisy: str, clean: str, samples: int
) -> list[torch.Tensor]:
    """Return a clip's segment, `[samples]`, of both files."""
    start, stop = crop(clip_id, samples) if crop else (0, samples)
    waves = []
    for path in (noisy, clean):
        wave, _ = read_samples(partial(open_regular, path), path, start, stop - start)
        # Fewer are read without a word when the file is shorter.
        if wave.shape != (stop - start, 1):
            raise UnreadableFileError(
                path,
                f"samples {start} to {stop} have shape {wave.shape}, not "
                f"({stop - start}, 1): the file is not the one that the manifest was "
                "made from, so prepare the data again.",
            )
        waves.append(torch.from_numpy(wave[:, 0]))
    return waves
