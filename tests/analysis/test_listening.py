"""The page: everything inside, the audio as it was, nothing that a name can break."""

import base64
import io
import json
import re

import numpy as np
import pytest
import soundfile

from speechbrain_mal.analysis.listening import listening_page


@pytest.fixture
def audio(tmp_path):
    files = {}
    for i, name in enumerate(("noisy", "ours", "clean")):
        path = tmp_path / f"{name}.wav"
        tone = 0.5 * np.sin(np.arange(16000) * (0.1 + 0.1 * i))
        soundfile.write(path, tone, 16000)
        files[name] = path
    return {"clip </script>": files}


def data_of(page):
    return json.loads(re.search(r'application/json">(.*?)</script>', page, re.S)[1])


def test_everything_is_in_the_page(audio):
    scores = {"ours": {"clip </script>": {"pesq": 2.5, "lsd": float("nan")}}}
    facts = {"clip </script>": {"noise": "<b>bus</b>"}}
    page = listening_page(audio, scores, facts, "<Title>")
    assert "<h1>&lt;Title&gt;</h1>" in page
    assert not re.search(r"(src|href)=\W*https?:", page)
    assert page.count("</script>") == 2  # no name ends a script
    (clip,) = data_of(page)["clips"]
    assert clip["clip"] == "clip </script>" and clip["facts"] == {"noise": "<b>bus</b>"}
    assert [v["system"] for v in clip["versions"]] == ["noisy", "ours", "clean"]
    assert [v["scores"] for v in clip["versions"]] == [{}, {"pesq": 2.5}, {}]
    assert data_of(page)["columns"] == {"pesq": {"heading": "PESQ-WB", "lower": False}}


def test_the_audio_is_that_of_the_file(audio):
    (clip,) = data_of(listening_page(audio, {}, {}, "Title"))["clips"]
    for version, path in zip(
        clip["versions"], audio["clip </script>"].values(), strict=True
    ):
        kind, content = version["audio"].split(",")
        assert kind == "data:audio/flac;base64"
        waveform, rate = soundfile.read(
            io.BytesIO(base64.b64decode(content)), dtype="int16"
        )
        assert rate == 16000
        assert np.array_equal(waveform, soundfile.read(path, dtype="int16")[0])
        picture = base64.b64decode(version["picture"].split(",")[1])
        assert picture.startswith(b"\x89PNG") and len(picture) > 1000


def test_an_unreadable_file_is_named(audio, tmp_path):
    audio["clip </script>"]["ours"] = tmp_path / "gone.wav"
    with pytest.raises(ValueError, match="gone.wav: there is no such file"):
        listening_page(audio, {}, {}, "Title")
