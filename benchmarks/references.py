"""Make references.json: fluxes of P3 and charges of P4, each by two routes that share no code.

    python benchmarks/references.py

P3: piecewise Chebyshev collocation of the first-order system, and solve_bvp at 1e-10.
P4: Chebyshev collocation in space with Radau at 1e-11, and Legendre spectral elements (weak form)
with BDF at 1e-12 on another set of points.
"""

import json
from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev, legendre
from peers import solve_bvp
from problems import CHARGING_LENGTH, CHARGING_TIMES, CHARGING_VOLTAGES, MEMBRANES
from scipy.integrate import solve_ivp

FILE = Path(__file__).with_suffix(".json")


def lobatto(n):
    """Chebyshev points on [-1, 1], ascending, and their differentiation matrix."""
    x = -np.cos(np.pi * np.arange(n + 1) / n)
    weight = (-1.0) ** np.arange(n + 1) * np.r_[0.5, np.ones(n - 1), 0.5]
    gap = x[:, None] - x + np.eye(n + 1)
    d = weight / weight[:, None] / gap
    np.fill_diagonal(d, 0.0)
    np.fill_diagonal(d, -d.sum(axis=1))
    return x, d


def fluxes(membrane, n=40):
    """Fluxes of P3 by collocation at n Gauss points in each third."""
    z, diffusivity = np.array(membrane.z, float), np.array(membrane.d, float)
    species, width = z.size, 2 + z.size
    x, d = lobatto(n)
    gauss = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    value = chebyshev.chebvander(gauss, n) @ np.linalg.inv(chebyshev.chebvander(x, n))
    slope = 6.0 * value @ d  # a third is 1/3 long, [-1, 1] is 2
    charge = np.array([0.0, membrane.charge, 0.0])
    s = (np.arange(3)[:, None] + 0.5 * (1 + x)) / 3
    y = np.empty((3, width, n + 1))
    y[:, 0], y[:, 1] = membrane.voltage * (1 - s), -membrane.voltage
    for i in range(species):
        y[:, 2 + i] = membrane.left[i] ** (1 - s) * membrane.right[i] ** s
    flux = np.zeros(species)
    for _ in range(50):
        rows, rest = [], []
        for k in range(3):
            at, change = y[k] @ value.T, y[k] @ slope.T
            for j in range(width):
                row = np.zeros((n, 3, width, n + 1))
                by_flux = np.zeros((n, species))
                row[:, k, j] = slope
                if j == 0:
                    row[:, k, 1] = -value
                    miss = change[0] - at[1]
                elif j == 1:
                    row[:, k, 2:] = (z[:, None, None] * value / membrane.lam2).transpose(1, 0, 2)
                    miss = change[1] + (z @ at[2:] + charge[k]) / membrane.lam2
                else:
                    i = j - 2
                    row[:, k, j] += z[i] * at[1][:, None] * value
                    row[:, k, 1] = z[i] * at[j][:, None] * value
                    by_flux[:, i] = 1.0 / diffusivity[i]
                    miss = change[j] + z[i] * at[j] * at[1] + flux[i] / diffusivity[i]
                rows.append(np.hstack([row.reshape(n, -1), by_flux]))
                rest.append(miss)
        for k, j, point, other, held in _conditions(membrane, width):
            row = np.zeros((3, width, n + 1))
            row[k, j, point] = 1.0
            miss = y[k, j, point] - held
            if other is not None:
                row[other, j, 0] = -1.0
                miss -= y[other, j, 0]
            rows.append(np.r_[row.ravel(), np.zeros(species)][None])
            rest.append([miss])
        step = np.linalg.solve(np.vstack(rows), -np.concatenate(rest))
        y = y + step[:-species].reshape(y.shape)
        flux = flux + step[-species:]
        if np.abs(step).max() < 1e-12 * np.abs(y).max():
            return flux
    raise ArithmeticError("the collocation did not converge")


def _conditions(membrane, width):
    """(third, component, point, third joined to it, value held)."""
    for k in (0, 1):
        for j in range(width):
            yield k, j, -1, k + 1, 0.0
    for third, point, values in ((0, 0, membrane.left), (2, -1, membrane.right)):
        yield third, 0, point, None, membrane.voltage if third == 0 else 0.0
        for i, value in enumerate(values):
            yield third, 2 + i, point, None, value


def charge_by_collocation(voltage, n=100):
    """q at CHARGING_TIMES: Chebyshev collocation, no-flux rows set in the fluxes, Radau."""
    x, d = lobatto(n)
    d = 2.0 / CHARGING_LENGTH * d
    poisson = d @ d
    poisson[[0, -1]] = 0.0
    poisson[0, 0] = poisson[-1, -1] = 1.0
    inverse = np.linalg.inv(poisson)
    inner = np.eye(n + 1)
    inner[0, 0] = inner[-1, -1] = 0.0
    to_field = d @ inverse @ inner * -0.5  # of the ions' charge
    field = d @ inverse @ np.r_[voltage, np.zeros(n - 1), -voltage]

    def slope_of(c):
        return field + to_field @ (c[0] - c[1])

    def rhs(t, y):
        c = y.reshape(2, -1)
        e = slope_of(c)
        return -np.array([d @ (inner @ -(d @ c[s] + z * c[s] * e)) for s, z in _SIGNS]).ravel()

    def jacobian(t, y):
        c = y.reshape(2, -1)
        e = slope_of(c)
        out = np.empty((2, n + 1, 2, n + 1))
        for s, z in _SIGNS:
            for r, sign in _SIGNS:
                flux = z * c[s][:, None] * sign * to_field
                if r == s:
                    flux = flux + d + z * np.diag(e)
                out[s, :, r] = d @ inner @ flux
        return out.reshape(y.size, y.size)

    run = solve_ivp(
        rhs, (0.0, CHARGING_TIMES[-1]), np.ones(2 * n + 2), "Radau", CHARGING_TIMES, jac=jacobian,
        rtol=1e-11, atol=1e-13,
    )  # fmt: skip
    return np.array([-slope_of(y.reshape(2, -1))[0] for y in run.y.T])


_SIGNS = ((0, 1.0), (1, -1.0))


def charge_by_elements(voltage, degree=16):
    """q at CHARGING_TIMES: Legendre spectral elements graded to the walls, weak form, BDF.

    q follows from u'' = -rho/2 integrated against (1 - x/L): no derivative at the wall is taken.
    """
    edges = np.array([0.0, 0.3, 1.2, 4.0, 10.0])
    edges = np.r_[edges, CHARGING_LENGTH - edges[-2::-1]]
    inner = legendre.Legendre.basis(degree).deriv().roots()
    s = np.r_[-1.0, inner, 1.0]
    weights = 2.0 / (degree * (degree + 1) * legendre.legval(s, [0] * degree + [1]) ** 2)
    vander = legendre.legvander(s, degree)
    d = np.stack([legendre.legval(s, legendre.legder(row)) for row in np.eye(degree + 1)], 1)
    d = d @ np.linalg.inv(vander)
    size = degree * (edges.size - 1) + 1
    mass, stiff = np.zeros(size), np.zeros((size, size))
    pieces = []
    for k, width in enumerate(np.diff(edges)):
        at = slice(k * degree, k * degree + degree + 1)
        w, slope = weights * width / 2, d * 2 / width
        mass[at] += w
        stiff[at, at] += slope.T @ (w[:, None] * slope)
        pieces.append((at, w, slope))
    x = np.concatenate([[0.0]] + [a + (b - a) * (s[1:] + 1) / 2 for a, b in _pairs(edges)])
    inside = slice(1, size - 1)
    inverse = np.linalg.inv(stiff[inside, inside])
    lift = voltage * (1 - 2 * x / CHARGING_LENGTH)

    def potential(c):
        u = lift.copy()
        u[inside] += inverse @ (0.5 * mass * (c[0] - c[1]))[inside]
        return u

    def rhs(t, y):
        c = y.reshape(2, size)
        u, out = potential(c), np.zeros((2, size))
        for at, w, slope in pieces:
            e = slope @ u[at]
            for i, z in _SIGNS:
                out[i, at] -= slope.T @ (w * (slope @ c[i, at] + z * c[i, at] * e))
        return (out / mass).ravel()

    to_potential = np.zeros((size, size))
    to_potential[inside, inside] = inverse * (0.5 * mass[inside])

    def jacobian(t, y):
        c = y.reshape(2, size)
        u, out = potential(c), np.zeros((2, size, 2, size))
        for at, w, slope in pieces:
            e = slope @ u[at]
            for i, z in _SIGNS:
                weak = slope.T * w
                out[i, at, i, at] -= weak @ (slope + z * np.diag(e))
                by_u = weak @ (z * c[i, at][:, None] * (slope @ to_potential[at]))
                for j, sign in _SIGNS:
                    out[i, at, j] -= sign * by_u
        return (out / mass[:, None, None]).reshape(2 * size, 2 * size)

    run = solve_ivp(
        rhs, (0.0, CHARGING_TIMES[-1]), np.ones(2 * size), "BDF", CHARGING_TIMES, jac=jacobian,
        rtol=1e-12, atol=1e-14,
    )  # fmt: skip
    moment = mass * (1 - x / CHARGING_LENGTH)
    charge = run.y.reshape(2, size, -1)
    return 2 * voltage / CHARGING_LENGTH - 0.5 * moment @ (charge[0] - charge[1])


def _pairs(edges):
    return zip(edges[:-1], edges[1:], strict=True)


def main():
    """Compute, compare the two routes and write the file."""
    found = {"flux": {}, "charge": {}, "routes_differ_by": {}}
    for name, membrane in MEMBRANES.items():
        ours, theirs = fluxes(membrane), solve_bvp.steady(membrane, 1e-10, 200, True).p
        found["flux"][name] = ours.tolist()
        found["routes_differ_by"][f"P3 {name}"] = float(np.abs(theirs / ours - 1).max())
    for voltage in CHARGING_VOLTAGES:
        ours, theirs = charge_by_collocation(voltage), charge_by_elements(voltage)
        found["charge"][str(voltage)] = [float(f"{q:.13g}") for q in ours]
        found["routes_differ_by"][f"P4 {voltage}"] = float(np.abs(theirs - ours).max())
    FILE.write_text(json.dumps(found) + "\n", encoding="utf-8")
    print(found["flux"], found["routes_differ_by"])


if __name__ == "__main__":
    main()
