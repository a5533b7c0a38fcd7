"""devsim: finite volumes on a mesh of one's choice, Scharfetter-Gummel fluxes by its own B(x).

A device is set up once (`Reservoir`, `Membrane`), as a user does who sweeps a voltage; a call sets
the start values and solves. `set_up` seconds are reported apart. There is one device at a time:
devsim solves all that there are.
"""

import time

import devsim
import numpy as np
from timing import silence

REGION = {"device": "cell", "region": "solution"}


class Device:
    """A one-dimensional device on the nodes x."""

    def __init__(self, x):
        begin = time.perf_counter()
        with silence():
            self._make(x)
            self.x = np.array(self.values("x"))
            self.describe()
        self.set_up = time.perf_counter() - begin

    def _make(self, x):
        devsim.reset_devsim()
        devsim.create_1d_mesh(mesh="line")
        for i, place in enumerate(x):
            tag = {0: "left", len(x) - 1: "right"}.get(i, f"n{i}")
            devsim.add_1d_mesh_line(mesh="line", pos=float(place), ps=1.0, tag=tag)
        for side in ("left", "right"):
            devsim.add_1d_contact(mesh="line", name=side, tag=side, material="metal")
        devsim.add_1d_region(
            mesh="line", region=REGION["region"], tag1="left", tag2="right", material="salt"
        )
        devsim.finalize_mesh(mesh="line")
        devsim.create_device(mesh="line", device=REGION["device"])

    def describe(self):
        """Declare unknowns and equations."""
        raise NotImplementedError

    def unknown(self, name):
        """Declare an unknown at the nodes."""
        devsim.node_solution(name=name, **REGION)
        devsim.edge_from_node_model(node_model=name, **REGION)

    def on_edges(self, name, formula, unknowns):
        """Declare an edge model with its derivatives."""
        devsim.edge_model(name=name, equation=formula, **REGION)
        for unknown in unknowns:
            for end in ("n0", "n1"):
                at = f"{unknown}@{end}"
                devsim.edge_model(
                    name=f"{name}:{at}", equation=f"simplify(diff({formula}, {at}))", **REGION
                )

    def at_nodes(self, name, formula, unknowns):
        """Declare a node model with its derivatives."""
        devsim.node_model(name=name, equation=formula, **REGION)
        for unknown in unknowns:
            devsim.node_model(
                name=f"{name}:{unknown}", equation=f"simplify(diff({formula}, {unknown}))", **REGION
            )

    def balance(self, unknown, edge_model, node_model="", held=None):
        """Declare the conservation law of an unknown, held at both ends at the given values."""
        law = {"name": f"law_{unknown}", "variable_name": unknown}
        devsim.equation(
            edge_model=edge_model, node_model=node_model, variable_update="default", **law, **REGION
        )
        for side, value in zip(("left", "right"), held, strict=True):
            name = f"{side}_{unknown}"
            place = {"device": REGION["device"], "contact": side}
            devsim.contact_node_model(name=name, equation=f"{unknown} - ({value!r})", **place)
            devsim.contact_node_model(name=f"{name}:{unknown}", equation="1", **place)
            devsim.contact_equation(name=law["name"], node_model=name, **place)

    def values(self, name):
        """Values of a node model."""
        return devsim.get_node_model_values(name=name, **REGION)

    def solve(self, starts):
        """Newton's method from the given start values; raises devsim.error where it fails."""
        for name, start in starts.items():
            devsim.set_node_values(name=name, values=start.tolist(), **REGION)
        # Its relative test is node by node and stalls where u = 0: the absolute one decides.
        devsim.solve(type="dc", absolute_error=1e-7, relative_error=1e3, maximum_iterations=100)


class Reservoir(Device):
    """P1, P2 against a reservoir: u'' = k^2 sinh u, from a start handed in."""

    def __init__(self, ratio, voltage, x, start):
        self.ratio, self.voltage, self.start = ratio, voltage, start
        super().__init__(x)

    def describe(self):
        self.unknown("u")
        self.on_edges("flow", "(u@n0 - u@n1) * EdgeInverseLength", ["u"])
        half = self.ratio**2 / 2
        self.at_nodes("charge", f"{half!r} * (exp(u) - exp(-u))", ["u"])
        self.balance("u", "flow", "charge", (self.voltage, -self.voltage))

    def __call__(self):
        self.solve({"u": self.start})
        return self.x, np.array(self.values("u"))


class Membrane(Device):
    """P3 on a mesh with nodes on the membrane's faces."""

    def __init__(self, membrane, nodes):
        self.problem = membrane
        super().__init__(np.linspace(0.0, 1.0, nodes))

    def describe(self):
        p = self.problem
        self.unknown("u")
        names = [f"c{i}" for i in range(len(p.z))]
        self.starts = {"u": p.voltage * (1 - self.x)}
        devsim.node_solution(name="X", **REGION)
        # The mean of both sides: on the membrane's faces half of its charge.
        sides = [p.fixed_charge(self.x + shift) for shift in (-1e-9, 1e-9)]
        devsim.set_node_values(name="X", values=np.mean(sides, axis=0).tolist(), **REGION)
        for i, name in enumerate(names):
            self.unknown(name)
            step = f"({p.z[i]!r} * (u@n1 - u@n0))"
            flux = f"{p.d[i]!r} * EdgeInverseLength * ({name}@n0 * B({step})"
            flux += f" - {name}@n1 * B(-{step}))"
            self.on_edges(f"flux_{name}", flux, ["u", name])
            self.balance(name, f"flux_{name}", held=(p.left[i], p.right[i]))
            self.starts[name] = p.left[i] ** (1 - self.x) * p.right[i] ** self.x
        self.on_edges("flow", f"{p.lam2!r} * (u@n0 - u@n1) * EdgeInverseLength", ["u"])
        total = " + ".join(f"({z!r}) * {name}" for z, name in zip(p.z, names, strict=True))
        self.at_nodes("charge", f"-({total} + X)", names)
        self.balance("u", "flow", "charge", (p.voltage, 0.0))
        self.names = names

    def __call__(self):
        self.solve(self.starts)
        edges = [devsim.get_edge_model_values(name=f"flux_{c}", **REGION) for c in self.names]
        return np.mean(edges, axis=1)
