"""Reference solution of the symmetric closed cell, by elliptic integrals at 50 digits.

A 1:1 salt between electrodes at +U and -U obeys ``u'' = K^2 sinh u`` with ``K^2 = k^2 / <cosh u>``
(k = l/lambda_D, lengths in cell lengths). With s = -u'(1/2), the first integral
``u'^2 = s^2 + 4 K^2 sinh^2(u/2)`` and ``tan(phi) = sinh(u/2)`` give the distance from the
mid-plane as ``(2/s) F(phi | m)`` with ``1 - m = 4 K^2/s^2 = mu``, and
``int sinh^2(u/2)`` in closed form through E(phi | m). One unknown, mu, is left: its equation is
``K^2 <cosh u> = k^2``. F and E are Carlson's symmetric integrals, which take any mu.
"""

from mpmath import mp, mpf

DIGITS = 50


def _integrals(phi, mu):
    """F(phi|1-mu) and int_0 tan^2 / sqrt(1 - m sin^2) = (tan phi Delta - E) / mu."""
    sine, cosine = mp.sin(phi), mp.cos(phi)
    delta2 = cosine**2 + mu * sine**2  # 1 - m sin^2 without cancellation
    first = sine * mp.elliprf(cosine**2, delta2, 1)
    second = first - (1 - mu) / 3 * sine**3 * mp.elliprd(cosine**2, delta2, 1)
    return first, (sine / cosine * mp.sqrt(delta2) - second) / mu


class ClosedCell:
    """Potential of the closed cell with l/lambda_D = ratio and electrodes at +-voltage."""

    def __init__(self, ratio: float, voltage: float):
        with mp.workdps(DIGITS + 30):
            self.voltage, ratio = mpf(voltage), mpf(ratio)
            phi = mp.atan(mp.sinh(self.voltage / 2))

            def excess(log_mu):
                mu = mp.exp(log_mu)
                first, squares = _integrals(phi, mu)
                s = 4 * first
                mean_cosh = 1 + 8 * squares / s
                return mp.log(mu * s**2 / 4 * mean_cosh / ratio**2)

            low, high = mpf(-60), mpf(10)
            while excess(high) < 0:
                high *= 2
            self.mu = mp.exp(mp.findroot(excess, (low, high), solver="anderson", tol=1e-60))
            self.s = 4 * _integrals(phi, self.mu)[0]

    def distance(self, u):
        """Distance from the mid-plane at which the potential is u."""
        return 2 / self.s * _integrals(mp.atan(mp.sinh(u / 2)), self.mu)[0]

    def slope(self, u):
        """|u'| where the potential is u, per cell length."""
        return self.s * mp.sqrt(1 + self.mu * mp.sinh(u / 2) ** 2)

    def potential(self, x, guess):
        """Potential at x (numbers on [0, 1]), by Newton's method from a guess."""
        values = []
        with mp.workdps(DIGITS):
            for place, u in zip(x, guess, strict=True):
                u, target = mpf(float(u)), mpf(1) / 2 - mpf(float(place))
                # Deep in a neutral bulk only the linear solution is a start close enough.
                linear = mp.sinh(self.s * mp.sqrt(self.mu) / 2 * target) * 2 / mp.sqrt(self.mu)
                if abs(linear) < mpf("0.01"):
                    u = linear
                for _ in range(60):
                    step = (self.distance(u) - target) * self.slope(u)
                    u -= step
                    if abs(step) < mpf(10) ** (-25) * (1 + abs(u)):
                        break
                else:
                    raise ArithmeticError(f"no reference potential at x = {place}")
                values.append(float(u))
        return values

    def separation(self):
        """Share of the cations on their side of the mid-plane."""
        with mp.workdps(DIGITS):
            # <cosh> over half the cell is known; <sinh> over half of it is u' at both its ends.
            k2 = self.mu * self.s**2 / 4
            sinh_half = (self.slope(self.voltage) - self.s) / k2
            first, squares = _integrals(mp.atan(mp.sinh(self.voltage / 2)), self.mu)
            cosh_half = mpf(1) / 2 + 4 * squares / self.s
            return float((1 + sinh_half / cosh_half) / 2)
