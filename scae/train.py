"""Training: the one loop."""

from __future__ import annotations

import logging
import math
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from .checkpoint import Checkpoints, State, fingerprint
from .errors import CountsError, DivergenceError, Interrupted
from .history import History, Meter
from .infer import score
from .model import Autoencoder
from .ops.device import thread_count
from .parts import to_dict
from .plan import OPTIMIZERS, TrainPlan
from .records import Cells, Counts, Loss
from .signals import noticed
from .source import CountMatrix
from .version import __version__
from .weights import Weights

log = logging.getLogger("scae")
_ADVICE = "The error's model holds the last good weights. Try a lower learning rate (lr), or look at the input with scae.check()."


def fit(
    model: Autoencoder,
    source: CountMatrix,
    plan: TrainPlan,
    rng: torch.Generator,
    *,
    progress: bool | None = None,
    checkpoints: Checkpoints | None = None,
) -> History:
    """Train a model in place and leave it with the best weights that were met.

    Parameters
    ----------
    model
        A new model, on the device of ``rng``.
    source
        All cells; those without counts are not trained on.
    plan
        How to train.
    rng
        The one generator of the fit: split, order, corruption, dropout and samples are drawn from it.
    progress
        Show a bar on stderr; None: only where stderr is a terminal.
    checkpoints
        Where to save the fit from time to time, and from where to go on; the result is the same to the bit.

    Returns
    -------
    History
        Mean losses in nats per cell, one row per check; ``held_out`` is taken at full KL weight. Where the plan trains on a
        sample of the cells, the last row has ``left_out``, the loss of all other cells.

    Raises
    ------
    DivergenceError
        If a loss or gradient is not finite; ``error.model`` is the model with the last good weights.
    Interrupted
        If a signal asked the process to end (a ``KeyboardInterrupt``); the step is finished and a checkpoint is written first,
        and ``error.model`` is the model with the best weights so far.
    CheckpointError
        If the checkpoints are of another fit.
    """
    about = None if checkpoints is None else _about(model, source, plan, rng)
    train, held, left_out = _split(source, plan, rng)
    saved = None if checkpoints is None or about is None else checkpoints.load(about)
    with thread_count(), noticed() as signals:
        if saved is None:
            _start(model, source, train, rng)
        else:
            model.load_state_dict({k: torch.from_numpy(v) for k, v in _under("model/", saved[0]).items()})
        run = Run(model, source, plan, rng, train, held)
        if saved is not None:
            run.resume(saved)
        try:
            for _ in run.steps(progress):
                if checkpoints is not None and (signals or checkpoints.due() or run.done):
                    checkpoints.save(run.step, run.state(about or {}))
                if signals:
                    raise Interrupted(signals[0])
        except (DivergenceError, Interrupted) as fault:
            fault.model = model  # the caller has no other way to it
            raise
        finally:
            run.weights.restore()
    if left_out.size:
        run.history.rows[-1]["left_out"] = _held_out(model, source, left_out, rng)
    log.info("fitted in %.1f s: %s", run.history.rows[-1]["seconds"], run.history.stopped)
    return run.history


def _about(model: Autoencoder, source: CountMatrix, plan: TrainPlan, rng: torch.Generator) -> dict[str, Any]:
    """What makes a fit what it is, as JSON has it."""
    return {
        "version": __version__,
        "model": to_dict(model.spec),
        "plan": to_dict(plan),
        "data": to_dict(model.data),
        "counts": fingerprint(source),
        "random_state": rng.initial_seed(),
        "device": rng.device.type,
    }


def _start(model: Autoencoder, source: CountMatrix, train: NDArray[np.int64], rng: torch.Generator) -> None:
    """Start the weights that are not drawn from training cells."""

    def some(n: int) -> tuple[Counts, Cells]:
        counts, cells = source.take(train[torch.randperm(train.size, generator=rng, device=rng.device)[:n].cpu().numpy()])
        return counts.to(rng.device), cells.to(rng.device)

    model.start(source.statistics(train, model.spec.transform, model.input.n_groups))
    model.start_bottleneck(some, rng)


def _held_out(model: Autoencoder, source: CountMatrix, rows: NDArray[np.int64], rng: torch.Generator) -> float:
    """Mean loss, nats per cell, of cells that are not trained on, corrupted as in training."""
    return float(score(model, source, rows=rows, seed=rng.initial_seed(), corrupt=True).mean())


def _under(head: str, arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    return {name.removeprefix(head): array for name, array in arrays.items() if name.startswith(head)}


class Run:
    """A fit under way; :meth:`state` holds all that changes from step to step.

    Parameters
    ----------
    model, source, plan, rng
        As in :func:`fit`.
    train, held
        Rows to train on, and rows to judge the weights by.
    """

    def __init__(
        self, model: Autoencoder, source: CountMatrix, plan: TrainPlan, rng: torch.Generator, train: NDArray[np.int64],
        held: NDArray[np.int64],
    ) -> None:  # fmt: skip
        self.model, self.source, self.plan, self.rng, self.train, self.held = model, source, plan, rng, train, held
        self.optimizer = OPTIMIZERS[plan.optimizer](list(model.parameters()), plan)
        self.weights, self.history, self.meter = Weights(model, plan.averaging), History(), Meter()
        self.n_batches = math.ceil(train.size / plan.batch_size)
        self.planned = plan.planned_steps(self.n_batches)
        self.every = max(self.n_batches, self.planned // plan.checks)  # a check costs a pass over the held-out cells
        self.cuts = np.linspace(0, train.size, self.n_batches + 1).astype(np.int64)  # even, so no batch is a lone last cell
        self.order = train  # of the current epoch
        self.step, self.done = 0, False
        self.best, self.best_step = math.inf, 0
        self.cut, self.turn = 1.0, 0  # what plateaus left of the learning rate, and the step of the last best loss or cut

    def steps(self, progress: bool | None) -> Any:
        """Take all steps that are left, and yield after each."""
        shown = sys.stderr.isatty() if progress is None else progress
        with tqdm(total=self.planned, initial=self.step, unit="step", disable=not shown, leave=False) as bar:
            while not self.done:
                self._step()
                bar.update()
                if self.step % self.every == 0 or self.step == self.planned:
                    row = self._check()
                    bar.set_postfix({k: f"{row[k]:.1f}" for k in ("loss", "held_out") if k in row})
                self.done |= self.step == self.planned
                yield self.step

    def _step(self) -> None:
        step, plan = self.step, self.plan
        if step % self.n_batches == 0:  # a new order every epoch
            self.order = self.train[torch.randperm(self.train.size, generator=self.rng, device=self.rng.device).cpu().numpy()]
        rows = self.order[self.cuts[step % self.n_batches] : self.cuts[step % self.n_batches + 1]]
        for group in self.optimizer.param_groups:
            group["lr"] = plan.lr * plan.lr_factor(step, self.planned) * self.cut
        if not self.model.training:
            self.model.train()
        counts, cells = (record.to(self.rng.device) for record in self.source.take(rows))
        loss = self.model(counts, cells, self.rng, warmup=plan.kl_weight(step, self.planned), corrupt=True)
        take_step(self.model, loss, self.optimizer, plan.clip, self._where())
        self.model.after_step(loss, self.rng)
        self.weights.update(step)
        self.meter.add(loss)
        self.step += 1

    def _where(self) -> str:
        return f"step {self.step + 1} of {self.planned} (epoch {self.step // self.n_batches + 1})"

    def _check(self) -> dict[str, float]:
        """Judge the weights, keep them if they are the best so far, and decide whether to go on."""
        step, plan = self.step - 1, self.plan
        row = {"step": self.step, "epoch": self.step / self.n_batches, "lr": self.optimizer.param_groups[0]["lr"]}
        row |= self.meter.read()
        if self.held.size:
            with self.weights.averaged():
                row["held_out"] = _held_out(self.model, self.source, self.held, self.rng)
        watched = row.get("held_out", row["loss"])
        if not (math.isfinite(watched) and self.weights.finite()):
            where = f"step {self.step} of {self.planned} (epoch {step // self.n_batches + 1})"
            raise DivergenceError(f"the held-out loss or a weight is not finite at {where}. {_ADVICE}")
        self.history.rows.append(row)
        if watched < self.best or not self.held.size:
            self.best, self.best_step, self.turn = watched, step, step
            self.history.best = len(self.history.rows) - 1
            self.weights.keep()
        elif step - self.best_step > plan.patience * self.planned and step > plan.kl_warmup * self.planned:
            self.history.stopped = f"no better held-out loss for {step - self.best_step} steps"
            self.done = True
        elif plan.plateau and step - self.turn > plan.plateau * self.planned:
            self.cut, self.turn = self.cut / 10, step
        return row

    def state(self, about: dict[str, Any]) -> State:
        """Everything that :meth:`resume` needs; ``about`` says what fit it is."""
        arrays = {f"model/{k}": v for k, v in self.model.state_dict().items()} | self.weights.arrays()
        for i, moments in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer/{i}/{name}": value for name, value in moments.items()}
        arrays |= {"rng": self.rng.get_state(), "order": torch.from_numpy(self.order)}
        numbers = {name: getattr(self, name) for name in ("step", "done", "best_step", "cut", "turn")}
        rest = {"best": self.best if math.isfinite(self.best) else None, "meter": self.meter.plain(), "fit": about}
        plain = {name: value.detach().cpu().contiguous().numpy() for name, value in arrays.items()}
        return plain, numbers | rest | {"history": self.history.plain()}

    def resume(self, state: State) -> None:
        """Go on from :meth:`state`, in a model that has its weights already."""
        arrays, rest = state
        self.weights.load(arrays)
        optimizer, moments = self.optimizer.state_dict(), dict[int, dict[str, torch.Tensor]]()
        for key, value in _under("optimizer/", arrays).items():
            i, _, name = key.partition("/")
            moments.setdefault(int(i), {})[name] = torch.from_numpy(value)
        self.optimizer.load_state_dict(optimizer | {"state": moments})
        self.rng.set_state(torch.from_numpy(arrays["rng"]))
        self.order = arrays["order"]
        for name in ("step", "done", "best_step", "cut", "turn"):
            setattr(self, name, rest[name])
        self.best = math.inf if rest["best"] is None else rest["best"]
        self.meter.load(rest["meter"])
        self.history = History(**rest["history"])


def take_step(model: Autoencoder, loss: Loss, optimizer: torch.optim.Optimizer, clip: float, where: str) -> None:
    """One step of the optimiser against the mean loss of a minibatch.

    Raises
    ------
    DivergenceError
        If the loss or its gradient is not finite; the step is not taken.
    """
    mean = loss.total.mean()
    if not torch.isfinite(mean):
        bad = [name for name, part in loss.parts().items() if not torch.isfinite(part).all()]
        raise DivergenceError(f"the loss is not finite at {where}, in: {', '.join(bad)}. {_ADVICE}")
    optimizer.zero_grad(set_to_none=True)
    mean.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if not torch.isfinite(norm):
        raise DivergenceError(f"the gradient is not finite at {where}. {_ADVICE}")
    if clip and norm > clip:
        torch._foreach_mul_(gradients, clip / norm)
    optimizer.step()


def _split(source: CountMatrix, plan: TrainPlan, rng: torch.Generator) -> tuple[NDArray[np.int64], ...]:
    """Cells to train on, cells held out, and cells beyond what the plan trains on; those without counts are in none."""
    some = np.flatnonzero(np.diff(source.indptr) > 0)
    if some.size == 0:
        raise CountsError("no cell has a count in the modelled genes, so there is nothing to fit. Look at scae.check(adata).")
    order = some[torch.randperm(some.size, generator=rng, device=rng.device).cpu().numpy()]
    n_taken = min(some.size, plan.max_cells or some.size)
    n_held = int(plan.held_out * n_taken)
    return np.sort(order[n_held:n_taken]), np.sort(order[:n_held]), np.sort(order[n_taken:])
