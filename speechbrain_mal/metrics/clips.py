"""What is scored: enhanced clips, each with the clean one it is compared with."""

import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechbrain_mal import audio
from speechbrain_mal.files import printable
from speechbrain_mal.metrics.text import read_rows, read_text

logger = logging.getLogger(__name__)

Audio = Path | np.ndarray


@dataclass(frozen=True)
class Clip:
    """One row of an evaluation; audio is a file, or a waveform `[samples]`."""

    name: str
    enhanced: Audio
    clean: Audio | None = None  # what metrics with a reference compare it with
    sample_rate: int | None = None  # of waveforms, in Hz; files know theirs
    transcript: str | None = None  # the spoken words


def read_mono(source: Audio, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Return a file's waveform, float32 `[samples]`, and its sampling rate in Hz.

    Of a waveform, returned as it is, the rate is the one given. ValueError when the
    file is missing or damaged, there is more than one channel, no sample, or one that
    is NaN or infinite.

    Example
    -------
    >>> read_mono(np.array([0.0, np.nan]), 16000)
    Traceback (most recent call last):
    ValueError: the waveform has 1 sample(s) that are NaN or infinite
    """
    name, waveform = "the waveform", source
    if not isinstance(source, np.ndarray):
        name = printable(source)
        waveform, sample_rate = audio.read_audio(source)
    if waveform.ndim > 1:
        if (channels := waveform.shape[1]) > 1:
            said = f"{name} has {channels} channels: metrics are defined for one"
            raise ValueError(said)
        waveform = waveform[:, 0]
    if not len(waveform):
        raise ValueError(f"{name} has no samples")
    if wrong := int(np.count_nonzero(~np.isfinite(waveform))):
        raise ValueError(f"{name} has {wrong} sample(s) that are NaN or infinite")
    return waveform, sample_rate


def clips_from_batch(
    names: Sequence[str],
    enhanced: np.ndarray,
    clean: np.ndarray,
    lengths: Sequence[float],
    sample_rate: int,
    folder: str | os.PathLike | None = None,
    clean_files: Sequence[str] | None = None,
) -> list[Clip]:
    """Take clips out of a padded batch.

    Arguments
    ---------
    names : sequence of str
        Ids of the clips.
    enhanced, clean : np.ndarray
        `[B, samples]`, at `sample_rate`, with relative `lengths` `[B]`.
    folder : path, optional
        Each enhanced clip is written there, `<id>.wav`, and that file is scored: the
        numbers are of what users listen to.
    clean_files : sequence of str, optional
        Where the clean clips came from: with a folder these files are compared.

    Example
    -------
    >>> batch = np.zeros((2, 100), dtype=np.float32)
    >>> clips = clips_from_batch(["a", "b"], batch, batch, [1.0, 0.5], 16000)
    >>> [(clip.name, clip.enhanced.shape) for clip in clips]
    [('a', (100,)), ('b', (50,))]
    """
    clips = []
    for i, name in enumerate(names):
        samples = round(lengths[i] * clean.shape[1])
        pair: list[Audio] = [enhanced[i, :samples], clean[i, :samples]]
        if folder:
            path = Path(folder, f"{name}.wav")
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, pair[0], sample_rate)
            pair = [path, Path(clean_files[i]) if clean_files else pair[1]]
        clips.append(Clip(name, *pair, sample_rate))
    return clips


def clips_from_folders(
    enhanced: str | os.PathLike,
    clean: str | os.PathLike | None = None,
    pair: str = "name",
) -> list[Clip]:
    """Pair the files of two folders.

    Returns a clip for every file in either folder, by the enhanced one's name: a
    missing partner shows in the scores. FileNotFoundError or ValueError when a folder
    does not exist, has no audio, two files of one name or id, or a name without an id.

    Arguments
    ---------
    enhanced, clean : path
        Folders. Without `clean` only metrics that need no reference apply.
    pair : str
        `name`: by their path without its ending. `fileid`: by the number behind
        `fileid_` in it, as in the synthetic test sets of the DNS Challenge.
    """
    files = _files(enhanced)
    if clean is None:
        return [Clip(name, path) for name, path in files.items()]
    references = _files(clean)
    if pair == "name":
        partners = {name: name for name in references}
    elif pair == "fileid":
        names = _by_fileid(files, enhanced)
        partners = {
            names.get(number, name): name
            for number, name in _by_fileid(references, clean).items()
        }
    else:
        raise ValueError(f"pair is 'name' or 'fileid', not {pair!r}.")
    return [
        Clip(
            name,
            files.get(name, Path(enhanced, f"{name}.wav")),
            references.get(partners.get(name), Path(clean, f"{name}.wav")),
        )
        for name in sorted({*files, *partners})
    ]


def _files(folder: str | os.PathLike) -> dict[str, Path]:
    """Return a folder's audio files by their path in it, without its ending."""
    found, files = audio.find_audio(folder), {}
    for path in [*found.files, *found.broken]:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            both = f"{printable(files[name])} and {printable(path)}"
            raise ValueError(f"{both} are both clip {name!r}: keep one.")
        files[name] = path
    note = found.ignored_note()
    if not files:
        raise ValueError(f"{printable(folder)} has no audio file. {note}".rstrip())
    if note:
        logger.warning(f"{printable(folder)}: {note}")
    return dict(sorted(files.items()))


def _by_fileid(files: dict[str, Path], folder: str | os.PathLike) -> dict[int, str]:
    names: dict[int, str] = {}
    for name, path in files.items():
        number = re.search(r"fileid_(\d+)", Path(name).name)
        if number is None:
            raise ValueError(f"{printable(path)} has no 'fileid_<number>' in its name.")
        if (key := int(number[1])) in names:
            where = printable(folder)
            raise ValueError(f"{where} has fileid_{key} twice: a set at a time.")
        names[key] = name
    return names


def clips_from_manifest(
    manifest: str | os.PathLike,
    enhanced: str | os.PathLike,
    data_folder: str | os.PathLike = "",
) -> list[Clip]:
    """Take the clean clips from a recipe's manifest.

    FileNotFoundError or ValueError when the manifest or folder does not exist, or is
    none.

    Arguments
    ---------
    manifest : path
        JSON, `{clip: {"clean_wav": path}}`, perhaps with `words`, the spoken ones.
    enhanced : path
        Folder with an audio file for each clip, named after it; or "noisy", for the
        manifest's own `noisy_wav`.
    data_folder : path
        What `{data_root}` in the paths stands for.
    """
    where = printable(manifest)
    try:
        entries = json.loads(read_text(manifest) or "null")
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is no JSON ({error}).") from error
    if not isinstance(entries, dict) or not entries:
        form = '{"clip": {"clean_wav": "path"}, ...}'
        raise ValueError(f"{where} is no manifest of clips: {form}.")
    own = str(enhanced) == "noisy"
    files = {} if own else _files(enhanced)
    clips = []
    for name, entry in entries.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{where}: clip {name!r} leads out of its folder.")
        paths = {}
        for key in ("clean_wav", "noisy_wav")[: 1 + own]:
            if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
                raise ValueError(f"{where}: clip {name!r} has no {key!r}.")
            paths[key] = Path(entry[key].replace("{data_root}", str(data_folder)))
        file = files.get(name, Path(enhanced, f"{name}.wav"))
        pair = paths.get("noisy_wav", file), paths["clean_wav"]
        clips.append(Clip(name, *pair, transcript=entry.get("words")))
    return clips


def clips_from_list(path: str | os.PathLike) -> list[Clip]:
    """Read clips from a CSV file with the columns `enhanced` and, optionally, others.

    The others are `clip` (default: the file's name), `clean` and `transcript`. Relative
    paths start at the list. FileNotFoundError or ValueError when it does not exist, has
    no column `enhanced`, no row, or a clip twice.
    """
    folder, where = Path(path).parent, printable(path)
    clips: dict[str, Clip] = {}
    for row in read_rows(path, "enhanced"):
        name = row.get("clip") or Path(row["enhanced"]).stem
        if name in clips:
            raise ValueError(f"{where} has clip {name!r} twice: name the clips apart.")
        clips[name] = Clip(
            name,
            folder / row["enhanced"],
            folder / row["clean"] if row.get("clean") else None,
            transcript=row.get("transcript") or None,
        )
    if not clips:
        raise ValueError(f"{where} has no rows.")
    return list(clips.values())
