"""Manifests of a DNS-Challenge corpus: clean speech, noise, room impulse responses."""

import csv
import io
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_mal.data import manifests
from speechbrain_mal.data.scan import Facts, list_audio
from speechbrain_mal.files import printable, write_text

logger = get_logger(__name__)

# How the files of the corpora in the challenge name who speaks: LibriVox's readers,
# VCTK's and CREMA-D's speakers.
_SPEAKER = re.compile(r"reader_(\d+)|^(p\d{3})_|^(\d{4})_[A-Z]{3}_[A-Z]{3}_")


def prepare_dns(
    data_folder: str | os.PathLike,
    save_folder: str | os.PathLike,
    sample_rate: int,
    clean_folder: str = "clean_fullband",
    noise_folder: str = "noise_fullband",
    rir_folder: str | None = "impulse_responses",
    clean_subsets: Sequence[str] | None = None,
    valid_share: float = 0.01,
    valid_folders: dict[str, str] | None = None,
    decode: bool = True,
    max_bad_share: float = 0.1,
    skip_prep: bool = False,
) -> None:
    """Look at every file once, and write a manifest of the usable ones of each kind.

    `train_clean.json`, `train_noise.json`, `train_rir.json` and the same of `valid`
    have each file's name relative to `data_folder`, its `samples` and `sample_rate`,
    and its `speaker` where its name tells. What is damaged, silent, clipped (but
    impulse responses may be), of a lower rate, or of a format of which no exact pieces
    can be read (MP3) is left out, and named with the reason in `left_out.csv`. A scan
    that was stopped goes on; manifests are made again when files or settings change.

    Arguments
    ---------
    data_folder, save_folder : path
        The corpus, and where the manifests go.
    sample_rate : int
        In Hz. Files of a higher rate are resampled when they are read.
    clean_folder, noise_folder, rir_folder : str
        Folders in `data_folder`, as in DNS4 and DNS5; DNS 2020 has `clean` and `noise`,
        and no `rir_folder`.
    clean_subsets : sequence of str, optional
        Folders of `clean_folder` to take; all without it.
    valid_share : float
        Share of the speakers (of the files, where there is one speaker), noises and
        responses that are held out for validation, by a hash of their names.
    valid_folders : dict of str to str, optional
        Instead of it, folders in `data_folder` by "clean", "noise" and "rir".
    decode : bool
        Decode every file. Headers alone are some hundred times faster, and don't tell
        what is damaged, silent or clipped.
    max_bad_share : float
        If a larger share of a kind's files is unusable, it is an error.
    skip_prep : bool
        Take the manifests that are there.

    Raises
    ------
    FileNotFoundError
        When a folder is not there; it names what is.
    ValueError
        When nothing, or too little, is usable, or a setting is wrong.

    Example
    -------
    >>> import json, numpy, soundfile
    >>> root = getfixture("tmp_path")
    >>> for name in ("clean/reader_1_0.wav", "clean/reader_2_0.wav", "a.wav", "b.wav"):
    ...     (root / name).parent.mkdir(exist_ok=True)
    ...     soundfile.write(root / name, numpy.full(800, 0.1), 16000)
    >>> prepare_dns(root, root / "out", 16000, "clean", ".", None)
    >>> len(json.loads((root / "out" / "train_clean.json").read_text()))
    1
    """
    folders = {"clean": clean_folder, "noise": noise_folder, "rir": rir_folder}
    folders = {kind: folder for kind, folder in folders.items() if folder is not None}
    written = [f"{s}_{kind}.json" for s in ("train", "valid") for kind in folders]
    if skip_prep:
        manifests.require_manifests(save_folder, written)
        return
    manifests.check_rate(sample_rate)
    if not 0 < valid_share < 1 and not valid_folders:
        raise ValueError(f"valid_share is {valid_share}: it has to be between 0 and 1.")
    data_folder = manifests.existing_folder(data_folder, "data_folder")
    names = _list_files(data_folder, folders, clean_subsets, valid_folders)
    settings = {
        "folders": folders,
        "valid_folders": valid_folders,
        "clean_subsets": list(clean_subsets) if clean_subsets else None,
        "valid_share": valid_share,
        "sample_rate": sample_rate,
        "decode": decode,
        "max_bad_share": max_bad_share,
    }

    def make(scanned: Iterator[tuple[str, Facts]]) -> dict[str, dict]:
        contents, left_out = {}, [("file", "reason")]
        for (split, kind), files in names.items():
            entries, bad = {}, []
            for name, facts in itertools.islice(scanned, len(files)):
                if reason := _reason(facts, kind, sample_rate):
                    bad.append((printable(name), reason))
                else:
                    entry = {"samples": facts.samples, "sample_rate": facts.sample_rate}
                    if kind == "clean" and (speaker := speaker_of(name)):
                        entry["speaker"] = speaker
                    entries[name] = entry
                if len(bad) > min(max_bad_share * len(files), len(files) - 1):
                    where = (folders if split == "train" else valid_folders)[kind]
                    examples = "".join(f"\n  {name}: {why}" for name, why in bad[:10])
                    raise ValueError(
                        f"{len(bad)} of the first {len(bad) + len(entries)} of "
                        f"{len(files)} files of {where} are unusable, more than "
                        f"max_bad_share ({max_bad_share}) allows:{examples}"
                    )
            contents[f"{split}_{kind}.json"] = entries
            left_out += bad
        if not valid_folders:
            contents = hold_out(contents, valid_share)
        csv.writer(table := io.StringIO()).writerows(left_out)
        write_text(path := Path(save_folder, "left_out.csv"), table.getvalue())
        if count := len(left_out) - 1:
            logger.warning(f"{count} files left out: {printable(path)} names them.")
        return contents

    every = list(itertools.chain(*names.values()))
    manifests.make_manifests(
        data_folder, every, save_folder, written, settings, make, decode
    )


def speaker_of(name: str) -> str | None:
    """Return who speaks in a file, as far as its name tells.

    Known are LibriVox's `reader_06709`, VCTK's `p225_` and CREMA-D's `1001_DFA_ANG_`;
    otherwise it is the folder of the file, if that lies at least two below the corpus'.

    Example
    -------
    >>> speaker_of("clean_fullband/read_speech/book_1_chp_2_reader_06709_0.wav")
    '06709'
    """
    *folders, file = name.split("/")
    if found := _SPEAKER.search(file):
        return found[found.lastindex]
    return folders[-1] if len(folders) > 2 else None


def hold_out(contents: dict[str, dict], share: float) -> dict[str, dict]:
    """Divide manifests' files; speakers stay whole, and more don't move the others."""
    divided = {}
    for manifest, entries in contents.items():
        groups = {file: entry.get("speaker", file) for file, entry in entries.items()}
        if len(set(groups.values())) == 1:  # a single speaker: files, then
            groups = {file: file for file in entries}
        ranks = {
            file: manifests.hash_of(group) / 2**64 for file, group in groups.items()
        }
        lowest, highest = min(ranks.values()), max(ranks.values())
        if lowest == highest:
            raise ValueError(
                f"{manifest}: one file cannot be divided into training and validation: "
                "add more, or name valid_folders"
            )
        for file, rank in ranks.items():
            # One at least is held out, and one at least is left to train on.
            held = rank == lowest or (rank < share and rank != highest)
            split = manifest.replace("train", "valid") if held else manifest
            divided.setdefault(split, {})[file] = entries[file]
    return divided


def _list_files(
    data_folder: Path,
    folders: dict[str, str],
    clean_subsets: Sequence[str] | None,
    valid_folders: dict[str, str] | None,
) -> dict[tuple[str, str], list[str]]:
    """Return the files of each split and kind, relative to `data_folder`, sorted."""
    if valid_folders and valid_folders.keys() != folders.keys():
        raise ValueError(
            f"valid_folders names {sorted(valid_folders)}, but the folders to train on "
            f"are those of {sorted(folders)}: name the same kinds."
        )
    names = {}
    for kind, folder in folders.items():
        subsets = clean_subsets if kind == "clean" and clean_subsets else [""]
        parts = [os.path.join(folder, subset) for subset in subsets]
        names["train", kind] = _list_kind(data_folder, parts, kind)
    for kind, folder in (valid_folders or {}).items():
        names["valid", kind] = _list_kind(data_folder, [folder], kind)
        if both := {*names["valid", kind]} & {*names["train", kind]}:
            raise ValueError(
                f"{len(both)} file(s) are in both the training and the validation "
                f"folder of {kind}, such as {printable(min(both))}: name separate "
                "folders."
            )
    return names


def _list_kind(data_folder: Path, parts: Sequence[str], kind: str) -> list[str]:
    advice = f" Name the folder of the {kind} files"
    advice += ", or set rir_folder to null if there are none." if kind == "rir" else "."
    files: set[str] = set()  # of subsets, one may lie within another
    for part in parts:
        if manifests.leaves(part):
            raise ValueError(f"{printable(part)} is not in data_folder.{advice}")
        folder = data_folder / part
        manifests.existing_folder(folder, f"{kind}_folder", advice)
        files |= set(list_audio(folder, data_folder))
    return sorted(files)


def _reason(facts: Facts, kind: str, sample_rate: int) -> str:
    """Return why a file is left out; empty if it is not."""
    if not facts.problem and facts.sample_rate < sample_rate:
        return f"{facts.sample_rate} Hz, less than {sample_rate} Hz"
    may_clip = kind == "rir" and facts.remark == "clipped"
    return facts.problem or ("" if may_clip else facts.remark)
