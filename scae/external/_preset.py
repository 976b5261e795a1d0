"""Convert options of the dca package to an architecture and a training plan of scae."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from .. import presets
from ..bottlenecks import Deterministic
from ..corruptions import Masking, NoCorruption
from ..errors import ConfigError, unknown
from ..layers import ACTIVATIONS
from ..model import ModelSpec
from ..networks import MLP
from ..plan import TrainPlan
from ..transforms import Normalized, Transform
from ._names import NETWORK, NETWORK_FIXED, TRAINING, TRAINING_FIXED, only

AE_TYPES = {
    "normal": "dca-normal",
    "poisson": "dca-poisson",
    "nb": "dca-nb",
    "nb-conddisp": "dca",
    "zinb": "dca-zinb",
    "zinb-conddisp": "dca-zinb-conddisp",
}
_NOT_EXPRESSED = {
    "nb-shared": "one dispersion per cell for all its genes",
    "zinb-shared": "one dispersion and one dropout probability per cell for all its genes",
    "nb-fork": "hidden layers that are separate for mean and dispersion",
    "zinb-fork": "hidden layers that are separate for mean, dispersion and dropout probability",
    "zinb-elempi": "dropout probabilities that are a function of each gene's mean",
}
_OPTIMIZERS = {  # by name: scae's rule, and what TensorFlow adds to its denominator (for RMSprop, 1e-7 below the root)
    "rmsprop": ("rmsprop", 1e-7**0.5),
    "adam": ("adamw", 1e-7),  # weight decay is zero, so AdamW is Adam
}
_KERAS_ACTIVATIONS = {"swish": "silu"}


def preset_name(ae_type: str) -> str:
    """The preset for a type of autoencoder.

    Raises
    ------
    ConfigError
        If scae has no parts for this type.
    MissingKeyError
        If there is no such type.
    """
    if ae_type in _NOT_EXPRESSED:
        have = ", ".join(map(repr, AE_TYPES))
        raise ConfigError(f"ae_type is {ae_type!r}, which has {_NOT_EXPRESSED[ae_type]}: scae has no such part. Allowed: {have}.")
    if ae_type not in AE_TYPES:
        raise unknown("ae_type", ae_type, AE_TYPES)
    return AE_TYPES[ae_type]


def transform(normalize_per_cell: bool, scale: bool, log1p: bool) -> Transform:
    """The scale of the encoder's input: optionally normalised to the median total, log-transformed and standardised."""
    return Normalized(target_sum="median" if normalize_per_cell else None, log=bool(log1p), standardize=bool(scale))


def spec(
    ae_type: str, seen: Transform, hidden_size: Sequence[int], hidden_dropout: float | Sequence[float], batchnorm: bool,
    activation: str, network_kwds: Mapping[str, Any],
) -> ModelSpec:  # fmt: skip
    """The architecture; the middle layer of ``hidden_size`` is the latent."""
    base = presets.find(preset_name(ae_type)).spec
    share = only("network_kwds", network_kwds, NETWORK, NETWORK_FIXED)["input_dropout"]
    widths = _widths(hidden_size)
    middle = len(widths) // 2
    act = _KERAS_ACTIVATIONS.get(activation, activation)
    if act not in ACTIVATIONS:
        raise unknown("activation", activation, [*ACTIVATIONS, *_KERAS_ACTIVATIONS])
    network = MLP(
        hidden=widths[:middle],
        decoder_hidden=widths[middle + 1 :],
        activation=act,
        norm="batch" if batchnorm else "none",
        dropout=_dropout(hidden_dropout, len(widths)),
        latent_block=True,
    )
    corruption = Masking(share=share) if share else NoCorruption()
    return replace(base, corruption=corruption, transform=seen, network=network, bottleneck=Deterministic(dim=widths[middle]))


def _widths(hidden_size: Sequence[int]) -> tuple[int, ...]:
    widths = tuple(hidden_size) if isinstance(hidden_size, Sequence) and not isinstance(hidden_size, str) else ()
    if not widths or any(isinstance(w, bool) or not isinstance(w, Integral) or w < 1 for w in widths):
        raise ConfigError(f"hidden_size is {hidden_size!r}; allowed: one or more whole numbers from 1, such as (64, 32, 64).")
    return tuple(map(int, widths))


def _dropout(hidden_dropout: float | Sequence[float], n_layers: int) -> float:
    """One rate for all hidden layers; in a list, the rate of the latent (in the middle) may be zero."""
    if isinstance(hidden_dropout, Real):
        return float(hidden_dropout)
    rates = list(hidden_dropout) if isinstance(hidden_dropout, Sequence) else []
    middle = n_layers // 2
    others = set(rates[:middle] + rates[middle + 1 :])
    numeric = len(rates) == n_layers and all(isinstance(r, Real) for r in rates)
    if not numeric or len(others) > 1 or not {rates[middle]} <= others | {0.0}:
        raise ConfigError(
            f"hidden_dropout is {hidden_dropout!r}; allowed: one rate, or a list with the same rate for the {n_layers} layers of "
            "hidden_size (scae has one dropout rate)."
        )
    return float(others.pop()) if others else 0.0


def plan(
    base: TrainPlan, epochs: int, reduce_lr: int, early_stop: int, batch_size: int, optimizer: str, learning_rate: float | None,
    training_kwds: Mapping[str, Any], n_genes: int,
) -> TrainPlan:  # fmt: skip
    """The training plan: that of the preset with the given options; waits in epochs become shares of the planned steps.

    The original's loss is a mean over genes, that of scae a sum, so limits on the gradient are ``n_genes`` times as large here.
    """
    more = only("training_kwds", training_kwds, TRAINING, TRAINING_FIXED)
    if str(optimizer).lower() not in _OPTIMIZERS:
        raise unknown("optimizer", optimizer, ["RMSprop", "Adam"])
    if not isinstance(epochs, Integral) or epochs < 1:
        raise ConfigError(f"epochs is {epochs!r}; allowed: a whole number from 1.")
    rule, eps = _OPTIMIZERS[str(optimizer).lower()]
    named = replace(
        base,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=rule,
        eps=eps * n_genes,
        lr=base.lr if learning_rate is None else learning_rate,
        clip=(more["clip_grad"] or 0.0) * n_genes,
        held_out=more["validation_split"] or 0.0,
        max_steps=None,
        checks=epochs,
    )
    return replace(named, patience=_share("early_stop", early_stop, epochs), plateau=_share("reduce_lr", reduce_lr, epochs))


def _share(name: str, wait: int | None, epochs: int) -> float:
    """A wait as a share of all epochs, half an epoch less so that rounding cannot add one; 0 and None wait for ever."""
    if wait is not None and not (isinstance(wait, Real) and wait >= 0):
        raise ConfigError(f"{name} is {wait!r}; allowed: a number of epochs, or 0 or None for never.")
    return min((wait - 0.5) / epochs, 1.0) if wait else 1.0
