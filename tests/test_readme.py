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
    scope = {}
    for snippet in re.findall(r"```python\n(.*?)```", text, re.S)[:2]:
        assert snippet.count("\n") < 30
        exec(snippet, scope)
    assert scope["loss"].item() > 0
    assert any(p.grad is not None for p in scope["enhancer"].parameters())


def test_table_of_differences_is_that_of_the_results():
    def table(name, start, end):
        """Return the numbers by system and column of a section's first table."""
        text = (ROOT / name).read_text(encoding="utf-8")
        lines = text.split(start)[1].split(end)[0].splitlines()
        rows = [
            [cell.strip().removeprefix("NISQA ") for cell in line.strip("|").split("|")]
            for line in lines
            if line.startswith("|")
        ]
        return {
            row[0].split(",")[0].replace("-", "_"): dict(
                zip(rows[0][1:], row[1:], strict=True)
            )
            for row in rows[2:]
        }

    shown = table("README.md", "## What to expect", "What a training step")
    results = table("RESULTS.md", "## Differences to", "### oodset")
    assert set(shown) == set(results) and len(shown) > 5
    for system, numbers in shown.items():
        for column, number in numbers.items():
            assert number == results[system][column], (system, column)
