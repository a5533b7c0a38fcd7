"""Views written to files, block by block, so that they need not fit in memory."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.provenance import provenance
from pnpfuse.storage import write_folder_whole, write_whole
from pnpfuse.stored import NEAR, SLAB
from pnpfuse.views import Views, check_is_views


def save_views(views: Views, path: str | os.PathLike[str]) -> Path:
    """Write views to a file that `load_views` reads back unchanged; hands back the path.

    Parameters
    ----------
    views : in memory or lazy; a lazy one is copied some rows at a time
    path : ending in ``.npz`` (uncompressed, so that it can be read lazily), ``.nc`` (NetCDF 4) or
        ``.zarr``. The features stand in chunks of whole rows, 256 KiB each. An older file is
        replaced once the new one is complete.

    Notes
    -----
    Variables ``view_<name>`` (sample, feature_<name>), ``y``, ``split`` and, where samples lack
    modalities, ``present_<name>`` (sample,); attributes ``view_names`` and ``class_names``.

    Raises
    ------
    ValueError
        for another ending, or a modality that no variable can be called by
    """
    check_is_views(views)
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path must be a path; found {path!r}")
    path = Path(path)
    writers = {".npz": _write_npz, ".nc": _write_netcdf, ".zarr": _write_zarr}
    if path.suffix not in writers:
        raise ValueError(f"path must end in {', '.join(writers)}; found {str(path)!r}")
    bad = [m for m in views.names if not m or "/" in m or m == "names" or m != m.strip()]
    if bad:
        raise ValueError(f"features has modalities that cannot be saved as view_<name>: {bad}")
    write = writers[path.suffix]
    whole = write_folder_whole if path.suffix == ".zarr" else write_whole
    return whole(path, lambda draft: write(views, draft))


def _write_npz(views: Views, draft: Path) -> None:
    small: dict[str, NDArray] = {
        "y": views.labels,
        "split": views.split,
        "class_names": np.array(views.class_names),
        "view_names": np.array(views.names),
    }
    small |= {f"present_{m}": mask for m, mask in (views.present or {}).items()}
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        for key, array in small.items():
            with archive.open(f"{key}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
        for m, width in views.dims.items():
            with archive.open(f"view_{m}.npy", "w", force_zip64=True) as entry:
                _write_matrix(entry, views, m, width)


def _write_matrix(entry: IO[bytes], views: Views, view: str, width: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(views), width)}
    np.lib.format.write_array_header_1_0(entry, header)
    for rows in _blocks(views, width):
        entry.write(views.read(rows, [view])[view].astype("<f4", copy=False).tobytes())


def _write_netcdf(views: Views, draft: Path) -> None:
    import h5netcdf

    _small(views).to_netcdf(draft, engine="h5netcdf")
    with h5netcdf.File(draft, "a") as file:
        for m, width in views.dims.items():
            file.dimensions[f"feature_{m}"] = width
            chunks = (min(_chunk(width), len(views)), width)
            dims = ("sample", f"feature_{m}")
            matrix = file.create_variable(f"view_{m}", dims, "<f4", chunks=chunks)
            matrix.attrs.update(_attrs(m))
            for rows in _blocks(views, width):
                matrix[rows[0] : rows[-1] + 1] = views.read(rows, [m])[m]


def _write_zarr(views: Views, draft: Path) -> None:
    import zarr

    _small(views).to_zarr(draft, mode="w", zarr_format=3, consolidated=False)
    group = zarr.open_group(draft, mode="r+")
    for m, width in views.dims.items():
        matrix = group.create_array(
            f"view_{m}",
            shape=(len(views), width),
            chunks=(min(_chunk(width), len(views)), width),
            dtype="float32",
            fill_value=float("nan"),  # a chunk that is lost must not read as zeros
            dimension_names=("sample", f"feature_{m}"),
            attributes=_attrs(m),
        )
        for rows in _blocks(views, width):
            matrix[rows[0] : rows[-1] + 1] = views.read(rows, [m])[m]


def _small(views: Views) -> xr.Dataset:
    """All but the features."""
    dataset = xr.Dataset(
        {
            key: ("sample", values, {"units": "1", "long_name": long_name})
            for key, values, long_name in (
                ("y", views.labels, "class, an index into class_names"),
                ("split", views.split, "0 train, 1 test"),
            )
        }
    )
    for m, mask in (views.present or {}).items():
        attrs = {"units": "1", "long_name": f"whether the sample has {m}"}
        dataset[f"present_{m}"] = ("sample", mask, attrs)
    dataset.attrs = provenance(
        "feature vectors of several modalities for the same samples",
        data=views.name,
        view_names=list(views.names),
        class_names=list(views.class_names),
    )
    return dataset


def _attrs(view: str) -> dict[str, Any]:
    return {"units": "1", "long_name": f"features of {view}"}


def _chunk(width: int) -> int:
    """Rows of a chunk."""
    return max(1, NEAR // (4 * width))


def _blocks(views: Views, width: int) -> Iterator[NDArray[np.int64]]:
    """Consecutive rows, whole chunks, as many at a time as one slab holds."""
    size = _chunk(width) * max(1, SLAB // (4 * width * _chunk(width)))
    for start in range(0, len(views), size):
        yield np.arange(start, min(start + size, len(views)))
