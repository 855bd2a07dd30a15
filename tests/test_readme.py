"""What the README shows must run."""

import re
from pathlib import Path

import soundfile
import torch

ROOT = Path(__file__).parent.parent


def test_first_snippet_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    scope = {}
    exec(snippet, scope)
    assert scope["loss"].item() > 0
    assert any(p.grad is not None for p in scope["enhancer"].parameters())
    assert all(p.grad is None for p in scope["mal"].parameters())


def test_snippet_that_enhances_runs(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, snippet, onnx_snippet, *_ = re.findall(r"```python\n(.*?)```", text, re.S)
    monkeypatch.chdir(tmp_path)
    noisy = 0.1 * torch.randn(2, 8000)
    soundfile.write("noisy.wav", noisy[0].numpy(), 16000)
    scope = {"noisy": noisy, "lengths": torch.tensor([1.0, 0.5])}
    exec(snippet, scope)
    assert (
        scope["enhanced"].dim() == 1 and soundfile.info("enhanced.wav").frames == 8000
    )
    assert scope["stream"].latency_ms == 60
    assert 0 < len(scope["rest"]) <= 960  # 60 ms
    exec(onnx_snippet, scope)
    pieces = [scope["stream"].push(noisy[0]), scope["stream"].flush()]
    expected = scope["enhancer"].enhance_batch(noisy[:1])[0]
    # In another order of summation, of signals of about 0.1.
    torch.testing.assert_close(torch.cat(pieces), expected, atol=1e-6, rtol=0)


def test_page_on_your_own_model_runs():
    text = (ROOT / "docs" / "your_model.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    assert snippet.count("\n") < 30
    scope = {}
    exec(snippet, scope)
    assert scope["loss"].item() > 0
    assert any(p.grad is not None for p in scope["enhancer"].parameters())


def test_table_of_differences_is_that_of_the_results():
    def cells(line):
        return [cell.strip() for cell in line.strip("|\n ").split("|")]

    def rows(text):
        return [cells(x) for x in text.splitlines() if re.search(r"\(\d/\d\)", x)]

    readme, results = (
        (ROOT / "README.md").read_text(),
        (ROOT / "RESULTS.md").read_text(),
    )
    table = results.split("## Differences to")[1].split("### oodset")[0]
    there = {name: numbers for name, *numbers in rows(table)}
    shown = rows(readme.split("## What to expect")[1].split("What a training step")[0])
    assert len(shown) == len(there) > 5
    for name, *numbers in shown:
        assert set(numbers) <= set(there[name.split(",")[0].replace("-", "_")]), name
