"""A fit under way: its steps, its checks, and the way back when it diverges."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .checkpoint import State
from .errors import DivergenceError
from .health import Health
from .history import History, Meter
from .infer import each_block, latent, losses
from .model import Autoencoder
from .molecules import Hidden
from .plan import OPTIMIZERS, TrainPlan
from .progress import Progress
from .records import Loss
from .source import CountMatrix
from .weights import Weights

log = logging.getLogger("scae")
_ROLL_BACKS = 3
_WATCHED = 256  # cells whose latent is looked at
_NUMBERS = ("step", "done", "best_step", "cut", "turn", "planned", "search")  # of a run, beside its best loss
_ADVICE = (
    "The error's model holds the last good weights. Try a lower learning rate (lr) or, where the latent is the same in all "
    "cells, a smaller weight of the KL term or penalty."
)


class Run:
    """A fit under way; :meth:`state` holds all that changes from step to step.

    Parameters
    ----------
    model, source, plan, rng
        As in :func:`fit`.
    train, held
        Rows to train on, and rows to judge the weights by.
    hidden
        Molecules to find the number of steps by; None for the planned one.
    """

    def __init__(
        self, model: Autoencoder, source: CountMatrix, plan: TrainPlan, rng: torch.Generator, train: NDArray[np.int64],
        held: NDArray[np.int64], hidden: Hidden | None = None,
    ) -> None:  # fmt: skip
        self.hidden = hidden
        self.model, self.source, self.plan, self.rng, self.train, self.held = model, source, plan, rng, train, held
        self.optimizer = OPTIMIZERS[plan.optimizer](list(model.parameters()), plan)
        self.weights, self.history, self.meter = Weights(model, plan.averaging), History(), Meter()
        self.n_batches = math.ceil(train.size / plan.batch_size)
        self.planned = plan.planned_steps(self.n_batches)
        self.search = 0 if hidden is None else round(plan.stays * self.planned)  # steps for which molecules are hidden, at most
        self.every = max(self.n_batches, self.planned // plan.checks)  # a check costs a pass over the held-out cells
        self.cuts = np.linspace(0, train.size, self.n_batches + 1).astype(np.int64)  # even, so no batch is a lone last cell
        self.order = train  # of the current epoch
        self.step, self.done = 0, False
        self.best, self.best_step = math.inf, 0
        self.watched = train[np.linspace(0, train.size - 1, min(train.size, _WATCHED)).astype(np.int64)]
        start = losses(model, source, rows=self.watched, seed=rng.initial_seed(), corrupt=True)
        self.health = Health.at_start(start, self._latent())
        self.cut, self.turn = (
            1.0,
            0,
        )  # what plateaus and returns left of the learning rate, and the step of the last best loss or cut

    def steps(self, progress: bool | None) -> Iterator[int]:
        """Take all steps that are left, and yield after each."""
        with Progress(self.planned, self.step, progress) as shown:
            while not self.done:
                try:
                    if self.planned:
                        self._step()
                    else:
                        self._look()
                    if self.step % self.every == 0 or self.step in (self.search, self.planned):
                        row = self._check()
                        shown.checked(row, self.planned)
                    self.done |= self.step == self.planned
                except DivergenceError as fault:
                    self._roll_back(fault)
                shown.at(self.step, self.meter)
                yield self.step

    def _roll_back(self, fault: DivergenceError) -> None:
        """Go back to the best weights so far with half the learning rate; raise the fault if that was done three times before."""
        if len(self.history.rolled_back) == _ROLL_BACKS:
            raise DivergenceError(f"{fault} This is after {_ROLL_BACKS} returns to earlier weights. {_ADVICE}") from fault
        self.history.rolled_back.append(str(fault))
        del self.history.rows[self.history.best + 1 :]
        self.meter.clear()
        self.weights.rewind()
        self.optimizer = OPTIMIZERS[self.plan.optimizer](list(self.model.parameters()), self.plan)  # without its moments
        self.step = self.turn = self.best_step + 1 if self.history.rows else 0
        self.cut /= 2
        log.warning("%s Going back to step %d, with the learning rate times %g.", fault, self.step, self.cut)

    def _step(self) -> None:
        step, plan = self.step, self.plan
        if step % self.n_batches == 0:  # a new order every epoch
            self.order = self.train[torch.randperm(self.train.size, generator=self.rng, device=self.rng.device).cpu().numpy()]
        rows = self.order[self.cuts[step % self.n_batches] : self.cuts[step % self.n_batches + 1]]
        for group in self.optimizer.param_groups:
            group["lr"] = plan.lr * plan.lr_factor(step, self.planned) * self.cut
        if not self.model.training:
            self.model.train()
        source = self.hidden.rest if self.hidden is not None and step < self.search else self.source
        counts, cells = (record.to(self.rng.device) for record in source.take(rows))
        loss = self.model(counts, cells, self.rng, warmup=plan.kl_weight(step, self.planned), corrupt=True)
        take_step(loss, self.optimizer, plan.clip, self._where())
        self.model.after_step(loss, self.rng)
        self.weights.update(step)
        self.meter.add(loss)
        self.step += 1

    def _look(self) -> None:
        """Take the losses of all training cells where the plan takes no step."""
        self.history.stopped = "no step planned"
        for _, loss in each_block(self.model, self.source, partial(self.model, rng=self.rng, corrupt=True), rows=self.train):
            self.meter.add(loss)

    def _where(self) -> str:
        return f"step {self.step + 1} of {self.planned} (epoch {self.step // self.n_batches + 1})"

    def _check(self) -> dict[str, float]:
        """Judge the weights, keep them if they are the best so far, and decide whether to go on."""
        step, plan = self.step - 1, self.plan
        row = {"step": self.step, "epoch": self.step / self.n_batches, "lr": self.optimizer.param_groups[0]["lr"]}
        row |= self.meter.read()
        searching, judged = 0 < self.step <= self.search, self._judge()
        row |= judged
        watched = next(iter(judged.values()), row["loss"])
        if fault := self._fault(row["loss"], watched):
            raise DivergenceError(f"{fault} at step {self.step} of {self.planned} (epoch {step // self.n_batches + 1}).")
        self.history.rows.append(row)
        if watched < self.best or not judged:
            self.best, self.best_step, self.turn = watched, step, step
            self.history.best = len(self.history.rows) - 1
            self.weights.keep()
        late = step - self.best_step > plan.patience * self.planned and step > plan.kl_warmup * self.planned
        if searching:
            if late or self.step == self.search:
                self._finish()
        elif late:
            self.history.stopped = f"no better held-out loss for {step - self.best_step} steps"
            self.done = True
        elif plan.plateau and step - self.turn > plan.plateau * self.planned:
            self.cut, self.turn = self.cut / 10, step
        if plan.keep == "last" and (self.done or self.step == self.planned):
            self.history.best = len(self.history.rows) - 1
            self.weights.keep()
        return row

    def _judge(self) -> dict[str, float]:
        """The loss that decides, by its name in the history; empty where nothing is held out."""
        with self.weights.averaged():
            if self.held.size:
                return {"held_out": mean_loss(self.model, self.source, self.held, self.rng)}
            if self.hidden is not None and 0 < self.step <= self.search:
                return {"held_out_molecules": hidden_loss(self.model, self.hidden, self.plan.molecules_given)}
        return {}

    def _finish(self) -> None:
        """Go back to the step at which the hidden molecules cost least, and plan the rest of the fit, on every molecule."""
        found, tried = self.best_step + 1, self.step
        del self.history.rows[self.history.best + 1 :]
        self.weights.rewind()
        self.step, self.search, self.planned = found, 0, max(round(found / self.plan.stays), found + 1)
        self.history.stopped = (
            f"hidden molecules cost least at step {found} of {tried} ({self.best:.5g} nats per cell); "
            f"the last {self.planned - found} steps were taken on all molecules"
        )

    def _fault(self, loss: float, watched: float) -> str | None:
        """What is wrong with the weights, if anything."""
        if not (math.isfinite(watched) and self.weights.finite()):
            return "the held-out loss or a weight is not finite"
        with self.weights.averaged():
            return self.health.fault(loss, self._latent())

    def _latent(self) -> NDArray[np.float32]:
        return latent(self.model, self.source, rows=self.watched)[0]

    def state(self, about: dict[str, Any]) -> State:
        """Everything that :meth:`resume` needs; ``about`` says what fit it is."""
        arrays = {f"model/{k}": v for k, v in self.model.state_dict().items()} | self.weights.arrays()
        for i, moments in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer/{i}/{name}": value for name, value in moments.items()}
        arrays |= {"rng": self.rng.get_state(), "order": torch.from_numpy(self.order)}
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        rest = {"best": self.best if math.isfinite(self.best) else None, "meter": self.meter.plain(), "fit": about}
        rest["health"] = self.health.plain()
        plain = {name: value.detach().cpu().contiguous().numpy() for name, value in arrays.items()}
        return plain, numbers | rest | {"history": self.history.plain()}

    def resume(self, state: State) -> None:
        """Go on from :meth:`state`, in a model that has its weights already."""
        arrays, rest = state
        self.weights.load(arrays)
        optimizer, moments = self.optimizer.state_dict(), dict[int, dict[str, torch.Tensor]]()
        for key, value in under("optimizer/", arrays).items():
            i, _, name = key.partition("/")
            moments.setdefault(int(i), {})[name] = torch.from_numpy(value)
        self.optimizer.load_state_dict(optimizer | {"state": moments})
        self.rng.set_state(torch.from_numpy(arrays["rng"]))
        self.order = arrays["order"]
        for name in _NUMBERS:
            setattr(self, name, rest[name])
        self.best = math.inf if rest["best"] is None else rest["best"]
        self.meter.load(rest["meter"])
        self.health = Health.read(rest["health"])
        self.history = History(**rest["history"])


def take_step(loss: Loss, optimizer: torch.optim.Optimizer, clip: float, where: str) -> None:
    """One step of the optimiser against the mean loss of a minibatch.

    Raises
    ------
    DivergenceError
        If the loss or its gradient is not finite; the step is not taken.
    """
    mean = loss.total.mean()
    if not torch.isfinite(mean):
        bad = [name for name, part in loss.parts().items() if not torch.isfinite(part).all()]
        raise DivergenceError(f"the loss is not finite at {where}, in: {', '.join(bad)}.")
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight in weights:
        weight.grad = None
    mean.backward()
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if not torch.isfinite(norm):
        raise DivergenceError(f"the gradient is not finite at {where}.")
    if clip and norm > clip:
        torch._foreach_mul_(gradients, clip / norm)
    optimizer.step()


def mean_loss(model: Autoencoder, source: CountMatrix, rows: NDArray[np.int64], rng: torch.Generator) -> float:
    """Mean loss, nats per cell, of cells that are not trained on, corrupted as in training."""
    return float(losses(model, source, rows=rows, seed=rng.initial_seed(), corrupt=True).mean())


def hidden_loss(model: Autoencoder, hidden: Hidden, given: str) -> float:
    """Mean loss, nats per cell, of molecules that are hidden from the fit."""
    blocks = each_block(model, hidden.rest, hidden.losses(model, given), rows=hidden.rows)
    return float(torch.cat([nats for _, nats in blocks]).double().mean())


def under(head: str, arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """The arrays whose names begin with ``head``, by the rest of their names."""
    return {name.removeprefix(head): array for name, array in arrays.items() if name.startswith(head)}
