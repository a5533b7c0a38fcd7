"""How kernels are compiled: kept on disk where that is possible."""

import functools
import hashlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from numba import cfunc, config, njit


def jit(**options: Any) -> Callable[[Callable], Any]:
    """Return Numba's decorator with the given options and compiled code kept on disk.

    Where neither the installation nor a home folder can be written, code is compiled anew in every
    process.
    """

    return _kept(functools.partial(njit, **options))


def callback(signature: Any) -> Callable[[Callable], Any]:
    """Return the decorator for functions that kernels are handed, kept like kernels."""
    return _kept(functools.partial(cfunc, signature))


def _kept(decorator: Callable[..., Any]) -> Callable[[Callable], Any]:
    def compile_once(function: Callable) -> Any:
        try:
            return decorator(cache=True)(function)
        except RuntimeError:  # no place for the cache
            return decorator()(function)

    return compile_once


def stamp(*modules: ModuleType) -> str:
    """Return a digest of the sources of modules.

    Numba's cache on disk does not notice a change in a callee of another file, but the values that
    a closure holds are part of its key: a kernel that calls across files is made in a function
    that takes the stamp of those files.
    """
    text = "".join(inspect.getsource(module) for module in modules)
    return hashlib.sha256(text.encode()).hexdigest()


def thread_count() -> int:
    """Numba's number of threads, NUMBA_NUM_THREADS.

    `numba.get_num_threads` is not asked: it starts OpenMP, which changes the number of torch, too.
    """
    return int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
