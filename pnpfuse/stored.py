"""Matrices that stay in their file and are read some rows at a time."""

from __future__ import annotations

import os
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

NEAR = 2**18  # bytes that cost little more to read than to skip
SLAB = 2**24  # bytes read at once, unless one chunk of the file is larger


class Source(Protocol):
    """A matrix in a file: its shape, its dtype, the rows of a chunk, and a way to read a slab."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: int

    def slab(self, start: int, stop: int) -> NDArray:
        """The rows from `start` to `stop`, (stop - start, d)."""


class Stored:
    """A matrix (N, d) in a file, read as float32.

    Stands in for an array in `Views.features`: it has `shape`, `ndim`, `dtype` and `len`, and
    `numpy.asarray` reads it whole. It pickles as a reference to the file.

    Parameters
    ----------
    view : name of the modality, for errors
    source : where the rows are
    rows : int (N,), which rows of the source; None for all
    present : bool, one for each row OF THE SOURCE; a row that is False reads as zeros, whatever
        the file holds there. None for all present.
    """

    def __init__(
        self,
        view: str,
        source: Source,
        rows: NDArray[np.int64] | None = None,
        present: NDArray[np.bool_] | None = None,
    ):
        if len(source.shape) != 2 or source.shape[1] == 0 or source.dtype.kind not in "fiub":
            raise ValueError(not_a_matrix(view, source.dtype, source.shape))
        self.view = view
        self.source = source
        self.rows = rows
        self.present = present

    @property
    def shape(self) -> tuple[int, int]:
        """(N, d)."""
        return len(self), self.source.shape[1]

    @property
    def ndim(self) -> int:
        """2."""
        return 2

    @property
    def dtype(self) -> np.dtype:
        """float32, what `read` gives."""
        return np.dtype(np.float32)

    @property
    def chunk(self) -> int:
        """Rows that are read for the price of one."""
        return self.source.chunk

    def __len__(self) -> int:
        return self.source.shape[0] if self.rows is None else len(self.rows)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> NDArray:
        return self.read(np.arange(len(self))).astype(dtype or np.float32, copy=False)

    def __repr__(self) -> str:
        return f"Stored({self.view!r}, shape={self.shape})"

    def subset(self, rows: NDArray[np.int64]) -> Stored:
        """These rows of it; nothing is read."""
        chosen = rows if self.rows is None else self.rows[rows]
        return Stored(self.view, self.source, chosen, self.present)

    def masked(self, present: NDArray[np.bool_]) -> Stored:
        """It with presence (N,) for its rows; nothing is read."""
        of_source = np.ones(self.source.shape[0], bool)
        of_source[slice(None) if self.rows is None else self.rows] = present
        return Stored(self.view, self.source, self.rows, of_source)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows, float32 (len(rows), d), in any order, repeated too.

        Raises
        ------
        ValueError
            for a present row that is not finite, by its number in the file
        """
        wanted = rows if self.rows is None else self.rows[rows]
        found, back = np.unique(wanted, return_inverse=True)  # sorted: the file is read forwards
        matrix = np.empty((len(found), self.source.shape[1]), np.float32)
        for start, stop in self._slabs(found):
            first, last = int(found[start]), int(found[stop - 1])
            slab = self.source.slab(first, last + 1)  # (last + 1 - first, d)
            with np.errstate(over="ignore"):  # what overflows float32 is reported below
                matrix[start:stop] = slab[found[start:stop] - first]
        if self.present is not None:
            matrix[~self.present[found]] = 0
        check_finite(self.view, matrix, found)
        return matrix[back]

    def _slabs(self, found: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Ranges of `found`, sorted rows, that are read in one go."""
        if not len(found):
            return []
        chunk = self.source.chunk
        most = chunk * max(1, SLAB // (chunk * self.source.shape[1] * self.source.dtype.itemsize))
        apart = (np.diff(found // chunk) > 1) | (np.diff(found // most) > 0)
        return list(pairwise([0, *(np.flatnonzero(apart) + 1).tolist(), len(found)]))


class Variable:
    """A lazily indexed xarray variable as a `Source`.

    Parameters
    ----------
    variable : two-dimensional, of a Dataset opened with ``cache=False``
    sample : the dimension that counts the rows
    """

    def __init__(self, variable: xr.Variable, sample: str):
        self.variable = variable
        self.sample = sample
        self.dtype = variable.dtype
        others = [dim for dim in variable.dims if dim != sample]
        self.dims = (sample, *others)
        self.shape = tuple(variable.sizes[dim] for dim in self.dims)
        chunks = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
        axis = variable.dims.index(sample)
        width = max(1, int(np.prod(self.shape[1:])) * self.dtype.itemsize)
        self.chunk = max(1, int(chunks[axis]) if chunks else 0, NEAR // width)

    def slab(self, start: int, stop: int) -> NDArray:
        """The rows from `start` to `stop`."""
        rows = self.variable.isel({self.sample: slice(start, stop)}).transpose(*self.dims)
        try:
            return rows.values
        except RuntimeError as error:  # of Zarr's codecs, for a damaged chunk
            raise ValueError(
                f"rows {start} to {stop - 1} of the file cannot be read: {error}"
            ) from error


class Member:
    """An array of an uncompressed ``.npz`` archive as a `Source`, mapped into memory.

    Parameters
    ----------
    path : of the archive
    name : of the array

    Raises
    ------
    ValueError
        if the archive is compressed: its rows cannot be found without unpacking all before them
    """

    def __init__(self, path: Path, name: str):
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(
                f"{name} is compressed and cannot be read row by row; take lazy=False, or save it "
                "with numpy.savez, or as .nc or .zarr with save_views"
            )
        with open(path, "rb") as file:
            # The entry's own header: 30 bytes, then its name and extra field, whose lengths may
            # differ from those in the directory at the archive's end.
            file.seek(entry.header_offset + 26)
            name_length, extra_length = np.frombuffer(file.read(4), "<u2").tolist()
            file.seek(name_length + extra_length, os.SEEK_CUR)
            major, _ = np.lib.format.read_magic(file)
            read_header = {
                1: np.lib.format.read_array_header_1_0,
                2: np.lib.format.read_array_header_2_0,
            }
            if major not in read_header:
                raise ValueError(f"{name} has the .npy version {major}; 1 and 2 are known")
            self.shape, fortran, self.dtype = read_header[major](file)
            self.offset = file.tell()
        self.path = path
        self.order = "F" if fortran else "C"
        width = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        self.chunk = max(1, NEAR // max(1, width))

    def slab(self, start: int, stop: int) -> NDArray:
        """The rows from `start` to `stop`, copied out of the file."""
        # Mapped anew each time: a memmap that is kept would be pickled with all it holds.
        rows = np.memmap(
            self.path,
            self.dtype,
            "r",
            self.offset,
            self.shape,
            self.order,  # type: ignore
        )[start:stop]
        return np.array(rows)


def not_a_matrix(view: str, dtype: np.dtype, shape: tuple[int, ...]) -> str:
    """What to say of an array that is no view."""
    return (
        f"view {view!r} must be a matrix of real numbers (N, d) with d >= 1; found {dtype} with "
        f"shape {shape}"
    )


def check_finite(view: str, matrix: NDArray, rows: ArrayLike | None = None) -> None:
    """ValueError if a row of `matrix` is not finite; `rows` are the numbers to call them by."""
    if np.isfinite(matrix).all():
        return
    bad = np.flatnonzero(~np.isfinite(matrix).all(1))
    first = bad[0] if rows is None else np.asarray(rows)[bad[0]]
    raise ValueError(
        f"view {view!r} has NaN or values that are infinite in float32 in {len(bad)} rows "
        f"(first: {first}); clean or impute them, or mark them as absent with present"
    )
