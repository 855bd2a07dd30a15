"""What is scored: enhanced clips, each with the clean one it is compared with."""

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

AUDIO = {".wav", ".flac", ".ogg", ".mp3"}

Audio = Path | np.ndarray


@dataclass(frozen=True)
class Clip:
    """One row of an evaluation.

    Arguments
    ---------
    name : str
        Name of the row.
    enhanced : path or np.ndarray
        A file, or a waveform `[samples]`.
    clean : path or np.ndarray, optional
        What metrics with a reference compare it with.
    sample_rate : int, optional
        Sampling rate of waveforms in Hz; files know theirs.
    transcript : str, optional
        The spoken words.
    """

    name: str
    enhanced: Audio
    clean: Audio | None = None
    sample_rate: int | None = None
    transcript: str | None = None


def read_audio(audio: Audio, sample_rate: int | None) -> tuple[np.ndarray, int]:
    """Return a waveform, float32 `[samples]`, and its sampling rate.

    Arguments
    ---------
    audio : path or np.ndarray
        A file, or a waveform of `sample_rate`.
    sample_rate : int, optional
        Of the waveform in Hz.

    Raises
    ------
    ValueError
        When the file is missing or damaged, when there is more than one channel, no
        sample, or a sample that is NaN or infinite.

    Example
    -------
    >>> read_audio(np.array([0.0, np.nan]), 16000)
    Traceback (most recent call last):
    ValueError: the waveform has 1 sample(s) that are NaN or infinite
    """
    name = "the waveform"
    if not isinstance(audio, np.ndarray):
        name = str(audio)
        if not os.path.exists(audio):
            raise ValueError(f"{audio} does not exist")
        try:
            audio, sample_rate = soundfile.read(audio, dtype="float32")
        except (soundfile.LibsndfileError, OSError) as error:
            reason = str(getattr(error, "error_string", error)).rstrip(". ")
            raise ValueError(f"{name} can't be read ({reason})") from error
    if audio.ndim != 1:
        raise ValueError(
            f"{name} has {audio.shape[1]} channels: metrics are defined for one"
        )
    if not len(audio):
        raise ValueError(f"{name} has no samples")
    if wrong := int(np.count_nonzero(~np.isfinite(audio))):
        raise ValueError(f"{name} has {wrong} sample(s) that are NaN or infinite")
    return audio, sample_rate


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: name one of audio files.")
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in files:
                raise ValueError(f"{files[name]} and {path} are both clip {name!r}.")
            files[name] = path
    if not files:
        raise ValueError(f"{folder} has no audio file ({', '.join(sorted(AUDIO))}).")
    return files


def clips_from_folders(
    enhanced: str | os.PathLike, clean: str | os.PathLike | None = None
) -> list[Clip]:
    """Pair the files of two folders by their path without its ending.

    Arguments
    ---------
    enhanced, clean : path
        Folders. Without `clean` only metrics that need no reference apply.

    Returns
    -------
    list of Clip
        One for every name in either folder: a missing partner shows in the scores.

    Raises
    ------
    FileNotFoundError
        When a folder does not exist.
    ValueError
        When one has no audio, or two files of one name.
    """
    enhanced = Path(enhanced)
    files = _files(enhanced)
    if clean is None:
        return [Clip(name, path) for name, path in files.items()]
    clean = Path(clean)
    references = _files(clean)
    return [
        Clip(
            name,
            files.get(name, enhanced / f"{name}.wav"),
            references.get(name, clean / f"{name}.wav"),
        )
        for name in sorted({*files, *references})
    ]


def clips_from_manifest(
    manifest: str | os.PathLike,
    enhanced: str | os.PathLike,
    data_folder: str | os.PathLike = "",
) -> list[Clip]:
    """Take the clean clips from a recipe's manifest.

    Arguments
    ---------
    manifest : path
        JSON, `{clip: {"clean_wav": path}}`, perhaps with `words`, the spoken ones.
    enhanced : path
        Folder with an audio file for each clip, named after it; or "noisy", for the
        manifest's own `noisy_wav`.
    data_folder : path
        What `{data_root}` in the paths stands for.

    Raises
    ------
    FileNotFoundError
        When the manifest or the folder does not exist.
    ValueError
        When an entry has no `clean_wav`.
    """
    entries = json.loads(Path(manifest).read_text(encoding="utf-8"))
    key = "noisy_wav" if str(enhanced) == "noisy" else None
    files = {} if key else _files(Path(enhanced))

    def path(clip: str, entry: dict, key: str) -> Path:
        if key not in entry:
            raise ValueError(f"{manifest}: clip {clip!r} has no {key!r}.")
        return Path(entry[key].replace("{data_root}", str(data_folder)))

    return [
        Clip(
            name,
            path(name, entry, key)
            if key
            else files.get(name, Path(enhanced) / f"{name}.wav"),
            path(name, entry, "clean_wav"),
            transcript=entry.get("words"),
        )
        for name, entry in entries.items()
    ]


def clips_from_list(path: str | os.PathLike) -> list[Clip]:
    """Read clips from a CSV file with the columns `enhanced` and, optionally, others.

    The others are `clip` (default: the file's name), `clean` and `transcript`. Relative
    paths start at the list.

    Raises
    ------
    FileNotFoundError
        When the list does not exist.
    ValueError
        When it has no column `enhanced`, no row, or a clip twice.
    """
    folder = Path(path).parent
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "enhanced" not in rows[0]:
        raise ValueError(f"{path} needs a column 'enhanced', and rows.")
    clips = {}
    for row in rows:
        name = row.get("clip") or Path(row["enhanced"]).stem
        if name in clips:
            raise ValueError(f"{path} has clip {name!r} twice: name the clips apart.")
        clean = folder / row["clean"] if row.get("clean") else None
        clips[name] = Clip(
            name,
            folder / row["enhanced"],
            clean,
            transcript=row.get("transcript") or None,
        )
    return list(clips.values())
