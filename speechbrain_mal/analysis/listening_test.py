"""A blind listening test in one HTML file, and what listeners' answers say.

As ITU-R BS.1534-3 (MUSHRA) has it: the clean clip is the known reference of a trial and
one of the versions to rate, the noisy one is the anchor, and listeners who rate the
hidden reference below 90 in more than 15 % of the trials are left out.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from speechbrain_mal.analysis.listening import flac_url
from speechbrain_mal.files import parse_json, printable, read_bytes
from speechbrain_mal.metrics.clips import read_mono

_TEMPLATE = Path(__file__).with_name("listening_test.html")
REFERENCE = "clean"
LEAST, SHARE = 90, 0.15  # of BS.1534-3, 4.1.2
MOST_BYTES = 1 << 22  # of answers or a key: more than a thousand trials


def listening_test(
    audio: Sequence[Mapping[str, Path]], training: int = 1
) -> tuple[str, dict]:
    """Return the page, which names no system, and the key to it; new names each time.

    Arguments
    ---------
    audio : sequence of mapping
        `{system: file}` of every trial, one of them "clean".
    training : int
        The first so many trials are for practice, and count for nothing.

    Raises
    ------
    ValueError
        When a file can't be read, trials have not the same systems, or none counts.
    """
    if len(audio) <= training:
        raise ValueError(f"{len(audio)} clip(s) are too few: {training} is practice.")
    name, trials, key = secrets.token_hex(4), [], []
    for number, files in enumerate(audio):
        if set(files) != set(audio[0]) or REFERENCE not in files:
            raise ValueError(f"Every trial needs a {REFERENCE} clip and all systems.")
        codes = {secrets.token_hex(4): system for system in files}
        sounds = {code: flac_url(*read_mono(files[codes[code]])) for code in codes}
        trials.append(
            {
                "training": number < training,
                "reference": flac_url(*read_mono(files[REFERENCE])),
                "versions": dict(sorted(sounds.items())),
            }
        )
        clip = Path(files[REFERENCE]).name
        key.append({"clip": clip, "training": number < training, "versions": codes})
    data = json.dumps({"test": name, "trials": trials}).replace("<", "\\u003c")
    page = _TEMPLATE.read_text(encoding="utf-8").replace("{{data}}", data)
    return page, {"test": name, "trials": key}


def read_answers(key: Mapping, files: Sequence[Path]) -> dict[str, dict[str, list]]:
    """Return ratings from 0 to 100, `{listener: {system: [one a trial]}}`.

    Raises
    ------
    ValueError
        When a file holds no answers, those of another test, or a listener's again.
    """
    answers: dict[str, dict[str, list]] = {}
    for path in files:
        data = read_bytes(path.parent, path.name, MOST_BYTES)
        found = parse_json(data, printable(path))
        try:
            listener, test = str(found["listener"]), found["test"]
            ratings = [dict(trial["ratings"]) for trial in found["trials"]]
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path} holds no answers that the page saved.") from None
        if test != key["test"] or len(ratings) != len(key["trials"]):
            raise ValueError(f"{path} has answers to another test than the key's.")
        if listener in answers:
            raise ValueError(f"{path}: listener {printable(listener)} is there twice.")
        answers[listener] = {}
        for trial, given in zip(key["trials"], ratings, strict=True):
            if set(given) != set(trial["versions"]) or not all(
                isinstance(x, int) and 0 <= x <= 100 for x in given.values()
            ):
                raise ValueError(f"{path}: the trial of {trial['clip']} is not whole.")
            if not trial["training"]:
                for code, system in trial["versions"].items():
                    answers[listener].setdefault(system, []).append(given[code])
    return answers


def summary(answers: Mapping[str, Mapping[str, list]], control: str) -> str:
    """Return a Markdown table: means, and gains over the control, over listeners.

    Intervals are Student's at 95 %, of listeners' means: they speak of other listeners
    with these clips.

    Example
    -------
    >>> ratings = {"clean": [100, 95], "a": [50, 60], "b": [70, 80]}
    >>> lazy = {"clean": [20, 95], "a": [50, 60], "b": [70, 80]}
    >>> print(summary({"x": ratings, "y": ratings, "z": lazy}, "a"))
    | system | rating | over a |
    | --- | ---: | ---: |
    | clean | 97.5 [97.5, 97.5] | +42.5 [+42.5, +42.5] |
    | b | 75.0 [75.0, 75.0] | +20.0 [+20.0, +20.0] |
    | a | 55.0 [55.0, 55.0] | |
    <BLANKLINE>
    2 listeners, 2 trials. Left out: z (rated the hidden reference below 90 in 1 of 2).
    """
    left_out, means = [], {}
    for listener, ratings in answers.items():
        low = sum(x < LEAST for x in ratings[REFERENCE])
        count = len(ratings[REFERENCE])
        if low > SHARE * count:
            reason = f"rated the hidden reference below {LEAST} in {low} of {count}"
            left_out.append(f"{printable(listener)} ({reason})")
        else:
            means[listener] = {s: float(np.mean(x)) for s, x in ratings.items()}
    told = f"Left out: {', '.join(left_out) or 'nobody'}."
    if not means:
        raise ValueError(f"No listener's answers count. {told}")
    systems = {
        s: np.array([m[s] for m in means.values()]) for s in next(iter(means.values()))
    }
    if control not in systems:
        raise ValueError(f"--control {control} is none of {', '.join(systems)}.")
    lines = [f"| system | rating | over {control} |", "| --- | ---: | ---: |"]
    for system, rating in sorted(systems.items(), key=lambda x: -x[1].mean()):
        gain = _interval(rating - systems[control], "+") if system != control else ""
        lines.append(
            f"| {system} | {_interval(rating)} | {gain} |".replace("|  |", "| |")
        )
    count = len(next(iter(next(iter(answers.values())).values())))
    return "\n".join([*lines, "", f"{len(means)} listeners, {count} trials. {told}"])


def _interval(values: np.ndarray, sign: str = "") -> str:
    """Return a mean with its interval; alone where there is one listener."""
    mean, text = values.mean(), f"{values.mean():{sign}.1f}"
    if len(values) < 2:
        return text
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{text} [{mean - half:{sign}.1f}, {mean + half:{sign}.1f}]"
