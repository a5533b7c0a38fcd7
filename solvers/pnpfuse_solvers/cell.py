"""The cell: ions, electrodes, geometry, and the scales that follow from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.constants

from pnpfuse_solvers.arguments import finite_number, listed, pair, positive
from pnpfuse_solvers.excess import Excess
from pnpfuse_solvers.symbolic import Expression, is_expression

Profile = float | Callable[[np.ndarray], Any]
CONTACTS = ("closed", "reservoir")


@dataclasses.dataclass(frozen=True)
class Constants:
    """Physical constants in SI units; the default is CODATA as SciPy carries it."""

    charge: float = scipy.constants.e
    boltzmann: float = scipy.constants.k
    permittivity: float = scipy.constants.epsilon_0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = positive(f"{field.name} of Constants", getattr(self, field.name), "SI units")
            object.__setattr__(self, field.name, value)


CODATA = Constants()
# PMR, caption of Fig. 8.
FIG8 = Constants(charge=1.602e-19, boltzmann=1.381e-23, permittivity=8.854e-12)


@dataclasses.dataclass(frozen=True)
class Ion:
    """One ionic species.

    Parameters
    ----------
    name : str
        How the species is called in results.
    valence : float
        Charge in elementary charges; may be fractional, negative or 0.
    concentration : float
        Number density [1/m^3]: the mean over a closed cell, the value where u = 0 for a cell in
        contact with a reservoir.
    diffusivity : float
        Diffusion coefficient [m^2/s].
    diameter : float
        Ion diameter [m]; 0 is a point ion.

    Raises
    ------
    ValueError
        If a value is not finite, a concentration or diffusivity is not positive, or a diameter is
        negative.
    """

    name: str
    valence: float
    concentration: float
    diffusivity: float = 1e-9
    diameter: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or not self.name.isprintable():
            raise ValueError(f"name: got {self.name!r:.60}; give the ion a name, for example 'K+'")
        said = f"of ion {self.name!r}"
        put = object.__setattr__
        put(self, "valence", finite_number(f"valence {said}", self.valence, "elementary charges"))
        put(
            self,
            "concentration",
            positive(f"concentration {said}", self.concentration, "1/m^3 (or leave the ion out)"),
        )
        diffusivity = positive(f"diffusivity {said}", self.diffusivity, "m^2/s")
        if not 1e-50 <= diffusivity <= 1e50:
            raise ValueError(f"diffusivity {said}: got {diffusivity:g}; give 1e-50 to 1e50 m^2/s")
        put(self, "diffusivity", diffusivity)
        diameter = finite_number(f"diameter {said}", self.diameter, "m")
        if not 0.0 <= diameter <= 1.0:
            raise ValueError(f"diameter {said}: got {diameter:g}; give 0 or a length in m, up to 1")
        put(self, "diameter", diameter)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A one-dimensional cell, 0 <= x <= length, between two electrodes.

    Parameters
    ----------
    length : float
        Length of the space that ions can enter [m]; Stern layers lie outside it.
    ions : sequence of Ion
        The species, at least one, with different names.
    temperature : float
        Absolute temperature [K].
    relative_permittivity : float, callable, str or SymPy expression
        A number, a function of x [m] (array in, array out), or an expression in x [m] such as
        "2 + 76*tanh(x/1e-9)" (see `Expression`); positive.
    potential : (float, float)
        Electrode potentials on the side of x = 0 and of x = length [V]. Without a Stern layer that
        is the potential at x = 0 and x = length, with one it is that of the metal behind it.
    contact : {"closed", "reservoir"}
        "closed" keeps each ion's mean concentration, "reservoir" fixes it where u = 0.
    fixed_charge : float, callable, str or SymPy expression
        Immobile charge [elementary charges/m^3], a number, a function of or an expression in x [m].
    stern_thickness : float or (float, float)
        Thickness of an ion-free layer between each electrode and the ions [m], of the permittivity
        that the cell has at that end (for another one, scale the thickness: only the ratio
        counts); 0 is none, one number is for both ends.
    constants : Constants
        Physical constants; CODATA unless a source's own are wanted.
    excess : {ion name: str or SymPy expression}, str or SymPy expression
        Excess chemical potentials [kB T] in the ions' concentrations [1/m^3], called ``c_Na`` for
        "Na+" and so on, or one expression for the excess free energy density [kB T/m^3]; what
        diameters give is added to it. None for none. See `Excess`.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what would do.
    """

    length: float
    ions: tuple[Ion, ...]
    temperature: float = 300.0
    relative_permittivity: Profile = 1.0
    potential: tuple[float, float] = (0.0, 0.0)
    contact: str = "closed"
    fixed_charge: Profile = 0.0
    stern_thickness: tuple[float, float] = (0.0, 0.0)
    constants: Constants = dataclasses.field(default=CODATA, kw_only=True)
    excess: Any = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "length", positive("length", self.length, "m"))
        put(self, "temperature", positive("temperature", self.temperature, "K"))
        put(self, "ions", self._checked_ions())
        put(self, "potential", pair("potential", self.potential, "V"))
        if not isinstance(self.contact, str) or self.contact not in CONTACTS:
            raise ValueError(f"contact: got {self.contact!r}; give one of {', '.join(CONTACTS)}")
        for name in ("relative_permittivity", "fixed_charge"):
            put(self, name, _profile(name, getattr(self, name)))
        if not callable(self.relative_permittivity):
            value = positive("relative_permittivity", self.relative_permittivity, "units of eps0")
            put(self, "relative_permittivity", value)
        if not callable(self.fixed_charge):
            unit = "elementary charges/m^3"
            put(self, "fixed_charge", finite_number("fixed_charge", self.fixed_charge, unit))
        stern = self.stern_thickness
        if isinstance(stern, int | float) and not isinstance(stern, bool):
            stern = (stern, stern)
        stern = pair("stern_thickness", stern, "m")
        if min(stern) < 0.0:
            raise ValueError(f"stern_thickness: got {stern}; give 0 or a length in m at each end")
        put(self, "stern_thickness", stern)
        if not isinstance(self.constants, Constants):
            raise ValueError(f"constants: got {self.constants!r}; give Constants")
        if self.excess is not None:
            put(self, "excess", Excess(self.excess, tuple(ion.name for ion in self.ions)))
        self._check_scales()

    def _check_scales(self) -> None:
        """Refuse numbers, each fine by itself, whose scales leave the range of float64."""
        k = self.constants
        try:
            strength = sum(ion.valence**2 * ion.concentration for ion in self.ions)
            unit = k.charge**2 / (k.permittivity * k.boltzmann * self.temperature)
            eps = self.relative_permittivity
            scale = unit * strength * self.length**2 / (1.0 if callable(eps) else eps)
            stern = max(self.stern_thickness) / self.length
        except (OverflowError, ZeroDivisionError):
            scale = stern = math.inf
        if not (1e-200 < scale < 1e200 and stern < 1e100 and 1e-200 < self.length < 1e200):
            raise ValueError(
                f"length: got {self.length:g} m, with the ions, temperature and Stern layers given "
                "a length in Debye lengths that is out of all range; check the units"
            )

    def _checked_ions(self) -> tuple[Ion, ...]:
        if isinstance(self.ions, Ion):
            return (self.ions,)
        try:
            ions = tuple(self.ions)
        except TypeError:
            raise ValueError(f"ions: got {self.ions!r}; give a sequence of Ion") from None
        if not ions:
            raise ValueError("ions: got none; give at least one Ion")
        for ion in ions:
            if not isinstance(ion, Ion):
                raise ValueError(f"ions: got {ion!r} among them; give Ion objects")
        names = [ion.name for ion in ions]
        if len(set(names)) < len(names):
            raise ValueError(f"ions: got the names {names}; give each ion its own name")
        if all(ion.valence == 0.0 for ion in ions):
            raise ValueError("ions: got only uncharged species; give at least one of valence != 0")
        return ions

    @classmethod
    def fig8(cls, voltage: float, contact: str = "closed") -> Cell:
        """Return the cell of PMR Fig. 8 with the paper's own constants.

        Parameters
        ----------
        voltage : float
            Electrodes at +voltage (x = 0) and -voltage (x = length), in units of kB T/e.
        contact : {"closed", "reservoir"}
            The paper does not say which; both are of interest.
        """
        ions = (Ion("cation", 1.0, 1e20), Ion("anion", -1.0, 1e20))
        cell = cls(length=1e-8, ions=ions, contact=contact, constants=FIG8)
        return cell.at_voltage(voltage)

    @classmethod
    def dimensionless(
        cls,
        length_ratio: float,
        voltage: float,
        valences: Sequence[float] = (1, -1),
        concentrations: Sequence[float] = (1, 1),
        contact: str = "closed",
    ) -> Cell:
        """Return a cell given by its dimensionless numbers.

        Parameters
        ----------
        length_ratio : float
            Length over Debye length, l/lambda_D.
        voltage : float
            Electrodes at +voltage (x = 0) and -voltage (x = length), in units of kB T/e.
        valences, concentrations : sequence of float
            One entry a species; concentrations are relative to 1e20 /m^3, which only sets the
            scale of the SI results. Two species are called cation and anion where their signs
            say so, others ion1, ion2, ...
        contact : {"closed", "reservoir"}
            See `Cell`.
        """
        ratio = positive("length_ratio", length_ratio, "Debye lengths")
        valences = listed("valences", valences)
        concentrations = listed("concentrations", concentrations)
        if len(valences) != len(concentrations):
            raise ValueError(
                f"concentrations: got {len(concentrations)} for {len(valences)} valences; "
                "give one a species"
            )
        pair = len(valences) == 2 and valences[0] > 0 > valences[1]
        names = ("cation", "anion") if pair else [f"ion{i + 1}" for i in range(len(valences))]
        ions = tuple(
            Ion(name, z, c * 1e20)
            for name, z, c in zip(names, valences, concentrations, strict=True)
        )
        unit = cls(length=1.0, ions=ions, contact=contact)
        return unit.replace(length=ratio * unit.debye_length).at_voltage(voltage)

    @property
    def ideal(self) -> bool:
        """Whether all ions are points and there is no excess chemical potential."""
        return self.excess is None and not any(ion.diameter > 0.0 for ion in self.ions)

    @property
    def thermal_voltage(self) -> float:
        """kB T/e [V]."""
        return self.constants.boltzmann * self.temperature / self.constants.charge

    @property
    def debye_length(self) -> float:
        """Debye length [m] of the given concentrations, sum over all species (PMR Eq. 20).

        A permittivity that varies enters with its harmonic mean over the cell, the value that a
        plate capacitor of this cell would have.
        """
        k = self.constants
        strength = sum(ion.valence**2 * ion.concentration for ion in self.ions)
        epsilon = self.mean_permittivity * k.permittivity
        return math.sqrt(epsilon * k.boltzmann * self.temperature / (k.charge**2 * strength))

    @property
    def mean_permittivity(self) -> float:
        """Harmonic mean of the relative permittivity over the cell."""
        if not callable(self.relative_permittivity):
            return float(self.relative_permittivity)
        x = (np.arange(2000) + 0.5) / 2000 * self.length
        return float(1.0 / np.mean(1.0 / self.permittivity_at(x)))

    @property
    def length_ratio(self) -> float:
        """Length over Debye length, l/lambda_D."""
        return self.length / self.debye_length

    @property
    def net_charge(self) -> float:
        """Mean charge density of the given concentrations and the fixed charge [e/m^3]."""
        mobile = sum(ion.valence * ion.concentration for ion in self.ions)
        if not callable(self.fixed_charge):
            return mobile + self.fixed_charge
        x = (np.arange(2000) + 0.5) / 2000 * self.length
        return float(mobile + np.mean(self.fixed_charge_at(x)))

    def at_voltage(self, voltage: float) -> Cell:
        """Return a copy with electrodes at +voltage (x = 0) and -voltage, in units of kB T/e."""
        volts = finite_number("voltage", voltage, "kB T/e") * self.thermal_voltage
        return self.replace(potential=(volts, -volts))

    def replace(self, **changes: Any) -> Cell:
        """Return a copy with the named fields changed; ValueError for an unknown name."""
        names = {field.name for field in dataclasses.fields(self)}
        unknown = sorted(set(changes) - names)
        if unknown:
            raise ValueError(f"{unknown[0]}: no such field of Cell; give one of {sorted(names)}")
        return dataclasses.replace(self, **changes)

    def permittivity_at(self, x: np.ndarray) -> np.ndarray:
        """Relative permittivity at the positions ``x`` [m]; ValueError where not positive."""
        values = _sample("relative_permittivity", self.relative_permittivity, x)
        if values.min() <= 0.0:
            at = x.flat[int(values.argmin())]
            raise ValueError(
                f"relative_permittivity: got {values.min():g} at x = {at:g} m; "
                "give a function that is positive from 0 to length"
            )
        return values

    def fixed_charge_at(self, x: np.ndarray) -> np.ndarray:
        """Fixed charge [elementary charges/m^3] at the positions ``x`` [m]."""
        return _sample("fixed_charge", self.fixed_charge, x)

    def describe(self) -> dict[str, Any]:
        """Return the fields as plain numbers and strings, for the attrs of a result."""

        def plain(profile: Profile) -> float | str:
            if not callable(profile):
                return profile
            if isinstance(profile, Expression):
                return profile.text
            return f"function {getattr(profile, '__qualname__', repr(profile))}"

        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {
            "ions": [vars(ion).copy() for ion in self.ions],
            "relative_permittivity": plain(self.relative_permittivity),
            "fixed_charge": plain(self.fixed_charge),
            "constants": vars(self.constants).copy(),
            "excess": None if self.excess is None else self.excess.plain(),
        }


def check_cell(cell: Any, points_only: str = "") -> None:
    """Refuse what is no Cell and, for a solver that is named, ions that are not points."""
    if not isinstance(cell, Cell):
        raise ValueError(f"cell: got {type(cell).__name__}; give a Cell, for example Cell.fig8(5)")
    if points_only and cell.excess is not None:
        raise ValueError(
            f"excess: got {cell.excess}; {points_only} treats ions as ideal, give None (only "
            "solve_equilibrium and solve_many take an excess)"
        )
    for ion in cell.ions:
        if points_only and ion.diameter > 0.0:
            raise ValueError(
                f"diameter of ion {ion.name!r}: got {ion.diameter:g} m; {points_only} treats ions "
                "as points, give 0"
            )


def _profile(name: str, value: Any) -> Any:
    """A profile as the cell keeps it: expressions read, those of x alone kept as such."""
    if not is_expression(value):
        return value
    expression = Expression(name, value)
    return expression if expression.symbolic.free_symbols else float(expression.symbolic)


def _sample(name: str, profile: Profile, x: np.ndarray) -> np.ndarray:
    if not callable(profile):
        return np.full(x.shape, float(profile))
    try:
        found = np.asarray(profile(x.copy()))  # a copy: the function may write into its argument
        if found.dtype.kind not in "fiub":
            raise TypeError(f"it returns {found.dtype}")
        values = np.array(np.broadcast_to(found, x.shape), dtype=float)
    except Exception as error:  # whatever a user's function raises
        raise ValueError(
            f"{name}: the function failed on an array of positions ({error!r:.80}); "
            "give one that takes x [m] as an array and returns real numbers of its shape"
        ) from error
    if not np.isfinite(values).all():
        at = x.flat[int(np.argmin(np.isfinite(values)))]
        raise ValueError(f"{name}: got a value that is not finite at x = {at:g} m")
    return values
