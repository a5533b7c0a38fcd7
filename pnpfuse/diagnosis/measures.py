"""What is measured on features: smoothness, geometry and information, as named numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from pnpfuse_analysis import (
    Estimate,
    GradReport,
    Probe,
    alignment,
    cka,
    dirichlet_energy,
    effective_rank,
    entropy,
    knn_graph,
    mean_average_distance,
    modality_gap,
    mutual_information,
    rayleigh_quotient,
    uniformity,
)
from pnpfuse_analysis.samples import widest

NULL = 20  # shuffles behind a null
# Parts of the probe's cross-validation. With 5 the bound is at most some 0.03 nat higher on the
# digits, for two or three times the time.
FOLDS = 3
MISSING = "Missing: "  # how the notes begin that say why there is no number
Numbers = Mapping[str, float | Tensor | Estimate]
Index = int | tuple[int, ...] | tuple[list[int], ...]


class Measured:
    """Arrays that are filled number by number; what is not defined stays NaN, with the reason.

    Parameters
    ----------
    shapes : {variable: shape}

    Attributes
    ----------
    values : {variable: array of float64}
    notes : {what there is to say: [where]}: what is missing and why, then what the estimators say
        of themselves
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]):
        self.values = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
        self.notes: dict[str, list[str]] = {}
        self._tried: set[str] = set()

    def put(self, index: Index, where: str, what: str, measure: Callable[[], Numbers]) -> None:
        """Store the numbers that `measure` gives at `index` of their arrays; `what` in words."""
        try:
            found = measure()
        except ValueError as error:
            self.note(f"{MISSING}{what}: {error}", where)
            return
        self._tried |= set(found)
        for name, number in found.items():
            self.values[name][index] = float(number)
            for said in number.warnings if isinstance(number, Estimate) else ():
                self.note(f"{name}: {said}", where)
        empty = [name for name, number in found.items() if not np.isfinite(float(number))]
        if empty:
            why = "a gradient vanishes" if what == "gradients" else "the features are constant"
            self.note(f"{MISSING}{', '.join(empty)}: not defined where {why}.", where)

    def found(self) -> dict[str, np.ndarray]:
        """The arrays that something was to be stored in."""
        return {
            name: array
            for name, array in self.values.items()
            if name in self._tried or np.isfinite(array).any()
        }

    def note(self, said: str, where: str) -> None:
        """Keep something to say of a place, once."""
        if where not in self.notes.setdefault(said, []):
            self.notes[said].append(where)


def conflict(report: GradReport, place: int, cosines: np.ndarray) -> Numbers:
    """Of the gradient of the loss at `place` among the others beside that of the main one.

    `cosines` are those of the rows, NaN where they are not defined.
    """
    assert report.conflict_rate is not None and report.undefined is not None
    known = cosines[np.isfinite(cosines)]
    low, high = wilson(int((known < 0).sum()), len(known))
    return {
        "gradient_cosine": report.cosine[place],
        "conflict_rate": report.conflict_rate[place],
        "conflict_rate_low": low,
        "conflict_rate_high": high,
        "median_cosine": float(np.median(known)) if len(known) else np.nan,
        "undefined_rate": report.undefined[place],
        "gradient_ratio": report.norms[1 + place] / report.norms[0],
    }


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """95 % interval of a rate (Wilson, J. Am. Stat. Assoc. 22 (1927) 209)."""
    if not tries:
        return np.nan, np.nan
    z = 1.959964
    rate, extra = hits / tries, z**2 / tries
    middle = rate + extra / 2
    half = z * np.sqrt(rate * (1 - rate) / tries + extra / (4 * tries))
    low, high = (middle - half) / (1 + extra), (middle + half) / (1 + extra)
    return float(low) if hits else 0.0, float(high) if hits < tries else 1.0


def spread(x: Tensor) -> Numbers:
    """Of features (N, d): how far around their mean, over how far from 0."""
    wide = x.to(widest(x.device))
    around = (wide - wide.mean(0)).square().sum()
    return {"relative_spread": (around / wide.square().sum()).sqrt()}


def smoothness(x: Tensor, neighbours: int, seed: int) -> Numbers:
    """Of features (N, d) on the graph of their nearest neighbours, and of noise beside them."""
    graph = knn_graph(x, neighbours)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(x.shape, generator=generator).to(x.device)  # (N, d)
    among_noise = knn_graph(noise, neighbours)
    return {
        "dirichlet_energy": dirichlet_energy(x, graph),
        "rayleigh_quotient": rayleigh_quotient(x, graph),
        "rayleigh_noise": rayleigh_quotient(noise, among_noise),
        "mean_average_distance": mean_average_distance(x, graph),
        "distance_noise": mean_average_distance(noise, among_noise),
    }


def shape(x: Tensor) -> Numbers:
    """Of the cloud of features (N, d)."""
    return {
        "effective_rank": effective_rank(x, centre=True),
        "width": x.shape[1],
        "uniformity": uniformity(x),
    }


def similarity(x: Tensor, y: Tensor) -> Numbers:
    """Of two sets of features (N, d_x), (N, d_y) of the same samples."""
    return {"cka": cka(x, y)}


def closeness(x: Tensor, y: Tensor) -> Numbers:
    """Of two sets of features (N, d) in one space."""
    return {"alignment": alignment(x, y), "modality_gap": modality_gap(x, y)}


def uncertainty(x: Tensor, components: int) -> Numbers:
    """Entropy of the leading components of features (N, d), and what these hold of them."""
    kept = leading(x, components)
    whole = x.to(kept.dtype)
    share = kept.square().sum() / (whole - whole.mean(0)).square().sum()
    return {"kept_variance": share, "entropy": entropy(kept)}


def contains(x: Tensor, y: Tensor) -> bool:
    """Whether the columns of one of two features (N, d_x), (N, d_y) lie side by side in the other.

    Two that are the same do not count.
    """
    wide, narrow = (x, y) if x.shape[1] > y.shape[1] else (y, x)
    width = narrow.shape[1]
    if wide.shape[1] == width:
        return False
    starts = (wide[0].unfold(0, width, 1) == narrow[0]).all(1).nonzero().flatten().tolist()
    return any(torch.equal(wide[:, start : start + width], narrow) for start in starts)


def label_knowledge(x: Tensor, labels: Tensor, seed: int) -> Numbers:
    """What features (N, d) tell of the labels (N,) at least, held out."""
    if len(labels.unique()) < 2:
        raise ValueError("all rows are of one class, so there is nothing to know")
    found = mutual_information(
        x,
        labels,
        method=Probe(folds=FOLDS),
        ci="local",
        generator=torch.Generator().manual_seed(seed),
    )
    low, high = found.ci or (np.nan, np.nan)
    return {
        "label_information": found,
        "label_information_low": low,
        "label_information_high": high,
        "label_entropy": entropy(labels, method="discrete"),
    }


def dependence(x: Tensor, y: Tensor, components: int, seed: int) -> Numbers:
    """Information between the leading components of features (N, d_x), (N, d_y)."""
    found = mutual_information(
        leading(x, components),
        leading(y, components),
        ci="subsample",
        null=NULL,
        generator=torch.Generator().manual_seed(seed),
    )
    low, high = found.ci or (np.nan, np.nan)
    return {
        "mutual_information": found,
        "mutual_information_low": low,
        "mutual_information_high": high,
        "mutual_information_null": np.nan if found.null_mean is None else found.null_mean,
        "p_value": np.nan if found.p_value is None else found.p_value,
    }


def leading(x: Tensor, components: int) -> Tensor:
    """The leading principal components of features (N, d): (N, <= components), widened."""
    wide = x.to(widest(x.device))
    left, spread, _ = torch.linalg.svd(wide - wide.mean(0), full_matrices=False)
    # Directions that are rounding only would be estimated as if they were spread.
    floor = torch.finfo(x.dtype).eps * wide.abs().amax() * sum(x.shape) ** 0.5
    kept = min(components, int((spread > floor).sum()))
    if not kept:
        raise ValueError("the features are constant")
    return left[:, :kept] * spread[:kept]
