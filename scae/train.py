"""Training: the one loop."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from .errors import CountsError, DivergenceError
from .infer import score
from .model import Autoencoder
from .ops.device import thread_count
from .plan import OPTIMIZERS, TrainPlan
from .records import Cells, Counts, Loss
from .source import CountMatrix

log = logging.getLogger("scae")


@dataclass
class History:
    """The course of a fit: one row per check; losses are means in nats per cell, times in seconds since the start."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best: int = -1  # the row whose weights were kept
    stopped: str = "all planned steps done"

    def column(self, name: str) -> list[float]:
        """One quantity over the rows that have it."""
        return [row[name] for row in self.rows if name in row]


def fit(
    model: Autoencoder, source: CountMatrix, plan: TrainPlan, rng: torch.Generator, *, progress: bool | None = None
) -> History:
    """Train a model in place and leave it with the best weights that were met.

    Parameters
    ----------
    model
        A fresh model, on the device of ``rng``.
    source
        All cells; those without counts are passed over.
    plan
        How to train.
    rng
        The one generator of the fit: split, order, corruption, dropout and samples are drawn from it.
    progress
        Show a bar on stderr; None: only where stderr is a terminal.

    Returns
    -------
    History
        Mean losses in nats per cell, one row a check; ``held_out`` is taken at full KL weight. Where the plan trains on a sample,
        the last row has ``left_out``, the loss of all cells that it did not see.

    Raises
    ------
    DivergenceError
        If a loss or gradient is not finite; ``error.model`` is the model with the last good weights.
    """
    train, held, left_out = _split(source, plan, rng)

    def some(n: int) -> tuple[Counts, Cells]:
        counts, cells = source.take(train[torch.randperm(train.size, generator=rng, device=rng.device)[:n].cpu().numpy()])
        return counts.to(rng.device), cells.to(rng.device)

    with thread_count():
        model.start(source.statistics(train, model.spec.transform, model.input.n_groups))
        model.start_bottleneck(some, rng)
        weights, history = Weights(model, plan.averaging), History()
        try:
            _loop(model, source, plan, rng, train, held, weights, history, progress)
        except DivergenceError as fault:
            fault.model = model  # the caller has no other way to it
            raise
        finally:
            weights.restore()
    if left_out.size:
        history.rows[-1]["left_out"] = _held_out(model, source, left_out, rng)
    log.info("fitted in %.1f s: %s", history.rows[-1]["seconds"], history.stopped)
    return history


def _held_out(model: Autoencoder, source: CountMatrix, rows: NDArray[np.int64], rng: torch.Generator) -> float:
    """Mean loss, nats per cell, of cells that are not trained on, corrupted as in training."""
    return float(score(model, source, rows=rows, seed=rng.initial_seed(), corrupt=True).mean())


def _loop(
    model: Autoencoder,
    source: CountMatrix,
    plan: TrainPlan,
    rng: torch.Generator,
    train: NDArray[np.int64],
    held: NDArray[np.int64],
    weights: Weights,
    history: History,
    progress: bool | None,
) -> None:
    optimizer = OPTIMIZERS[plan.optimizer](list(model.parameters()), plan)
    n_batches = math.ceil(train.size / plan.batch_size)
    planned = plan.planned_steps(n_batches)
    every = max(n_batches, planned // plan.checks)  # a check costs a pass over the held-out cells
    meter, best, best_step = _Meter(), math.inf, 0
    cut, turn = 1.0, 0  # what plateaus left of the learning rate, and the step of the last best loss or cut
    bar = tqdm(total=planned, unit="step", disable=not (sys.stderr.isatty() if progress is None else progress), leave=False)
    for step, rows in enumerate(_batches(train, n_batches, planned, rng)):
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * plan.lr_factor(step, planned) * cut
        if not model.training:
            model.train()
        counts, cells = source.take(rows)
        loss = model(counts.to(rng.device), cells.to(rng.device), rng, warmup=plan.kl_weight(step, planned), corrupt=True)
        where = f"step {step + 1} of {planned} (epoch {step // n_batches + 1})"
        _take_step(model, loss, optimizer, plan.clip, where)
        model.after_step(loss, rng)
        weights.update(step)
        meter.add(loss)
        bar.update()
        if (step + 1) % every and step + 1 < planned:
            continue
        row = {"step": step + 1, "epoch": (step + 1) / n_batches, "lr": optimizer.param_groups[0]["lr"], **meter.read()}
        if held.size:
            with weights.averaged():
                row["held_out"] = _held_out(model, source, held, rng)
        watched = row.get("held_out", row["loss"])
        if not (math.isfinite(watched) and weights.finite()):
            raise DivergenceError(f"the held-out loss or a weight is not finite at {where}. {_ADVICE}")
        history.rows.append(row)
        bar.set_postfix({k: f"{row[k]:.1f}" for k in ("loss", "held_out") if k in row})
        if watched < best or not held.size:
            best, best_step, turn, history.best = watched, step, step, len(history.rows) - 1
            weights.keep()
        elif step - best_step > plan.patience * planned and step > plan.kl_warmup * planned:
            history.stopped = f"no better held-out loss for {step - best_step} steps"
            break
        elif plan.plateau and step - turn > plan.plateau * planned:
            cut, turn = cut / 10, step
    bar.close()


_ADVICE = "The error's model holds the last good weights. Try a lower learning rate (lr), or look at the input with scae.check()."


def _take_step(model: Autoencoder, loss: Loss, optimizer: torch.optim.Optimizer, clip: float, where: str) -> None:
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


class Weights:
    """The weights in training, their running average, and the best average so far."""

    def __init__(self, model: Autoencoder, decay: float) -> None:
        self.model, self.decay = model, decay
        self.live = [t for t in model.state_dict().values() if t.is_floating_point()]
        self.mean = [t.clone() for t in self.live] if decay else self.live
        self.best = [t.clone() for t in self.live]

    def update(self, step: int) -> None:
        """Move the average towards the live weights; early steps weigh more, so that the start is soon forgotten."""
        if self.mean is not self.live:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.mean, self.live, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model with its averaged weights for a ``with`` block."""
        kept = [t.clone() for t in self.live]
        torch._foreach_copy_(self.live, self.mean)
        try:
            yield
        finally:
            torch._foreach_copy_(self.live, kept)

    def finite(self) -> bool:
        return all(bool(torch.isfinite(t).all()) for t in self.mean)

    def keep(self) -> None:
        torch._foreach_copy_(self.best, self.mean)

    def restore(self) -> None:
        torch._foreach_copy_(self.live, self.best)
        self.model.eval()


class _Meter:
    """Means of the loss parts since the last reading, and the seconds since the start."""

    def __init__(self) -> None:
        self.began, self.cells = time.perf_counter(), 0
        self.names: tuple[str, ...] = ()
        self.sums: Tensor | float = 0.0

    def add(self, loss: Loss) -> None:
        scalars = {name: value * len(loss.total) for name, value in loss.latent.history.items()}
        parts = {**loss.parts(), **scalars}
        self.names = tuple(parts)
        self.sums = self.sums + torch.stack([part.detach().sum() for part in parts.values()]).double().cpu()
        self.cells += len(loss.total)

    def read(self) -> dict[str, float]:
        means = (torch.as_tensor(self.sums) / self.cells).tolist()
        self.sums, self.cells = 0.0, 0
        return {**dict(zip(self.names, means, strict=True)), "seconds": time.perf_counter() - self.began}


def _split(source: CountMatrix, plan: TrainPlan, rng: torch.Generator) -> tuple[NDArray[np.int64], ...]:
    """Cells to train on, cells held out, and cells beyond what the plan trains on; those without counts are in none."""
    some = np.flatnonzero(np.diff(source.indptr) > 0)
    if some.size == 0:
        raise CountsError("no cell has a count in the modelled genes, so there is nothing to fit. Look at scae.check(adata).")
    order = some[torch.randperm(some.size, generator=rng, device=rng.device).cpu().numpy()]
    n_taken = min(some.size, plan.max_cells or some.size)
    n_held = int(plan.held_out * n_taken)
    return np.sort(order[n_held:n_taken]), np.sort(order[:n_held]), np.sort(order[n_taken:])


def _batches(train: NDArray[np.int64], n_batches: int, planned: int, rng: torch.Generator) -> Iterator[NDArray[np.int64]]:
    """Rows of each planned step: every epoch in a new order, cut evenly, so that no batch is a lone leftover cell."""
    cuts = np.linspace(0, train.size, n_batches + 1).astype(np.int64)
    for step in range(planned):
        if step % n_batches == 0:
            order = train[torch.randperm(train.size, generator=rng, device=rng.device).cpu().numpy()]
        yield order[cuts[step % n_batches] : cuts[step % n_batches + 1]]
