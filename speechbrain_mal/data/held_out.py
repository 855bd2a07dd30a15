"""Which files are held out for validation: whole speakers, by a hash of names."""

import hashlib
import re

from speechbrain_mal.data.manifests import as_bytes

# How the files of the corpora in the challenge name who speaks: LibriVox's readers,
# VCTK's and CREMA-D's speakers.
_SPEAKER = re.compile(r"reader_(\d+)|^(p\d{3})_|^(\d{4})_[A-Z]{3}_[A-Z]{3}_")


def speaker_of(name: str) -> str | None:
    """Return who speaks in a file, as far as its name tells.

    Known are LibriVox's `reader_06709`, VCTK's `p225_` and CREMA-D's `1001_DFA_ANG_`;
    otherwise it is the folder of the file, if that lies at least two below the corpus'.

    Example
    -------
    >>> speaker_of("clean_fullband/read_speech/book_1_chp_2_reader_06709_0.wav")
    '06709'
    >>> speaker_of("speech/train/ls26/26-495-0000.flac"), speaker_of("clean/a.wav")
    ('ls26', None)
    """
    *folders, file = name.split("/")
    if found := _SPEAKER.search(file):
        return next(group for group in found.groups() if group)
    return folders[-1] if len(folders) > 2 else None


def hold_out(contents: dict[str, dict], share: float) -> dict[str, dict]:
    """Divide every kind's files between training and validation."""
    divided = {}
    for name, entries in contents.items():
        kind = name.removeprefix("train_")
        parts: dict[str, dict] = {"train": {}, "valid": {}}
        groups = {file: entry.get("speaker", file) for file, entry in entries.items()}
        if len(set(groups.values())) == 1:  # a single speaker: files, then
            groups = {file: file for file in entries}
        ranks = {file: _rank(group) for file, group in groups.items()}
        lowest, highest = min(ranks.values()), max(ranks.values())
        for file, entry in entries.items():
            rank = ranks[file]
            # One at least is held out, and one at least is left to train on.
            held = rank == lowest or (rank < share and rank != highest)
            parts["valid" if held else "train"][file] = entry
        if not parts["train"]:
            raise ValueError(
                f"{name}: one file cannot be divided into training and validation:"
                " add more, or name valid_folders"
            )
        divided |= {f"{split}_{kind}": part for split, part in parts.items()}
    return divided


def _rank(group: str) -> float:
    """Return a number from 0 to 1 that depends on the name alone."""
    digest = hashlib.blake2b(as_bytes(group), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
