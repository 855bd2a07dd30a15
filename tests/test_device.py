"""On a real GPU: losses, every system's two phases, resume, DDP, enhancing, benchmarks.

`make test-device` runs them and ends with a table; without a GPU they are skipped. What
stands in for them everywhere else is in test_contracts.py and test_systems.py.
"""

import copy
import subprocess
import sys

import pytest
import soundfile
import torch
from recipe_run import BOTH_PHASES, ROOT, SYSTEMS, fit, make_brain, short
from speechbrain.dataio.batch import PaddedBatch
from test_contracts import RNNS, Recurrent
from test_resume import assert_same, final_weights, script
from test_systems import step_of_each_phase

from speechbrain_mal import DeepFilterNet2, MALEnhancement, PlainEncoder
from speechbrain_mal.losses import (
    AuxiliaryLoss,
    DeepFeatureLoss,
    DeepFilterNetLoss,
    ModelAsLoss,
    PESQLoss,
    SNRLoss,
    STOILoss,
)
from speechbrain_mal.models import InputFeatures
from speechbrain_mal.models.gru import GRU

pytestmark = pytest.mark.device
CUDA = torch.device("cuda")


@pytest.fixture
def exact(monkeypatch):
    """Compute float32 as such: TF32, PyTorch's default in cuDNN, keeps 10 bits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def value_and_gradient(loss, enhanced, clean, lengths, device):
    """Return a loss's value, and its gradient relative to the largest sample."""
    loss = copy.deepcopy(loss).to(device)
    enhanced = enhanced.detach().clone().to(device).requires_grad_()
    lengths = None if lengths is None else lengths.to(device)
    value = loss(enhanced, clean.to(device), lengths)
    value.backward()
    gradient = enhanced.grad / enhanced.grad.abs().max()
    return value.detach().cpu(), gradient.cpu()


def losses():
    """Return every loss and encoder, by name."""
    torch.manual_seed(0)
    model = DeepFilterNet2(16000, channels=8, embedding_size=64, df_hidden_size=64)
    model.train()(0.1 * torch.randn(2, 8000))  # BatchNorm's statistics
    front_end = model.encoder.front_end
    found = {
        "L_df": DeepFilterNetLoss(front_end),
        "ModelAsLoss": ModelAsLoss(model.encoder, distance="mse", collapse_below=0),
        "all layers": ModelAsLoss(
            model.encoder, layers=range(7), distance="mse", normalize=True
        ),
        "filter bank": DeepFeatureLoss(
            InputFeatures(front_end), layers=[0, 1], distance="mse", normalize=True
        ),
        "PESQLoss": PESQLoss(),
        "STOILoss": STOILoss(),
        "SNRLoss": SNRLoss(),
    }
    for name, make in RNNS.items():
        encoder = PlainEncoder(Recurrent(make()))
        found[name] = DeepFeatureLoss(encoder, distance="mse")
    return found


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", losses())
def test_losses(name, padded, speech, exact):
    """Values and gradients are the CPU's."""
    lengths = torch.tensor([1.0, 0.5, 0.75, 1.0]) if padded else None
    enhanced = speech + 0.01 * torch.randn(4, 24000)
    loss = losses()[name]
    cpu, gpu = (
        value_and_gradient(loss, enhanced, speech, lengths, device)
        for device in ("cpu", "cuda")
    )
    # Sums of float32 in another order; STFTs and logarithms enlarge what they differ.
    torch.testing.assert_close(gpu[0], cpu[0], rtol=1e-4, atol=1e-7)
    # The gradient of a small difference of features, through logarithms and ReLUs, is
    # loose in float32: 0.023 was the most seen, where all else agreed to 1e-3.
    assert (gpu[1] - cpu[1]).norm() < 3e-2 * cpu[1].norm()


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("batch", [1, 8, 33])
def test_gru(size, batch):
    """The kernel for all frames gives torch's values and gradients, within TF32."""
    torch.manual_seed(0)
    own = GRU(32, size, 2)
    plain = torch.nn.GRU(32, size, 2, batch_first=True)
    plain.load_state_dict(own.state_dict())
    own, plain = own.to(CUDA), plain.double()
    x = torch.randn(batch, 70, 32)
    results = []
    for module, inputs in ((own, x.to(CUDA)), (plain, x.double())):
        inputs = inputs.requires_grad_()
        output, last = module(inputs)
        (output.square().mean() + last.sum()).backward()
        weights = [w.grad for w in module.parameters()]
        results.append([output, last, inputs.grad, *weights])
    for found, expected in zip(*results, strict=True):
        found, expected = found.double().cpu(), expected.double()
        assert (found - expected).norm() < 5e-3 * expected.norm()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_systems(tmp_path, system, precision, wavlm):
    """Both phases of every system, in every precision."""
    package = {"cdpam": "cdpam", "distillmos": "distillmos"}.get(system)
    if package:
        pytest.importorskip(package)
    options = {"network_source": wavlm} if system.startswith("wavlm") else {}
    options |= {"crop_seconds": 0.1, "batch_size": 1} if system == "cdpam" else {}
    run_opts = short(3, device="cuda", precision=precision)
    phases = BOTH_PHASES | ({"phase_two_epochs": 0} if system == "baseline" else {})
    brain = fit(make_brain(tmp_path, system, run_opts=run_opts, **phases, **options))
    assert all(x == x for x in brain.train_stats.values())  # no NaN
    assert set(brain.loss.added) <= set(brain.train_stats)
    assert all(weight.is_cuda for weight in brain.enhancer.parameters())


def test_no_wait_in_a_step(tmp_path, speech):
    """A training step with Model as Loss asks the device for no value."""
    brain, _ = step_of_each_phase(tmp_path, "mal_dynamic", None, speech, "cuda")
    clips = [{"id": str(i), "noisy": x, "clean": x} for i, x in enumerate(speech)]
    batches = [PaddedBatch(clips).pin_memory() for _ in range(3)]  # as loaders do
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches:
            brain.step += 1
            brain.fit_batch(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert brain.optimizer_step == 4


def test_nan_stops_the_run_and_leaves_the_weights(tmp_path, speech):
    """The device skips the step; the error comes when the host hears of it."""
    brain, _ = step_of_each_phase(tmp_path, "mal_dynamic", None, speech, "cuda")
    before = [weight.clone() for weight in brain.enhancer.parameters()]
    noisy = speech.clone()
    noisy[0, 100] = float("nan")
    clips = [{"id": "bad", "noisy": noisy[0], "clean": speech[0]}]
    brain.fit_batch(PaddedBatch(clips))
    with pytest.raises(ValueError, match="The loss is nan in TRAIN.*'bad'"):
        brain.watch.check(wait=True)
    after = brain.enhancer.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("balance", ["magnitude", "gradient"])
def test_stock_recipe_line(speech, balance):
    """AuxiliaryLoss in a loop of one's own, its module never moved by hand."""
    model = DeepFilterNet2(16000, channels=8, embedding_size=64, df_hidden_size=64)
    model.to(CUDA)
    term = AuxiliaryLoss(ModelAsLoss(model.encoder, "ema"), balance=balance)
    clean = speech.to(CUDA)
    for step in range(3):
        enhanced = model(clean + 0.01 * torch.randn_like(clean))
        main = (enhanced - clean).abs().mean()
        term(main, enhanced, clean, epoch=1, step=step).backward()
    assert term.loss.encoder.lsnr_fc[0].weight.is_cuda


def test_resume_after_sigkill(tmp_path):
    """Killed in both phases, a run ends with the weights of one that was not."""
    on_gpu = {"TEST_DEVICE": "cuda", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    script(tmp_path / "whole", **on_gpu)
    for kill_at in ("3", "9", "never"):
        script(tmp_path / "killed", kill_at, **on_gpu)
    whole, killed = (tmp_path / name / "mal_dynamic" for name in ("whole", "killed"))
    assert_same(final_weights(whole), final_weights(killed))


def test_torchrun_with_one_process(tmp_path):
    """The recipe's own script, as a user starts it on a machine with a GPU."""
    folder = ROOT / "recipes" / "VoiceBank"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=1", folder / "train.py"]
    command += [folder / "hparams" / "train.yaml", "--device=cuda"]
    command += [f"--data_folder={ROOT / 'samples' / 'voicebank'}"]
    command += [f"--output_folder={tmp_path}"]
    command += """--number_of_epochs=1 --phase_two_epochs=1 --channels=8
        --hidden_size=64 --crop_seconds=0.5 --metric_jobs=1 --valid_metrics=[si_sdr]
        --test_metrics=[si_sdr] --ckpt_metric=si_sdr""".split()
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    log = (tmp_path / "train_log.txt").read_text()
    assert log.count("train mal: ") == 1
    assert "si_sdr" in log.splitlines()[-1]


def test_enhance(tmp_path, exact):
    """The shipped enhancer on the GPU gives the CPU's files."""
    noisy = ROOT / "samples" / "voicebank" / "noisy_testset_wav_16k"
    outputs = {}
    for device in ("cpu", "cuda"):
        enhancer = MALEnhancement.from_hparams(
            ROOT / "pretrained" / "dfn2-mal-16k", run_opts={"device": device}
        )
        enhancer.enhance_folder(noisy, tmp_path / device)
        outputs[device] = sorted((tmp_path / device).glob("*.flac"))
    pairs = list(zip(outputs["cpu"], outputs["cuda"], strict=True))
    assert len(pairs) == 12
    for ours, theirs in pairs:
        a, b = (soundfile.read(path)[0] for path in (ours, theirs))
        assert abs(a - b).max() <= 2 / 32768  # of 16 bits the last


@pytest.mark.parametrize("name", ["train_step", "loss_cost", "inference", "kernels"])
def test_benchmarks(name):
    """Every benchmark's columns for the device."""
    model = ROOT / "pretrained" / "dfn2-mal-16k"
    options = {
        "train_step": ["--repeats", "2"],
        "kernels": ["--repeats", "2", "--batch", "4"],
        "loss_cost": ["--repeats", "1", "--losses", "mal", "filterbank"],
        "inference": ["--model", model, "--seconds", "5"],
    }
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", "--device", "cuda"]
    done = subprocess.run(
        [*command, *options[name]], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    assert "NVIDIA" in done.stdout or "cuda" in done.stdout
