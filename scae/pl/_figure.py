"""What all plots share: colours, panels, labels, showing and saving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..io.writer import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

# Okabe and Ito (2008): distinct under the common forms of colour blindness. Yellow is last because it is faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# Sixteen more, each as far as it can be from all before it in CIELAB, for normal vision and without red or green cones (simulated
# as in Machado 2009): no two of the 24 are nearer than 22, 15 and 15.
MANY_COLORS = (
    *COLORS,
    *("#0033CC", "#773322", "#CCDD99", "#EECCCC", "#005555", "#7788FF", "#CC9955", "#663377"),
    *("#00EEFF", "#0044AA", "#FF5577", "#88EE66", "#BB0000", "#777744", "#AA2266", "#7766FF"),
)
BLUE, ORANGE, GREEN, PURPLE = COLORS[:4]
GREY = "#8A8A8A"
MARKERS = ("o", "^", "s", "D", "v", "P", "X")  # beyond 24 categories, colours repeat with the next marker
_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "font.size": 9,
    "legend.frameon": False,
}


@contextmanager
def drawing(
    n_panels: int,
    ax: Axes | Sequence[Axes] | None,
    *,
    show: bool | None,
    save: str | Path | None,
    columns: int | None = None,
    size: tuple[float, float] = (4.2, 3.4),
) -> Iterator[list[Axes]]:
    """Panels to draw into in a ``with`` block; the figure is saved and shown at its end, unless there was an error.

    Parameters
    ----------
    n_panels
        Number of panels.
    ax
        Axes to draw into; None: a new figure.
    show
        Show the figure; None: only if it is new, not saved, and the backend opens windows.
    save
        File to write; its suffix sets the format.
    columns
        Panels per row; None: all in one row.
    size
        Width and height of a panel, inches.

    Raises
    ------
    ConfigError
        If ``ax`` has another number of Axes, or the suffix of ``save`` is not an image format.
    FileNotFoundError
        If the folder of ``save`` does not exist.
    """
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import FigureCanvasBase
    from matplotlib.backends.registry import BackendFilter, backend_registry

    if save is not None:
        _check_path(Path(save), FigureCanvasBase.get_supported_filetypes())
    own = [ax] if isinstance(ax, Axes) else None if ax is None else list(ax)
    if own is not None and len(own) != n_panels:
        raise ConfigError(f"ax holds {len(own)} Axes, but this plot has {n_panels} panels. Pass one Axes per panel, or None.")
    plt.draw_if_interactive()  # load the backend first: in a notebook that makes pyplot interactive, which rc_context would undo
    with plt.rc_context(_STYLE):
        panels = own or _new_panels(n_panels, columns or n_panels, size)
        yield panels
        figure: Any = panels[0].figure.get_figure(root=True)
        if save is not None:
            with replacing(Path(save)) as beside:
                figure.savefig(beside, dpi=150)
    windows = plt.get_backend().lower() in backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    if show or (show is None and own is None and save is None and windows):
        plt.show()


def _check_path(path: Path, formats: dict[str, str]) -> None:
    if path.suffix.lstrip(".").lower() not in formats:
        raise ConfigError(f"save is {str(path)!r}; allowed suffixes: {', '.join(sorted(formats))}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}.")


def _new_panels(n: int, columns: int, size: tuple[float, float]) -> list[Axes]:
    import matplotlib.pyplot as plt

    rows = -(-n // columns)
    grid = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), dpi=100, layout="constrained", squeeze=False)[
        1
    ]
    for spare in grid.flat[n:]:
        spare.remove()
    return list(grid.flat[:n])


def beside(ax: Axes, x: float, y: float, text: str, color: str = "black", **options: Any) -> Annotation:
    """A label to the right of a point, with a white outline."""
    from matplotlib import patheffects

    place: dict[str, Any] = {
        "xytext": (4, 0),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": 8,
        "annotation_clip": False,
    } | options
    label = ax.annotate(text, (x, y), color=color, **place)
    label.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="white")])
    return label


def collide(figure: Any, labels: Sequence[Annotation]) -> bool:
    """Whether any two labels overlap."""
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    return any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])


def spread(ax: Axes, labels: Sequence[Annotation]) -> None:
    """Move labels up or down until no two overlap."""
    figure = ax.figure.get_figure(root=True)
    if figure is None or len(labels) < 2:
        return
    figure.draw_without_rendering()
    for _ in range(50):
        boxes = [label.get_window_extent() for label in labels]
        moved = False
        for i, one in enumerate(boxes):
            for j in range(i):
                two = boxes[j]
                if not one.overlaps(two):
                    continue
                gap = (min(one.y1, two.y1) - max(one.y0, two.y0)) / 2 + 0.5
                up = 1 if (one.y0 + one.y1, i) > (two.y0 + two.y1, j) else -1
                for label, way in ((labels[i], up), (labels[j], -up)):
                    x, y = label.xyann
                    label.xyann = (x, y + way * gap * 72 / figure.dpi)
                moved = True
        if not moved:
            return
