"""DOLFINx through a worker in the interpreter that has it (Debian: python3-dolfinx)."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import numpy as np

# DOLFINx is not on PyPI; where a system package brings it, it is in the system's interpreter.
INTERPRETER = os.environ.get("DOLFINX_PYTHON", "/usr/bin/python3")


class Worker:
    """The other interpreter; raises OSError where it has no DOLFINx."""

    def __init__(self):
        self.process = subprocess.Popen(
            [INTERPRETER, str(Path(__file__).with_name("dolfinx_worker.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            self.version = self._read()["dolfinx"]
        except (json.JSONDecodeError, KeyError):
            raise OSError(f"no dolfinx in {Path(INTERPRETER).name}") from None

    def _read(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, request):
        """Send a request, return the reply; RuntimeError with its message where it failed."""
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        reply = self._read()
        if "failed" in reply:
            raise RuntimeError(reply["failed"])
        return reply

    def close(self):
        """End the worker."""
        self.process.stdin.close()
        self.process.wait()


class Request:
    """A problem at the worker; called, it is solved there and timed there."""

    def __init__(self, worker, **what):
        self.worker, self.text = worker, json.dumps(what)

    def timed(self):
        """Return (seconds, busy seconds taken there, reply)."""
        reply = self.worker.ask(self.text)
        return *reply["seconds"], reply

    def __call__(self):
        return self.timed()[-1]


def membrane(worker, problem, cells, degree, whole=False):
    """P3 on evenly spaced cells, a multiple of 3; ``whole`` counts the set-up too."""
    nodes = np.linspace(0.0, 1.0, cells + 1).tolist()
    what = dataclasses.asdict(problem)
    return Request(
        worker, problem="membrane", nodes=nodes, degree=degree, whole=whole, **what
    )  # fmt: skip


def reservoir(worker, ratio, voltage, nodes, degree, whole=False):
    """P2 against a reservoir on the given nodes; ``whole`` counts the set-up too."""
    return Request(
        worker, problem="reservoir", nodes=list(nodes), degree=degree, whole=whole, ratio=ratio,
        voltage=voltage,
    )  # fmt: skip
