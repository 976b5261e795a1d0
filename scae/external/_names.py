"""Names of options in the dca package: those of its command, of ``network_kwds`` and of ``training_kwds``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigError, unknown


def _numbers(item: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A reader of lists such as ``"64,32,64"``; a single float is returned as a number."""

    def parse(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(item(word) for word in value.split(","))
        except ValueError as fault:
            raise ConfigError(f"{value!r} is not a list of numbers; allowed: numbers with commas, such as '64,32,64'.") from fault
        return numbers[0] if len(numbers) == 1 and item is float else numbers

    return parse


def _same(value: Any) -> Any:
    return value


def _not(value: Any) -> bool:
    return not value


_COMMAND: dict[
    str, tuple[str, Callable[[Any], Any]]
] = {  # option of the command → parameter of the function, and conversion of the value
    "type": ("ae_type", _same),
    "sizefactors": ("normalize_per_cell", _same),
    "nosizefactors": ("normalize_per_cell", _not),
    "norminput": ("scale", _same),
    "nonorminput": ("scale", _not),
    "loginput": ("log1p", _same),
    "nologinput": ("log1p", _not),
    "nobatchnorm": ("batchnorm", _not),
    "hiddensize": ("hidden_size", _numbers(int)),
    "dropoutrate": ("hidden_dropout", _numbers(float)),
    "batchsize": ("batch_size", _same),
    "earlystop": ("early_stop", _same),
    "reducelr": ("reduce_lr", _same),
    "learningrate": ("learning_rate", _same),
    "checkcounts": ("check_counts", _same),
    "nocheckcounts": ("check_counts", _not),
    "l1": ("network_kwds.l1_coef", _same),
    "l2": ("network_kwds.l2_coef", _same),
    "l1enc": ("network_kwds.l1_enc_coef", _same),
    "l2enc": ("network_kwds.l2_enc_coef", _same),
    "ridge": ("network_kwds.ridge", _same),
    "inputdropout": ("network_kwds.input_dropout", _same),
    "debug": ("network_kwds.debug", _same),
    "gradclip": ("training_kwds.clip_grad", _same),
    "saveweights": ("training_kwds.save_weights", _same),
    "tensorboard": ("training_kwds.tensorboard", _same),
}
_SHELL_ONLY = ("denoisesubset", "hyper", "hyperepoch", "hypern", "normtype", "testsplit", "transpose")

_NO_WEIGHTS = "scae has no penalty on weights; regularise with dropout, fewer hidden units or early stopping instead"
NETWORK = {
    "input_dropout": 0.0,
    "debug": False,
}  # options with an effect, and their defaults; scae always does the checks of debug
NETWORK_FIXED = {
    "l1_coef": (0.0, _NO_WEIGHTS),
    "l2_coef": (0.0, _NO_WEIGHTS),
    "l1_enc_coef": (0.0, _NO_WEIGHTS),
    "l2_enc_coef": (0.0, _NO_WEIGHTS),
    "ridge": (0.0, "scae has no penalty on dropout probabilities; ae_type='nb-conddisp' has no dropout"),
    "file_path": (None, "use return_model=True and call model.save(path)"),
}
TRAINING = {"clip_grad": 5.0, "validation_split": 0.1}
TRAINING_FIXED = {
    "output_dir": (None, "nothing is written to disk; use return_model=True and call model.save(path)"),
    "output_subset": (None, "all genes are modelled; select genes from the result"),
    "save_weights": (False, "use return_model=True and call model.save(path)"),
    "tensorboard": (False, "return_info=True writes the losses to uns['dca_loss_history']"),
    "use_raw_as_output": (True, "the likelihood is always one of counts"),
}


def settle(named: Mapping[str, Any], command: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """All options under the names of the Python function.

    Parameters
    ----------
    named
        Options by the names of the function, defaults included.
    command
        Options by the names of the ``dca`` command.
    defaults
        Defaults of the function, to recognise an option that is given under both names.

    Raises
    ------
    MissingKeyError
        If an option is unknown.
    ConfigError
        If an option is given under both names, or exists only for the shell.
    """
    out = dict(named) | {group: dict(named[group]) for group in ("network_kwds", "training_kwds")}
    taken: set[str] = set()
    for name, value in command.items():
        if name in _SHELL_ONLY:
            raise ConfigError(f"{name} is {value!r}: this option of the dca command has no meaning for AnnData. Leave it out.")
        if name not in _COMMAND:
            raise unknown("option", name, [*defaults, *_COMMAND])
        place, read = _COMMAND[name]
        group, _, key = place.rpartition(".")
        twice = key in out[group] if group else out[key] != defaults[key]
        if twice or place in taken:
            raise ConfigError(f"{name} is {value!r}, but the same option is given a second time, as {key}. Pass it once.")
        taken.add(place)
        if group:
            out[group][key] = read(value)
        else:
            out[key] = read(value)
    return out


def only(group: str, given: Mapping[str, Any], acting: Mapping[str, Any], fixed: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    """The options of ``network_kwds`` or ``training_kwds`` that have an effect; all others must have their defaults.

    Parameters
    ----------
    group
        ``"network_kwds"`` or ``"training_kwds"``, for messages.
    given
        What the caller passed.
    acting
        Options with an effect, and their defaults.
    fixed
        Options without an effect: the only allowed value, and what to do instead.

    Raises
    ------
    MissingKeyError
        If an option is unknown.
    ConfigError
        If an option without an effect does not have its default.
    """
    for name, value in given.items():
        if name not in acting and name not in fixed:
            hint = "Pass parameters of dca by their own names."
            raise unknown(f"option of {group}", name, [*acting, *fixed], hint=hint)
        if name in fixed and value != fixed[name][0]:
            allowed, instead = fixed[name]
            raise ConfigError(f"{group}: {name} is {value!r}; allowed: {allowed!r} ({instead}).")
    return {name: given.get(name, default) for name, default in acting.items()}
