"""Files written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import xarray as xr


def write_whole(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Call ``write`` with a temporary path beside ``path``, then put its file in place.

    An interruption leaves an older file as it was and never half of a new one.

    Parameters
    ----------
    path : path
        Where the file is to stand; its folder is made if need be.
    write : callable
        Takes a path with the same ending and writes there.
    """
    path = Path(path)
    with _beside_file(path) as name:
        draft = Path(name) / path.name
        write(draft)
        os.replace(draft, path)
    return path


def check_writable(path: str | os.PathLike[str]) -> None:
    """OSError where `write_whole` could not put a file; its folder is made if need be."""
    _beside_file(Path(path)).cleanup()


def write_folder_whole(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Like `write_whole` for a Zarr store, which is a folder.

    Only a folder that is itself a Zarr store is replaced; OSError for anything else that is there.
    """
    path = Path(path)
    marks = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")
    if os.path.lexists(path) and not any((path / mark).is_file() for mark in marks):
        raise OSError(f"cannot write {path}: it is there already and is no Zarr store")
    with _beside(path) as name:
        draft, older = Path(name) / path.name, Path(name) / "older"
        write(draft)
        if path.exists():
            os.replace(path, older)  # a folder that holds something cannot be replaced in one go
        shutil.move(draft, path)
    return path


def save_dataset(dataset: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a Dataset as NetCDF; `xarray.open_dataset` reads it back, attrs and all."""
    return write_whole(path, lambda draft: dataset.to_netcdf(draft, engine="h5netcdf"))


def save_bytes(content: bytes, path: str | os.PathLike[str]) -> Path:
    """Write bytes as they are."""
    return write_whole(path, lambda draft: draft.write_bytes(content))


def save_text(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a text as UTF-8."""
    return save_bytes(text.encode("utf-8"), path)


def _beside_file(path: Path) -> tempfile.TemporaryDirectory:
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {path}: it is no plain file")
    return _beside(path)


def _beside(path: Path) -> tempfile.TemporaryDirectory:
    """A temporary folder beside `path`, seen only while it is written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-")
    except OSError as error:  # its own words name the temporary folder
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
