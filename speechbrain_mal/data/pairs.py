"""A SpeechBrain dataset of aligned noisy/clean crops that any run can repeat."""

from __future__ import annotations

import hashlib
import os

import torch
from speechbrain.dataio.dataio import load_data_json, read_audio
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes

from speechbrain_mal.data.epoch import SharedEpoch

_NEEDED_KEYS = ("noisy_wav", "clean_wav", "length", "samples")


class RandomCrop(SharedEpoch):
    """Choose a random segment of a clip, anew in every epoch.

    The position depends on the seed, the epoch and the clip's id, and on nothing else:
    it is the same for any number of loader workers, any order of the clips, and after
    a run was resumed. Call `set_epoch` in the Brain's `on_stage_start`.

    Arguments
    ---------
    seconds : float
        Length of the segment in seconds. A shorter clip is taken whole.
    sample_rate : int
        Sample rate of the clips in Hz.
    seed : int
        Another seed gives other positions.

    Raises
    ------
    ValueError
        If the segment would not be at least one sample long.

    Example
    -------
    >>> crop = RandomCrop(seconds=2.0, sample_rate=16000, seed=1)
    >>> start, stop = crop("p225_001", samples=48000)
    >>> stop - start
    32000
    >>> crop.set_epoch(1)
    >>> crop("p225_001", samples=48000) == (start, stop)
    False
    >>> crop("p225_002", samples=12000)
    (0, 12000)
    """

    def __init__(self, seconds: float, sample_rate: int, seed: int = 0):
        super().__init__()
        self.samples = round(seconds * sample_rate)
        if self.samples < 1:
            raise ValueError(
                f"a crop of {seconds} s at {sample_rate} Hz is {self.samples} samples"
                " long: both values must be positive"
            )
        self.sample_rate = sample_rate
        self.seed = seed

    def __call__(self, clip_id: str, samples: int) -> tuple[int, int]:
        """Return the segment of one clip.

        Arguments
        ---------
        clip_id : str
            The clip's key in the manifest.
        samples : int
            The clip's length in samples.

        Returns
        -------
        tuple of int
            Start and stop (exclusive) in samples, `0 <= start < stop <= samples`.

        Raises
        ------
        ValueError
            If the clip has no samples.
        """
        if samples < 1:
            raise ValueError(f"clip {clip_id!r} has {samples} samples: remove it")
        if samples <= self.samples:
            return 0, samples
        key = f"{self.seed}/{self.epoch}/{clip_id}".encode()
        # Python's own hash() of a string differs from process to process.
        number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
        start = number % (samples - self.samples + 1)
        return start, start + self.samples


class _ReadPair:
    """Read a clip's segment from both files (a class, so that datasets pickle)."""

    def __init__(self, crop: RandomCrop | None):
        self.crop = crop

    def __call__(
        self, clip_id: str, noisy_wav: str, clean_wav: str, samples: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, stop = self.crop(clip_id, samples) if self.crop else (0, samples)
        pair = []
        for path in (noisy_wav, clean_wav):
            audio = read_audio({"file": path, "start": start, "stop": stop}).float()
            # read_audio returns fewer samples without a word when the file is shorter.
            if audio.shape != (stop - start,):
                raise ValueError(
                    f"{path}: samples {start} to {stop} have shape {tuple(audio.shape)}"
                    f" instead of ({stop - start},): the file is not the one that the"
                    " manifest was made from, so prepare the data again"
                )
            pair.append(audio)
        return pair[0], pair[1]


def paired_dataset(
    manifest: str | os.PathLike,
    data_folder: str | os.PathLike,
    crop: RandomCrop | None = None,
) -> DynamicItemDataset:
    """Build the dataset of noisy and clean waveforms that a manifest describes.

    Only the needed segment is read from disk. The items are `id` (str), `noisy`
    and `clean` (float32, `[samples]` each, of the same segment), so that a batch
    has `batch.noisy.data` `[B, samples]` and `batch.noisy.lengths` `[B]`, and
    `clean_wav`, the path of the clean file.

    Arguments
    ---------
    manifest : path
        A JSON manifest, as `prepare_voicebank` writes it.
    data_folder : path
        What `{data_root}` in the manifest stands for.
    crop : RandomCrop, optional
        The segment of each clip. Default: the whole clip, as for validation and test.

    Returns
    -------
    DynamicItemDataset
        It can be sorted and filtered by `length` (seconds), `samples` and
        `speaker`; the same `crop` stays in charge.

    Raises
    ------
    FileNotFoundError
        If the manifest does not exist, or the audio is not in `data_folder`.
    ValueError
        If the manifest is empty, lacks a key, or is of another rate than the crop.

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
    clips = load_data_json(manifest, replacements={"data_root": os.fspath(data_folder)})
    _check_clips(clips, manifest, data_folder, crop)
    dataset = DynamicItemDataset(clips)
    read = provides("noisy", "clean")(_ReadPair(crop))
    dataset.add_dynamic_item(takes("id", "noisy_wav", "clean_wav", "samples")(read))
    dataset.set_output_keys(["id", "noisy", "clean", "clean_wav"])
    return dataset


def _check_clips(
    clips: dict[str, dict],
    manifest: str | os.PathLike,
    data_folder: str | os.PathLike,
    crop: RandomCrop | None,
) -> None:
    if not clips:
        raise ValueError(f"{manifest} has no clips: prepare the data again")
    for clip_id, clip in clips.items():
        if missing := [key for key in _NEEDED_KEYS if key not in clip]:
            raise ValueError(
                f"{manifest}: clip {clip_id!r} lacks {', '.join(missing)}: make the"
                " manifest with speechbrain_mal.data.prepare_voicebank"
            )
    first = next(iter(clips.values()))
    if not os.path.isfile(first["noisy_wav"]):
        raise FileNotFoundError(
            f"{first['noisy_wav']} does not exist: is data_folder {data_folder} the one"
            f" that {manifest} was made from?"
        )
    if crop is None:
        return
    samples, expected = first["samples"], first["length"] * crop.sample_rate
    if abs(samples - expected) > 0.01 * samples:  # lengths may have been rounded
        raise ValueError(
            f"{manifest}: {samples} samples in {first['length']} s are not"
            f" {crop.sample_rate} Hz, which the crop is for: give both the same rate"
        )
