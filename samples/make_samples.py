"""Make the sample corpus: synthetic speech in synthetic noise, as VoiceBank-DEMAND.

espeak-ng reads `sentences.txt` with the voices of `speakers.csv`; half the clips pass
a small simulated room; each is mixed with a noise of `noises.py`, so that noisy =
clean + noise exactly. Test speakers, sentences and noise kinds do not occur in
training. The same seed and espeak-ng version give the same samples. Run
`python samples/make_samples.py` to make the corpus, or with `--score` to measure the
noisy test set of an existing one.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import noises
import numpy as np
import soundfile as sf
from scipy.signal import fftconvolve, resample_poly

HERE = Path(__file__).parent
SAMPLE_RATE = noises.SAMPLE_RATE
FULL_SCALE = 2**15  # int16
PEAK = 0.9  # of full scale, for the louder of a clean and noisy pair
NAMES = {"train": "trainset_28spk", "test": "testset"}
SNRS_DB = {"train": (0, 5, 10, 15), "test": (2.5, 7.5, 12.5, 17.5)}


def speak(text: str, voice: str, pitch: str, words_per_minute: str) -> np.ndarray:
    """Read `text` with espeak-ng.

    Returns
    -------
    numpy.ndarray
        Speech `[samples]` at 16 kHz, with 0.1 s of silence before and after.

    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        options = ["-v", voice, "-p", pitch, "-s", words_per_minute, "-w", path]
        subprocess.run(["espeak-ng", *options, text], check=True)
        speech, rate = sf.read(path)
    speech = resample_poly(speech, SAMPLE_RATE, rate)
    loud = np.flatnonzero(np.abs(speech) > 1e-3)
    speech = speech[loud[0] : loud[-1] + 1]
    return np.pad(speech, SAMPLE_RATE // 10)


def add_room(rng: np.random.Generator, speech: np.ndarray) -> np.ndarray:
    """Convolve `[samples]` with a small room: direct sound and decaying noise.

    RT60 is 0.1 to 0.3 s; the tail lies 6 to 12 dB below the direct sound.
    """
    rt60_s = rng.uniform(0.1, 0.3)
    seconds = np.arange(int(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / rt60_s)
    tail[seconds < 0.002] = 0.0  # the first reflection has 0.7 m further to go
    tail *= 10 ** (rng.uniform(-12, -6) / 20) / np.linalg.norm(tail)
    tail[0] = 1.0
    return fftconvolve(speech, tail)[: len(speech)]


def mix(
    rng: np.random.Generator, speech: np.ndarray, noise: np.ndarray, snr_db: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scale speech to a random level and add noise at an SNR over the utterance.

    Returns
    -------
    tuple
        Clean and noisy `[samples]`, int16. Noise is rounded before it is added, so
        their difference is the noise exactly.

    """
    level = 10 ** (rng.uniform(-38, -30) / 20)
    clean = level * speech / np.sqrt(np.mean(speech**2))
    noise = level * 10 ** (-snr_db / 20) * noise / np.sqrt(np.mean(noise**2))
    peak = max(np.abs(clean).max(), np.abs(clean + noise).max())
    gain = FULL_SCALE * min(1.0, PEAK / peak)
    clean, noise = np.rint(gain * clean), np.rint(gain * noise)
    return clean.astype(np.int16), (clean + noise).astype(np.int16)


def write_split(
    folder: Path, split: str, clips: dict[str, np.ndarray], kinds: dict, seed: int
) -> None:
    """Mix the utterances of one split and write its two folders and its log."""
    name = NAMES[split]
    rooms = np.random.default_rng([seed, *name.encode()]).permutation(len(clips)) % 2
    for condition in ("clean", "noisy"):
        (folder / f"{condition}_{name}_wav_16k").mkdir()
    lines = []
    for i, (utterance, speech) in enumerate(clips.items()):
        rng = np.random.default_rng([seed, *utterance.encode()])
        kind = list(kinds)[i % len(kinds)]
        # The second term pairs each kind with each SNR where both have four.
        snr_db = SNRS_DB[split][(i + i // 4) % 4]
        speech = add_room(rng, speech) if rooms[i] else speech
        clean, noisy = mix(rng, speech, kinds[kind](rng, len(speech)), snr_db)
        for condition, samples in (("clean", clean), ("noisy", noisy)):
            path = folder / f"{condition}_{name}_wav_16k" / f"{utterance}.flac"
            sf.write(path, samples, SAMPLE_RATE, "PCM_16", compression_level=1.0)
        lines.append(f"{utterance} {kind} {snr_db:g}\n")
    (folder / f"log_{name}.txt").write_text("".join(lines))


def make_corpus(folder: Path, seed: int) -> None:
    """Speak all sentences and write the training and the test set to `folder`."""
    with (HERE / "speakers.csv").open(newline="") as file:
        speakers = {row.pop("speaker"): row for row in csv.DictReader(file)}
    clips = {"train": {}, "test": {}, "babble": {}}
    for line in (HERE / "sentences.txt").read_text().splitlines():
        utterance, text = line.split(maxsplit=1)
        settings = dict(speakers[utterance.split("_")[0]])
        split = settings.pop("split")
        # As in VoiceBank, validation speakers lie in the training folder.
        split = "train" if split == "valid" else split
        clips[split][utterance] = speak(text, **settings)
    talkers = list(clips["babble"].values())
    kinds = {
        "train": {
            "wind": noises.wind,
            "babble": partial(noises.babble, talkers=talkers),
            "machine": noises.machine,
            "typewriter": noises.typewriter,
            "rain": noises.rain,
        },
        "test": {
            "traffic": noises.traffic,
            "fan": noises.fan,
            "music": noises.music,
            "dishes": noises.dishes,
        },
    }
    for split in NAMES:
        write_split(folder, split, clips[split], kinds[split], seed)


def score(folder: Path) -> dict[str, float]:
    """Mean PESQ-WB, ESTOI and SI-SDR (dB) of the noisy test set in `folder`."""
    try:
        from pesq import pesq
        from pystoi import stoi
    except ImportError as error:
        sys.exit(f"{error}: --score needs `pip install pesq pystoi`.")
    rows = []
    for path in sorted((folder / "clean_testset_wav_16k").glob("*.flac")):
        clean, _ = sf.read(path)
        noisy, _ = sf.read(folder / "noisy_testset_wav_16k" / path.name)
        target, mixture = clean - clean.mean(), noisy - noisy.mean()
        target = target * (mixture @ target) / (target @ target)
        si_sdr_db = 10 * np.log10(np.sum(target**2) / np.sum((mixture - target) ** 2))
        pesq_wb = pesq(SAMPLE_RATE, clean, noisy, "wb")
        estoi = stoi(clean, noisy, SAMPLE_RATE, extended=True)
        rows.append((pesq_wb, estoi, si_sdr_db))
    if not rows:
        sys.exit(f"{folder} has no test clips: run without --score to make them.")
    return dict(zip(("PESQ-WB", "ESTOI", "SI-SDR"), np.mean(rows, axis=0), strict=True))


def main() -> None:
    """Parse the command line; make the corpus or score it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "voicebank")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--force", action="store_true", help="replace the output")
    parser.add_argument("--score", action="store_true", help="measure, make nothing")
    args = parser.parse_args()
    if args.score:
        for name, value in score(args.output).items():
            print(f"{name} {value:.3f}")
        return
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng not found: `apt-get install espeak-ng`, or see its site.")
    if args.output.exists() and any(args.output.iterdir()) and not args.force:
        sys.exit(f"{args.output} is not empty: pass --force to replace it.")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output.parent) as temporary:
        folder = Path(temporary) / "corpus"
        folder.mkdir()
        make_corpus(folder, args.seed)
        if args.output.exists():
            shutil.rmtree(args.output)
        folder.rename(args.output)


if __name__ == "__main__":
    main()
