"""A SpeechBrain Brain that trains with a conventional loss, then with Model as Loss."""

from typing import Any

import speechbrain as sb
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.distributed import if_main_process, main_process_only
from speechbrain.utils.logger import get_logger
from torch import Tensor, nn

from speechbrain_mal.checkpoints import load_enhancer, selection, starting_checkpoint
from speechbrain_mal.contracts import freeze
from speechbrain_mal.distributed import wrap_on_cpu
from speechbrain_mal.files import write_text
from speechbrain_mal.metrics import clips_from_batch, evaluate
from speechbrain_mal.schedules import batches_per_step, set_rates
from speechbrain_mal.settings import check_settings, check_steps
from speechbrain_mal.training_state import TrainingState, seed_epoch
from speechbrain_mal.watch import FiniteWatch

logger = get_logger(__name__)
TRAIN, VALID, TEST = sb.Stage.TRAIN, sb.Stage.VALID, sb.Stage.TEST


class MALBrain(sb.Brain):
    """Train an enhancer in two phases.

    Phase one: `number_of_epochs` epochs of the conventional loss. Phase two:
    `phase_two_epochs` more with the added terms, from the best checkpoint of phase one
    or of `baseline_folder`. The model's `encoder` may be frozen in phase two.

    A recipe's `train.py` has `compute_forward` and `compute_objectives`, and gives
    `note` what they computed. The batches have `id`, `noisy` and `clean`;
    `modules.enhancer` is an `Enhancer`, `hparams["loss"]` a `WeightedLoss`. What else
    `hparams` has, `settings.check_settings` lists.

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
        self.state, self.watch = TrainingState(), FiniteWatch()
        if self.checkpointer is not None:
            self.checkpointer.add_recoverables({"loss": self.loss, "state": self.state})
        check_settings(self.hparams, self.loss, self.enhancer)

    def make_dataloader(self, dataset: Any, stage: sb.Stage, *args: Any, **kwargs: Any):
        """Make a loader as SpeechBrain does, into memory that a GPU copies from."""
        kwargs.setdefault("pin_memory", str(self.device).startswith("cuda"))
        return super().make_dataloader(dataset, stage, *args, **kwargs)

    def setting(self, name: str, default: Any = None) -> Any:
        """Return one of `hparams` that a recipe may leave out."""
        return getattr(self.hparams, name, default)

    def phase(self, epoch: int) -> int:
        """Return the phase, 1 or 2, that an epoch belongs to."""
        return 1 if epoch <= self.hparams.number_of_epochs else 2

    def note(
        self, batch: Any, enhanced: Tensor, values: dict[str, Tensor], stage: sb.Stage
    ) -> None:
        """Keep a batch's values for the log and, but in training, its clips to score.

        `enhanced` is `[B, samples]`; `values` are scalars, and "loss" has to be finite.
        """
        self.watch.add("The loss", values["loss"], self._where(batch, stage))
        self.state.average(values)
        if stage == TRAIN and self.loss.phase_two:
            self.state.average(self.loss.variances())
        elif stage != TRAIN and if_main_process():  # these are not divided
            clean, lengths = batch.clean
            pair = (x.float().cpu().numpy() for x in (enhanced, clean))
            folder = self.setting("enhanced_folder") if stage == TEST else None
            rest = (self.hparams.sample_rate, folder, getattr(batch, "clean_wav", None))
            self.clips += clips_from_batch(batch.id, *pair, lengths.tolist(), *rest)

    def _where(self, batch: Any, stage: sb.Stage) -> str:
        epoch = self.hparams.epoch_counter.current
        return f"{stage.name} epoch {epoch}, batch {self.step}, clips {list(batch.id)}"

    def on_fit_batch_start(self, batch: Any, should_step: bool) -> None:
        """Bring the random state, the frozen encoder and the MAL-encoder up to date."""
        self.watch.check()
        self.state.restore_random()
        if self.loss.phase_two and self.hparams.freeze_encoder:
            freeze(self.enhancer.encoder)  # Brain.fit put it in training mode
        self.loss.at(self.hparams.epoch_counter.current, self.optimizer_step)

    def fit_batch(self, batch: Any) -> Tensor:
        """Train on a batch as SpeechBrain does, without waiting for the device."""
        should_step = self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, TRAIN)
                loss = self.compute_objectives(outputs, batch, TRAIN)
            self.scaler.scale(loss / self.grad_accumulation_factor).backward()
        if should_step:
            self.batch = batch
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.detach()

    def optimizers_step(self) -> None:
        """Clip the gradient over all parameters, and step where it is finite."""
        self.scaler.unscale_(self.optimizer)
        # SpeechBrain clips the first parameter group alone.
        norm = nn.utils.clip_grad_norm_(self.modules.parameters(), self.max_grad_norm)
        if not self.scaler.is_enabled():  # float16's skips such steps by itself
            where = self._where(self.batch, TRAIN)
            self.watch.before_step(self.optimizer, norm, where)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.zero_grad(set_to_none=True)
        self.optimizer_step += 1

    def update_average(self, loss: Tensor, avg_loss: float) -> float:
        """Return the mean loss for the progress bar; on a device, every 50th batch."""
        if loss.device.type == "cpu" or self.step % 50 == 1:
            return self.state.mean("loss")
        return avg_loss

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Prepare an epoch of training, or the collection of clips to score."""
        h = self.hparams
        if stage != TRAIN:
            self.clips = []
            return
        phase = self.phase(epoch)
        phase_epoch = epoch - (phase - 1) * h.number_of_epochs
        self._resumed = self.step > 0  # in the middle of this epoch
        if not self._resumed:
            seed_epoch(h.seed, epoch)
            if phase == 2 and phase_epoch == 1:
                self._start_phase_two()
        for data in filter(None, map(self.setting, ("train_crop", "train_mixing"))):
            data.set_epoch(epoch)
        self.lr = set_rates(self.optimizer, h, epoch, phase, phase_epoch)
        if growth := self.setting("batch_growth"):
            self.grad_accumulation_factor = batches_per_step(growth, epoch, phase)
        self._first_step = self.optimizer_step

    def _start_phase_two(self) -> None:
        """Load the baseline, forget the optimizer's past, begin with added terms."""
        checkpoint = starting_checkpoint(
            self.setting("baseline_folder"),
            self.checkpointer,
            self._select(self.setting("start_from", "best")),
            self.hparams.sample_rate,
        )
        if checkpoint is not None:
            load_enhancer(self.enhancer, checkpoint)
            logger.info(f"Phase two starts from {checkpoint.path}")
        self.optimizer.state.clear()
        self.loss.start_phase_two()

    def _select(self, which: str) -> dict[str, str]:
        h = self.hparams
        return selection(which, h.ckpt_metric, h.valid_metrics)

    def on_stage_end(
        self, stage: sb.Stage, stage_loss: float, epoch: int | None = None
    ) -> None:
        """Log the epoch, save a checkpoint; after the test, write the scores."""
        self.watch.check(wait=True)
        stats = self.state.pop_means()
        if stage == TRAIN:
            if not self._resumed:
                steps = self.optimizer_step - self._first_step
                check_steps(epoch, steps, self.grad_accumulation_factor)
            self.train_stats = stats
            return
        h, score = self.hparams, main_process_only(evaluate)
        metrics = h.valid_metrics if stage == VALID else h.test_metrics
        options, bar = self.setting("metric_options"), not self.noprogressbar
        table = score(self.clips, metrics, options, h.metric_jobs, progressbar=bar)
        for failure in table.failures:
            logger.warning(f"Not scored: {failure}")
        stats.update(table.means())
        if stage == VALID:
            self.end_epoch(epoch, stats)
            return
        self.test_stats = {**stats, "clips not scored": len(table.failures)}
        if if_main_process():
            write_text(h.scores_file, table.csv())
            loaded = {"epoch loaded": h.epoch_counter.current}
            h.train_logger.log_stats(loaded, test_stats=self.test_stats)

    def end_epoch(self, epoch: int, stats: dict[str, float]) -> None:
        """Save a checkpoint with the validation's means, and log them."""
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
        loggers = map(self.setting, ("train_logger", "tensorboard_train_logger"))
        for log in filter(None, loggers):
            log.log_stats(meta, self.train_stats, stats)

    def on_evaluate_start(
        self, max_key: str | None = None, min_key: str | None = None
    ) -> None:
        """Load the best checkpoint of the last phase, or its last: `test_from`."""
        if self.checkpointer is None:
            return
        phase = 2 if self.hparams.phase_two_epochs else 1
        keys = {"max_key": max_key, "min_key": min_key}
        if not (max_key or min_key):
            keys = self._select(self.setting("test_from", "best"))
        self.checkpointer.recover_if_possible(
            **keys, ckpt_predicate=lambda c: c.meta.get("phase") == phase
        )

    # SpeechBrain's private methods, see DESIGN.md

    def _should_save_intra_epoch_ckpt(self, *args: Any) -> bool:
        """Save between two steps of the optimizer: gradients are not in checkpoints."""
        decision = super()._should_save_intra_epoch_ckpt(*args)
        return decision and self.step % self.grad_accumulation_factor == 0

    def _wrap_distributed(self) -> None:
        """Wrap the modules for DDP, on CPUs too."""
        if self.distributed_launch and self.device == "cpu":
            wrap_on_cpu(self.modules, self.find_unused_parameters)
        else:
            super()._wrap_distributed()
