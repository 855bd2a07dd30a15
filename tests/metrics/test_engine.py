"""The engine: one set of numbers, whatever happens to clips, processes and files."""

import contextlib
import json
import math
import os
import resource
import signal

import numpy as np
import pytest
import soundfile

from speechbrain_mal.metrics import Clip, Metric, clips_from_folders, evaluate, registry

RATE = 16000


@pytest.fixture
def clean(speech):
    return speech[0].numpy()


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

    def write(name, audio, rate=RATE, subtype=None):
        soundfile.write(enhanced / f"{name}.wav", audio, rate, subtype)
        soundfile.write(reference / f"{name}.wav", clean, RATE)

    write("nan", np.where(np.arange(len(clean)) == 5, np.nan, clean), subtype="FLOAT")
    write("stereo", np.stack([clean, clean], axis=1))
    write("longer", np.append(clean, 0))
    write("rate", clean, 2 * RATE)
    write("corrupt", clean)
    (enhanced / "corrupt.wav").write_bytes(b"RIFF, and no more")
    write("alone", clean)
    (reference / "alone.wav").unlink()
    write("forgotten", clean)
    (enhanced / "forgotten.wav").unlink()
    table = evaluate(clips_from_folders(*folders), ["si_sdr"])
    reasons = dict(failure.split(": ", 1) for failure in table.failures)
    expected = {
        "nan": "nan.wav has 1 sample.s. that are NaN or infinite",
        "stereo": "2 channels",
        "longer": f"{len(clean) + 1} samples and the clean one {len(clean)}",
        "rate": "32000 Hz and the clean one 16000 Hz",
        "corrupt": "corrupt.wav can't be read",
        "alone": "clean/alone.wav does not exist",
        "forgotten": "enhanced/forgotten.wav does not exist",
    }
    assert set(reasons) == set(expected)
    for name, pattern in expected.items():
        pytest.raises(ValueError, _raise, reasons[name]).match(pattern)
    good = [row["si_sdr"] for name, row in table.rows.items() if name not in reasons]
    assert len(good) == 4
    assert table.means()["si_sdr"] == pytest.approx(np.mean(good))


def _raise(message):
    raise ValueError(message)


def test_processes_change_nothing(folders):
    one, two = (
        evaluate(clips_from_folders(*folders), ["pesq", "estoi", "si_sdr"], jobs=jobs)
        for jobs in (1, 2)
    )
    assert list(one.rows) == list(two.rows)
    for name, row in one.rows.items():  # BLAS sums in another order from call to call
        assert two.rows[name] == pytest.approx(row, rel=1e-12)


def test_goes_on_where_it_was(folders, tmp_path, monkeypatch):
    calls = []
    real = registry.METRICS["si_sdr"].function

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    metric = Metric(counted, {"si_sdr": "SI-SDR (dB)"})
    monkeypatch.setitem(registry.METRICS, "si_sdr", metric)
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
    evaluate(clips, ["si_sdr"], progress_file=progress)
    assert len(calls) == 1


def test_a_further_metric_computes_nothing_twice(folders, tmp_path, monkeypatch):
    clips = clips_from_folders(*folders)
    progress = tmp_path / "progress.jsonl"
    evaluate(clips, ["si_sdr"], progress_file=progress)
    monkeypatch.setitem(
        registry.METRICS, "si_sdr", Metric(_never, {"si_sdr": "SI-SDR (dB)"})
    )
    table = evaluate(clips, ["si_sdr", "estoi"], progress_file=progress)
    assert table.scored("si_sdr") == table.scored("estoi") == 4


def _never(*_):
    raise AssertionError("computed again")


def test_options_that_change_are_no_resume(folders, tmp_path, monkeypatch):
    def scaled(enhanced, clean, rate, factor=1.0):
        return factor

    monkeypatch.setitem(registry.METRICS, "si_sdr", Metric(scaled, {"si_sdr": "x"}))
    clips = clips_from_folders(*folders)
    for factor in (1.0, 2.0, 2.0):
        table = evaluate(
            clips, ["si_sdr"], {"si_sdr": {"factor": factor}}, 1, tmp_path / "progress"
        )
        assert table.means()["si_sdr"] == factor


def _deadly(enhanced, clean, rate):
    if clean[0] > 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


def test_a_clip_that_kills_its_process_costs_no_other(tmp_path, monkeypatch):
    # The function reaches the processes by its name, through a registry that they
    # import: it stands in for a metric of theirs.
    clips = [
        Clip(str(i), np.ones(100), np.full(100, i == 2, float), RATE) for i in range(5)
    ]
    tasks = [(clip, ["deadly"], {}) for clip in clips]
    monkeypatch.setattr("speechbrain_mal.metrics.engine.score_clip", _stand_in)
    from speechbrain_mal.metrics.engine import _run

    results = {task[0].name: result for task, result in _run(tasks, jobs=2)}
    assert sorted(results) == ["0", "1", "2", "3", "4"]
    assert "the process died" in results.pop("2")["deadly"]["reason"]
    assert all(r == {"deadly": {"scores": {"x": 1.0}}} for r in results.values())


def _stand_in(clip, metrics, options):
    return {"deadly": {"scores": {"x": _deadly(clip.enhanced, clip.clean, RATE)}}}


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
    assert [path.name for path in tmp_path.glob("scores*")] == []
    assert progress.read_bytes() == whole


def test_odd_errors_and_nan_scores_are_reasons(clean, monkeypatch):
    def breaks(*_):
        raise IndexError("index 7 is out of bounds")

    clips = [Clip("clip", clean, clean, RATE)]
    for function, reason in ((breaks, "IndexError: index 7"), (_nan, "is NaN")):
        monkeypatch.setitem(
            registry.METRICS, "si_sdr", Metric(function, {"si_sdr": "x"})
        )
        assert reason in evaluate(clips, ["si_sdr"]).failures[0]


def _nan(*_):
    return math.nan


def test_a_missing_package_is_no_failed_clip(clean, monkeypatch):
    def missing(*_):
        raise ModuleNotFoundError("pip install 'speechbrain-mal[eval]'")

    monkeypatch.setitem(registry.METRICS, "si_sdr", Metric(missing, {"si_sdr": "x"}))
    with pytest.raises(ModuleNotFoundError, match="eval"):
        evaluate([Clip("clip", clean, clean, RATE)], ["si_sdr"])


def test_unknown_metrics_and_double_names(clean):
    with pytest.raises(ValueError, match=r"No metric \['mos'\].*'pesq'"):
        evaluate([], ["mos"])
    with pytest.raises(ValueError, match="same name"):
        evaluate([Clip("a", clean), Clip("a", clean)], ["si_sdr"])
    assert math.isnan(evaluate([], ["pesq"]).means()["pesq"])


def test_the_written_tables_agree(folders, tmp_path):
    clips = [*clips_from_folders(*folders), Clip("bad", np.zeros(9), np.ones(9), RATE)]
    table = evaluate(clips, ["estoi", "si_sdr"])
    table.write(tmp_path / "scores", command="evaluate ...")
    from speechbrain_mal.metrics import read_scores

    back = read_scores(tmp_path / "scores" / "scores.csv")
    assert math.isnan(back["bad"]["si_sdr"])
    assert back["snr5"] == table.rows["snr5"]
    record = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert record["means"] == table.means()
    assert record["scored"] == {"estoi": 4, "si_sdr": 4}
    assert record["failures"] == table.failures and record["command"]
    markdown = (tmp_path / "scores" / "scores.md").read_text()
    assert f"| SI-SDR (dB) | {table.means()['si_sdr']:.3f} | 4 |" in markdown
    assert not list((tmp_path / "scores").glob("*.partial"))
