"""Manifests of VoiceBank-DEMAND [1], from the folders as they are distributed.

[1] C. Valentini-Botinhao et al., "Investigating RNN-based speech enhancement methods
for noise-robust Text-to-Speech", SSW 2016; https://doi.org/10.7488/ds/2117
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_mal.data.audio_check import check_pairs
from speechbrain_mal.data.manifests import fingerprint, is_current, write_manifests

logger = get_logger(__name__)

# The corpus is published at 48 kHz; "_16k" is what recipes call its resampled copy.
_FOLDER_SUFFIX = {16000: "_wav_16k", 48000: "_wav"}
_TRAIN_SETS = ("28spk", "56spk")
_MANIFESTS = ("train.json", "valid.json", "test.json")

Pairs = dict[str, tuple[Path, Path]]


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

    Every audio file is decoded once, so that a damaged one is found now. If the
    manifests were already made from the same files with the same options, nothing is
    done. Paths start with `{data_root}`: the manifests outlive a move of the corpus.

    Arguments
    ---------
    data_folder : path
        Folder that holds `{noisy,clean}_trainset_{28spk,56spk}_wav` and
        `{noisy,clean}_testset_wav` (48 kHz), or the same with `_16k` appended
        (16 kHz). A file is .wav or .flac, and named `<speaker>_<sentence>`.
    save_folder : path
        Where the manifests go; made if needed.
    sample_rate : int
        16000 or 48000 (Hz); it selects the folders.
    train_set : str
        `"28spk"` or `"56spk"`.
    valid_speakers : iterable of str
        Speakers of the training set that are held out for validation.
    test_set : str
        `"testset"`, or the name of another set in the same layout, such as
        `"oodset"` for `{noisy,clean}_oodset_wav_16k`.
    skip_prep : bool
        Trust the manifests that are in `save_folder`, and do nothing.

    Raises
    ------
    FileNotFoundError
        If the data folder, one of its folders or one half of a pair is missing, or
        if the manifests are and `skip_prep` is set.
    ValueError
        If an option is unknown, a split would be empty, a clip is in both training
        and test set, or audio is unusable (see `audio_check.check_pairs`). No
        manifest is written or changed in any of these cases.

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
    data_folder, save_folder = Path(data_folder), Path(save_folder)
    if skip_prep:
        _require_manifests(save_folder)
        return
    if train_set not in _TRAIN_SETS:
        raise ValueError(f"train_set is {train_set!r}: choose one of {_TRAIN_SETS}")
    if sample_rate not in _FOLDER_SUFFIX:
        raise ValueError(
            f"sample_rate is {sample_rate!r}: choose one of {tuple(_FOLDER_SUFFIX)} Hz"
        )
    _require_data_folder(data_folder)
    # A single speaker from the command line arrives as a string.
    speakers = {valid_speakers} if isinstance(valid_speakers, str) else valid_speakers
    speakers = sorted(set(map(str, speakers)))

    train_pairs = _list_pairs(data_folder, f"trainset_{train_set}", sample_rate)
    test_pairs = _list_pairs(data_folder, test_set, sample_rate)
    splits = _split(train_pairs, test_pairs, speakers)
    stamp = {
        "sample_rate": sample_rate,
        "train_set": train_set,
        "valid_speakers": speakers,
        "test_set": test_set,
        "files": fingerprint(
            path
            for pairs in (train_pairs, test_pairs)
            for pair in pairs.values()
            for path in pair
        ),
    }
    if is_current(save_folder, _MANIFESTS, stamp):
        logger.info("The manifests in %s are up to date: skipped.", save_folder)
        return

    lengths = check_pairs(train_pairs | test_pairs, sample_rate)
    manifests = {
        name: _manifest(data_folder, pairs, lengths, sample_rate)
        for name, pairs in zip(_MANIFESTS, splits, strict=True)
    }
    write_manifests(save_folder, manifests, stamp)
    counts = ", ".join(f"{len(manifests[name])} in {name}" for name in _MANIFESTS)
    logger.info("Wrote manifests to %s: %s.", save_folder, counts)


def _manifest(
    data_folder: Path, pairs: Pairs, lengths: dict[str, int], sample_rate: int
) -> dict[str, dict]:
    def portable(path: Path) -> str:
        return "{data_root}/" + path.relative_to(data_folder).as_posix()

    return {
        clip_id: {
            "noisy_wav": portable(noisy),
            "clean_wav": portable(clean),
            "length": lengths[clip_id] / sample_rate,
            "samples": lengths[clip_id],
            "speaker": _speaker(clip_id),
        }
        for clip_id, (noisy, clean) in sorted(pairs.items())
    }


def _speaker(clip_id: str) -> str:
    return clip_id.split("_")[0]


def _require_manifests(save_folder: Path) -> None:
    missing = [name for name in _MANIFESTS if not (save_folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"skip_prep is set, but {save_folder} has no {', '.join(missing)}: run once"
            " without skip_prep, or set save_folder to where the manifests are"
        )


def _require_data_folder(data_folder: Path) -> None:
    if data_folder.is_dir():
        return
    # The first part of the path that does not exist is the one that is misspelt.
    missing = data_folder.absolute()
    while not missing.parent.is_dir():
        missing = missing.parent
    raise FileNotFoundError(
        f"data_folder {data_folder} is not a folder: {missing.parent} has no folder"
        f" {missing.name!r}.{_suggest(missing)}"
    )


def _suggest(missing: Path) -> str:
    names = sorted(path.name for path in missing.parent.iterdir() if path.is_dir())
    close = difflib.get_close_matches(missing.name, names, n=1)
    return f" Did you mean {missing.parent / close[0]}?" if close else ""


def _find_folder(data_folder: Path, stem: str, sample_rate: int) -> Path:
    """Return `data_folder/<stem>_wav[_16k]`, or say what is there instead."""
    folder = data_folder / (stem + _FOLDER_SUFFIX[sample_rate])
    if folder.is_dir():
        return folder
    (other_rate,) = set(_FOLDER_SUFFIX) - {sample_rate}
    other = data_folder / (stem + _FOLDER_SUFFIX[other_rate])
    deeper = next(data_folder.glob(f"*/{folder.name}"), None)
    if other.is_dir():
        advice = (
            f"{other.name} is there, which is for {other_rate} Hz: resample it into"
            f" {folder.name}, or set sample_rate to {other_rate}"
        )
    elif deeper is not None:
        advice = f"set data_folder to {deeper.parent}, which has it"
    else:
        present = sorted(path.name for path in data_folder.iterdir())
        advice = f"it holds {', '.join(present[:20]) or 'nothing'}.{_suggest(folder)}"
    raise FileNotFoundError(f"{data_folder} has no folder {folder.name!r}: {advice}")


def _list_audio(folder: Path) -> dict[str, Path]:
    """Return the audio files of a folder by their name without extension."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        # Hidden files are what macOS leaves next to the real ones.
        if path.suffix.lower() not in (".wav", ".flac") or path.name.startswith("."):
            continue
        if path.stem in files:
            raise ValueError(
                f"{folder} has both {files[path.stem].name} and {path.name}: keep one"
            )
        files[path.stem] = path
    if not files:
        raise ValueError(f"{folder} has no .wav or .flac file: is it fully unpacked?")
    return files


def _list_pairs(data_folder: Path, set_name: str, sample_rate: int) -> Pairs:
    """Return the (noisy, clean) files of a set by clip id."""
    noisy_folder, clean_folder = (
        _find_folder(data_folder, f"{kind}_{set_name}", sample_rate)
        for kind in ("noisy", "clean")
    )
    noisy, clean = _list_audio(noisy_folder), _list_audio(clean_folder)
    alone = [
        f"{noisy[k]} has no clean clip in {clean_folder}"
        for k in noisy.keys() - clean.keys()
    ]
    alone += [
        f"{clean[k]} has no noisy clip in {noisy_folder}"
        for k in clean.keys() - noisy.keys()
    ]
    if alone:
        raise FileNotFoundError(
            f"{len(alone)} clip(s) of {set_name} lack their other half: restore it, or"
            " remove the clip:\n  " + "\n  ".join(sorted(alone)[:10])
        )
    return {clip_id: (noisy[clip_id], clean[clip_id]) for clip_id in noisy}


def _split(train: Pairs, test: Pairs, valid_speakers: list[str]) -> list[Pairs]:
    """Return the pairs of train, valid and test; no clip is in two of them."""
    if common := sorted(train.keys() & test.keys()):
        raise ValueError(
            f"{len(common)} clip(s) are in both the training and the test set, such as"
            f" {', '.join(common[:10])}: remove them from one of the two"
        )
    present = sorted({_speaker(clip_id) for clip_id in train})
    unknown = sorted(set(valid_speakers) - set(present))
    if unknown or not valid_speakers:
        raise ValueError(
            f"valid_speakers {unknown or valid_speakers} give no validation clips: name"
            f" speakers of the training set, which are {', '.join(present[:60])}"
        )
    valid = {k: pair for k, pair in train.items() if _speaker(k) in valid_speakers}
    if len(valid) == len(train):
        raise ValueError(
            f"valid_speakers {valid_speakers} are all the speakers there are, so"
            " nothing is left to train on: name fewer"
        )
    return [{k: train[k] for k in train.keys() - valid.keys()}, valid, test]
