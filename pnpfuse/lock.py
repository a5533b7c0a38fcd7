"""One process at a time in a folder, by a lock that ends with the process however it ends."""

import errno
import os
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # not on every system: there it is for the user to see to it
    fcntl = None  # type: ignore[assignment]

BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_held: set[int] = set()


class Lock:
    """A folder's lock, held from the making of the object to `release`.

    Where the system or the file system has no locks there is none.

    Parameters
    ----------
    folder : what is locked
    wait : for another process to release it

    Raises
    ------
    BlockingIOError
        if another process, or another lock of this one, holds it and `wait` is not set
    """

    def __init__(self, folder: Path, wait: bool = False):
        self._file: int | None = None
        if fcntl is None:
            return
        self._file = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            os.close(self._file)
            self._file = None
            if error.errno in BUSY:
                raise BlockingIOError(f"{folder} is in use") from error
            return
        _held.add(self._file)
        if not os.path.samestat(os.fstat(self._file), os.stat(folder)):
            self.release()
            raise BlockingIOError(f"{folder} has just been replaced")

    def release(self) -> None:
        """Let others have it; without effect the second time."""
        if self._file is not None:
            _held.discard(self._file)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()


def _forget() -> None:
    """In a forked child, which would go on holding the locks after the end of its parent."""
    for file in _held:
        os.close(file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
