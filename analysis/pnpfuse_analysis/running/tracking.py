"""Results as flat dictionaries of floats, and into whatever keeps the curves of a training run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from numbers import Complex, Real
from typing import Any

import numpy as np
import torch

# Per-sample values have no place among curves.
_PER_SAMPLE = ("local", "sample_")


def scalars(result: Any, prefix: str = "", *, most: int = 64) -> dict[str, float]:
    """Return the numbers in a result as {name: float}, nested names joined by "/".

    Parameters
    ----------
    result : object
        A number; a tensor or NumPy array; an `Estimate`, `GradReport` or any other dataclass; a
        mapping or sequence of these; an xarray Dataset or DataArray; anything with a method
        `scalars()` that returns one of them.
    prefix : str
        Put before every name, with a slash between. A lone number has the prefix for its name, or
        "value".
    most : int
        Arrays of more entries are left out. The others are named by place, by the layers of a
        profile, or by coordinate in xarray.

    Returns
    -------
    dict of str to float
        NaN stays: it says that a value is not defined, which a gap in a curve does not. Masked
        entries are NaN. None, text, and the per-sample fields of records (`local`, `sample_...`)
        are left out.

    Raises
    ------
    ValueError
        If the result is none of the above, holds complex numbers or such as no float can hold, or
        two of its values have one name, as in {"a/b": 1, "a": {"b": 2}}.

    Examples
    --------
    >>> scalars({"mi": 0.5, "gap": torch.tensor([0.25, 0.5])}, "val")
    {'val/mi': 0.5, 'val/gap/0': 0.25, 'val/gap/1': 0.5}
    """
    found: dict[str, float] = {}
    for name, value in _walk(result, prefix.rstrip("/"), most):
        name = name or "value"
        if name in found:
            raise ValueError(f"result must have one value to a name, found two of {name!r}")
        found[name] = value
    if not found and not _holds(result):
        raise ValueError(
            "result must be a number, array, record, mapping or sequence, found "
            f"{type(result).__name__}; give it a method scalars() that returns a dict"
        )
    return found


def log_scalars(writer: Any, result: Any, step: int, prefix: str = "") -> dict[str, float]:
    """Hand the scalars of a result to a logger of any make, and return them.

    Parameters
    ----------
    writer : object
        The first that it has: `add_scalar(tag, value, step)` (TensorBoard's SummaryWriter),
        `log_metrics(dict, step=...)` (Lightning's loggers, MLflow), `log_dict(dict)` (a
        LightningModule), `log(dict, step=...)` (Weights & Biases); a list, which gets a dict with
        the step for each call; or a dict, which gets name -> list of (step, value).
    result, prefix
        As in `scalars`.
    step : int
        Where on the curve.

    Raises
    ------
    ValueError
        If the writer is none of these, or as `scalars`.
    """
    values = scalars(result, prefix)
    if hasattr(writer, "add_scalar"):
        for name, value in values.items():
            writer.add_scalar(name, value, step)
    elif hasattr(writer, "log_metrics"):
        writer.log_metrics(values, step=step)
    elif hasattr(writer, "log_dict"):
        writer.log_dict(values)
    elif hasattr(writer, "log") and not isinstance(writer, logging.Logger | logging.LoggerAdapter):
        writer.log(values, step=step)
    elif isinstance(writer, MutableMapping):
        for name, value in values.items():
            writer.setdefault(name, []).append((step, value))
    elif isinstance(writer, MutableSequence):
        writer.append({"step": step, **values})
    else:
        raise ValueError(
            "writer must have add_scalar, log_metrics, log_dict or log, or be a list or dict, "
            f"found {type(writer).__name__}; a logger of text takes str(scalars(result))"
        )
    return values


def _holds(value):
    """Whether `_walk` knows what to do with a value, even where nothing is left of it."""
    kinds = Real | torch.Tensor | np.ndarray | Mapping | Sequence
    known = isinstance(value, kinds) and not isinstance(value, str | bytes)
    marks = ("scalars", "data_vars", "coords")
    return known or dataclasses.is_dataclass(value) or any(hasattr(value, m) for m in marks)


def _walk(value, name, most) -> Iterator[tuple[str, float]]:
    """The (name, float) pairs of a value, depth first."""
    if isinstance(value, Real | np.bool_):
        yield name, _number(value, name)
    elif isinstance(value, Complex):
        raise _not_real(name, type(value).__name__)
    elif callable(getattr(value, "scalars", None)):
        yield from _walk(value.scalars(), name, most)
    elif hasattr(value, "data_vars"):
        for key, variable in value.data_vars.items():
            yield from _walk(variable, _joined(name, key), most)
    elif hasattr(value, "coords") and hasattr(value, "dims"):
        labels = [value.coords[d].values if d in value.coords else None for d in value.dims]
        yield from _entries(np.asanyarray(value.values), name, labels, most)
    elif isinstance(value, torch.Tensor | np.ndarray | np.generic):
        yield from _entries(value, name, [None] * value.ndim, most)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, _joined(name, key), most)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _fields(value, name, most)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) <= most:
        for place, item in enumerate(value):
            yield from _walk(item, _joined(name, place), most)


def _fields(record, name, most):
    """The entries of a dataclass; axes as long as its names are labelled by them."""
    names = getattr(record, "names", ())
    for field in dataclasses.fields(record):
        value, key = getattr(record, field.name), _joined(name, field.name)
        if field.name.startswith(_PER_SAMPLE):
            continue
        if field.name == "ci" and value is not None:
            value = dict(zip(("low", "high"), value, strict=True))
        if names and isinstance(value, torch.Tensor | np.ndarray):
            axes = [names if length == len(names) else None for length in value.shape]
            yield from _entries(value, key, axes, most)
        else:
            yield from _walk(value, key, most)


def _entries(values, name, labels, most):
    """The entries of an array, named by the labels of each axis, or by place where there is none.

    Empty or large arrays, and such as hold no numbers, have none.
    """
    tensor = isinstance(values, torch.Tensor)
    if values.is_complex() if tensor else values.dtype.kind == "c":
        raise _not_real(name, values.dtype)
    if (values.numel() if tensor else values.size) > most:
        return
    array = _array(values)
    if array.dtype.kind not in "biuf":
        return
    for place, value in np.ndenumerate(array):
        parts = (
            axis if label is None else label[axis]
            for axis, label in zip(place, labels, strict=True)
        )
        key = name
        for part in parts:
            key = _joined(key, part)
        yield key, float(value)


def _array(values):
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        # NumPy has neither the short floats nor sparse tensors.
        values = values.double() if values.is_floating_point() else values
        return values.to_dense().numpy()
    if np.ma.is_masked(values) and values.dtype.kind in "biuf":
        return values.astype(float).filled(np.nan)
    return np.asarray(values)


def _number(value, name):
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name or 'result'} must fit a float, found more than 1e308") from None


def _not_real(name, found):
    return ValueError(f"{name or 'result'} must be real, found {found}")


def _joined(name, key):
    return f"{name}/{key}" if name else str(key)
