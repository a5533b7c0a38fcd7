"""Views from files: ``.npz`` archives, NetCDF files and Zarr stores, in memory or left there."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.stored import Member, Stored, Variable
from pnpfuse.views import Views, check_is_views

__all__ = ["Views", "check_is_views", "load_views"]

VIEW, PRESENT = "view_", "present_"
LABELS = ("y", "labels")
LAZY_BYTES = 2**30
FORMATS = "an .npz archive, a NetCDF file or a Zarr store"


def load_views(path_or_name: str | os.PathLike[str], lazy: bool | None = None) -> Views:
    """Views from a file, or a built-in set by name.

    Parameters
    ----------
    path_or_name : "digits", scikit-learn's 8 x 8 digits in three views, or the path of an ``.npz``
        archive, a NetCDF file or a Zarr store; what it is shows in its content, not in its name
    lazy : True leaves the features in the file, where `Views.read` gets rows of them; False reads
        everything now; None, lazily if the features take more than 1 GiB as float32

    Notes
    -----
    An archive holds ``view_<name>`` (N, d) for each modality and ``y`` or ``labels`` (N,): integers
    0..K-1 or strings; if known also ``split`` (N,), 0 or "train", 1 or "test" (else a stratified
    quarter is the test set), ``class_names``, ``view_names`` (the order) and ``present_<name>``,
    bool (N,).

    A Dataset holds the same as variables, ``y`` or ``labels`` over one dimension, ``sample``, and
    ``class_names`` and ``view_names`` as variables or attributes. Where no variable is called
    ``view_<name>``, every numeric variable over ``sample`` and one more dimension is a modality
    under its own name. Without ``view_names`` they are in alphabetical order.

    Raises
    ------
    ValueError
        naming the file and what is wrong with it
    """
    if not isinstance(path_or_name, (str, os.PathLike)):
        raise ValueError(
            f"path_or_name must be 'digits' or the path of {FORMATS}; found {path_or_name!r}"
        )
    if lazy not in (None, True, False):
        raise ValueError(f"lazy must be True, False or None; found {lazy!r}")
    if path_or_name == "digits":
        if lazy:
            raise ValueError("lazy=True needs a file; 'digits' is computed in memory")
        return _digits()
    path = Path(path_or_name)
    if not os.path.exists(path):  # Path.exists raises for a name too long
        raise ValueError(f"{path} does not exist; give the path of {FORMATS}, or 'digits'")
    try:
        engine = _engine(path)
        arrays = _read_npz(path, lazy) if engine is None else _read_dataset(path, engine, lazy)
        return _views(arrays, path.name)
    except (ValueError, RuntimeError) as error:  # Zarr's codecs raise this for a damaged chunk
        raise ValueError(f"{path} cannot be used: {error}") from error


def _engine(path: Path) -> str | None:
    """xarray's engine for a file, by its first bytes; None for numpy's own formats."""
    if path.is_dir():
        return "zarr"
    with open(path, "rb") as file:
        start = file.read(8)
    return "h5netcdf" if start == b"\x89HDF\r\n\x1a\n" else "scipy" if start[:3] == b"CDF" else None


def _views(arrays: Mapping[str, Any], name: str) -> Views:
    stored = [key.removeprefix(VIEW) for key in arrays if key.startswith(VIEW)]
    stored = [view for view in stored if view != "names"]  # view_names is no view
    if not stored:
        raise ValueError(f"it has no {VIEW}<name> array, only {sorted(arrays)}")
    labels = next((key for key in LABELS if key in arrays), None)
    if labels is None:
        raise ValueError(f"it has no labels y, only {sorted(arrays)}")
    order = [str(view) for view in np.atleast_1d(arrays.get("view_names", stored))]
    if sorted(order) != sorted(stored):
        raise ValueError(f"view_names lists {order}, the views are {stored}")
    masks = {key.removeprefix(PRESENT): X for key, X in arrays.items() if key.startswith(PRESENT)}
    return Views.from_arrays(
        {view: arrays[VIEW + view] for view in order},
        arrays[labels],
        arrays.get("split"),
        class_names=np.atleast_1d(arrays["class_names"]) if "class_names" in arrays else None,
        name=name,
        present=masks or None,
    )


def _read_npz(path: Path, lazy: bool | None) -> dict[str, Any]:
    stays = _staying(path, lazy)
    try:
        # Opened here: numpy leaves the file open if it looks like an archive and is none.
        # No pickle: opening a file runs no code.
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                return {key: stays[key] if key in stays else archive[key] for key in archive.files}
    except Exception as error:  # whatever a damaged archive makes zipfile, zlib and numpy raise
        raise ValueError(f"it is no .npz archive that can be read ({error})") from error
    raise ValueError("it holds a single array, not an .npz archive")


def _staying(path: Path, lazy: bool | None) -> dict[str, Stored]:
    """The views of an archive that stay there."""
    if lazy is False or not zipfile.is_zipfile(path):
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {
                entry.filename.removesuffix(".npy"): entry
                for entry in archive.infolist()
                if entry.filename.endswith(".npy")
            }
    except zipfile.BadZipFile:
        return {}  # numpy's reader says what is wrong
    views = [key for key in entries if key.startswith(VIEW) and key != "view_names"]
    large = sum(entries[key].file_size for key in views) > LAZY_BYTES
    packed = any(entries[key].compress_type for key in views)
    if lazy or (large and not packed):
        return {key: Stored(key.removeprefix(VIEW), Member(path, key)) for key in views}
    return {}


def _read_dataset(path: Path, engine: str, lazy: bool | None) -> dict[str, Any]:
    decoding: dict[str, Any] = {
        "decode_times": False,
        "decode_timedelta": False,
    }  # a unit of s makes no date
    zarr: dict[str, Any] = {"consolidated": False, "mask_and_scale": False}
    try:
        dataset = xr.open_dataset(
            path,
            engine=engine,  # type: ignore[arg-type]
            cache=False,
            **decoding,
            **(zarr if engine == "zarr" else {}),
        )
        if engine == "zarr":
            for variable in dataset.variables.values():
                # What an unwritten chunk holds; 0, Zarr's default, does not mark a zero as missing.
                if np.array_equal(variable.attrs.get("_FillValue", np.nan), 0):
                    del variable.attrs["_FillValue"]
            dataset = xr.decode_cf(dataset, decode_coords=False, **decoding)
    except ImportError as error:
        raise ValueError(f"Zarr needs the package zarr (pip install zarr): {error}") from error
    except Exception as error:  # whatever h5py, SciPy and zarr raise for damaged files
        raise ValueError(f"it is not {FORMATS} that can be read ({error})") from error
    arrays, views, sample = _schema(dataset)
    size = sum(4 * dataset[key].size for key in views.values())
    if lazy is None:
        lazy = size > LAZY_BYTES
    for view, key in views.items():
        variable = dataset.variables[key]
        if lazy and variable.ndim == 2:
            arrays[VIEW + view] = Stored(view, Variable(variable, sample))
        else:
            arrays[VIEW + view] = variable.transpose(sample, ...).values
    if not lazy:
        dataset.close()
    return arrays


def _schema(dataset: xr.Dataset) -> tuple[dict[str, Any], dict[str, str], str]:
    """The small arrays as an archive calls them, {modality: variable}, and the sample dimension."""
    names = [str(key) for key in dataset.variables]
    labels = next((key for key in LABELS if key in names), None)
    if labels is None:
        raise ValueError(f"it has no labels, a variable y or labels (sample,); {_found(dataset)}")
    if dataset.variables[labels].ndim != 1:
        raise ValueError(f"{labels} must have one dimension, the samples; {_found(dataset)}")
    sample = str(dataset.variables[labels].dims[0])
    prefixed = [key for key in names if key.startswith(VIEW) and key != "view_names"]
    plain = [
        key
        for key in names
        if dataset.variables[key].ndim == 2
        and sample in dataset.variables[key].dims
        and dataset.variables[key].dtype.kind in "fiub"
    ]
    views = {key.removeprefix(VIEW): key for key in sorted(prefixed or plain)}
    apart = [key for key in views.values() if sample not in dataset.variables[key].dims]
    if not views or apart:
        raise ValueError(
            f"it needs a variable ({sample}, any second dimension) for each modality, called by "
            f"its name or {VIEW}<name>; {_found(dataset)}"
        )
    arrays: dict[str, Any] = {"y": _whole(labels, dataset.variables[labels])}
    for key in ("split", "class_names", "view_names"):
        if key in names:
            arrays[key] = _whole(key, dataset.variables[key])
        elif key in dataset.attrs and key != "split":
            arrays[key] = _listed(dataset.attrs[key])
    for key in names:
        if key.startswith(PRESENT):
            arrays[key] = _whole(key, dataset.variables[key])
    return arrays, views, sample


def _whole(key: str, variable: xr.Variable) -> NDArray:
    """A variable's values; integers that a fill value has turned into floats, as integers."""
    values = variable.values
    if values.dtype.kind == "f" and np.dtype(variable.encoding.get("dtype", "f8")).kind in "iub":
        if np.isnan(values).any():
            bad = np.flatnonzero(np.isnan(values))
            raise ValueError(f"{key} lacks {len(bad)} values (first: row {bad[0]}); fill them")
        return values.astype(np.int64)
    return values


def _listed(attribute: Any) -> list[str]:
    """A list of names in an attribute, which some programs write as JSON."""
    if isinstance(attribute, str) and attribute.startswith("["):
        attribute = json.loads(attribute)
    return [str(entry) for entry in np.atleast_1d(attribute)]


def _found(dataset: xr.Dataset) -> str:
    listed = [
        f"{key} ({', '.join(map(str, variable.dims))}) {variable.dtype}"
        for key, variable in sorted(dataset.variables.items(), key=lambda item: str(item[0]))
    ]
    return f"found {'; '.join(listed) or 'no variable at all'}"


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
