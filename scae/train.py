"""Training: the one loop."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .checkpoint import Checkpoints, fingerprint
from .errors import ConfigError, CountsError, DivergenceError, Interrupted
from .history import History
from .model import Autoencoder
from .molecules import Hidden
from .ops.device import thread_count
from .parts import label, to_dict
from .plan import TrainPlan
from .records import Cells, Counts
from .run import Run, mean_loss, under
from .signals import noticed
from .source import CountMatrix
from .version import __version__

log = logging.getLogger("scae")


def fit(
    model: Autoencoder,
    source: CountMatrix,
    plan: TrainPlan,
    rng: torch.Generator,
    *,
    progress: bool | None = None,
    checkpoints: Checkpoints | None = None,
) -> History:
    """Train a model in place and leave it with its best weights, or its last, as the plan says.

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
        As in :class:`scae.progress.Progress`.
    checkpoints
        Where to save the fit from time to time, and from where to go on; the result is the same to the bit.

    Returns
    -------
    History
        Mean losses in nats per cell, one row per check; ``held_out`` is taken at full KL weight. ``held_out_molecules`` is the
        loss of the hidden molecules alone, as long as there are any. Where the plan trains on a sample of the cells, the last row
        has ``left_out``, the loss of all other cells.

    Raises
    ------
    DivergenceError
        If the fit went wrong a fourth time: a loss, a gradient or a weight is not finite, the loss is far above that of the
        start, or the latent has become the same in all cells. Each of the first three times, the fit goes back to the best
        weights so far with half the learning rate, and logs a warning. ``error.model`` is the model with the last good weights.
    Interrupted
        If a signal asked the process to end (a ``KeyboardInterrupt``); the step is finished and a checkpoint is written first,
        and ``error.model`` is the model with the best weights so far.
    CheckpointError
        If the checkpoints are of another fit.
    ConfigError
        If the plan takes no step and the weights would stay random, or if it holds molecules out and the likelihood is not one of
        molecules.
    """
    if not plan.epochs and not model.spec.network.solves:
        raise ConfigError(
            f"the plan takes no step (epochs is 0), but the weights of {label(type(model.spec.network))} start at random; "
            "allowed: at least 1 epoch. Only network 'linear' with start 'pca' is solved for before the first step."
        )
    if plan.held_out_molecules:
        model.spec.likelihood.require_molecules("the plan holds molecules out (held_out_molecules)", ", or set it to 0")
    about = None if checkpoints is None else _about(model, source, plan, rng)
    train, held, left_out = _split(source, plan, rng)
    hidden = Hidden.draw(source, train, plan.held_out_molecules, rng) if plan.held_out_molecules else None
    if hidden is not None and not hidden.rows.size:
        hidden = None  # every cell has one molecule: the planned steps are taken
    saved = None if checkpoints is None or about is None else checkpoints.load(about)
    with thread_count(), noticed() as signals:
        if saved is None:
            _start(model, source, train, rng)
        else:
            model.load_state_dict({k: torch.from_numpy(v) for k, v in under("model/", saved[0]).items()})
        run = Run(model, source, plan, rng, train, held, hidden)
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
        run.history.rows[-1]["left_out"] = mean_loss(model, source, left_out, rng)
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

    model.start(source.statistics(train, model.input.transform, model.input.n_groups))
    if model.spec.network.solves:
        counts, cells = source.take(train)
        model.solve_network(counts.to(rng.device), cells.to(rng.device), rng.initial_seed())
    model.start_bottleneck(some, rng)


def _split(source: CountMatrix, plan: TrainPlan, rng: torch.Generator) -> tuple[NDArray[np.int64], ...]:
    """Cells to train on, cells held out, and cells beyond what the plan trains on; those without counts are in none."""
    some = np.flatnonzero(np.diff(source.indptr) > 0)
    if some.size == 0:
        raise CountsError("no cell has a count in the modelled genes, so there is nothing to fit. Look at scae.check(adata).")
    order = some[torch.randperm(some.size, generator=rng, device=rng.device).cpu().numpy()]
    n_taken = min(some.size, plan.max_cells or some.size)
    n_held = int(plan.held_out * n_taken)
    return np.sort(order[n_held:n_taken]), np.sort(order[:n_held]), np.sort(order[n_taken:])
