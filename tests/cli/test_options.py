"""Every option of a model is an option of the command line."""

from __future__ import annotations

import pytest

import scae
from scae.cli import main


def test_every_field_of_every_part_is_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = capsys.readouterr().out
    for kind in ("corruption", "transform", "network", "bottleneck", "prior", "likelihood"):
        for name in scae.parts.names(kind):
            for field in scae.parts.find(kind, name).__dataclass_fields__:
                assert f"--{kind}-{field.replace('_', '-')}" in text
