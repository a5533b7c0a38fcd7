"""Named views of the same samples, with labels and a fixed train-test split."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

TRAIN, TEST = 0, 1
PREFIX = "view_"


@dataclass(frozen=True, eq=False)
class Views:
    """Feature vectors of several modalities for the same samples.

    Attributes
    ----------
    features : {modality: (N, d) float32}, in the order of the cycle
    labels : (N,) int64, 0..K-1
    split : (N,) uint8, 0 train, 1 test
    class_names : K names
    name : where the data came from

    Raises
    ------
    ValueError
        naming the array, what was found and what would do
    """

    features: dict[str, NDArray[np.float32]]
    labels: NDArray[np.int64]
    split: NDArray[np.uint8]
    class_names: tuple[str, ...]
    name: str = "arrays"

    def __post_init__(self) -> None:
        features = {str(view): _matrix(view, X) for view, X in _mapping(self.features).items()}
        labels, split = _codes("labels", self.labels), _codes("split", self.split)
        if not features:
            raise ValueError("features is empty; give at least one view")
        rows = {view: len(X) for view, X in features.items()}
        rows |= {"labels": len(labels), "split": len(split)}
        if len(set(rows.values())) > 1 or not len(labels):
            raise ValueError(f"all arrays need the same number of rows, at least one; found {rows}")
        if not set(np.unique(split)) <= {TRAIN, TEST}:
            raise ValueError(f"split must be 0 (train) or 1 (test); found {np.unique(split)[:5]}")
        names = _names(self.class_names)
        if labels.min() < 0 or labels.max() >= len(names):
            raise ValueError(
                f"labels must be 0..{len(names) - 1} for {len(names)} classes; found "
                f"{labels.min()}..{labels.max()}"
            )
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "split", split.astype(np.uint8))
        object.__setattr__(self, "class_names", names)

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
    ) -> "Views":
        """Views of plain arrays.

        Parameters
        ----------
        features : {modality: (N, d)}
        labels : (N,), every one of 0..K-1 occurs
        split : (N,) 0 train, 1 test; None draws a stratified split
        test_fraction, seed : of that split
        class_names : K names; None, the labels themselves
        name : where the data came from
        """
        features, codes = _mapping(features), _codes("labels", labels)
        found = np.unique(codes)
        if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
            raise ValueError(
                f"labels must be 0..K-1, every class occurring and K >= 2; found "
                f"{found[:10].tolist()}"
            )
        names = _names(found if class_names is None else class_names)
        if len(names) != len(found):
            raise ValueError(f"class_names has {len(names)} names for {len(found)} classes")
        if split is None:
            split = _stratified(codes, test_fraction, seed)
        return cls(features, codes, split, names, name)  # type: ignore[arg-type]

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

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def train(self) -> "Views":
        """The training rows."""
        return self.subset(self.split == TRAIN)

    @cached_property
    def test(self) -> "Views":
        """The test rows."""
        return self.subset(self.split == TEST)

    def subset(self, mask: ArrayLike) -> "Views":
        """The rows where `mask`, bool (N,), is True; ValueError if there are none."""
        rows = _array("mask", mask)
        if rows.dtype != bool or rows.shape != self.labels.shape:
            raise ValueError(
                f"mask must be bool with shape {self.labels.shape}; found {rows.dtype} with "
                f"shape {rows.shape}"
            )
        if not rows.any():
            raise ValueError(f"mask selects none of the {len(rows)} rows of {self.name}")
        features = {view: X[rows] for view, X in self.features.items()}
        return Views(features, self.labels[rows], self.split[rows], self.class_names, self.name)


def check_is_views(views: Views) -> Views:
    """`views`, or a ValueError if it is something else."""
    if not isinstance(views, Views):
        raise ValueError(f"views must be Views, as load_views gives; found {type(views).__name__}")
    return views


def load_views(path_or_name: str | os.PathLike[str]) -> Views:
    """Views from a file, or a built-in set by name.

    Parameters
    ----------
    path_or_name : "digits", scikit-learn's 8 x 8 digits in three views, or the path of an ``.npz``
        file with ``view_<name>`` (N, d), ``y`` (N,) and, if known, ``split`` (N,), ``class_names``
        and ``view_names`` (the order); without ``split`` a stratified quarter is the test set

    Raises
    ------
    ValueError
        naming the file and what is wrong with it
    """
    if not isinstance(path_or_name, (str, os.PathLike)):
        raise ValueError(
            f"path_or_name must be 'digits' or the path of an .npz file; found {path_or_name!r}"
        )
    if path_or_name == "digits":
        return _digits()
    path = Path(path_or_name)
    if not os.path.isfile(path):  # Path.is_file raises for a name too long
        raise ValueError(f"{path} does not exist; give the path of an .npz file, or 'digits'")
    try:
        return _from_npz(_read_npz(path), path.name)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def _read_npz(path: Path) -> dict[str, NDArray]:
    try:
        # Opened here: numpy leaves the file open if it looks like an archive and is none.
        # No pickle: opening a file runs no code.
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                return {key: archive[key] for key in archive.files}
    except Exception as error:  # whatever a damaged archive makes zipfile, zlib and numpy raise
        raise ValueError(f"it is no .npz archive that can be read ({error})") from error
    raise ValueError("it holds a single array, not an .npz archive")


def _from_npz(arrays: dict[str, NDArray], name: str) -> Views:
    stored = [key.removeprefix(PREFIX) for key in arrays if key.startswith(PREFIX)]
    stored = [view for view in stored if view != "names"]  # view_names is no view
    if not stored:
        raise ValueError(f"it has no {PREFIX}<name> array, only {sorted(arrays)}")
    if "y" not in arrays:
        raise ValueError(f"it has no labels y, only {sorted(arrays)}")
    order = [str(view) for view in np.atleast_1d(arrays.get("view_names", stored))]
    if sorted(order) != sorted(stored):
        raise ValueError(f"view_names lists {order}, the views are {stored}")
    return Views.from_arrays(
        {view: arrays[PREFIX + view] for view in order},
        arrays["y"],
        arrays.get("split"),
        class_names=np.atleast_1d(arrays["class_names"]) if "class_names" in arrays else None,
        name=name,
    )


def _digits() -> Views:
    """Three views of the 8 x 8 images: pixels, Fourier magnitudes, row and column sums."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images  # (N, 8, 8)
    views = {
        "pixels": images.reshape(len(images), -1),  # (N, 64)
        "fourier": np.abs(np.fft.rfft2(images)).reshape(len(images), -1),  # (N, 8 * 5)
        "profiles": np.concatenate([images.sum(2), images.sum(1)], axis=1),  # (N, 8 + 8)
    }
    return Views.from_arrays(views, digits.target, name="digits")


def _stratified(labels: NDArray[np.int64], test_fraction: float, seed: int) -> NDArray[np.uint8]:
    from sklearn.model_selection import train_test_split

    if not isinstance(test_fraction, Real) or not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be a number between 0 and 1; found {test_fraction!r}")
    if not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be an integer from 0 to 2**32 - 1; found {seed!r}")
    try:
        _, test = train_test_split(
            np.arange(len(labels)),
            test_size=float(test_fraction),
            random_state=int(seed),
            stratify=labels,
        )
    except ValueError as error:
        raise ValueError(f"labels cannot be split by class: {error}; give split") from error
    split = np.zeros(len(labels), np.uint8)
    split[test] = TEST
    return split


def _mapping(features: Mapping[str, ArrayLike]) -> Mapping[str, ArrayLike]:
    if not isinstance(features, Mapping):
        raise ValueError(
            f"features must be a mapping {{modality: (N, d)}}; found {type(features).__name__}"
        )
    return features


def _names(class_names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(class_names, (str, bytes)) or not isinstance(class_names, Iterable):
        raise ValueError(f"class_names must be a list of names; found {class_names!r}")
    return tuple(map(str, class_names))


def _array(argument: str, values: ArrayLike) -> NDArray:
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{argument} is a masked array; fill it, or leave the masked rows out")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors on a GPU
        raise ValueError(f"{argument} is no array: {error}") from error


def _matrix(view: str, X: ArrayLike) -> NDArray[np.float32]:
    array = _array(f"view {view!r}", X)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"view {view!r} must be a matrix of real numbers (N, d) with d >= 1; found "
            f"{array.dtype} with shape {array.shape}"
        )
    with np.errstate(over="ignore"):  # what overflows float32 is reported below
        matrix = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(matrix).all():
        rows = np.flatnonzero(~np.isfinite(matrix).all(1))
        raise ValueError(
            f"view {view!r} has NaN or values that are infinite in float32 in {len(rows)} rows "
            f"(first: {rows[0]}); clean or impute them"
        )
    return matrix


def _codes(argument: str, values: ArrayLike) -> NDArray[np.int64]:
    array = _array(argument, values)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise ValueError(
            f"{argument} must be integers with shape (N,); found {array.dtype} with shape "
            f"{array.shape}"
        )
    return array.astype(np.int64)
