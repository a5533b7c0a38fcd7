"""Compiled kernels of the impedance: ions that shuttle in a cell, as a ladder of capacitors.

They stand apart from ``kernels`` and ``transport``, for no file calls another (Numba's cache would
not notice a change across files). Numbers are complex, nothing is checked.
"""

import numpy as np

from pnpfuse_solvers.compiled import jit

# As in ``kernels``: no fastmath, and a division by 0 gives inf.
_jit = jit(error_model="numpy")


@_jit
def solve(matrix, right):
    """Solve in place a small complex system (S, S) x (S, R), rows exchanged for their pivots."""
    n, m = right.shape
    for k in range(n):
        pivot, largest = k, 0.0
        for i in range(k, n):
            size = abs(matrix[i, k].real) + abs(matrix[i, k].imag)
            if size > largest:
                pivot, largest = i, size
        if pivot != k:
            for j in range(n):
                matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
            for j in range(m):
                right[k, j], right[pivot, j] = right[pivot, j], right[k, j]
        # Written out, since a guarded complex division takes longer than all the rest.
        re, im = matrix[k, k].real, matrix[k, k].imag
        square = 1.0 / (re * re + im * im)
        pivot_inverse = complex(re * square, -im * square)
        for j in range(k + 1, n):
            matrix[k, j] *= pivot_inverse
        for j in range(m):
            right[k, j] *= pivot_inverse
        for i in range(k + 1, n):
            factor = matrix[i, k]
            for j in range(k + 1, n):
                matrix[i, j] -= factor * matrix[k, j]
            for j in range(m):
                right[i, j] -= factor * right[k, j]
    for k in range(n - 2, -1, -1):
        for i in range(k + 1, n):
            factor = matrix[k, i]
            for j in range(m):
                right[k, j] -= factor * right[i, j]


@_jit
def ladder(z, a, stored, friction, omega):
    """Sum over the edges of (1 + sum_s z_s n_s)/a at the frequencies ``omega`` (F,), complex.

    ``a`` (N-1,) permittivities over lengths, ``stored`` (N, S) ions in a node's box, ``friction``
    (N-1, S) length over diffusivity and concentration of an edge. The unknowns n (S) of an edge are
    the ions that have passed it, for a unit of charge on the left electrode:

        (n_e - n_{e-1})/stored_e - (n_{e+1} - n_e)/stored_{e+1} + E n_e = -z/a,
        E = z z^T/a + i omega friction,

    a ladder of capacitors between edges and of branches E to the ground. Elimination from the left
    carries the ladder's compliance X, ``X <- stored + (1 + X E)^-1 X``: sums of what has a positive
    real part and nothing that cancels, finite where ions are missing and at frequency 0.
    """
    edges, species = friction.shape
    out = np.empty(omega.size, np.complex128)
    x = np.empty((species, species), np.complex128)
    matrix = np.empty((species, species), np.complex128)
    right = np.empty((species, species + 1), np.complex128)
    passed = np.empty((edges, species), np.complex128)  # first what the left side alone gives
    inverse = np.empty((edges, species, species), np.complex128)  # of the compliance
    total = np.empty(species, np.complex128)
    for f in range(omega.size):
        x[:] = 0.0
        total[:] = 0.0
        for s in range(species):
            x[s, s] = stored[0, s]
        for e in range(edges):
            charge = 1.0 / a[e]
            for i in range(species):
                along = 0.0j
                for j in range(species):
                    along += x[i, j] * z[j]
                along *= charge
                for j in range(species):
                    matrix[i, j] = along * z[j] + x[i, j] * (1j * omega[f] * friction[e, j])
                    right[i, j] = x[i, j]
                matrix[i, i] += 1.0
                right[i, species] = total[i] - along
            solve(matrix, right)  # (1 + X E)^-1 (X, t - X z/a)
            for i in range(species):
                passed[e, i] = right[i, species]
                for j in range(species):
                    x[i, j] = right[i, j]
                x[i, i] += stored[e + 1, i]
            for i in range(species):
                total[i] = passed[e, i]
                for j in range(species):
                    matrix[i, j] = x[i, j]
                    inverse[e, i, j] = 0.0
                inverse[e, i, i] = 1.0
            solve(matrix, inverse[e])
        # Back from the right wall: what a box holds more, stored X^-1 (t - n), is added to what has
        # passed it, so that few ions are counted as exactly as many.
        total[:] = 0.0
        voltage = 0.0j
        for e in range(edges - 1, -1, -1):
            for i in range(species):
                right[i, 0] = passed[e, i] - total[i]
            field = 1.0 + 0.0j
            for i in range(species):
                change = 0.0j
                for j in range(species):
                    change += inverse[e, i, j] * right[j, 0]
                total[i] += stored[e + 1, i] * change
                field += z[i] * total[i]
            voltage += field / a[e]
        out[f] = voltage
    return out
