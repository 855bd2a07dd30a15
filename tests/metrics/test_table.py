"""Scores as they are written, and read by programs that take them for something."""

import json
import math

import pytest

from speechbrain_mal.metrics import ScoreTable, read_scores

NAMES = ["=1+1", "+1", "-1", "@x", "\t=1", "'x", "'=x", "p232_001", "a,b", 'a"b']


@pytest.fixture
def table():
    table = ScoreTable(["si_sdr", "wer"])
    for i, name in enumerate(NAMES):
        scores = {"si_sdr": float(i)}
        words = {"wer": 10.0 * i, "wer_words": 1.0 + (i == 9)}
        table.add(name, {"si_sdr": {"scores": scores}, "wer": {"scores": words}})
    return table


def test_names_are_no_formulas_and_come_back_as_they_were(table, tmp_path):
    table.write(tmp_path)
    for line in (tmp_path / "scores.csv").read_text().splitlines()[1:]:
        assert line[0] not in "=+-@\t"
    back = read_scores(tmp_path / "scores.csv")
    assert back == table.rows


def test_the_files_agree(table, tmp_path):
    table.add("bad", {name: {"reason": "silent"} for name in table.metrics})
    table.write(tmp_path, command="evaluate ...")
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["means"] == table.means()
    assert record["means"]["si_sdr"] == sum(range(10)) / 10
    assert record["means"]["wer"] == pytest.approx((450 + 90) / 11)  # by words
    assert record["scored"]["si_sdr"] == 10 and record["clips"] == 11
    assert record["failures"] == ["bad: silent"] and record["command"]
    assert record["scores"]["bad"]["si_sdr"] is None
    markdown = (tmp_path / "scores.md").read_text()
    assert "| SI-SDR (dB) | 4.500 | 10 |" in markdown and "* bad: silent" in markdown
    assert math.isnan(read_scores(tmp_path / "scores.csv")["bad"]["wer"])


def test_infinite_scores_are_named_and_left_out(tmp_path):
    table = ScoreTable(["si_sdr"])
    for name, score in (("a", 10.0), ("copy", math.inf), ("b", 20.0)):
        table.add(name, {"si_sdr": {"scores": {"si_sdr": score}}})
    assert table.means() == {"si_sdr": 15.0} and table.scored("si_sdr") == 2
    assert not table.failures
    assert "is infinite, and left out of the mean, of 1 clip(s)" in table.markdown()
    assert "copy" in table.markdown()
    table.write(tmp_path)
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["infinite"] == {"si_sdr": ["copy"]}
    assert read_scores(tmp_path / "scores.csv")["copy"] == {"si_sdr": math.inf}


def test_control_characters_stay_out_of_what_a_terminal_shows():
    table = ScoreTable(["si_sdr"])
    table.add("\x1b[2Jred", {"si_sdr": {"reason": "\x1b]0;title"}})
    table.add("\x1b[1m", {"si_sdr": {"scores": {"si_sdr": math.inf}}})
    assert "\x1b" not in table.markdown() and "\\x1b[2Jred" in table.markdown()


@pytest.mark.parametrize("text", ["", "name,si_sdr\n", "clip,si_sdr\na,good\n"])
def test_what_is_no_table_of_scores_is_named(text, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="scores.csv"):
        read_scores(path)
