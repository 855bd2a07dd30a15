"""A SpeechBrain Brain that trains with a conventional loss, then with Model as Loss."""

import inspect
from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
from speechbrain.nnet.schedulers import update_learning_rate
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.distributed import if_main_process, main_process_only
from speechbrain.utils.logger import get_logger
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from speechbrain_mal.checkpoints import (
    TrainingState,
    load_enhancer,
    run_checkpoints,
    seed_epoch,
    selection,
)
from speechbrain_mal.metrics import Clip, evaluate
from speechbrain_mal.metrics.table import write_atomically
from speechbrain_mal.settings import check_settings

logger = get_logger(__name__)


class NonFiniteLossError(ValueError):
    """The loss or its gradient became NaN or infinite."""


class MALBrain(sb.Brain):
    """Train an enhancer in two phases.

    Phase one: `number_of_epochs` epochs of the conventional loss. Phase two:
    `phase_two_epochs` more with the added terms, from the best checkpoint of phase one
    or of `baseline_folder`. The model's `encoder` may be frozen in phase two, and the
    added terms that can `refresh` are refreshed as `refresh` says.

    The batches have `id`, `noisy` and `clean`; the model is `modules.enhancer`:
    `enhancer(noisy, lengths) -> enhanced`, with an attribute `encoder` where it is to
    be frozen; if it has an argument `return_auxiliary`, that is True where a loss term
    takes further outputs.

    Arguments
    ---------
    modules, opt_class, hparams, run_opts, checkpointer
        As of `speechbrain.Brain`. From `hparams` it takes

        * `loss`: a `WeightedLoss`;
        * `number_of_epochs`, `phase_two_epochs`: of the phases; `epoch_counter`;
        * `baseline_folder`: output folder of the run to start phase two from, when
          `number_of_epochs` is 0; `start_from`: its "best" or "last" checkpoint;
        * `freeze_encoder`: whether phase two trains the rest of the model only;
        * `refresh`: "never", "epoch" or "batch", or "ema" for a running average. Where
          gradients are accumulated over several batches, "batch" still means each of
          them, and "ema" takes one average a step of the optimizer;
        * `lr_schedule`, `phase_two_lr_schedule`: epoch of the phase, from 1, to the
          learning rate, first of what they return (SpeechBrain's schedulers);
        * `ckpt_metric`: what chooses the best checkpoint, a column of `valid_metrics`
          or "loss" or a term's name; `test_from`: whether the test takes the "best" or
          the "last";
        * `valid_metrics`, `test_metrics`, `metric_options` (optional), `metric_jobs`,
          `sample_rate`: as `metrics.evaluate` takes them;
        * `train_crop`, `train_mixing`: optional, told of every epoch by `set_epoch`;
          `seed`;
        * `weight_decay_schedule`, optional: epoch of the run to the weight decay;
        * `batch_growth`, optional: first epoch of phase one to the number of batches
          whose gradients make a step from there on; phase two keeps the last. What is
          left at the end of an epoch and makes no step is dropped;
        * `train_logger`; `tensorboard_train_logger`, optional;
        * `scores_file`, `enhanced_folder`: where the test's scores and clips go;
          clips are written when the folder is given.

    Raises
    ------
    ValueError
        When the settings contradict each other.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module] | None = None,
        opt_class: Any = None,
        hparams: dict | None = None,
        run_opts: dict | None = None,
        checkpointer: Checkpointer | None = None,
    ):
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        if self.hparams.freeze_encoder:
            # It is frozen after DDP wrapped it: DDP waits for its gradients otherwise.
            self.find_unused_parameters = True
        # The bare module: wrapping for DDP or compiling replaces the one in modules.
        self.enhancer = self.modules.enhancer
        # Not one of the modules: neither the optimizer nor DDP may see a MAL-encoder.
        self.loss = self.hparams.loss.to(self.device)
        arguments = inspect.signature(self.enhancer.forward).parameters
        self._has_auxiliary = "return_auxiliary" in arguments
        self.state = TrainingState()
        if self.checkpointer is not None:
            self.checkpointer.add_recoverables({"loss": self.loss, "state": self.state})
        check_settings(self.hparams, self.loss, self.enhancer)

    @property
    def _baseline_folder(self) -> str | None:
        return getattr(self.hparams, "baseline_folder", None)

    def phase(self, epoch: int) -> int:
        """Return the phase, 1 or 2, that an epoch belongs to."""
        return 1 if epoch <= self.hparams.number_of_epochs else 2

    # ---------------------------------------------------------------- one batch

    def compute_forward(self, batch: Any, stage: sb.Stage) -> tuple[Tensor, dict]:
        """Return enhanced `[B, samples]`, and what loss terms take besides."""
        batch = batch.to(self.device)
        noisy, lengths = batch.noisy
        if not (self.loss.auxiliary and self._has_auxiliary):
            return self.modules.enhancer(noisy, lengths), {"noisy": noisy}
        enhanced, auxiliary = self.modules.enhancer(
            noisy, lengths, return_auxiliary=True
        )
        return enhanced, {"noisy": noisy, **auxiliary}

    def compute_objectives(
        self, predictions: tuple[Tensor, dict], batch: Any, stage: sb.Stage
    ) -> Tensor:
        """Return the loss, and keep its terms (and clips to score) for the log."""
        enhanced, auxiliary = predictions
        clean, lengths = batch.clean
        terms = self.loss.terms(enhanced, clean, lengths, **auxiliary)
        loss = self.loss.total(terms)
        values = {name: value.item() for name, value in terms.items()}
        if not torch.isfinite(loss):
            raise NonFiniteLossError(
                f"The loss is {loss.item()} in {self._where(batch, stage)}; its terms "
                f"are {values}. Check these clips, or lower the learning rate."
            )
        self.state.average({"loss": loss.item(), **values})
        if stage == sb.Stage.TRAIN and self.loss.phase_two:
            self.state.average(self._relative_variances())
        if stage != sb.Stage.TRAIN:
            self._collect(batch, enhanced, clean, stage)
        return loss

    def _relative_variances(self) -> dict[str, float]:
        """Return the variance of the clean features of the terms that watch it."""
        return {
            f"{name}_variance": term.relative_variance
            for name, term in self.loss.added.items()
            if hasattr(term, "relative_variance")
        }

    def _wrap_distributed(self) -> None:
        """Wrap the modules for DDP, on CPUs too."""
        if not (self.distributed_launch and self.device == "cpu"):
            super()._wrap_distributed()
            return
        # SpeechBrain makes SyncBatchNorm of every BatchNorm, which GPUs alone can
        # compute. Without it each process normalises by its own batch, and DDP gives
        # all of them the first one's running statistics.
        for name, module in self.modules.items():
            if any(p.requires_grad for p in module.parameters()):
                self.modules[name] = DistributedDataParallel(
                    module, find_unused_parameters=self.find_unused_parameters
                )

    def _collect(
        self, batch: Any, enhanced: Tensor, clean: Tensor, stage: sb.Stage
    ) -> None:
        """Keep the clips of a batch to be scored; in the test, the files they are in.

        The files are what users listen to and score again; the numbers are the same.
        """
        if not if_main_process():  # validation and test are not divided
            return
        enhanced, clean = enhanced.float().cpu(), clean.float().cpu()
        counts = (batch.clean.lengths * clean.shape[1]).round().int().tolist()
        folder = getattr(self.hparams, "enhanced_folder", None)
        references = getattr(batch, "clean_wav", None)
        rate = self.hparams.sample_rate
        for i, (name, samples) in enumerate(zip(batch.id, counts, strict=True)):
            pair = [x[i, :samples] for x in (enhanced, clean)]
            audio = [x.numpy() for x in pair]
            if stage == sb.Stage.TEST and folder:
                audio[0] = Path(folder) / f"{name}.wav"
                sb.dataio.dataio.write_audio(str(audio[0]), pair[0], rate)
                if references:
                    audio[1] = Path(references[i])
            self.clips.append(Clip(name, *audio, sample_rate=rate))

    def _where(self, batch: Any, stage: sb.Stage) -> str:
        epoch = self.hparams.epoch_counter.current
        return f"{stage.name} epoch {epoch}, batch {self.step}, clips {list(batch.id)}"

    def on_fit_batch_start(self, batch: Any, should_step: bool) -> None:
        """Bring the random state, the frozen encoder and the MAL-encoder up to date."""
        self._batch = batch
        self.state.restore_random()
        if self.loss.phase_two:
            if self.hparams.freeze_encoder:
                self.enhancer.encoder.eval()  # Brain.fit put it in training mode
            if self.hparams.refresh == "batch":
                self._refresh()

    def _should_save_intra_epoch_ckpt(self, *args: Any) -> bool:
        """Save between two steps of the optimizer: gradients are not in checkpoints."""
        decision = super()._should_save_intra_epoch_ckpt(*args)
        return decision and self.step % self.grad_accumulation_factor == 0

    def optimizers_step(self) -> None:
        """Clip the gradient over all parameters, and step."""
        optimizers = self.freeze_optimizers(self.optimizers_dict)
        for optimizer in optimizers.values():
            self.scaler.unscale_(optimizer)
        # SpeechBrain clips the first parameter group alone.
        norm = nn.utils.clip_grad_norm_(self.modules.parameters(), self.max_grad_norm)
        # The scaler of float16 skips such steps by itself, and lowers its scale.
        if not self.scaler.is_enabled() and not torch.isfinite(norm):
            raise NonFiniteLossError(
                f"The gradient is {norm.item()} in "
                f"{self._where(self._batch, sb.Stage.TRAIN)}. Check these clips, or "
                "lower the learning rate."
            )
        for optimizer in optimizers.values():
            self.scaler.step(optimizer)
        self.scaler.update()
        self.zero_grad(set_to_none=True)
        self.optimizer_step += 1
        if self.loss.phase_two and self.hparams.refresh == "ema":
            for term in self.loss.added.values():
                if hasattr(term, "average"):
                    term.average()

    # ------------------------------------------------------------- epochs, phases

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Prepare an epoch of training, or the collection of clips to score."""
        if stage != sb.Stage.TRAIN:
            self.clips = []
            return
        phase_epoch = epoch - (self.phase(epoch) - 1) * self.hparams.number_of_epochs
        self._resumed = self.step > 0  # in the middle of this epoch
        if not self._resumed:
            seed_epoch(self.hparams.seed, epoch)
            if self.phase(epoch) == 2:
                if phase_epoch == 1:
                    self._start_phase_two()
                elif self.hparams.refresh == "epoch":
                    self._refresh()
        if self.loss.phase_two and self.hparams.freeze_encoder:
            self.enhancer.encoder.requires_grad_(False)
        for name in ("train_crop", "train_mixing"):
            if getattr(self.hparams, name, None) is not None:
                getattr(self.hparams, name).set_epoch(epoch)
        self._set_schedules(epoch, phase_epoch)

    def _set_schedules(self, epoch: int, phase_epoch: int) -> None:
        h, phase = self.hparams, self.phase(epoch)
        self.lr = (h.lr_schedule, h.phase_two_lr_schedule)[phase - 1](phase_epoch)[0]
        update_learning_rate(self.optimizer, self.lr)
        if getattr(h, "weight_decay_schedule", None) is not None:
            for group in self.optimizer.param_groups:
                group["weight_decay"] = h.weight_decay_schedule(epoch)[0]
        if growth := getattr(h, "batch_growth", None):
            past = [first for first in growth if first <= epoch or phase == 2]
            self.grad_accumulation_factor = growth[max(past)]
        self._first_step = self.optimizer_step

    def _start_phase_two(self) -> None:
        """Load the baseline, forget the optimizer's past, copy the encoder."""
        folder = self._baseline_folder
        checkpointer = self.checkpointer
        if folder is not None:
            try:
                checkpointer = run_checkpoints(folder)
            except ValueError as error:
                raise ValueError(f"baseline_folder {error}") from None
        checkpoint = None
        if checkpointer is not None:
            which = getattr(self.hparams, "start_from", "best")
            checkpoint = checkpointer.find_checkpoint(**self._select(which))
        if checkpoint is None and folder is not None:
            raise ValueError(
                f"baseline_folder {folder} has no checkpoint with the metric "
                f"{self.hparams.ckpt_metric!r}: train the baseline first, or name "
                "another folder."
            )
        if checkpoint is not None:
            rate = checkpoint.meta.get("sample_rate", self.hparams.sample_rate)
            if rate != self.hparams.sample_rate:
                raise ValueError(
                    f"{checkpoint.path} was trained at {rate} Hz, and sample_rate is "
                    f"{self.hparams.sample_rate}: the weights would fit, but not the "
                    "frequencies. Take a baseline of the same rate."
                )
            load_enhancer(self.enhancer, checkpoint)
            logger.info(f"Phase two starts from {checkpoint.path}")
        self.optimizer.state.clear()
        self.loss.start_phase_two()
        self._refresh()

    def _refresh(self) -> None:
        for term in self.loss.added.values():
            if hasattr(term, "refresh"):
                term.refresh()

    def _select(self, which: str) -> dict[str, str]:
        h = self.hparams
        return selection(which, h.ckpt_metric, h.valid_metrics)

    def on_stage_end(
        self, stage: sb.Stage, stage_loss: float, epoch: int | None = None
    ) -> None:
        """Log the epoch, save a checkpoint; after the test, write the scores."""
        stats = self.state.pop_means()
        if stage == sb.Stage.TRAIN:
            if self.optimizer_step == self._first_step and not self._resumed:
                raise ValueError(
                    f"Epoch {epoch} has fewer batches than the "
                    f"{self.grad_accumulation_factor} that make a step of the "
                    "optimizer: lower batch_growth or grad_accumulation_factor, or "
                    "make the epoch longer."
                )
            self.train_stats = stats
            return
        stats.update(self._score(stage))
        if stage == sb.Stage.VALID:
            self._end_epoch(epoch, stats)
        else:
            self._end_test(stats)

    @main_process_only
    def _score(self, stage: sb.Stage) -> dict[str, float]:
        self.table = evaluate(
            self.clips,
            getattr(self.hparams, f"{stage.name.lower()}_metrics"),
            getattr(self.hparams, "metric_options", None),
            self.hparams.metric_jobs,
            progressbar=not self.noprogressbar,
        )
        self.clips = []
        for failure in self.table.failures:
            logger.warning(f"Not scored, and left out of that mean: {failure}")
        return self.table.means()

    def _end_epoch(self, epoch: int, stats: dict[str, float]) -> None:
        phase = self.phase(epoch)
        meta = {"epoch": epoch, "phase": phase, "lr": self.lr}
        if self.checkpointer is not None:
            kind, key = next(iter(self._select("best").items()))
            self.checkpointer.save_and_keep_only(
                meta={**meta, **stats, "sample_rate": self.hparams.sample_rate},
                **{f"{kind}s": [key]},
                # Phase two must not push out the best checkpoint of phase one.
                ckpt_predicate=lambda c: c.meta.get("phase", phase) == phase,
            )
        logs = [self.hparams.train_logger]
        if getattr(self.hparams, "tensorboard_train_logger", None) is not None:
            logs.append(self.hparams.tensorboard_train_logger)
        for log in logs:
            log.log_stats(meta, self.train_stats, stats)

    @main_process_only
    def _end_test(self, stats: dict[str, float]) -> None:
        write_atomically(self.hparams.scores_file, self.table.csv())
        failed = {"clips not scored": len(self.table.failures)}
        self.test_stats = {**stats, **failed}
        self.hparams.train_logger.log_stats(
            {"epoch loaded": self.hparams.epoch_counter.current},
            test_stats=self.test_stats,
        )

    # --------------------------------------------------------------------- test

    def on_evaluate_start(
        self, max_key: str | None = None, min_key: str | None = None
    ) -> None:
        """Load the best checkpoint of the last phase, or its last: `test_from`."""
        if self.checkpointer is None:
            return
        phase = 2 if self.hparams.phase_two_epochs else 1
        keys = {"max_key": max_key, "min_key": min_key}
        if not (max_key or min_key):
            keys = self._select(getattr(self.hparams, "test_from", "best"))
        self.checkpointer.recover_if_possible(
            **keys, ckpt_predicate=lambda c: c.meta.get("phase") == phase
        )
