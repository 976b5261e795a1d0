"""The names that the dca package gave to options: those of its command, of ``network_kwds`` and of ``training_kwds``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigError, unknown


def _numbers(item: Callable[[str], Any]) -> Callable[[Any], Any]:
    """The command took lists as ``"64,32,64"``; one number alone is that number."""

    def parse(given: Any) -> Any:
        if not isinstance(given, str):
            return given
        try:
            found = tuple(item(word) for word in given.split(","))
        except ValueError as fault:
            raise ConfigError(f"{given!r} is not a list of numbers; allowed: such as '64,32,64'.") from fault
        return found[0] if len(found) == 1 and item is float else found

    return parse


def _same(given: Any) -> Any:
    return given


def _not(given: Any) -> bool:
    return not given


_COMMAND: dict[str, tuple[str, Callable[[Any], Any]]] = {  # the command's name → where it goes, and what becomes of its value
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

_NO_WEIGHTS = "the loss has no term for weights; dropout, fewer hidden units or early stopping regularise instead"
NETWORK = {"input_dropout": 0.0, "debug": False}  # what acts, with its default; debug asks for the checks that scae always does
NETWORK_FIXED = {
    "l1_coef": (0.0, _NO_WEIGHTS),
    "l2_coef": (0.0, _NO_WEIGHTS),
    "l1_enc_coef": (0.0, _NO_WEIGHTS),
    "l2_enc_coef": (0.0, _NO_WEIGHTS),
    "ridge": (0.0, "the loss has no term for dropout probabilities; ae_type='nb-conddisp' has none of them"),
    "file_path": (None, "ask for return_model=True and call model.save(path)"),
}
TRAINING = {"clip_grad": 5.0, "validation_split": 0.1}
TRAINING_FIXED = {
    "output_dir": (None, "nothing is written to disk; ask for return_model=True and call model.save(path)"),
    "output_subset": (None, "all genes are modelled; choose those you want from the result"),
    "save_weights": (False, "ask for return_model=True and call model.save(path)"),
    "tensorboard": (False, "losses are in uns['dca_loss_history'] with return_info=True"),
    "use_raw_as_output": (True, "the likelihood is of counts"),
}


def settle(named: Mapping[str, Any], command: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """All options under the names of the Python function.

    Parameters
    ----------
    named
        What was given, or defaulted, by those names.
    command
        What was given by the names of the command's options.
    defaults
        The function's defaults: an option that is not at its own was given twice where the command's name is given too.

    Raises
    ------
    MissingKeyError
        If an option is unknown.
    ConfigError
        If an option is given by both its names, or makes sense in a shell only.
    """
    out = dict(named) | {group: dict(named[group]) for group in ("network_kwds", "training_kwds")}
    taken: set[str] = set()
    for name, value in command.items():
        if name in _SHELL_ONLY:
            raise ConfigError(f"{name} is {value!r}: this option of the dca command has no meaning for an AnnData. Leave it out.")
        if name not in _COMMAND:
            raise unknown("option", name, [*defaults, *_COMMAND])
        place, read = _COMMAND[name]
        group, _, key = place.rpartition(".")
        twice = key in out[group] if group else out[key] != defaults[key]
        if twice or place in taken:
            raise ConfigError(f"{name} is {value!r}, but the same option is given a second time, as {key} or the like. Give one.")
        taken.add(place)
        if group:
            out[group][key] = read(value)
        else:
            out[key] = read(value)
    return out


def only(group: str, given: Mapping[str, Any], acting: Mapping[str, Any], fixed: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    """The options of ``network_kwds`` or ``training_kwds`` that act, defaults filled in; the others must stand at theirs."""
    for name, value in given.items():
        if name not in acting and name not in fixed:
            hint = "What dca takes by name is given by name."
            raise unknown(f"option of {group}", name, [*acting, *fixed], hint=hint)
        if name in fixed and value != fixed[name][0]:
            allowed, instead = fixed[name]
            raise ConfigError(f"{group}: {name} is {value!r}; allowed: {allowed!r} ({instead}).")
    return {name: given.get(name, default) for name, default in acting.items()}
