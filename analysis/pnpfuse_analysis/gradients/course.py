"""The course of conflict over a training run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from .conflict import GradReport


class Record(NamedTuple):
    """What was found at a step: a report for each point, without the tensors of each sample."""

    step: int
    reports: dict[str, GradReport]


def draw(history: Sequence[Record], ax: Any) -> None:
    """Draw cosines (lines) and conflict rates (dashes) over the steps, for each point and loss."""
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.set(xlabel="step", ylabel="cosine (lines), conflict rate (dashes)", ylim=(-1.05, 1.05))
    if not history:
        return
    steps = [record.step for record in history]
    for label, first in history[0].reports.items():
        for place, name in enumerate(first.names):
            cosine = _column(history, label, "cosine", place)
            (line,) = ax.plot(steps, cosine, label=f"{label}: {first.main} and {name}")
            if first.conflict_rate is not None:
                rate = _column(history, label, "conflict_rate", place)
                ax.plot(steps, rate, linestyle="--", color=line.get_color())
    ax.legend(frameon=False)


def _column(history, label, field, place):
    values = [getattr(record.reports[label], field)[place] for record in history]
    return torch.stack(values).cpu().numpy()
