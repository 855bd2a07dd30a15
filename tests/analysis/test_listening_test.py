"""A blind test from the page to the table, in a browser where there is one."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from speechbrain_mal.analysis.listening_test import read_answers, summary
from speechbrain_mal.cli import main

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
# Plays and rates every version of every trial, then hands the answers over.
LISTENER = """
<script>
window.onload = async () => {
  const wait = condition => new Promise(resolve => {
    const look = () => condition() ? resolve() : setTimeout(look, 20);
    look();
  });
  localStorage.clear();
  document.getElementById("start").click();
  while (document.getElementById("next")) {
    if (!document.getElementById("next").disabled) throw "nothing was rated";
    for (const row of document.querySelectorAll(".version")) {
      row.querySelector("button").click();
      await wait(() => row.querySelector("button").classList.contains("playing"));
      const slider = row.querySelector("input");
      slider.value = 37;
      slider.dispatchEvent(new Event("input"));
    }
    document.getElementById("next").click();
  }
  const link = document.getElementById("answers").href;
  document.title = await (await fetch(link)).text();
};
</script>
"""


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("clean", "noisy", "a", "b"):
        (tmp_path / name).mkdir()
        for i in range(5):
            noise = 0.1 * rng.normal(size=8000)
            soundfile.write(tmp_path / name / f"secret_{i}.wav", noise, 16000)
    return tmp_path


def listen(folder, *arguments):
    return main(["listen", *map(str, arguments), "-o", str(folder / "test")])


def make(folder):
    systems = [f"one={folder / 'a'}", f"two={folder / 'b'}"]
    further = ["--clean", folder / "clean", "--noisy", folder / "noisy", "--clips", "3"]
    assert listen(folder, *systems, *further) == 0
    return json.loads((folder / "test" / "key.json").read_text())


def answer(folder, key, listener, ratings):
    trials = [
        {"ratings": {code: ratings[s] for code, s in trial["versions"].items()}}
        for trial in key["trials"]
    ]
    path = folder / f"{listener}.json"
    answers = {"listener": listener, "test": key["test"], "trials": trials}
    path.write_text(json.dumps(answers))
    return path


def test_the_page_gives_nothing_away(folders):
    key = make(folders)
    page = (folders / "test" / "test.html").read_text()
    assert not re.search(r"secret|\bone\b.{0,3}:|\btwo\b.{0,3}:|src=.?http", page)
    assert [trial["training"] for trial in key["trials"]] == [True, False, False, False]
    for trial in key["trials"]:
        assert sorted(trial["versions"].values()) == ["clean", "noisy", "one", "two"]
    orders = {
        tuple(dict(sorted(t["versions"].items())).values()) for t in key["trials"]
    }
    assert len(orders) > 1  # the place of a version says nothing
    assert listen(folders, folders / "a", "--clean", folders / "clean") == 1  # is there
    (folders / "test" / "key.json").rename(folders / "old.json")
    again = make(folders)
    assert again["test"] != key["test"]  # or a browser would go on with the first
    assert not set(again["trials"][0]["versions"]) & set(key["trials"][0]["versions"])


def test_what_cannot_be_asked_or_read_is_said(folders, capsys):
    for path in folders.glob("*/secret_[1-4].wav"):
        path.unlink()
    assert listen(folders, folders / "a", "--clean", folders / "clean") == 1
    assert "1 clip(s) are too few" in capsys.readouterr().err
    assert listen(folders, "--answers", folders / "gone.json") == 1
    assert "key.json: there is no such file" in capsys.readouterr().err
    (folders / "test").mkdir()
    (folders / "test" / "key.json").write_text('{"test": "x", "trials": []}')
    os.mkfifo(folders / "pipe.json")
    for name, said in {"gone.json": "no such file", "pipe.json": "regular"}.items():
        assert listen(folders, "--control", "a", "--answers", folders / name) == 1
        assert re.search(f"{name}.*{said}", capsys.readouterr().err)


def test_answers_become_a_table(folders, capsys):
    key = make(folders)
    good = {"clean": 100, "noisy": 10, "one": 50, "two": 70}
    files = [
        answer(folders, key, "x", good),
        answer(folders, key, "y", good | {"two": 80, "clean": 92}),
        answer(folders, key, "lazy", good | {"clean": 40}),
    ]
    capsys.readouterr()
    assert listen(folders, "--answers", *files) == 0
    text = capsys.readouterr().out
    assert text == (folders / "test" / "results.md").read_text()
    assert re.search(r"\| two \| 75\.0 \[.*\] \| \+25\.0 \[-38\.5, \+88\.5\] \|", text)
    assert "2 listeners, 3 trials. Left out: lazy (rated" in text
    assert "| noisy | 10.0 [10.0, 10.0] | -40.0" in text
    with pytest.raises(ValueError, match="--control three is none of"):
        summary(read_answers(key, files), "three")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: [], "holds no answers"),
        (
            lambda x: x | {"trials": [{"ratings": [*x["trials"][0]["ratings"]]}] * 4},
            "no answers",
        ),
        (lambda x: x | {"test": "another"}, "another test than"),
        (lambda x: x | {"trials": [{"ratings": {}}] * 4}, "secret_0.wav is not whole"),
        (lambda x: x, "listener x is there twice"),
    ],
)
def test_wrong_answers_are_named(folders, change, message):
    key = make(folders)
    path = answer(folders, key, "x", dict.fromkeys(["clean", "noisy", "one", "two"], 9))
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=f"x.json.*{message}"):
        read_answers(key, [path, path])


@pytest.mark.skipif(not BROWSER, reason="no chromium: nobody clicks through the page")
def test_a_listener_gets_through(folders):
    key = make(folders)
    page = folders / "test" / "test.html"
    page.write_text(page.read_text().replace("</body>", LISTENER + "</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += [
        "--autoplay-policy=no-user-gesture-required",
        "--virtual-time-budget=60000",
    ]
    options += [f"--user-data-dir={folders / 'browser'}"]
    done = subprocess.run(
        [BROWSER, *options, page.as_uri()], capture_output=True, text=True, timeout=120
    )
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout, re.S)
    assert found, done.stdout[-500:]
    answers = folders / "answers.json"
    answers.write_text(found[1])
    ((listener, ratings),) = read_answers(key, [answers]).items()
    assert re.fullmatch("[0-9a-f]{8}", listener)
    assert ratings == {s: [37] * 3 for s in ("clean", "noisy", "one", "two")}
    trials = json.loads(found[1])["trials"]
    assert all(set(trial["plays"]) == set(trial["ratings"]) for trial in trials)
