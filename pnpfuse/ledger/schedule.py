"""Tasks that wait for one another, handed out as soon as they can begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass
from typing import Any

from pnpfuse.executors import Processes

# Handed to an executor of unknown size at a time.
IN_FLIGHT = 64


@dataclass(frozen=True)
class Task:
    """Something to do.

    Attributes
    ----------
    name : no other task's
    do : function and its arguments
    after : names of tasks that have to have ended, well or not, before it begins
    """

    name: str
    do: tuple[Any, ...]
    after: frozenset[str] = frozenset()


Outcomes = Generator[tuple[str, Any], None, None]


class _Queue:
    """Tasks that have not begun; those that waited for others go before those that did not."""

    def __init__(self, tasks: Iterable[Task]):
        tasks = list(tasks)
        self.ready = deque(task for task in tasks if not task.after)
        self._blocked = [(task, set(task.after)) for task in tasks if task.after]

    def ended(self, task: Task) -> None:
        for _, others in self._blocked:
            others.discard(task.name)
        self.ready.extendleft(one for one, others in self._blocked if not others)
        self._blocked = [(one, others) for one, others in self._blocked if others]


def outcomes(tasks: Iterable[Task], executor: Executor | None) -> Outcomes:
    """(name, what came out or the exception) of each task, as they end.

    Parameters
    ----------
    tasks : in the order in which they are begun, as far as they do not wait for others
    executor : None for here, one after the other

    Raises
    ------
    BrokenExecutor, CancelledError
        when the executor takes no more tasks, or has given them up
    """
    queue = _Queue(tasks)
    return _here(queue) if executor is None else _elsewhere(queue, executor)


def _here(queue: _Queue) -> Outcomes:
    while queue.ready:
        task = queue.ready.popleft()
        function, *arguments = task.do
        try:
            found: Any = function(*arguments)
        except Exception as error:
            found = error
        queue.ended(task)
        yield task.name, found


def _elsewhere(queue: _Queue, executor: Executor) -> Outcomes:
    """With a worker all that was handed out is lost: it goes out again, one task at a time, so
    that one that loses its worker each time is known and does not take the others with it."""
    lost = deque[Task]()
    running = dict[Future, Task]()
    alone = False
    try:
        while queue.ready or lost or running:
            if lost and not running:
                task, alone = lost.popleft(), True
                running[executor.submit(*task.do)] = task
            while not (lost or alone) and queue.ready and len(running) < _room(executor):
                task = queue.ready.popleft()
                running[executor.submit(*task.do)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task, was_alone = running.pop(future), alone
                alone = False
                try:
                    found: Any = future.result()
                except CancelledError:
                    raise
                except BrokenExecutor as error:
                    if not was_alone:
                        lost.append(task)
                        continue
                    found = error
                except Exception as error:
                    found = error
                queue.ended(task)
                yield task.name, found
    finally:  # an interruption: what has not begun need not
        for future in running:
            future.cancel()


def _room(executor: Executor) -> int:
    """So many that no worker waits, and so few that what becomes ready need not wait for all."""
    return 2 * executor.jobs if isinstance(executor, Processes) else IN_FLIGHT
