"""scae parts lists the catalogue."""

from __future__ import annotations

import json

import scae
from scae.cli import main


def test_parts_lists_the_catalogue(capsys):
    assert main(["parts", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed["preset"]) == set(scae.presets.names())
    assert set(listed["likelihood"]) == set(scae.parts.names("likelihood"))
    assert main(["parts", "bottleneck"]) == 0
    assert "beta" in capsys.readouterr().out
