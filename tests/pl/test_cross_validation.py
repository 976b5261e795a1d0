"""The candidates' scores, their error bars, the baselines and the choice."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex

import scae
from scae.pl import _figure

from .artists import table


def test_cross_validation_draws_scores_bars_baselines_and_the_choice():
    panel = scae.pl.cross_validation(table(), show=False)
    drawn = {c.get_label(): c for c in panel.containers}
    assert {name: c.lines[0].get_xydata()[0].tolist() for name, c in drawn.items()} == {
        "small": [0.27, 0], "bad": [0.0, 1], "large": [0.3, 2],
    }  # fmt: skip
    (bar,) = drawn["small"].lines[2][0].get_segments()
    np.testing.assert_allclose(bar[:, 0], [0.22, 0.32])
    assert drawn["small"].lines[2][0].get_linewidths()[0] >= 2
    caps = [line.get_xdata()[0] for line in drawn["small"].lines[1]]
    np.testing.assert_allclose(caps, [0.22, 0.32])
    assert to_hex(drawn["small"].lines[0].get_color()).upper() == _figure.ORANGE
    assert drawn["bad"].lines[0].get_markerfacecolor() == "white"
    assert {line.get_label(): line.get_xdata()[0] for line in panel.lines if line.get_label() in ("PCA", "best")} == {
        "PCA": 0.1, "best": 0.3,
    }  # fmt: skip
    assert panel.get_title(loc="left") == "choice: small"
    assert [text.get_text() for text in panel.get_yticklabels()] == ["small  (20)", "bad  (100)", "large  (300)"]
