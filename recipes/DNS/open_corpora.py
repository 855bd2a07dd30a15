#!/usr/bin/env python3
"""Fetch open speech, noise and room impulse responses for this recipe, with licences.

> python open_corpora.py /corpora/open --sample-rate 16000
> python train.py hparams/train.yaml --data_folder /corpora/open ...

writes clean/, noise/ and rir/ as FLAC of one channel, a folder a corpus, and
sources.csv: file, corpus, licence, origin, and its DNSMOS. open_corpora.yaml has the
list. It takes git, and the extra "eval" for DNSMOS. A call that was stopped goes on
when it is given again. Its last lines say what could not be had; the exit status is 3
then.
"""

import argparse
import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
import yaml
from tqdm import tqdm

from speechbrain_mal.audio import AudioError, SeenFiles, read_audio, stamp_of
from speechbrain_mal.files import whole_file
from speechbrain_mal.metrics.mos_onnx import SEGMENT, dnsmos

INCOMPLETE = 3  # exit status
HERE, REPOSITORIES = Path(__file__).parent, ".repositories"


def fetch(corpus, folder):
    """Bring a commit of a repository into a folder, unless it is there; return it."""

    def git(*arguments):
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    done = folder / ".git" / "fetched"
    if done.exists() and done.read_text() == corpus["commit"]:
        return git("rev-parse", "HEAD")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git("init", "--quiet")
        git("remote", "add", "origin", corpus["repository"])
    wanted = [corpus["files"], corpus.get("licences", {}).get("file", "LICENSE*")]
    git("sparse-checkout", "set", "--no-cone", *wanted)  # no other file is downloaded
    git("fetch", "--depth", "1", "--filter", "blob:none", "origin", corpus["commit"])
    git("checkout", "--force", "FETCH_HEAD")
    done.write_text(corpus["commit"])
    return git("rev-parse", "HEAD")


def licences_of(corpus, folder):
    """Return each clip's licence, or None where one is every clip's."""
    if "licences" not in corpus:
        return None
    text = (folder / corpus["licences"]["file"]).read_text(errors="replace")
    return dict(re.findall(corpus["licences"]["pattern"], text))


def judge(path, corpus, sample_rate, output):
    """Write one file and return its scores, or return why it is left out."""
    try:
        samples, rate = read_audio(path)
    except AudioError as error:
        return str(error)
    mono = samples.mean(axis=1) if samples.ndim > 1 else samples
    lowest, scores = corpus.get("lowest", {}), {}
    if lowest:
        clip = np.resize(soxr.resample(mono, rate, 16000), SEGMENT)  # one is enough
        scores = dnsmos(clip, None, 16000)
        for name, least in lowest.items():
            if not scores[name] >= least:
                return f"{name} {scores[name]:.2f}, not {least}"
    target = min(rate, sample_rate)
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as part:
        mono = soxr.resample(mono, rate, target)
        soundfile.write(part, mono, target, "PCM_16", format="FLAC")
    return {name: round(scores[name], 3) for name in lowest}


def convert(name, corpus, commit, output, sample_rate):
    """Convert a corpus; return its rows of sources.csv, and how many were left out."""
    folder = output / REPOSITORIES / name
    licences = licences_of(corpus, folder)
    seen = SeenFiles(output / f".{name}-{sample_rate}.jsonl")
    rows, left_out = [], 0
    files = sorted(folder.glob(corpus["files"]))
    for path in tqdm(files, desc=name, unit="file"):
        licence = corpus["licence"]
        if licences is not None:
            clip = re.sub(r"-\d+$", "", path.stem)  # ESC-50 adds the class
            licence = licences.get(clip)
            if licence not in corpus["licences"]["kept"]:
                left_out += 1
                continue
        inner = path.relative_to(folder)
        flat = "_".join(inner.with_suffix("").parts) + ".flac"
        target = output / corpus["kind"] / name / flat
        result = seen.get(str(inner), stamp_of(path))
        if result is None or (isinstance(result, dict) and not target.exists()):
            result = judge(path, corpus, sample_rate, target)
            seen.add(str(inner), stamp_of(path), result)
        if isinstance(result, str):
            left_out += 1
            continue
        origin = f"{corpus['repository']} {commit} {inner}"
        file = target.relative_to(output).as_posix()
        rows.append({"file": file, "licence": licence, "origin": origin, **result})
    return rows, left_out


def main():
    """Fetch, convert, and say what became of each corpus."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="folder that becomes data_folder")
    parser.add_argument("--sample-rate", type=int, default=48000, help="at most, in Hz")
    parser.add_argument("--only", nargs="+", help="these corpora of the list")
    parser.add_argument("--list", type=Path, default=HERE / "open_corpora.yaml")
    options = parser.parse_args()
    corpora = yaml.safe_load(options.list.read_text())
    for name in options.only or ():
        if name not in corpora:
            parser.error(f"{options.list} has no {name!r}, but {', '.join(corpora)}")
    options.output.mkdir(parents=True, exist_ok=True)

    rows, failed = [], []
    for name in options.only or corpora:
        corpus = corpora[name]
        try:
            commit = fetch(corpus, options.output / REPOSITORIES / name)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or str(error)
            failed.append(f"{name}: not fetched: {reason.strip().splitlines()[-1]}")
            continue
        new, left_out = convert(
            name, corpus, commit, options.output, options.sample_rate
        )
        print(f"{name}: {len(new)} files, {left_out} left out ({corpus['licence']})")
        if not new:
            failed.append(f"{name}: none of its files could be used")
        rows += new
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with (
        whole_file(options.output / "sources.csv") as part,
        open(part, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join(failed))
    return INCOMPLETE if failed else 0


if __name__ == "__main__":
    sys.exit(main())
