"""Synthetic background noises for the sample corpus, one function a kind.

Every function takes a random generator and a number of samples at 16 kHz, and
returns noise of that length and arbitrary level. The kinds differ in what makes an
enhancer's work hard: spectrum, movement over time, tones, and short events.
"""

import numpy as np
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 16000


def band_noise(
    rng: np.random.Generator, samples: int, low_hz: float, high_hz: float
) -> np.ndarray:
    """White noise through a second-order band-pass, at unit RMS."""
    settle = SAMPLE_RATE // 4  # dropped: the filter's start from rest
    sos = butter(2, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE, output="sos")
    noise = sosfilt(sos, rng.standard_normal(samples + settle))[settle:]
    return noise / noise.std()


def drift(rng: np.random.Generator, samples: int, rate_hz: float) -> np.ndarray:
    """Slow random curve: a normal value `rate_hz` times a second, joined linearly."""
    seconds = np.arange(samples) / SAMPLE_RATE
    knots = np.arange(int(seconds[-1] * rate_hz) + 2)
    return np.interp(seconds * rate_hz, knots, rng.standard_normal(len(knots)))


def tones(
    frequencies_hz: np.ndarray, phases: np.ndarray, samples: int, decay_s: float = 1e9
) -> np.ndarray:
    """Sines, one a row `[tones, samples]`, dying away with time constant `decay_s`."""
    seconds = np.arange(samples) / SAMPLE_RATE
    angles = 2 * np.pi * frequencies_hz[:, None] * seconds + phases[:, None]
    return np.sin(angles) * np.exp(-seconds / decay_s)


def events(
    rng: np.random.Generator, samples: int, per_second: float, event_s: float
) -> list[slice]:
    """Random places for short events: at least one, each cut at the end."""
    count = max(1, rng.poisson(per_second * samples / SAMPLE_RATE))
    starts = rng.integers(0, samples, count)
    return [slice(s, min(samples, s + int(event_s * SAMPLE_RATE))) for s in starts]


def wind(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Low noise in gusts, with a whistle that follows them."""
    gust = np.exp(0.8 * drift(rng, samples, rate_hz=2.0))
    low = band_noise(rng, samples, 30, 350)
    return gust * low + 0.15 * gust**2 * band_noise(rng, samples, 500, 1200)


def machine(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Hum with thirty harmonics, a rotating load and a little hiss."""
    order = np.arange(1, 31)
    f0_hz, turns_hz = rng.uniform(48, 62), rng.uniform(5, 9)
    hum = order**-0.7 @ tones(f0_hz * order, rng.uniform(0, 2 * np.pi, 30), samples)
    load = 1 + 0.5 * tones(np.array([turns_hz]), np.zeros(1), samples)[0]
    return load * (hum / hum.std() + 0.3 * band_noise(rng, samples, 400, 5000))


def typewriter(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Key strokes, a bright click over a dull knock each, in a quiet office."""
    noise = 0.05 * band_noise(rng, samples, 60, 2000)
    for stroke in events(rng, samples, per_second=9, event_s=0.08):
        length = stroke.stop - stroke.start
        seconds = np.arange(length) / SAMPLE_RATE
        click = rng.standard_normal(length) * np.exp(-seconds / 0.004)
        knock = tones(rng.uniform(150, 400, 1), np.zeros(1), length, 0.02)[0]
        noise[stroke] += rng.uniform(0.5, 1.0) * (click + knock)
    return noise


def rain(rng: np.random.Generator, samples: int) -> np.ndarray:
    """High hiss with many single drops."""
    noise = band_noise(rng, samples, 2000, 7500)
    for drop in events(rng, samples, per_second=40, event_s=0.03):
        pitch_hz = rng.uniform(1500, 6000, 1)
        length = drop.stop - drop.start
        ring = tones(pitch_hz, np.zeros(1), length, rng.uniform(0.002, 0.008))[0]
        noise[drop] += rng.uniform(2, 6) * ring
    return noise


def babble(
    rng: np.random.Generator, samples: int, talkers: list[np.ndarray]
) -> np.ndarray:
    """All `talkers` at once, each from a random place and at its own distance."""
    noise = np.zeros(samples)
    for talker in talkers:
        start = rng.integers(len(talker))
        voice = np.resize(np.roll(talker, -start), samples)
        noise += rng.uniform(0.5, 1.0) * voice / talker.std()
    return noise


def traffic(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Rumble of a road with two cars that pass, tyres and engine."""
    seconds = np.arange(samples) / SAMPLE_RATE
    noise = band_noise(rng, samples, 25, 130)
    for _ in range(2):
        passing_s = rng.uniform(0, seconds[-1])
        swell = np.exp(-0.5 * ((seconds - passing_s) / rng.uniform(0.25, 0.5)) ** 2)
        pitch_hz = rng.uniform(70, 110) * (1 - 0.1 * np.tanh(seconds - passing_s))
        engine = np.sign(np.sin(2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE))
        noise += swell * (1.2 * band_noise(rng, samples, 400, 2500) + 0.3 * engine)
    return noise


def fan(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Steady pink noise with the tone of the blades."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20))
    pink = np.fft.irfft(spectrum, samples)
    blades = tones(rng.uniform(90, 140) * np.arange(1, 4), np.zeros(3), samples)
    return pink / pink.std() + 0.2 * blades.sum(axis=0)


def music(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Plucked strings on a pentatonic scale, eight notes a second."""
    noise = np.zeros(samples)
    for start in range(0, samples, SAMPLE_RATE // 8):
        semitones = rng.choice([0, 2, 4, 7, 9]) + 12 * rng.integers(0, 3)
        pitches_hz = 146.8 * 2 ** (semitones / 12) * np.arange(1, 7)
        strings = tones(pitches_hz, np.zeros(6), samples - start, decay_s=0.25)
        noise[start:] += rng.uniform(0.4, 1.0) * (1 / np.arange(1, 7)) @ strings
    return noise


def dishes(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Clinks of plates and cutlery, with inharmonic partials, over a quiet kitchen."""
    noise = 0.1 * band_noise(rng, samples, 100, 3000)
    for clink in events(rng, samples, per_second=6, event_s=0.3):
        partials_hz = rng.uniform(900, 7000, 8)
        phases = rng.uniform(0, 2 * np.pi, 8)
        length = clink.stop - clink.start
        ring = tones(partials_hz, phases, length, rng.uniform(0.02, 0.08))
        noise[clink] += rng.uniform(0.2, 1.0) * ring.sum(axis=0)
    return noise
