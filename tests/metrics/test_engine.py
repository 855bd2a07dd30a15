"""The engine: one set of numbers, whatever happens to clips, processes and files."""

import contextlib
import math
import os
import resource

import numpy as np
import pytest
import soundfile
from threadpoolctl import threadpool_limits

from speechbrain_mal.metrics import Clip, Metric, clips_from_folders, evaluate, registry

RATE = 16000


@pytest.fixture
def clean(speech):
    return speech[0].numpy()[:19200]  # DNSMOS repeats that up to one segment


@pytest.fixture
def replace(monkeypatch):
    """Return a function that puts another in the place of SI-SDR's."""

    def put(function):
        metric = Metric(function, {"si_sdr": "SI-SDR (dB)"}, options={"factor": ()})
        monkeypatch.setitem(registry.METRICS, "si_sdr", metric)

    return put


def noisy(clean, snr_db):
    noise = np.random.default_rng(0).standard_normal(len(clean)).astype("float32")
    return clean + noise * clean.std() * 10 ** (-snr_db / 20)


@pytest.fixture
def folders(tmp_path, clean):
    """Write four pairs, and return the folders of enhanced and clean files."""
    pair = tmp_path / "enhanced", tmp_path / "clean"
    for folder in pair:
        folder.mkdir()
    for snr in (0, 5, 10, 15):
        for folder, audio in zip(pair, (noisy(clean, snr), clean), strict=True):
            soundfile.write(folder / f"snr{snr}.wav", audio, RATE)
    return pair


def test_failed_clips_are_named_and_left_out(clean):
    clips = [
        Clip("good", noisy(clean, 10), clean, RATE),
        Clip("silent", clean, 0 * clean, RATE),
        Clip("short", clean[8000:8160], clean[8000:8160], RATE),  # 10 ms
    ]
    table = evaluate(clips, ["pesq", "estoi", "si_sdr"])
    assert [f.split(":")[0] for f in table.failures] == ["silent"] * 3 + ["short"] * 2
    row = table.rows["good"]
    assert table.means()["pesq"] == row["pesq"]
    assert table.means()["estoi"] == row["estoi"]
    assert table.scored("pesq") == 1


def test_bad_files_are_named_and_left_out(folders, clean):
    enhanced, reference = folders

    def write(name, audio, rate=RATE):
        soundfile.write(enhanced / f"{name}.wav", audio, rate)
        soundfile.write(reference / f"{name}.wav", clean, RATE)

    write("stereo", np.stack([clean, clean], axis=1))
    write("longer", np.append(clean, 0))
    write("rate", clean, 2 * RATE)
    for name in ("corrupt", "alone", "forgotten"):
        write(name, clean)
    (enhanced / "corrupt.wav").write_bytes(b"RIFF, and no more")
    (reference / "alone.wav").unlink()
    (enhanced / "forgotten.wav").unlink()
    table = evaluate(clips_from_folders(*folders), ["si_sdr"])
    reasons = dict(failure.split(": ", 1) for failure in table.failures)
    expected = {
        "stereo": "2 channels",
        "longer": f"{len(clean) + 1} samples and the clean one {len(clean)}",
        "rate": "32000 Hz and the clean one 16000 Hz",
        "corrupt": "corrupt.wav: not a readable audio file",
        "alone": "clean/alone.wav: there is no such file",
        "forgotten": "enhanced/forgotten.wav: there is no such file",
    }
    assert set(reasons) == set(expected)
    assert all(expected[name] in reason for name, reason in reasons.items())
    good = [row["si_sdr"] for name, row in table.rows.items() if name not in reasons]
    assert len(good) == 4
    assert table.means()["si_sdr"] == pytest.approx(np.mean(good))


INTRUSIVE = registry.expand(["intrusive"])
LEARNED = [name for name in registry.METRICS if name not in INTRUSIVE]


@pytest.mark.parametrize(
    "names", [INTRUSIVE, pytest.param(LEARNED, marks=pytest.mark.slow)]
)
def test_neither_processes_nor_threads_change_a_bit(folders, options, names):
    further = {}
    for name in names:
        with contextlib.suppress(pytest.skip.Exception):
            further[name] = options(name)
    clips = [
        Clip(clip.name, clip.enhanced, clip.clean, transcript="RAIN")
        for clip in clips_from_folders(*folders)[:2]
    ]
    with threadpool_limits(2):
        one, again = (evaluate(clips, [*further], further) for _ in range(2))
    two = evaluate(clips, [*further], further, jobs=2)
    assert not one.failures
    assert one.rows == again.rows == two.rows and list(one.rows) == list(two.rows)


def test_goes_on_where_it_was(folders, tmp_path, replace):
    calls = []
    real = registry.METRICS["si_sdr"].load()

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    replace(counted)
    clips = clips_from_folders(*folders)
    progress = tmp_path / "progress.jsonl"
    with pytest.raises(KeyboardInterrupt):
        evaluate(clips, ["si_sdr"], progress_file=progress)
    with open(progress, "a") as file:  # as a kill in the middle of a line leaves it
        file.write('{"clip": "snr15", "fil')
    table = evaluate(clips, ["si_sdr"], progress_file=progress)
    assert len(calls) == 3 + 2
    assert table.rows == evaluate(clips, ["si_sdr"]).rows
    calls.clear()
    assert evaluate(clips, ["si_sdr"], progress_file=progress).rows == table.rows
    assert not calls
    os.utime(clips[0].enhanced)  # a file that changed is scored again, and it alone
    table = evaluate(clips, ["si_sdr", "estoi"], progress_file=progress)
    assert len(calls) == 1  # and a further metric computes nothing twice
    assert table.scored("si_sdr") == table.scored("estoi") == 4


def test_options_that_change_are_no_resume(folders, tmp_path, replace):
    replace(lambda enhanced, clean, rate, factor=1.0: factor)
    clips = clips_from_folders(*folders)
    for factor in (1.0, 2.0, 2.0):
        table = evaluate(
            clips, ["si_sdr"], {"si_sdr": {"factor": factor}}, 1, tmp_path / "progress"
        )
        assert table.means()["si_sdr"] == factor


@pytest.mark.parametrize(
    "text", ["[]", "null", "{}", '{"clip": "a"}\n', "1\n2", "clip,si_sdr\na,1\n"]
)
def test_what_is_no_progress_is_named(text, tmp_path):
    progress = tmp_path / "progress.jsonl"
    progress.write_text(text)
    with pytest.raises(ValueError, match="progress.jsonl holds no results"):
        evaluate([], ["si_sdr"], progress_file=progress)
    assert progress.read_text() == text
    progress.unlink()
    os.mkfifo(progress)
    with pytest.raises(ValueError, match="progress.jsonl: not a regular file"):
        evaluate([], ["si_sdr"], progress_file=progress)


@contextlib.contextmanager
def small_files(size):
    """Let no file of this process grow beyond a size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_and_loses_nothing(folders, tmp_path):
    clips = clips_from_folders(*folders)
    progress = tmp_path / "progress"
    with small_files(700), pytest.raises(OSError, match="too large"):
        evaluate(clips, ["si_sdr"], progress_file=progress)
    kept = progress.read_bytes()
    assert kept.count(b"\n") >= 1 and not kept.endswith(b"\n")  # cut in a line
    table = evaluate(clips, ["si_sdr"], progress_file=progress)
    assert table.rows == evaluate(clips, ["si_sdr"]).rows
    whole = progress.read_bytes()
    with small_files(10), pytest.raises(OSError, match="too large"):
        table.write(tmp_path)
    assert not list(tmp_path.glob("*scores*")) and not list(tmp_path.glob(".*"))
    assert progress.read_bytes() == whole


def fails(error):
    def function(*_):
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (fails(IndexError("index 7 is out of bounds")), "IndexError: index 7"),
        (lambda *_: math.nan, "is NaN"),
    ],
)
def test_odd_errors_and_nan_scores_are_reasons(clean, replace, function, reason):
    replace(function)
    table = evaluate([Clip("clip", clean, clean, RATE)], ["si_sdr"])
    assert reason in table.failures[0]


def test_a_missing_package_is_no_failed_clip(clean, replace):
    replace(fails(ModuleNotFoundError("pip install 'speechbrain-mal[eval]'")))
    with pytest.raises(ModuleNotFoundError, match="eval"):
        evaluate([Clip("clip", clean, clean, RATE)], ["si_sdr"])


def test_unknown_metrics_and_double_names(clean):
    with pytest.raises(ValueError, match=r"No metric \['mos'\].*'pesq'"):
        evaluate([], ["mos"])
    for name, option in (("si_sdr", "x"), ("nisqa", "level"), ("dnsmos", "weights")):
        with pytest.raises(ValueError, match=f"{name} has no option '{option}': "):
            evaluate([], ["si_sdr"], {name: {option: 1}})
    for value in ("music", 1, None, ["natural"]):
        with pytest.raises(ValueError, match="scoreq has no domain .*: choose natural"):
            evaluate([Clip("a", clean)], ["snr"], {"scoreq": {"domain": value}})
    with pytest.raises(ValueError, match="same name"):
        evaluate([Clip("a", clean), Clip("a", clean)], ["si_sdr"])
    assert math.isnan(evaluate([], ["pesq"]).means()["pesq"])
