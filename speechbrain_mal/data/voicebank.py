"""Manifests of VoiceBank-DEMAND [1], from the folders as they are distributed.

[1] C. Valentini-Botinhao et al., "Investigating RNN-based speech enhancement methods
for noise-robust Text-to-Speech", SSW 2016; https://doi.org/10.7488/ds/2117
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from speechbrain_mal.data import manifests
from speechbrain_mal.data.scan import Facts, list_audio
from speechbrain_mal.files import printable, shown

# The corpus is published at 48 kHz; "_16k" is what recipes call its resampled copy.
_FOLDER_SUFFIX = {16000: "_wav_16k", 48000: "_wav"}
_TRAIN_SETS = ("28spk", "56spk")
_MANIFESTS = ("train.json", "valid.json", "test.json")
_MAX_PROBLEMS = 10  # a folder that is wrong as a whole is told of in seconds

Pairs = dict[str, tuple[str, str]]  # by clip: names of the noisy and the clean file


def prepare_voicebank(
    data_folder: str | os.PathLike,
    save_folder: str | os.PathLike,
    sample_rate: int = 16000,
    train_set: str = "28spk",
    valid_speakers: Iterable[str] = ("p226", "p287"),
    test_set: str = "testset",
    skip_prep: bool = False,
) -> None:
    """Check the corpus and write `train.json`, `valid.json` and `test.json`.

    Every audio file is decoded once, so that a damaged one is found now; a call that
    was stopped goes on, and manifests of the same files and options are kept. Paths
    start with `{data_root}`: the manifests outlive a move of the corpus.

    Arguments
    ---------
    data_folder : path
        Folder that holds `{noisy,clean}_trainset_{28spk,56spk}_wav` and
        `{noisy,clean}_testset_wav` (48 kHz), or the same with `_16k` appended
        (16 kHz), with any folders in them. A file is named `<speaker>_<sentence>`.
    save_folder : path
        Where the manifests go; made if needed.
    sample_rate, train_set : int, str
        16000 or 48000 (Hz), `"28spk"` or `"56spk"`: they select the folders.
    valid_speakers : iterable of str
        Speakers of the training set that are held out for validation.
    test_set : str
        `"testset"`, or another set in the same layout, such as `"oodset"`.
    skip_prep : bool
        Trust the manifests that are in `save_folder`, and do nothing.

    Raises
    ------
    FileNotFoundError
        If a folder, one half of a pair, or with `skip_prep` a manifest is missing.
    ValueError
        If an option is unknown, a split would be empty, a clip is in two, or audio is
        not mono, of this rate, whole and as long as its other half: one error lists up
        to ten clips. No manifest is written or changed then.

    Example
    -------
    >>> import json, numpy, soundfile
    >>> corpus = getfixture("tmp_path")
    >>> for kind in ["noisy", "clean"]:
    ...     train = corpus / f"{kind}_trainset_28spk_wav_16k"
    ...     test = corpus / f"{kind}_testset_wav_16k"
    ...     for clip in [train / "p225_001", train / "p226_001", test / "p232_001"]:
    ...         clip.parent.mkdir(exist_ok=True)
    ...         soundfile.write(clip.with_suffix(".wav"), numpy.zeros(8000), 16000)
    >>> prepare_voicebank(corpus, corpus / "manifests", valid_speakers=["p226"])
    >>> valid = json.loads((corpus / "manifests" / "valid.json").read_text())
    >>> valid["p226_001"]["length"]
    0.5
    """
    if skip_prep:
        manifests.require_manifests(save_folder, _MANIFESTS)
        return
    if train_set not in _TRAIN_SETS:
        raise ValueError(f"train_set is {train_set!r}: choose one of {_TRAIN_SETS}.")
    if sample_rate not in _FOLDER_SUFFIX:
        raise ValueError(
            f"sample_rate is {shown(sample_rate)}: choose one of "
            f"{tuple(_FOLDER_SUFFIX)} (Hz)."
        )
    data_folder = manifests.existing_folder(data_folder, "data_folder")
    # A single speaker from the command line arrives as a string.
    speakers = {valid_speakers} if isinstance(valid_speakers, str) else valid_speakers
    settings = {
        "sample_rate": sample_rate,
        "train_set": train_set,
        "valid_speakers": sorted(set(map(str, speakers))),
        "test_set": test_set,
    }
    train = _list_pairs(data_folder, f"trainset_{train_set}", sample_rate)
    test = _list_pairs(data_folder, test_set, sample_rate)
    splits, pairs = _split(train, test, settings["valid_speakers"]), train | test

    def make(scanned: Iterator[tuple[str, Facts]]) -> dict[str, dict]:
        lengths = _check_pairs(pairs, scanned, sample_rate)
        return {
            name: {
                clip: {
                    "noisy_wav": f"{{data_root}}/{noisy}",
                    "clean_wav": f"{{data_root}}/{clean}",
                    "length": lengths[clip] / sample_rate,
                    "samples": lengths[clip],
                    "speaker": _speaker(clip),
                }
                for clip, (noisy, clean) in sorted(split.items())
            }
            for name, split in zip(_MANIFESTS, splits, strict=True)
        }

    files = list(itertools.chain(*pairs.values()))
    manifests.make_manifests(
        data_folder, files, save_folder, _MANIFESTS, settings, make
    )


def _speaker(clip: str) -> str:
    return clip.split("_")[0]


def _list_clips(data_folder: Path, stem: str, sample_rate: int) -> dict[str, str]:
    """Return the files in `<stem>_wav[_16k]` by clip, their names without extension.

    Folders in it play no part: unpacked archives are often nested in themselves.
    """
    folder = data_folder / (stem + _FOLDER_SUFFIX[sample_rate])
    (other_rate,) = set(_FOLDER_SUFFIX) - {sample_rate}
    other = data_folder / (stem + _FOLDER_SUFFIX[other_rate])
    advice = ""
    if other.is_dir():
        advice = (
            f" {other.name} is there, which is for {other_rate} Hz: resample it into "
            f"{folder.name}, or set sample_rate to {other_rate}."
        )
    elif deeper := next(data_folder.glob(f"*/{folder.name}"), None):
        advice = f" Set data_folder to {printable(deeper.parent)}, which has it."
    manifests.existing_folder(folder, "data_folder", advice)
    files: dict[str, str] = {}
    for name in list_audio(folder, data_folder):
        clip = PurePosixPath(name).stem
        if clip in files:
            both = f"{printable(files[clip])} and {printable(name)}"
            raise ValueError(f"{both} are both clip {shown(clip)}: keep one.")
        files[clip] = name
    return files


def _list_pairs(data_folder: Path, set_name: str, sample_rate: int) -> Pairs:
    """Return the (noisy, clean) files of a set by clip."""
    noisy, clean = (
        _list_clips(data_folder, f"{kind}_{set_name}", sample_rate)
        for kind in ("noisy", "clean")
    )
    alone = [f"{noisy[k]} has no clean clip" for k in noisy.keys() - clean.keys()]
    alone += [f"{clean[k]} has no noisy clip" for k in clean.keys() - noisy.keys()]
    if alone:
        examples = "\n  ".join(map(printable, sorted(alone)[:10]))
        raise FileNotFoundError(
            f"{len(alone)} clip(s) of {set_name} lack their other half: restore it, or "
            f"remove the clip:\n  {examples}"
        )
    return {clip: (noisy[clip], clean[clip]) for clip in noisy}


def _split(train: Pairs, test: Pairs, valid_speakers: list[str]) -> list[Pairs]:
    """Return the pairs of train, valid and test; no clip is in two of them."""
    if common := sorted(train.keys() & test.keys()):
        raise ValueError(
            f"{len(common)} clip(s) are in both the training and the test set, such as "
            f"{printable(', '.join(common[:10]))}: remove them from one of the two."
        )
    present = sorted({_speaker(clip) for clip in train})
    unknown = sorted(set(valid_speakers) - set(present))
    if unknown or not valid_speakers:
        raise ValueError(
            f"valid_speakers {unknown or valid_speakers} give no validation clips: "
            "name speakers of the training set, which are "
            f"{printable(', '.join(present[:60]))}."
        )
    valid = {k: pair for k, pair in train.items() if _speaker(k) in valid_speakers}
    if len(valid) == len(train):
        raise ValueError(
            f"valid_speakers {valid_speakers} are all the speakers there are, so "
            "nothing is left to train on: name fewer."
        )
    return [{k: train[k] for k in train.keys() - valid.keys()}, valid, test]


def _check_pairs(
    pairs: Pairs, scanned: Iterator[tuple[str, Facts]], sample_rate: int
) -> dict[str, int]:
    """Return each clip's length in samples; raise ValueError if some are unusable."""
    lengths, problems = {}, []
    for clip in pairs:
        halves = [(printable(name), f) for name, f in itertools.islice(scanned, 2)]
        faults = [f"{x}: {why}" for x, f in halves if (why := _fault(f, sample_rate))]
        (noisy, one), (clean, other) = halves
        if not faults and one.samples != other.samples:
            faults = [
                f"{noisy} has {one.samples} samples, {clean} has {other.samples}: cut "
                "both to the same, aligned length, or remove both."
            ]
        lengths[clip] = one.samples
        problems += [" ".join(faults)] if faults else []
        if len(problems) == _MAX_PROBLEMS:
            break
    if problems:
        raise ValueError(
            f"{len(problems)} unusable clip(s) among the {len(lengths)} of "
            f"{len(pairs)} that were checked:\n  " + "\n  ".join(problems)
        )
    return lengths


def _fault(facts: Facts, sample_rate: int) -> str:
    if not facts.problem and facts.sample_rate != sample_rate:
        return (
            f"a sample rate of {facts.sample_rate} Hz, not {sample_rate} Hz: resample "
            "it, or set sample_rate to that of the corpus."
        )
    if not facts.problem and facts.channels != 1:
        return f"{facts.channels} channels: keep one of them."
    return facts.problem
