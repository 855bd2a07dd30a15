"""What the README and the docs show must run, and their links must lead somewhere."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "DESIGN.md",
    *(f"{folder}/README.md" for folder in ("benchmarks", "experiments", "samples")),
    *(f"recipes/{name}/README.md" for name in ("VoiceBank", "DNS")),
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]


def python_of(page: str) -> list[str]:
    """Return the Python snippets of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)


def test_tutorial_runs(monkeypatch):
    """Every code cell, in order, on one core and without Jupyter."""
    matplotlib.use("agg")
    monkeypatch.chdir(ROOT / "docs")
    text = (ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8")
    scope = {}
    for cell in json.loads(text)["cells"]:
        assert not cell.get("outputs"), "the notebook is committed without outputs"
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), scope)
    assert scope["distance"] > 0
    assert len(scope["enhanced"][0]) == len(scope["noisy"][0])


def test_readme_enhances(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("noisy.wav", 0.1 * torch.randn(8000).numpy(), 16000)
    exec(python_of("README.md")[0], {})
    assert soundfile.info("enhanced.wav").frames == 8000


def test_readme_adds_the_loss_to_a_recipe():
    """Its YAML below an encoder, its line in the place of `compute_objectives`."""
    encoder = "my_encoder: !new:speechbrain_mal.PlainEncoder\n"
    encoder += "    network: !new:torch.nn.Unflatten [1, [-1, 160]]\n"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    added = re.search(r"^```yaml\n(.*?)^```", text, re.S | re.M).group(1)
    hparams = load_hyperpyyaml(encoder + added)
    counter = SimpleNamespace(current=1)
    recipe = SimpleNamespace(mal=hparams["mal"], epoch_counter=counter)
    clean = torch.randn(2, 1600)
    scope = {
        "self": SimpleNamespace(hparams=recipe, optimizer_step=0),
        "loss": torch.tensor(3.0),
        "clean": clean,
        "enhanced": (clean + 0.1 * torch.randn(2, 1600)).requires_grad_(),
        "lengths": torch.tensor([1.0, 0.5]),
    }
    with pytest.warns(UserWarning, match="one length at a time"):
        exec(python_of("README.md")[1], scope)
    assert scope["loss"].item() == pytest.approx(
        6.0
    )  # as large as the recipe's own loss


def test_readme_trains_without_speechbrain():
    scope = {}
    exec(python_of("README.md")[2], scope)
    assert scope["loss"] > 0
    assert any(p.grad is not None for p in scope["enhancer"].parameters())
    assert all(p.grad is None for p in scope["mal"].parameters())


def test_enhancement_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("noisy.wav", 0.1 * torch.randn(8000).numpy(), 16000)
    files, stream, onnx = python_of("docs/enhancement.md")
    scope = {}
    exec(files, scope)
    exec(stream, scope)
    assert scope["stream"].latency_ms == 60
    assert 0 < len(scope["rest"]) <= 960  # 60 ms
    exec(onnx, scope)
    noisy = scope["noisy"][:1]
    pieces = [scope["stream"].push(noisy[0]), scope["stream"].flush()]
    expected = scope["enhancer"].enhance_batch(noisy)[0]
    # In another order of summation, of signals of about 1.
    torch.testing.assert_close(torch.cat(pieces), expected, atol=1e-5, rtol=0)


def test_your_own_model_runs():
    scope = {}
    for snippet in python_of("docs/your_model.md")[:2]:
        exec(snippet, scope)
    assert scope["loss"] > 0
    assert any(p.grad is not None for p in scope["enhancer"].parameters())


def test_readme_is_short_and_installs_first():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 110
    assert text.index("pip install") < text.index("| --- |")
    picture = ROOT / "docs" / "figures" / "enhancement.png"
    assert picture.stat().st_size < 150_000


def table_of(page: str, start: str, end: str) -> list[list[str]]:
    """Return the cells of a section's tables, their heads too."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = text.split(start)[1].split(end)[0].splitlines()
    rows = [line for line in lines if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


SHOWN = {
    "its own encoder, copied in every epoch": "own",
    "its own encoder, frozen": "own_frozen",
    "another training's encoder": "other_seed",
    "the encoder of the enhancer in the package": "larger",
    "Whisper tiny.en, last convolution": "whisper_conv",
    "Whisper tiny.en, last layer": "whisper",
    "the encoder's input features": "filterbank",
    "an encoder with random weights": "random",
}


def test_table_of_the_readme_is_that_of_the_results():
    _, *shown = table_of("README.md", "## What to expect", "## Learn more")
    sets = []
    for name in ("testset", "oodset"):
        start = f"### {name}: over continue"
        head, *rows = table_of("RESULTS.md", start, "\n| gain |")
        sets.append({row[0]: dict(zip(head, row, strict=True)) for row in rows})
    assert [name for name, *_ in shown] == [*SHOWN]
    for what, *cells in shown:
        gains = [every[SHOWN[what]] for every in sets]
        assert cells == [gain[x] for x in ("NISQA", "Distill-MOS") for gain in gains]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
        # A link to a folder leads nowhere on the site.
        assert (ROOT / page).parent.joinpath(link).is_file(), link
