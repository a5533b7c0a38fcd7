"""The figures that all plots draw on."""

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure without pyplot (no display, no global state, nothing to close) that shows itself.

    Notebooks show figures of pyplot only, unless they can draw themselves.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
