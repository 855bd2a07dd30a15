"""A small corpus in the layout of the DNS Challenge, made of the sample corpus."""

import os

import numpy as np
import soundfile

RATE = 16000


def make_tree(folder, sample_folder, clips=24, noises=6, rirs=3):
    """Write `clean_fullband`, `noise_fullband` and `impulse_responses` at 16 kHz."""
    rng = np.random.default_rng(0)
    sources = sorted((sample_folder / "clean_trainset_28spk_wav_16k").iterdir())
    for i, source in enumerate(sources[:clips]):
        speaker, number = source.stem.split("_")
        name = f"clean_fullband/read_speech/book_1_reader_{speaker[1:]}_{number}.wav"
        write(folder / name, soundfile.read(source)[0])
        if i % 8 == 0:
            write(
                folder / f"clean_fullband/german_speech/{i}.wav",
                soundfile.read(source)[0],
            )
    for i in range(noises):
        noise = np.cumsum(0.01 * rng.standard_normal(6 * RATE))
        noise = np.diff(noise, prepend=0) + 0.01 * i * rng.standard_normal(6 * RATE)
        write(folder / f"noise_fullband/{i}.wav", noise)
    for i in range(rirs):
        taps = np.arange(RATE // 5)
        rir = 0.1 * rng.standard_normal(len(taps)) * np.exp(-taps / (400 + 200 * i))
        rir[0] = 1.0
        write(folder / f"impulse_responses/{i}.wav", np.pad(rir, (50, 0)))
    return folder


def noise(samples=800, seed=0):
    """Return white noise with a standard deviation of 0.1."""
    return 0.1 * np.random.default_rng(seed).standard_normal(samples)


def write(path, signal=None, rate=RATE, **options):
    """Write an audio file, by default of noise, and the folders to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(
        os.fsencode(path), noise() if signal is None else signal, rate, **options
    )
    return path
