"""Lines over an axis, as the claims about cells draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from pnpfuse.figures import CYCLE, GREY, blank_figure


def lines_figure(
    x: Sequence[float] | Mapping[str, Sequence[float]],
    lines: Mapping[str, Sequence[float | None]],
    labels: tuple[str, str],
    *,
    log: bool = False,
    mark: float | None = None,
    title: str = "",
) -> Figure:
    """A figure of lines by name.

    Parameters
    ----------
    x : of all lines, or of each by its name
    lines : {name: values}; None where there is none
    labels : of the axes, with units
    log : whether x is logarithmic
    mark : a value to be marked by a dashed line
    title : what is seen
    """
    figure = blank_figure(6.4, 3.4)
    axes = figure.subplots()
    for i, (name, values) in enumerate(lines.items()):
        over = x[name] if isinstance(x, Mapping) else x
        shown = [float("nan") if value is None else value for value in values]
        style = "o-" if len(shown) < 20 else "-"
        axes.plot(over, shown, style, ms=3, color=CYCLE[i % len(CYCLE)], label=name)
    if mark is not None:
        axes.axhline(mark, color=GREY, ls="--", lw=0.8)
    axes.set(xlabel=labels[0], ylabel=labels[1], xscale="log" if log else "linear")
    axes.set_title(title, fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    return figure
