"""Training: a plan as a value, and the one loop."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from . import threads
from .batch import CountBatch, History, Loss
from .errors import CountsError, DivergenceError
from .model import Autoencoder
from .parts import option, record
from .source import CountMatrix

log = logging.getLogger("scae")

_OPTIMIZERS = {
    "adamw": lambda p, plan: torch.optim.AdamW(p, plan.lr, eps=plan.eps, weight_decay=plan.weight_decay, fused=True),
    "rmsprop": lambda p, plan: torch.optim.RMSprop(p, plan.lr, alpha=0.9, eps=plan.eps, weight_decay=plan.weight_decay),
}


@record
class TrainPlan:
    """How to train: every schedule is a share of the planned steps, so that it ends with the fit whatever the data's size.

    The planned steps are ``epochs`` passes over the training cells, but at least ``min_steps`` and at most ``max_steps``.
    """

    epochs: int = option("passes over the training cells", default=20, low=1)
    min_steps: int = option("least number of steps, for small data", default=1500, low=1)
    max_steps: int = option("greatest number of steps, for large data", default=20_000, low=1)
    batch_size: int = option("cells a step", default=128, low=1)
    optimizer: str = option("rule of the step", default="adamw", choices=tuple(_OPTIMIZERS))
    lr: float = option("learning rate at its peak", default=2e-3, low=0.0)
    eps: float = option("added to the optimizer's denominator", default=1e-8, low=0.0)
    weight_decay: float = option("pull of the weights towards zero a step, in units of the learning rate", default=0.0, low=0.0)
    lr_warmup: float = option("share of the steps over which the learning rate rises", default=0.1, low=0.0, high=1.0)
    lr_final: float = option("share of the peak at which the learning rate ends (1: it stays)", default=0.0, low=0.0, high=1.0)
    kl_warmup: float = option("share of the steps over which the KL term gains its full weight", default=0.2, low=0.0, high=1.0)
    clip: float = option("greatest norm of the gradient", default=10.0, low=0.0)
    averaging: float = option("decay a step of the weights' running average (0: none)", default=0.99, low=0.0, high=0.9999)
    held_out: float = option(
        "share of cells held out to choose the best weights (0: keep the last)", default=0.1, low=0.0, high=0.9
    )
    patience: float = option(
        "share of the steps without a better held-out loss that ends the fit", default=0.3, low=0.0, high=1.0
    )

    def planned_steps(self, n_batches: int) -> int:
        return max(1, min(max(self.epochs * n_batches, self.min_steps), self.max_steps))

    def lr_factor(self, step: int, planned: int) -> float:
        """Linear rise, then half a cosine down."""
        rise = self.lr_warmup * planned
        if step < rise:
            return (step + 1) / (rise + 1)
        t = (step - rise) / max(planned - rise, 1)
        return self.lr_final + (1 - self.lr_final) * 0.5 * (1 + math.cos(math.pi * t))

    def kl_weight(self, step: int, planned: int) -> float:
        return min(1.0, (step + 1) / max(self.kl_warmup * planned, 1))


@contextmanager
def one_thread_count() -> Iterator[None]:
    """Torch on the number of threads that kernels use, for a ``with`` block; torch's own is put back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        Mean losses in nats per cell, one row a check; ``held_out`` is taken at full KL weight.

    Raises
    ------
    DivergenceError
        If a loss or gradient is not finite; the model then holds the last good weights.
    """
    train, held = _split(source, plan, rng)
    model.start(source.statistics(train, model.spec.transform))
    optimizer = _OPTIMIZERS[plan.optimizer](list(model.parameters()), plan)
    weights = Weights(model, plan.averaging)
    n_batches = math.ceil(train.size / plan.batch_size)
    planned = plan.planned_steps(n_batches)
    every = max(n_batches, planned // 50)  # a check costs a pass over the held-out cells
    history, meter, best, best_step = History(), _Meter(), math.inf, 0
    with tqdm(total=planned, unit="step", disable=not _shown(progress), leave=False) as bar:
        for step, rows in enumerate(_batches(train, n_batches, planned, rng)):
            for group in optimizer.param_groups:
                group["lr"] = plan.lr * plan.lr_factor(step, planned)
            try:
                meter.add(_step(model, source.take(rows).to(rng.device), optimizer, plan, plan.kl_weight(step, planned), rng))
            except DivergenceError as fault:
                weights.restore()
                where = f"step {step + 1} of {planned} (epoch {step // n_batches + 1})"
                raise DivergenceError(f"{fault} at {where}; the model holds the last good weights. {_ADVICE}") from None
            weights.update(step)
            bar.update()
            if (step + 1) % every and step + 1 < planned:
                continue
            row = {"step": step + 1, "epoch": (step + 1) / n_batches, **meter.read()}
            if held.size:
                with weights.averaged():
                    row["held_out"] = float(score(model, source, rows=held, seed=rng.initial_seed()).mean())
            history.rows.append(row)
            bar.set_postfix({k: f"{row[k]:.1f}" for k in ("loss", "held_out") if k in row})
            if row.get("held_out", -math.inf) < best or not held.size:
                best, best_step, history.best = row.get("held_out", best), step, len(history.rows) - 1
                weights.keep()
            elif step - best_step > plan.patience * planned and step > plan.kl_warmup * planned:
                history.stopped = f"no better held-out loss for {step - best_step} steps"
                break
    weights.restore()
    log.info("fitted %d of %d steps in %.1f s: %s", step + 1, planned, row["seconds"], history.stopped)
    return history


def _step(
    model: Autoencoder, batch: CountBatch, optimizer: torch.optim.Optimizer, plan: TrainPlan, warmup: float, rng: torch.Generator
) -> Loss:
    """One step of the optimiser; the losses of the batch's cells."""
    model.train()
    loss = model(batch, rng, warmup)
    mean = loss.total.mean()
    if not torch.isfinite(mean):
        bad = [name for name, part in loss._asdict().items() if not torch.isfinite(part).all()]
        raise DivergenceError(f"the loss is not finite (in: {', '.join(bad)})")
    optimizer.zero_grad(set_to_none=True)
    mean.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip or math.inf)
    if not torch.isfinite(norm):
        raise DivergenceError("the gradient is not finite")
    optimizer.step()
    return loss


_ADVICE = "Try a lower learning rate (lr), or look at the input with scae.check()."


@torch.no_grad()
def score(
    model: Autoencoder, source: CountMatrix, *, rows: NDArray[np.int64] | None = None, seed: int = 0, n_samples: int = 1
) -> Tensor:
    """The loss of each cell at full KL weight, without corruption: nats, ``(cells,)`` float32 on the CPU.

    Parameters
    ----------
    model, source
        A model and cells of its genes.
    rows
        Only these cells.
    seed
        Random latents are drawn from it, so that two calls agree.
    n_samples
        The number of draws of a random latent that the loss is averaged over.
    """
    model.eval()
    rng = torch.Generator(model.device).manual_seed(seed)
    out = []
    for _, batch in source.blocks(1024, rows):
        batch = batch.to(model.device)
        out.append(torch.stack([model(batch, rng).total for _ in range(n_samples)]).mean(0).cpu())
    return torch.cat(out) if out else torch.empty(0)


class Weights:
    """The weights in training, their running average, and the best average so far."""

    def __init__(self, model: Autoencoder, decay: float) -> None:
        self.model, self.decay = model, decay
        self.live = [t for t in model.state_dict().values() if t.is_floating_point()]
        self.mean = [t.clone() for t in self.live]
        self.best = [t.clone() for t in self.live]

    def update(self, step: int) -> None:
        """Move the average towards the live weights; early steps weigh more, so that the start is soon forgotten."""
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

    def keep(self) -> None:
        torch._foreach_copy_(self.best, self.mean)

    def restore(self) -> None:
        torch._foreach_copy_(self.live, self.best)
        self.model.eval()


class _Meter:
    """Means of the loss parts since the last reading, and the seconds since the start."""

    def __init__(self) -> None:
        self.began, self.sums, self.cells = time.perf_counter(), torch.zeros(4, dtype=torch.float64), 0

    def add(self, loss: Loss) -> None:
        self.sums += torch.stack([part.detach().sum() for part in loss]).double().cpu()
        self.cells += len(loss.total)

    def read(self) -> dict[str, float]:
        loss, nll, kl, penalty = (self.sums / self.cells).tolist()
        self.sums, self.cells = torch.zeros_like(self.sums), 0
        return {"loss": loss, "nll": nll, "kl": kl, "penalty": penalty, "seconds": time.perf_counter() - self.began}


def _shown(progress: bool | None) -> bool:
    return sys.stderr.isatty() if progress is None else progress


def _split(source: CountMatrix, plan: TrainPlan, rng: torch.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells to train on and cells held out; those without counts are in neither."""
    some = np.flatnonzero(np.diff(source.indptr) > 0)
    if some.size == 0:
        raise CountsError("no cell has a count in the modelled genes, so there is nothing to fit. Look at scae.check(adata).")
    order = some[torch.randperm(some.size, generator=rng, device=rng.device).cpu().numpy()]
    n_held = int(plan.held_out * some.size)
    return np.sort(order[n_held:]), np.sort(order[:n_held])


def _batches(train: NDArray[np.int64], n_batches: int, planned: int, rng: torch.Generator) -> Iterator[NDArray[np.int64]]:
    """Rows of each planned step: every epoch in a new order, cut evenly, so that no batch is a lone leftover cell."""
    cuts = np.linspace(0, train.size, n_batches + 1).astype(np.int64)
    for step in range(planned):
        if step % n_batches == 0:
            order = train[torch.randperm(train.size, generator=rng, device=rng.device).cpu().numpy()]
        yield order[cuts[step % n_batches] : cuts[step % n_batches + 1]]
