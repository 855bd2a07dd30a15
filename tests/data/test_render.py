"""Mixtures as they were asked for: SNR, levels, target, rooms, bands, full scale."""

import numpy as np
import pytest
from scipy.signal import correlate, welch

from speechbrain_mal.data import Mixing
from speechbrain_mal.data.plan import Planner
from speechbrain_mal.data.render import SilentSegmentError, render

RATE = 16000
EXAMPLES = 100
DELAY = 160  # of the direct sound in the impulse responses below
PLAIN = {
    f"p_{name}": 0.0
    for name in ("filter", "reverb", "clipping", "noise_clipping", "band_limit")
}


def speechlike(samples, rng):
    """Return noise that is on for 0.1 to 0.4 s and off as long: active and pauses."""
    envelope = np.zeros(samples)
    start = 0
    while start < samples:
        on, off = rng.integers(RATE // 10, RATE * 4 // 10, 2)
        envelope[start : start + on] = 1
        start += on + off
    return 0.1 * envelope * rng.standard_normal(samples)


class Corpus:
    """Files in memory, and what reads them: as `Sources` does."""

    def __init__(self):
        rng = np.random.default_rng(0)
        taps = np.arange(RATE // 5)
        tail = 0.2 * rng.standard_normal((5, len(taps))) * np.exp(-taps / 1000)
        tail[:, :DELAY] = 0
        tail[:, DELAY] = -1.0  # the sign of the direct sound doesn't matter
        self.files = {
            "clean": [speechlike(3 * RATE, rng) for _ in range(6)],
            "noise": [0.1 * rng.standard_normal(RATE * 3 // 10) for _ in range(40)],
            "rir": list(tail),
        }

    def __call__(self, kind, piece):
        signal = self.files[kind][piece.file]
        if kind != "rir":
            signal = signal[piece.start : piece.start + piece.samples]
        return signal.astype(np.float32)

    def mix(self, examples, **settings):
        """Yield the plan and the mixture of each example."""
        mixing = Mixing(**{"seconds": 1, "sample_rate": RATE, **PLAIN, **settings})
        lengths = [list(map(len, self.files[kind])) for kind in ("clean", "noise")]
        planner = Planner(mixing, *lengths, rirs=5)
        for index in range(examples):
            plan = planner(1, index)
            yield plan, render(plan, mixing, self)


@pytest.fixture(scope="module")
def corpus():
    return Corpus()


def power_db(signal):
    return 10 * np.log10(np.mean(np.square(signal, dtype=np.float64)))


def active_db(speech):
    """Return the level of frames of 20 ms that are within 40 dB of the loudest."""
    frames = [
        power_db(speech[start : start + 320] + 1e-12)
        for start in range(0, len(speech) - 319, 320)
    ]
    active = [frame for frame in frames if frame >= max(frames) - 40]
    return 10 * np.log10(np.mean(10 ** (np.array(active) / 10)))


def band_db(wave, low, high):
    frequencies, density = welch(wave, RATE, nperseg=1024)
    band = (frequencies > low) & (frequencies < high)
    return 10 * np.log10(np.mean(density[band]) + 1e-30)


# Levels


@pytest.mark.parametrize("target", ["early", "reverberant"])
def test_snr_is_the_one_asked_for_whatever_else_is_done(corpus, target):
    everything = {name: 0.5 for name in PLAIN} | {"p_attenuation": 0.5}
    for plan, mixture in corpus.mix(50, target=target, noises=[1, 2], **everything):
        speech = mixture.clean
        if plan.attenuation_db is not None:  # without the noise that it keeps
            speech = speech - mixture.noise * 10 ** (-plan.attenuation_db / 20)
        snr_db = active_db(speech) - power_db(mixture.noise)
        # At 40 dB the sums are of float32 numbers of very different sizes.
        assert snr_db == pytest.approx(plan.snr_db, abs=0.1)


@pytest.mark.parametrize("p_offset", [0, 1])
def test_levels_are_those_asked_for_from_a_whisper_to_full_scale(corpus, p_offset):
    options = {"gain_db": None, "level_db": "-60..0", "within_full_scale": False}
    levels = []
    for plan, mixture in corpus.mix(60, **options, p_offset=p_offset, p_reverb=0.1):
        levels.append(plan.level_db)
        noisy = mixture.noisy - (plan.offset or 0)
        # At -60 dB an offset of 0.1 leaves float32 five digits fewer.
        assert power_db(noisy) == pytest.approx(plan.level_db, abs=0.01)
    assert min(levels) < -55 and max(levels) > -5


def test_an_offset_is_of_the_mixture_not_of_the_target(corpus):
    same = {"level_db": -30, "gain_db": None}
    without = corpus.mix(50, **same)
    offsets = []
    for plan, mixture in corpus.mix(50, **same, p_offset=1, offset="-0.2..0.2"):
        _, reference = next(without)
        offsets.append(plan.offset)
        np.testing.assert_array_equal(mixture.clean, reference.clean)
        difference = mixture.noisy - reference.noisy
        np.testing.assert_allclose(difference, plan.offset, atol=1e-7)  # float32
    assert min(offsets) < -0.1 and max(offsets) > 0.1


def test_a_gain_is_relative_to_the_recording(corpus):
    for plan, mixture in corpus.mix(30, snr_db=10, gain_db=[-12, 0, 3]):
        (piece,) = plan.speech.pieces
        recorded = 10 ** (plan.gain_db / 20) * corpus("clean", piece)
        np.testing.assert_allclose(mixture.clean, recorded, rtol=1e-5)  # float32


def test_gains_of_noises_are_relative_to_each_other():
    # One is a tone, the other white: the tone's line stands above the white noise's.
    tone = np.sin(2 * np.pi * 1000 / RATE * np.arange(RATE))
    white = np.random.default_rng(0).standard_normal(RATE)
    other = Corpus()
    other.files["noise"] = [0.3 * tone, 0.01 * white]
    for plan, mixture in other.mix(30, noises=2, noise_gain_db=[-6, 0, 6]):
        gains = {t.pieces[0].file: t.gain_db for t in plan.noises}
        line = tone @ mixture.noise / (tone @ tone) * tone
        found = power_db(line) - power_db(mixture.noise - line)
        # What white noise has of a tone by chance: a 126th of its amplitude, which is
        # 6 % of a tone 12 dB below it.
        assert found == pytest.approx(gains[0] - gains[1], abs=1)


def test_nothing_exceeds_full_scale_and_proportions_stay(corpus):
    loud = {"gain_db": None, "level_db": 10, "noises": 1, "p_reverb": 0.5}
    quiet = {**loud, "level_db": -40}
    for _, mixture in corpus.mix(10, **loud, p_offset=1, offset=[-0.9, 0.9]):
        assert 0.3 < np.abs(mixture.noisy).max() <= 1
    pairs = zip(corpus.mix(30, **loud), corpus.mix(30, **quiet), strict=True)
    for (_, mixture), (_, reference) in pairs:
        peaks = [np.abs(wave).max() for wave in (mixture.noisy, mixture.clean)]
        assert max(peaks) == pytest.approx(1, abs=1e-6)  # float32
        gain = np.abs(mixture.noisy).max() / np.abs(reference.noisy).max()
        for name in ("noisy", "clean", "speech", "noise"):
            wave, expected = getattr(mixture, name), gain * getattr(reference, name)
            np.testing.assert_allclose(wave, expected, atol=1e-5)


# The target, rooms


def test_noisy_is_speech_and_noise_at_the_targets_scale(corpus):
    settings = dict.fromkeys(PLAIN, 0.5) | {"gain_db": None, "level_db": [-30, 5]}
    dry = 0
    for plan, mixture in corpus.mix(EXAMPLES, **settings):
        difference = mixture.noisy - mixture.noise
        np.testing.assert_allclose(difference, mixture.speech, atol=1e-6)  # float32
        if plan.rir is plan.cutoff_hz is plan.speech.clipping is None:
            np.testing.assert_array_equal(mixture.clean, mixture.speech)
            dry += 1
        elif plan.rir is plan.speech.clipping is None:
            band = 500, plan.cutoff_hz - 500  # clear of the filter's transition
            levels_db = [band_db(m, *band) for m in (mixture.speech, mixture.clean)]
            assert levels_db[0] == pytest.approx(levels_db[1], abs=0.01)
    assert dry > 3


def lag_of(wave, reference):
    """Return by how many samples a wave comes later than another."""
    correlation = np.abs(correlate(wave, reference, method="fft"))
    return int(np.argmax(correlation)) - len(reference) + 1


@pytest.mark.parametrize("target", ["early", "reverberant"])
def test_rooms_delay_nothing(corpus, target):
    for plan, mixture in corpus.mix(20, p_reverb=1, target=target, snr_db=40):
        dry = corpus("clean", plan.speech.pieces[0])
        for wave in (mixture.noisy, mixture.clean, mixture.speech):
            assert lag_of(wave, dry) == 0
        assert mixture.clean @ dry > 0  # the sign is that of the recording
        assert (target == "early") != np.array_equal(mixture.clean, mixture.speech)


def test_early_target_has_no_late_reflections(corpus):
    early = round(0.02 * RATE)
    plan, mixture = next(corpus.mix(1, p_reverb=1, early_ms=20.0))
    dry = corpus("clean", plan.speech.pieces[0])
    taps = corpus.files["rir"][plan.rir][DELAY : DELAY + early + 1]
    expected = np.convolve(dry, taps / taps[0])[: len(dry)]
    gain = np.linalg.norm(dry) / np.linalg.norm(expected)  # the power of the dry speech
    scale = 10 ** (plan.gain_db / 20)
    np.testing.assert_allclose(mixture.clean, scale * gain * expected, atol=1e-5)
    late = mixture.speech - mixture.clean
    # The mixture has the same direct sound and more: the rest starts 20 ms later.
    first = np.flatnonzero(np.abs(dry) > 0)[0]
    assert np.abs(late[: first + early]).max() < 1e-5 < np.abs(late).max()


# Noise, microphones


def test_where_noises_join_their_power_stays(corpus):
    waves = []
    for plan, mixture in corpus.mix(100, noises=1, gain_db=0, snr_db=10, seconds=2):
        wave = mixture.noise / np.sqrt(np.mean(mixture.noise**2))
        (track,) = plan.noises
        middle = track.pieces[0].samples - track.fade // 2
        waves.append(wave[middle - track.fade // 4 : middle + track.fade // 4])
    # Mean of 100 x 800 squares of normal numbers, and each mixture's own scaling.
    assert np.mean(np.square(waves)) == pytest.approx(1, abs=0.03)


def test_band_limit_is_of_the_mixture_not_of_the_target(corpus):
    settings = {"p_band_limit": 1, "cutoff_hz": 4000, "noises": 1, "snr_db": 0}
    for _, mixture in corpus.mix(6, **settings):
        inside, outside = (500, 3500), (4100, 8000)
        for wave in (mixture.noisy, mixture.speech, mixture.noise):
            # The filter's 80 dB, less what the window of the analysis leaks.
            assert band_db(wave, *inside) - band_db(wave, *outside) > 70
        target_db = [band_db(mixture.clean, *band) for band in (inside, outside)]
        assert target_db[0] == pytest.approx(target_db[1], abs=3)
        assert lag_of(mixture.speech, mixture.clean) == 0


def test_clipping_is_of_the_mixture_not_of_the_target(corpus):
    for plan, mixture in corpus.mix(20, p_clipping=1, clipping=[0.1, 0.5]):
        limit = plan.speech.clipping * np.abs(mixture.clean).max()
        expected = np.clip(mixture.clean, -limit, limit)
        np.testing.assert_allclose(mixture.speech, expected, atol=1e-6)  # float32
        assert np.abs(mixture.speech).max() < 0.6 * np.abs(mixture.clean).max()
    settings = {"p_noise_clipping": 1, "noise_clipping": 0.1, "noises": 1}
    for _, mixture in corpus.mix(20, **settings):
        size = np.abs(mixture.noise)
        # White noise clipped at a tenth of its peak, some 4 deviations: 70 % is there.
        assert np.mean(size > 0.999 * size.max()) > 0.5


def test_filters_color_the_target_and_the_mixture_alike(corpus):
    settings = {"p_filter": 1, "noises": 1, "snr_db": 10, "gain_db": [-6, 0]}
    for plan, mixture in corpus.mix(20, **settings):
        np.testing.assert_array_equal(mixture.clean, mixture.speech)
        dry = 10 ** (plan.gain_db / 20) * corpus("clean", plan.speech.pieces[0])
        b1, b2, a1, a2 = plan.speech.filter
        for hz in (1000, 6000):
            z = np.exp(2j * np.pi * hz / RATE)
            response = np.abs((z**2 + b1 * z + b2) / (z**2 + a1 * z + a2))
            band = hz - 500, hz + 500
            found = band_db(mixture.clean, *band) - band_db(dry, *band)
            # Of a band, not of a tone.
            assert found == pytest.approx(20 * np.log10(response), abs=0.3)


# Silence

HIGH = [np.sin(2 * np.pi * 7000 / RATE * np.arange(RATE)) * np.hanning(RATE)]


@pytest.mark.parametrize(
    ("kind", "files", "message"),
    [
        ("clean", [np.zeros(3 * RATE)] * 6, "the clean segment is silent"),
        ("noise", [np.zeros(3 * RATE)] * 6, "the noise segment is silent"),
        ("noise", HIGH, "has nothing in the band"),
    ],
)
def test_silence_is_told(kind, files, message):
    silent = Corpus()
    silent.files[kind] = files
    settings = {"p_band_limit": 1, "cutoff_hz": 4000, "noises": 1}
    with pytest.raises(SilentSegmentError, match=message):
        next(silent.mix(1, **settings))


def test_a_pause_of_one_noise_stays_one_among_the_others():
    half = Corpus()
    half.files["noise"][0] = np.zeros_like(half.files["noise"][0])
    for plan, mixture in half.mix(20, noises=2):
        assert len(plan.noises) == 2 and mixture.noise.any()  # the other is heard
