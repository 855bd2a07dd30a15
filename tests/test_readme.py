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


def test_snippet_that_enhances_runs(exported, tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    snippet = re.findall(r"```python\n(.*?)```", text, re.S)[1]
    monkeypatch.chdir(tmp_path)
    exported.rename("quiet")
    noisy = 0.1 * torch.randn(2, 8000)
    soundfile.write("noisy.wav", noisy[0].numpy(), 16000)
    scope = {"noisy": noisy, "lengths": torch.tensor([1.0, 0.5])}
    exec(snippet, scope)
    assert (
        scope["enhanced"].dim() == 1 and soundfile.info("enhanced.wav").frames == 8000
    )
    assert scope["stream"].latency_ms == 60
    assert 0 < len(scope["rest"]) <= 960  # 60 ms


def test_page_on_your_own_model_runs():
    text = (ROOT / "docs" / "your_model.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    assert snippet.count("\n") < 30
    scope = {}
    exec(snippet, scope)
    assert scope["loss"].item() > 0
    assert any(p.grad is not None for p in scope["enhancer"].parameters())
