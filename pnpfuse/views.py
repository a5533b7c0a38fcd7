"""Named views of the same samples, with labels and a fixed train-test split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pnpfuse.labels import (
    TEST,
    TRAIN,
    as_array,
    as_codes,
    as_names,
    as_split,
    encode,
    stratified,
)
from pnpfuse.stored import Stored, check_finite, not_a_matrix


@dataclass(frozen=True, eq=False, repr=False)
class Views:
    """Feature vectors of several modalities for the same samples.

    Attributes
    ----------
    features : {modality: (N, d) float32}, in the order of the cycle; arrays, or `Stored` matrices
        that stay in their file. `read` gives rows of either kind.
    labels : (N,) int64, 0..K-1
    split : (N,) uint8, 0 train, 1 test
    class_names : K names
    name : where the data came from
    present : {modality: bool (N,)}, every modality named, or None if every sample has them all.
        An absent row may hold anything, NaN too; `features` and `read` give zeros for it.

    Raises
    ------
    ValueError
        naming the array, what was found and what would do
    """

    features: dict[str, Any]
    labels: NDArray[np.int64]
    split: NDArray[np.uint8]
    class_names: tuple[str, ...]
    name: str = "arrays"
    present: dict[str, NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        given = {str(view): X for view, X in _mapping("features", self.features).items()}
        if not given:
            raise ValueError("features is empty; give at least one view")
        labels, split = as_codes("labels", self.labels), as_split(self.split)
        masks = _masks(self.present, given, len(labels))
        features = {
            view: _matrix(view, X, None if masks is None else masks[view])
            for view, X in given.items()
        }
        rows = {view: len(X) for view, X in features.items()}
        rows |= {"labels": len(labels), "split": len(split)}
        if len(set(rows.values())) > 1 or not len(labels):
            raise ValueError(f"all arrays need the same number of rows, at least one; found {rows}")
        names = as_names(self.class_names)
        if labels.min() < 0 or labels.max() >= len(names):
            raise ValueError(
                f"labels must be 0..{len(names) - 1} for {len(names)} classes; found "
                f"{labels.min()}..{labels.max()}"
            )
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "split", split)
        object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "present", masks)

    def __repr__(self) -> str:
        return f"Views({self.name!r}, rows={len(self)}, dims={self.dims}, lazy={self.lazy})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without `train` and `test`, which would be pickled as copies of the rows.
        fields = (self.features, self.labels, self.split, self.class_names, self.name, self.present)
        return Views, fields

    @classmethod
    def from_arrays(
        cls,
        features: Mapping[str, ArrayLike],
        labels: ArrayLike,
        split: ArrayLike | None = None,
        *,
        test_fraction: float = 0.25,
        seed: int = 0,
        class_names: Iterable[str] | None = None,
        name: str = "arrays",
        present: Mapping[str, ArrayLike] | None = None,
    ) -> Views:
        """Views of plain arrays.

        Parameters
        ----------
        features : {modality: (N, d)}
        labels : (N,), every one of 0..K-1 occurs; or strings, which become the class names
        split : (N,) 0 train, 1 test, or these words; None draws a stratified split
        test_fraction, seed : of that split
        class_names : K names, of which some need not occur; None, the labels themselves
        name : where the data came from
        present : {modality: bool (N,)}, a modality that it does not name is present; None if
            every sample has every modality
        """
        features = _mapping("features", features)
        codes, names = encode(labels, class_names)
        if split is None:
            split = stratified(codes, test_fraction, seed)
        return cls(features, codes, split, names, name, present)  # type: ignore[arg-type]

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in order."""
        return tuple(self.features)

    @property
    def dims(self) -> dict[str, int]:
        """{modality: d}."""
        return {view: X.shape[1] for view, X in self.features.items()}

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return len(self.class_names)

    @property
    def lazy(self) -> bool:
        """Whether features stay in their file; labels, split and presence are always in memory."""
        return any(isinstance(X, Stored) for X in self.features.values())

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def train(self) -> Views:
        """The training rows."""
        return self.subset(self.split == TRAIN)

    @cached_property
    def test(self) -> Views:
        """The test rows."""
        return self.subset(self.split == TEST)

    def read(
        self, rows: ArrayLike, names: Iterable[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Copies of some rows, {modality: float32 (len(rows), d)}, zero where absent.

        Parameters
        ----------
        rows : integers from 0 to N - 1, in any order. From a file, rows that lie near each other
            cost least.
        names : the modalities to read; None for all

        Raises
        ------
        ValueError
            for bad rows or names, and for a row in the file that is not finite
        """
        chosen = self._rows(rows)
        wanted = self.names if names is None else list(names)
        unknown = [view for view in wanted if view not in self.features]
        if unknown:
            raise ValueError(f"names has {unknown}; the views are {list(self.names)}")
        return {
            view: X.read(chosen) if isinstance(X, Stored) else X[chosen]
            for view, X in self.features.items()
            if view in wanted
        }

    def read_present(self, rows: ArrayLike) -> dict[str, NDArray[np.bool_]] | None:
        """Presence of some rows, {modality: bool (len(rows),)}, or None if nothing is absent."""
        chosen = self._rows(rows)
        return self.present and {view: mask[chosen] for view, mask in self.present.items()}

    def subset(self, mask: ArrayLike) -> Views:
        """The rows where `mask`, bool (N,), is True; ValueError if there are none."""
        chosen = as_array("mask", mask)
        if chosen.dtype != bool or chosen.shape != self.labels.shape:
            raise ValueError(
                f"mask must be bool with shape {self.labels.shape}; found {chosen.dtype} with "
                f"shape {chosen.shape}"
            )
        if not chosen.any():
            raise ValueError(f"mask selects none of the {len(chosen)} rows of {self.name}")
        rows = np.flatnonzero(chosen)
        features = {
            view: X.subset(rows) if isinstance(X, Stored) else X[rows]
            for view, X in self.features.items()
        }
        return Views(
            features,
            self.labels[rows],
            self.split[rows],
            self.class_names,
            self.name,
            self.read_present(rows),
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write to a file that `load_views` reads, see `pnpfuse.saving.save_views`."""
        from pnpfuse.saving import save_views

        return save_views(self, path)

    def _rows(self, rows: ArrayLike) -> NDArray[np.int64]:
        chosen = as_array("rows", rows)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise ValueError(
                f"rows must be integers with one axis; found {chosen.dtype} with shape "
                f"{chosen.shape}"
            )
        if len(chosen) and not (0 <= chosen.min() and chosen.max() < len(self)):
            raise ValueError(
                f"rows must be from 0 to {len(self) - 1}; found {chosen.min()}..{chosen.max()}"
            )
        return chosen.astype(np.int64)


def check_is_views(views: Views) -> Views:
    """`views`, or a ValueError if it is something else."""
    if not isinstance(views, Views):
        raise ValueError(f"views must be Views, as load_views gives; found {type(views).__name__}")
    return views


def _mapping(argument: str, given: Mapping[str, ArrayLike]) -> Mapping[str, ArrayLike]:
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{argument} must be a mapping {{modality: array}}; found {type(given).__name__}"
        )
    return given


def _masks(
    present: Mapping[str, ArrayLike] | None, features: Mapping[str, Any], rows: int
) -> dict[str, NDArray[np.bool_]] | None:
    """Presence of every modality, (N,) each."""
    if present is None:
        return None
    given = {str(view): mask for view, mask in _mapping("present", present).items()}
    unknown = sorted(set(given) - set(features))
    if unknown:
        raise ValueError(f"present names {unknown}; the views are {list(features)}")
    masks = {view: np.ones(rows, bool) for view in features}
    for view, values in given.items():
        mask = as_array(f"present[{view!r}]", values)
        # NetCDF has no bool: files of other programs hold 0 and 1.
        if mask.shape != (rows,) or mask.dtype.kind not in "iub" or not np.isin(mask, (0, 1)).all():
            raise ValueError(
                f"present[{view!r}] must be bool with shape ({rows},); found {mask.dtype} with "
                f"shape {mask.shape}"
            )
        masks[view] = mask.astype(bool)
    nothing = np.flatnonzero(~np.any(list(masks.values()), axis=0))
    if len(nothing):
        raise ValueError(
            f"present has no modality for {len(nothing)} rows (first: {nothing[0]}); every sample "
            "needs at least one: leave these rows out"
        )
    return masks


def _matrix(view: str, X: Any, present: NDArray[np.bool_] | None) -> NDArray[np.float32] | Stored:
    if isinstance(X, Stored):
        return X if present is None else X.masked(present)
    array = as_array(f"view {view!r}", X)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiub":
        raise ValueError(not_a_matrix(view, array.dtype, array.shape))
    with np.errstate(over="ignore"):  # what overflows float32 is reported below
        matrix = np.ascontiguousarray(array, np.float32)
    if present is not None and len(present) == len(matrix) and matrix[~present].any():
        matrix = np.where(present[:, None], matrix, np.float32(0))
    check_finite(view, matrix)
    return matrix
