"""Labels, class names and splits as users hold them, turned into whole numbers."""

from collections.abc import Iterable
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

TRAIN, TEST = 0, 1
SPLIT_NAMES = ("train", "test")


def as_array(argument: str, values: ArrayLike) -> NDArray:
    """`values` as an array; ValueError for ragged lists, masked arrays, tensors on a GPU."""
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{argument} is a masked array; fill it, or leave the masked rows out")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{argument} is no array: {error}") from error


def as_codes(argument: str, values: ArrayLike) -> NDArray[np.int64]:
    """Whole numbers (N,) as int64."""
    array = as_array(argument, values)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise ValueError(
            f"{argument} must be integers with shape (N,); found {array.dtype} with shape "
            f"{array.shape}"
        )
    return array.astype(np.int64)


def as_texts(values: NDArray) -> NDArray[np.str_] | None:
    """Strings or bytes (N,) as strings; None if they are something else."""
    if values.ndim == 1 and values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    texts = values.ndim == 1 and (
        values.dtype.kind in "UT"
        or (values.dtype.kind == "O" and all(isinstance(text, str) for text in values))
    )
    # By way of a list: astype cannot measure strings of variable length, as Zarr holds them.
    return np.array(values.tolist(), dtype=str) if texts else None


def as_names(class_names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes as a tuple."""
    if isinstance(class_names, (str, bytes)) or not isinstance(class_names, Iterable):
        raise ValueError(f"class_names must be a list of names; found {class_names!r}")
    return tuple(map(str, class_names))


def encode(
    labels: ArrayLike, class_names: Iterable[str] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels (N,) as 0..K-1 and the K class names.

    Parameters
    ----------
    labels : integers 0..K-1, or strings
    class_names : in the order of the codes; a class that they name need not occur. None takes the
        integers themselves, every one occurring, or the strings in alphabetical order.

    Raises
    ------
    ValueError
        for other labels, and where fewer than two classes occur
    """
    names = None if class_names is None else as_names(class_names)
    texts = as_texts(as_array("labels", labels))
    if texts is not None:
        found, codes = np.unique(texts, return_inverse=True)  # the classes that occur, (N,)
        names = tuple(map(str, found)) if names is None else names
        unknown = sorted(set(map(str, found)) - set(names))
        if unknown:
            raise ValueError(f"labels has {unknown[:5]}, which class_names lacks: {list(names)}")
        codes = np.array([names.index(str(name)) for name in found], np.int64)[codes]
    else:
        codes = as_codes("labels", labels)
    occurring = np.unique(codes).tolist()
    if names is None:
        gaps = occurring != list(range(len(occurring)))
        names = tuple(map(str, occurring))
    elif len(names) < len(occurring):
        raise ValueError(f"class_names has {len(names)} names for {len(occurring)} classes")
    else:
        gaps = not 0 <= occurring[0] <= occurring[-1] < len(names) if occurring else True
    if len(occurring) < 2 or gaps:
        raise ValueError(
            "labels must be 0..K-1 (or strings) with K >= 2, every class occurring unless "
            f"class_names names it; found {occurring[:10]}"
        )
    return codes, names


def as_split(split: ArrayLike) -> NDArray[np.uint8]:
    """A split (N,) as 0 and 1, from these or from "train" and "test"."""
    texts = as_texts(as_array("split", split))
    if texts is None:
        codes = as_codes("split", split)
    elif set(texts) <= set(SPLIT_NAMES):
        codes = (texts == SPLIT_NAMES[TEST]).astype(np.int64)
    else:
        raise ValueError(f"split must be 'train' or 'test'; found {sorted(set(texts))[:5]}")
    if not set(np.unique(codes)) <= {TRAIN, TEST}:
        raise ValueError(f"split must be 0 (train) or 1 (test); found {np.unique(codes)[:5]}")
    return codes.astype(np.uint8)


def stratified(labels: NDArray[np.int64], test_fraction: float, seed: int) -> NDArray[np.uint8]:
    """A drawn split (N,) with `test_fraction` of every class in the test set."""
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
