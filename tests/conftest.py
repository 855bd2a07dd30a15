"""Fixtures that several test files share.

What takes long to import is imported where it is needed: the process that hands tests
out to others needs none of it.
"""

import copy
import gc
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples" / "voicebank"


def pytest_sessionstart(session) -> None:
    """Set torch up in a process that runs tests."""
    if session.config.getoption("dist", "no") == "no":
        import torch

        # The models are tiny: threads would cost more than they give, everywhere.
        torch.set_num_threads(1)
        if not torch.cuda.is_available():  # before kernels are imported
            os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_collection_modifyitems(items) -> None:
    """Begin with what is slow, and skip, saying so, a device's tests without one."""
    import torch

    items.sort(key=lambda item: "slow" not in item.keywords)
    if torch.cuda.is_available():
        return
    for item in items:
        if "device" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def pytest_collection_finish() -> None:
    """Spare the garbage collector's passes what was imported: millions of objects."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter) -> None:
    """End with a table of what passed on the device."""
    counts: dict[str, Counter] = {}
    for outcome in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.getreports(outcome):
            file, _, test = report.nodeid.partition("::")
            if file.endswith("test_device.py"):
                name = test.partition("[")[0].removeprefix("test_").replace("_", " ")
                if name == "systems":
                    name += ", " + test.rstrip("]").rpartition("-")[2]
                counts.setdefault(name, Counter())[outcome] += 1
    if any(outcomes["passed"] for outcomes in counts.values()):
        import torch

        terminalreporter.section(f"on {torch.cuda.get_device_name()}")
        for name, outcomes in sorted(counts.items()):
            rest = [f", {n} {kind}" for kind, n in outcomes.items() if kind != "passed"]
            passed = f"{outcomes['passed']} of {outcomes.total()} passed{''.join(rest)}"
            terminalreporter.write_line(f"{name:<40}{passed}")


@pytest.fixture(scope="session")
def built_model():
    """Return what `small_model` is a copy of."""
    import torch

    from speechbrain_mal.models import DeepFilterNet2

    torch.manual_seed(0)
    model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    with torch.no_grad():  # fresh BatchNorm statistics would hide what moves them
        model.train()(0.1 * torch.randn(2, 8000))
    return model


@pytest.fixture
def small_model(built_model):
    """Return a DeepFilterNet2 with few channels, with seeded weights and statistics."""
    import torch

    torch.manual_seed(0)  # of what the test draws
    return copy.deepcopy(built_model)


@pytest.fixture(scope="session")
def speech():
    """Return 1.5 s each of four clean clips of the sample corpus, `[4, 24000]`."""
    import soundfile
    import torch

    files = sorted((SAMPLES / "clean_trainset_28spk_wav_16k").glob("*.flac"))[:4]
    clips = [soundfile.read(file, dtype="float32")[0][:24000] for file in files]
    return torch.stack([torch.from_numpy(clip) for clip in clips])


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> str:
    """Return a corpus in the layout of the DNS Challenge."""
    from dns_tree import make_tree

    return str(make_tree(tmp_path_factory.mktemp("corpus"), SAMPLES))


@pytest.fixture(scope="session")
def wavlm(tmp_path_factory) -> str:
    """Return the folder of a tiny WavLM with random weights."""
    from tiny_networks import save_tiny

    return save_tiny("WavLM", tmp_path_factory.mktemp("wavlm"))


@pytest.fixture
def interpreted(monkeypatch) -> None:
    """Let Triton 3.6's interpreter make an index of what NumPy 2.4 no longer does."""
    interpreter = pytest.importorskip("triton.runtime.interpreter")
    original = interpreter._patch_lang_tensor

    def patch(tensor, scope):
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patch)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    """Start a hub on loopback that huggingface_hub takes for huggingface.co.

    The client is the real one, in this process: it only reads its settings when it is
    imported, and by then no port is known, so its constants are set as the environment
    variables would have set them. Processes that a test starts read the variables.
    The user `alice` is logged in. Any address but loopback is refused.
    """
    from huggingface_hub import close_session, constants

    hub, home = Hub(), tmp_path / "huggingface"
    settings = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN": "hf_alice",
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    read_at_import = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint
        + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
    }
    for name, value in read_at_import.items():
        monkeypatch.setattr(constants, name, value)
    lookup = socket.getaddrinfo

    def loopback_only(host, *args, **kwargs):
        assert host in ("127.0.0.1", "localhost"), f"tests must not reach {host}"
        return lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", loopback_only)
    close_session()  # the next one reads NO_PROXY
    yield hub
    hub.stop()
    close_session()


HYPERPARAMS = """\
sample_rate: 16000
enhancer: !new:speechbrain_mal.models.DeepFilterNet2
    sample_rate: !ref <sample_rate>
    channels: 8
    embedding_size: 32
    df_hidden_size: 32
modules:
    enhancer: !ref <enhancer>
    enhance_model: !new:speechbrain_mal.hub.weights.EnhanceModel
        enhancer: !ref <enhancer>
pretrainer: !new:speechbrain_mal.hub.weights.SafetensorsPretrainer
    loadables:
        enhancer: !ref <enhancer>
"""


CONFIG = {
    "speechbrain_interface": "MALEnhancement",
    "speechbrain_mal": {
        "format": 2,
        "version": "0.1.0",
        "sample_rate": 16000,
        "model": {
            "class": "DeepFilterNet2",
            "arguments": {
                "sample_rate": 16000,
                "channels": 8,
                "embedding_size": 32,
                "df_hidden_size": 32,
            },
        },
    },
}


@pytest.fixture
def exported(small_model, tmp_path: Path) -> Path:
    """Return a folder as `speechbrain-mal export` writes it, of `small_model`."""
    import safetensors.torch

    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text(HYPERPARAMS)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    safetensors.torch.save_file(
        small_model.state_dict(), folder / "enhancer.safetensors"
    )
    return folder
