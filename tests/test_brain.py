from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch
from recipe_run import (
    BOTH_PHASES,
    TOY,
    EnhanceBrain,
    fit,
    make_brain,
    short,
    with_conv_tasnet,
)
from toy_enhancer import same, snapshot

from speechbrain_mal import Enhancer, ModelAsLoss
from speechbrain_mal.losses import PESQLoss, WeightedLoss
from speechbrain_mal.settings import check_settings
from speechbrain_mal.watch import NonFiniteLossError

VARIANTS = ["frozen_fe", "frozen", "dynamic", "dynamic_per_batch", "ema"]
SHORT = short(2)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """Return the output folder of a baseline of two epochs."""
    output = tmp_path_factory.mktemp("baseline")
    fit(make_brain(output, "baseline", number_of_epochs=2))
    return output


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Return a Brain of one epoch of phase one that has not begun."""
    return make_brain(tmp_path_factory.mktemp("untrained"), "baseline")


class Watched(EnhanceBrain):
    """Note after every training batch what the encoders are."""

    def on_fit_start(self):
        super().on_fit_start()
        self.mal, self.live, self.starts = [], [], []

    def on_stage_start(self, stage, epoch=None):
        super().on_stage_start(stage, epoch)
        if stage.name == "TRAIN":
            self.starts.append(snapshot(self.enhancer))

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        self.mal.append(snapshot(self.loss.added["mal"].loss.encoder))
        self.live.append(snapshot(self.enhancer.encoder))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_moves_in_each_variant(tmp_path, baseline, variant):
    options = {"baseline_folder": str(baseline), "phase_two_epochs": 2}
    brain = fit(make_brain(tmp_path, f"mal_{variant}", Watched, SHORT, **options))
    start = {k[8:]: v for k, v in brain.starts[0].items() if k.startswith("encoder.")}

    # The MAL-encoder starts as the baseline's encoder and moves exactly at refresh;
    # the average takes in every step, before the next batch.
    assert same(start, brain.mal[0])
    moved = [not same(a, b) for a, b in zip(brain.mal, brain.mal[1:], strict=False)]
    if variant == "dynamic":
        assert moved == [False, True, False]
        assert same(brain.mal[2], brain.live[1])
    else:
        assert moved == 3 * [variant in ("dynamic_per_batch", "ema")]

    # frozen-fe leaves every weight and statistic of the encoder, and trains the rest.
    end = snapshot(brain.enhancer)
    frozen = [torch.equal(brain.starts[0][k], end[k]) for k in end if "encoder." in k]
    decoder = [torch.equal(brain.starts[0][k], end[k]) for k in end if "_dec." in k]
    assert all(frozen) == (variant == "frozen_fe")
    assert not all(decoder)
    assert sum(decoder) == 2  # df_fc_a, weight and bias, which nothing uses

    log = (tmp_path / "train_log.txt").read_text()
    names = ["train loss", "train df", "train mal", "train mal_variance"]
    for name in (*names, "valid mal", "valid si_sdr"):
        assert f"{name}: " in log
    # Of equal gradients, the scaled term is about as large as the conventional loss.
    scaled = brain.loss.added["mal"].scale * brain.train_stats["mal"]
    assert 0.3 < scaled / brain.train_stats["df"] < 3


class Worsening(Watched):
    """Each epoch is worse than the one before."""

    def end_epoch(self, epoch, stats):
        super().end_epoch(epoch, {**stats, "si_sdr": -epoch})


def test_phases_start_from_the_best_and_the_test_takes_best_or_last(tmp_path):
    phases = {"number_of_epochs": 2, "phase_two_epochs": 2, "baseline_folder": None}
    brain = fit(make_brain(tmp_path, "mal_frozen", Worsening, SHORT, **phases))
    checkpoints = brain.checkpointer.find_checkpoints()
    best = next(c for c in checkpoints if c.meta["epoch"] == 1)  # and it was kept
    assert same(torch.load(best.paramfiles["enhancer"]), brain.starts[2])
    assert not same(brain.starts[1], brain.starts[0])
    # The test takes one of phase two, though phase one had a higher metric.
    for test_from, epoch in (("best", 3), ("last", 4)):
        brain.hparams.test_from = test_from
        brain.on_evaluate_start()
        assert brain.hparams.epoch_counter.current == epoch


def test_clipping_covers_all_parameter_groups(tmp_path):
    class Clipped(EnhanceBrain):
        def zero_grad(self, set_to_none=False):
            weights = self.modules.parameters()
            gradients = [w.grad.flatten() for w in weights if w.grad is not None]
            if gradients:
                norms.append(torch.cat(gradients).norm().item())
            super().zero_grad(set_to_none)

    norms = []
    run_opts = {"remove_vector_weight_decay": True, **SHORT}
    options = {"number_of_epochs": 1, "max_grad_norm": 0.01}
    brain = fit(make_brain(tmp_path, "baseline", Clipped, run_opts, **options))
    assert len(brain.optimizer.param_groups) == 2
    assert norms == pytest.approx(2 * [0.01], rel=1e-3)


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_nan_stops_at_once_and_names_the_batch(tmp_path, kind):
    class Broken(EnhanceBrain):
        def compute_forward(self, batch, stage):
            outputs = super().compute_forward(batch, stage)
            if self.step == 3 and stage.name == "TRAIN":
                self.clips, self.before = list(batch.id), snapshot(self.enhancer)
                if kind == "loss":
                    outputs["enhanced"] = outputs["enhanced"] * float("nan")
                else:
                    outputs["enhanced"].register_hook(lambda grad: grad * float("inf"))
            return outputs

    brain = make_brain(tmp_path, "baseline", Broken, number_of_epochs=1)
    with pytest.raises(NonFiniteLossError, match=f"The {kind} is .* batch 3") as error:
        fit(brain)
    assert all(clip in str(error.value) for clip in brain.clips)
    parameters = dict(brain.enhancer.named_parameters())
    assert all(torch.equal(brain.before[k], p) for k, p in parameters.items())


def test_bad_baseline_is_found_before_training(tmp_path, baseline):
    empty = tmp_path / "empty"
    empty.mkdir()
    pesq = {"valid_metrics": ["pesq"], "ckpt_metric": "pesq"}
    for folder, options, message in [
        (empty, {}, f"baseline_folder {empty} holds no checkpoint"),
        (baseline, {"channels": 16}, r"enhancer.ckpt doesn't fit.*same model"),
        (baseline, pesq, "no checkpoint with the metric 'pesq'"),
    ]:
        output = tmp_path / str(len(options))
        options |= {"baseline_folder": str(folder)}
        with pytest.raises(ValueError, match=message):
            fit(make_brain(output, "mal_frozen", **options))
        assert not list(output.glob("save/CKPT*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number_of_epochs": 3}, "number_of_epochs is 3 and baseline_folder is 'x'"),
        ({"baseline_folder": None}, "number_of_epochs is 0 and baseline_folder"),
        ({"refresh": "weekly"}, "refresh is one of .*not 'weekly'"),
        ({"ckpt_metric": "wer"}, "ckpt_metric is one of .*'si_sdr'.*not 'wer'"),
    ],
)
def test_contradicting_settings(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make_brain(tmp_path, "mal_frozen", **{"baseline_folder": "x", **options})


def test_parts_that_do_not_fit(untrained):
    h, loss, enhancer = untrained.hparams, untrained.loss, untrained.enhancer
    twice = WeightedLoss({"si_sdr": torch.nn.L1Loss()})
    with pytest.raises(ValueError, match="'si_sdr'.* both of valid_metrics and"):
        check_settings(h, twice, enhancer)
    other = WeightedLoss({"df": torch.nn.L1Loss(), "pesq_loss": PESQLoss(48000)})
    with pytest.raises(ValueError, match="pesq_loss .* was built for 48000 Hz"):
        check_settings(h, other, enhancer)
    with pytest.raises(TypeError, match=r"modules.enhancer is a Linear.*your_model.md"):
        check_settings(h, loss, torch.nn.Linear(1, 1))
    frozen = SimpleNamespace(**{**vars(h), "freeze_encoder": True})
    with pytest.raises(ValueError, match="freeze_encoder is True, but the Enhancer"):
        check_settings(frozen, loss, Enhancer())


def test_sample_rates_that_differ(tmp_path, baseline, wavlm):
    """WavLM's encoder without its sample_rate; a baseline of another rate."""
    rate = {"added": {"wavlm": {"loss": {"encoder": {"sample_rate": 48000}}}}}
    options = {"baseline_folder": "x", "network_source": wavlm}
    message = r"sample_rate is 16000.*encoder of wavlm.*for 48000 Hz"
    with pytest.raises(ValueError, match=message):
        make_brain(tmp_path / "a", "wavlm", loss=rate, **options)
    brain = make_brain(tmp_path / "b", "mal_frozen", baseline_folder=str(baseline))
    brain.hparams.sample_rate = 8000  # as if all of its YAML were
    with pytest.raises(ValueError, match="trained at 16000 Hz, and sample_rate is 8"):
        fit(brain)


def test_trained_encoder_measures_the_snr(baseline, speech):
    """The loss must grow as noise does, or it could not tell what enhancement is."""
    brain = make_brain(baseline, "baseline", number_of_epochs=2)
    brain.on_evaluate_start()
    mal = ModelAsLoss(brain.enhancer.encoder)
    folder = TOY["data_folder"] + "/{}_trainset_28spk_wav_16k"
    files = sorted(Path(folder.format("clean")).glob("*.flac"))[:4]
    noisy = [
        torch.from_numpy(soundfile.read(folder.format("noisy") + f"/{f.name}")[0])
        for f in files
    ]
    noise = torch.stack([x[:24000] for x in noisy]).float() - speech
    noise *= (speech.square().mean(1) / noise.square().mean(1)).sqrt()[:, None]
    values = [
        mal(speech + 10 ** (-snr_db / 20) * noise, speech).item()
        for snr_db in (40, 30, 20, 15, 10, 5, 0, -5)
    ]
    assert values == sorted(values)
    assert values[-1] > 5 * values[0]


def test_another_model_in_the_recipe(tmp_path):
    """The swap of docs/your_model.md: Conv-TasNet; trained, and tested."""
    system, clips = with_conv_tasnet("mal_dynamic", tmp_path), tmp_path / "enhanced"
    clips.mkdir()
    options = {"enhanced_folder": str(clips), "test_metrics": ["si_sdr", "estoi"]}
    options |= BOTH_PHASES
    brain = make_brain(tmp_path / "a", system, run_opts=SHORT, **options)
    start = snapshot(brain.enhancer.encoder)
    fit(brain)
    assert brain.train_stats["mal"] > 0
    assert not same(start, snapshot(brain.loss.added["mal"].loss.encoder))
    brain.evaluate(brain.datasets["test"], test_loader_kwargs={"batch_size": 1})
    head, *rows = (tmp_path / "a/scores_testset.csv").read_text().splitlines()
    assert head == "clip,si_sdr,estoi" and len(rows) == 2  # batches of `SHORT`
    mean = sum(float(row.split(",")[1]) for row in rows) / 2
    assert brain.test_stats["si_sdr"] == pytest.approx(mean)
    assert len(list(clips.glob("*.wav"))) == 2


# ----------------------------------------------- schedules of DeepFilterNet2's training


class Counting(EnhanceBrain):
    """Note the optimizer's steps and the weight decay of every epoch."""

    def on_fit_start(self):
        super().on_fit_start()
        self.noted = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        super().on_stage_end(stage, stage_loss, epoch)
        if stage.name == "TRAIN":
            decay = self.optimizer.param_groups[0]["weight_decay"]
            self.noted.append((self.optimizer_step, decay))


def test_batches_and_weight_decay_grow(tmp_path, tree):
    growth = {1: 1, 2: 2, 3: 4, 6: 4, 11: 4, 21: 4}  # merged with the YAML
    options = {"data_folder": tree, "batch_growth": growth}
    options |= {"train_examples": 12, "batch_size": 2}  # six batches an epoch
    options |= {"number_of_epochs": 3, "phase_two_epochs": 1}
    brain = fit(make_brain(tmp_path, "DNS/baseline", Counting, **options))
    # Phase two keeps the last number of batches a step.
    steps, decays = zip(*brain.noted, strict=True)
    assert steps == (6, 9, 10, 11)
    expected = (1e-12, 0.025, 0.05, 0.05)  # half a cosine
    assert decays == pytest.approx(expected, rel=1e-6)


def test_an_epoch_too_short_for_a_step_is_an_error(tmp_path, tree):
    options = {"data_folder": tree, "train_examples": 16, "batch_growth": {1: 4}}
    brain = make_brain(tmp_path, "DNS/baseline", number_of_epochs=1, **options)
    with pytest.raises(ValueError, match="fewer batches than the 4 that make a step"):
        fit(brain)


def test_mixtures_are_made_anew_in_every_epoch(tmp_path, tree):
    options = {"data_folder": tree, "train_examples": 16, "number_of_epochs": 2}
    brain = make_brain(tmp_path, "DNS/baseline", **options)
    seen = []
    brain.on_fit_batch_end = lambda batch, *_: seen.append(batch.noisy.data.clone())
    fit(brain)
    first, second = torch.cat(seen[:2]), torch.cat(seen[2:])
    energies = [set(x.square().sum(1).tolist()) for x in (first, second)]
    assert len(energies[0]) == 16 and not energies[0] & energies[1]
    valid = [brain.datasets["valid"][i]["noisy"] for i in range(4)]
    brain.hparams.train_mixing.set_epoch(7)
    again = [brain.datasets["valid"][i]["noisy"] for i in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(valid, again, strict=True))
