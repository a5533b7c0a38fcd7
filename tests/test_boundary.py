"""The learnable interface against differences, closed forms, `sensitivity` and SciPy's solver."""

import copy
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_bvp
from torch.autograd import gradcheck

import pnpfuse
from pnpfuse import PNPBoundary, pnp_boundary
from pnpfuse_solvers import Cell, Ion, SolverError, sensitivity, solve_equilibrium

LENGTHS = st.floats(np.log(0.1), np.log(50.0)).map(np.exp)
VOLTAGES = st.floats(0.0, np.log(40.0)).map(np.exp)
CHARGES = st.floats(-np.log(32.0), np.log(32.0)).map(np.exp)
DIMS = {"image": 2048, "text": 768, "audio": 100}
READ = {
    "b": lambda found: found.b,
    "separation": lambda found: found.separation,
    "shares": lambda found: found.shares,
    "width": lambda found: found.width,
    "share": lambda found: found.share([0.0, 0.1, 0.45, 0.8, 1.0]),
    "balance": lambda found: found.balance(0.3),
}


def leaves(*values):
    """Float64 tensors that take gradients."""
    return [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]


def gradients(value, *wanted):
    return [g.numpy() for g in torch.autograd.grad(value, wanted)]


def unscreened(U, r, x):
    """b, shares, width and share at x in a uniform field: u = U (2 x - 1)."""
    log_a, log_b = torch.log(torch.sinh(U) / U), torch.log(torch.sinh(r * U) / (r * U))
    middle = (torch.log(r) - log_a + log_b) / (1 + r)
    b = (1 + middle / U) / 2
    shared = (1 - torch.exp(-2 * U * b)) / (1 - torch.exp(-2 * U))
    specific = (1 - torch.exp(-2 * r * U * (1 - b))) / (1 - torch.exp(-2 * r * U))
    width = np.log(9) / (1 + r) / U
    share = torch.sigmoid((1 + r) * (middle - U * (2 * x - 1)))
    return b, torch.stack([shared, specific]), width, share


def reference(L, U, r):
    """Interface of a cell by SciPy's collocation, the integrals of the ions as unknowns."""
    scale = L**2 / (1 + r)

    def slopes(x, y, mass):
        f, g = np.exp(-y[0] - mass[0]), np.exp(r * y[0] - mass[1])
        return np.vstack([y[1], scale * (g - f), f, g])

    def ends(first, last, _):
        return np.array([first[0] + U, last[0] - U, first[2], first[3], last[2] - 1, last[3] - 1])

    x = np.linspace(0, 1, 201)
    straight = U * (2 * x - 1)
    start = np.vstack([straight, 0 * x + 2 * U, x, x])
    mass = [np.log(np.sinh(U) / U), np.log(np.sinh(r * U) / (r * U))]
    found = solve_bvp(slopes, ends, x, start, mass, tol=1e-8, max_nodes=20_000)
    assert found.success
    level = (np.log(r) - found.p[0] + found.p[1]) / (1 + r)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if found.sol(middle)[0] < level else (low, middle)
    return low, found.sol(low)[2], 1 - found.sol(low)[3]


@pytest.mark.parametrize("name", READ)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.tuples(LENGTHS, VOLTAGES, CHARGES), min_size=1, max_size=3))
def test_gradients_are_those_of_differences(name, cells):
    given = leaves(*np.array(cells).T.copy())
    found = pnp_boundary(*(one.detach() for one in given))
    # A kink where both species are separated equally well; differences that leave an end's cut.
    kink = (found.shares[:, 0] - found.shares[:, 1]).abs() < 1e-3
    keep = found.determined & (found.uncertainty < 1e-8) & ~(kink & (name == "separation"))
    given = [one.detach()[keep].requires_grad_() for one in given]
    if keep.any():
        read = READ[name]
        gradcheck(lambda *p: read(pnp_boundary(*p)), given, eps=1e-5, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("L, U, r", [(0.3, 3.0, 0.4), (4.0, 5.0, 0.6), (6.0, 4.0, 1.7)])
def test_values_and_gradients_beside_scipy(L, U, r):
    given = leaves(L, U, r)
    found = pnp_boundary(*given)
    b, *shares = reference(L, U, r)
    np.testing.assert_allclose(found.b.item(), b, atol=1e-9)
    np.testing.assert_allclose(found.shares.tolist(), shares, atol=1e-9)
    step = 5e-3
    for k, slope in enumerate(gradients(found.b, *given)):
        there = [
            reference(*(p + step * times * (i == k) for i, p in enumerate((L, U, r))))[0]
            for times in (-2, -1, 1, 2)
        ]
        difference = np.dot([1, -8, 8, -1], there) / (12 * step)
        np.testing.assert_allclose(slope, difference, atol=5e-8)


@pytest.mark.parametrize("n, U, r", [(4.0, 20.0, 0.375), (12.0, 8.0, 0.7), (30.0, 25.0, 0.1)])
def test_gradients_are_those_of_sensitivity(n, U, r):
    """`sensitivity` knows valences and lengths in SI units: its chain rule to (L, U, r)."""
    c = 1e20
    cell = Cell(1.0, (Ion("shared", 1, c), Ion("specific", -r, c / r)))
    volt, length = cell.thermal_voltage, n * cell.debye_length
    cell = cell.replace(length=length, potential=(-U * volt, U * volt))
    of = ("interface", "interface_width", "separation")
    slope = sensitivity(cell, of, nodes=801)
    at_rest = solve_equilibrium(cell, nodes=801, order=6)
    given = leaves(n, U, r)
    found = pnp_boundary(*given)
    length_by_r = -0.5 * length / (1 + r)  # the Debye length follows the ions
    for name, value in zip(of, (found.b, found.width, found.shares), strict=True):
        by = {str(p): slope[name].sel(parameter=p).values for p in slope.parameter.values}
        per = 1.0 if name == "separation" else length
        own = 0.0 if name == "separation" else at_rest[name].item() / length**2
        by_length = by["length"] / per - own
        wanted = [
            by_length * length / n,
            -by["voltage"] * volt / per,
            (-by["specific.valence"] - by["specific.concentration"] * c / r**2) / per
            + by_length * length_by_r,
        ]
        rows = value.reshape(-1)
        for k in range(rows.numel()):
            mine = [g.item() for g in torch.autograd.grad(rows[k], given, retain_graph=True)]
            expected = [np.reshape(w, -1)[k] for w in wanted]
            np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=3e-9)


@pytest.mark.parametrize("U, r", [(4.0, 0.5), (6.0, 1.0), (12.0, 3.0)])
def test_uniform_field(U, r):
    x = torch.tensor([0.0, 0.2, 0.6, 1.0], dtype=torch.float64)
    given = leaves(U, r)
    expected = unscreened(*given, x)
    found = pnp_boundary(1e-4, *given)
    actual = found.b, found.shares, found.width, found.share(x)
    for mine, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-9)
        weights = torch.arange(1.0, 1.0 + mine.numel()).reshape(mine.shape)
        for one, other in zip(
            gradients((weights * mine).sum(), *given),
            torch.autograd.grad((weights * theirs).sum(), given, retain_graph=True),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, atol=2e-8, rtol=2e-8)


@settings(max_examples=15, deadline=None)
@given(LENGTHS, VOLTAGES, CHARGES)
def test_the_mirrored_cell(L, U, r):
    """Seen from the other end, in units of the other valence: (L, r U, 1/r)."""
    given = leaves(L, U, r)
    one, other = pnp_boundary(*given), pnp_boundary(given[0], given[2] * given[1], 1 / given[2])
    if not one.determined or one.uncertainty > 1e-9:
        return
    torch.testing.assert_close(one.b, 1 - other.b, atol=1e-8, rtol=0)
    torch.testing.assert_close(one.shares, other.shares.flip(-1), atol=1e-8, rtol=0)
    torch.testing.assert_close(one.share([0.3]), 1 - other.share([0.7]), atol=1e-7, rtol=0)
    for mine, theirs in zip(gradients(one.b, *given), gradients(1 - other.b, *given), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6, rtol=1e-6)


def test_the_solver_and_its_profiles():
    cell = pnpfuse.cell_for(DIMS, "text", n=6, voltage=12.0)
    # Its concentrations have their amounts by the trapezoidal rule: many nodes.
    solution = solve_equilibrium(cell, nodes=3201, order=6)
    x = (solution.x / cell.length).values
    found = pnp_boundary(torch.tensor(6.0, dtype=torch.float64), 12.0, 100 / 768)
    c = solution.concentration
    share = (c.sel(species="shared") / c.sum("species")).values
    np.testing.assert_allclose(found.share(x), share, atol=1e-6)
    np.testing.assert_allclose(found.b, solution.interface / cell.length, atol=1e-9)
    np.testing.assert_allclose(found.width, solution.interface_width / cell.length, atol=1e-8)
    np.testing.assert_allclose(found.shares, solution.separation, atol=1e-8)
    np.testing.assert_allclose(found.share(found.b.item()), 0.5, atol=1e-9)


def test_many_cells_are_as_one_each():
    """300 cells run in slices, in threads, without keeping what was linearised."""
    rng = np.random.default_rng(0)
    numbers = leaves(*(rng.uniform(a, b, 300) for a, b in ((1, 8), (10, 20), (0.2, 1))))
    found = pnp_boundary(*numbers, nodes=101)
    slopes = gradients(found.b.sum() + found.share([0.2, 0.5]).sum(), *numbers)
    for k in (0, 127, 128, 299):
        given = leaves(*(one[k].item() for one in numbers))
        one = pnp_boundary(*given, nodes=101)
        np.testing.assert_allclose(one.b.item(), found.b[k].item(), rtol=1e-13)
        mine = gradients(one.b + one.share([0.2, 0.5]).sum(), *given)
        np.testing.assert_allclose(mine, [s[k] for s in slopes], rtol=1e-12)


def test_torch_keeps_its_number_of_threads():
    """Numba's own count, when asked for, starts OpenMP and sets that of the whole process."""
    code = """
import torch
torch.set_num_threads(1)
from pnpfuse import pnp_boundary
from pnpfuse_solvers import Cell, solve_many
pnp_boundary(torch.linspace(1, 5, 300), 12.0, 0.5, nodes=51)
solve_many(Cell.dimensionless(4, 5), {"voltage": [3, 4]}, nodes=51)
print(torch.get_num_threads())
"""
    environment = os.environ | {"NUMBA_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "1"


def test_a_cell_without_interface_spoils_no_other():
    length, voltage = leaves([4.0, 100.0, 1e-3], [5.0, 5.0, 0.5])
    charge = leaves([1.0, 1.0, 0.1])[0]
    found = pnp_boundary(length, voltage, charge)
    assert found.determined.tolist() == [True, False, False]
    assert found.b.isnan().tolist() == found.width.isnan().tolist() == [False, True, True]
    assert "neutral bulk" in found.reason[1] and "none" in found.reason[2]
    assert found.uncertainty[1] > 0.01
    # science.md's table: the cell is long, so little is separated; split in the middle.
    np.testing.assert_allclose(found.separation[1].item(), 0.6092, atol=5e-5)
    loss = (found.b - 0.3).square().sum() + found.width.sum()
    alone = leaves(4.0, 5.0, 1.0)
    single = pnp_boundary(*alone)
    expected = gradients((single.b - 0.3).square() + single.width, *alone)
    for slope, one in zip(gradients(loss, length, voltage, charge), expected, strict=True):
        np.testing.assert_allclose(slope, [one.item(), 0.0, 0.0], rtol=1e-12, atol=1e-14)
    # Profiles and separation are there all the same: a way out of the undetermined bulk.
    assert 0.4 < found.share([0.5])[1] < 0.6
    by_voltage = gradients(pnp_boundary(length, voltage, charge).separation[1], voltage)[0]
    near = [pnp_boundary(100.0, 5.0 + d, leaves(1.0)[0]).separation.item() for d in (-0.02, 0.02)]
    np.testing.assert_allclose(by_voltage[1], (near[1] - near[0]) / 0.04, rtol=1e-3)


def test_cells_that_cannot_be_solved():
    voltage = leaves([20.0, 1e300])[0]
    with pytest.raises(SolverError, match=r"voltage 1e\+300.*1 of 2 cells"):
        pnp_boundary(4.0, voltage, 0.5)
    found = pnp_boundary(4.0, voltage, 0.5, throw=False)
    assert found.determined.tolist() == [True, False] and found.reason[1]
    assert found.separation[1].isnan() and found.share([0.5])[1].isnan()
    loss = torch.nan_to_num(found.b + found.separation).sum() + found.share([0.3]).nansum()
    slope = gradients(loss, voltage)[0]
    assert np.isfinite(slope).all() and slope[1] == 0.0


def test_shapes_dtypes_and_plain_numbers():
    length, charge = leaves([[1.0], [2.0], [3.0]], [0.5, 1.0])
    found = pnp_boundary(length, 20.0, charge)
    assert found.b.shape == found.separation.shape == found.reason.shape == (3, 2)
    assert found.length_ratio.shape == (3, 2) and found.shares.shape == (3, 2, 2)
    assert found.share(0.5).shape == (3, 2) and found.share([0.1, 0.2]).shape == (3, 2, 2)
    assert found.share(torch.rand(2, 5)).shape == (3, 2, 5)
    assert [g.shape for g in gradients(found.b.sum(), length, charge)] == [(3, 1), (2,)]
    assert pnp_boundary(torch.empty(0), 20.0, 1.0).share([0.5]).shape == (0, 1)
    plain = pnp_boundary(4, 20, 0.3)
    assert plain.b.dtype == torch.get_default_dtype() and plain.b.shape == ()
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        given = torch.tensor(0.3, dtype=dtype, requires_grad=True)
        found = pnp_boundary(4.0, 20.0, given)
        assert {found.b.dtype, found.share([0.1]).dtype, found.uncertainty.dtype} == {dtype}
        found.b.backward()
        exact = leaves(given.item())[0]
        expected = pnp_boundary(4.0, 20.0, exact).b
        expected.backward()
        near = 4 * torch.finfo(dtype).eps
        np.testing.assert_allclose(found.b.item(), expected.item(), rtol=near)
        np.testing.assert_allclose(given.grad.item(), exact.grad.item(), rtol=near)


def test_positions_take_gradients_too():
    at, L = leaves([0.05, 0.3, 0.5, 0.95], [4.0, 7.0])
    gradcheck(lambda x, n: pnp_boundary(n, 6.0, 0.6).share(x), (at, L), eps=1e-5, atol=1e-7)


def test_cells_stay_what_they_were_when_numbers_change_in_place():
    length, at = leaves([4.0], [0.2, 0.6])
    found = pnp_boundary(length, 6.0, 0.6)
    share = found.share(at)
    expected = gradients(share.sum() + found.b.sum(), length, at)
    found = pnp_boundary(length, 6.0, 0.6)
    before = found.share(at)
    with torch.no_grad():
        length *= 2.0
        at *= 0.5
    mine = gradients(before.sum() + found.b.sum(), length, at)
    for one, other in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.share([0.2, 0.6]).tolist() == share.tolist()


def test_derivatives_are_not_differentiated_again():
    charge = leaves(0.5)[0]
    loss = pnp_boundary(4.0, 20.0, charge).b.square()
    (slope,) = torch.autograd.grad(loss, charge, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        slope.backward()


def test_a_penalty_on_a_gradient_is_no_silent_constant():
    """Also where the loss is b itself, so that what comes back does not depend on the charge."""
    charge, at = leaves(0.4, [0.2, 0.3])
    for found in (
        pnp_boundary(4.0, 20.0, charge).b,
        pnp_boundary(4.0, 20.0, charge).share(at).sum(),
    ):
        (slope,) = torch.autograd.grad(found, charge, create_graph=True)
        with pytest.raises(RuntimeError, match="cannot be differentiated again"):
            (found + slope.square()).backward()
    (slope,) = torch.autograd.grad(
        pnp_boundary(4.0, 20.0, 0.4).share(at).sum(), at, None, None, True
    )
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        slope.sum().backward()


@pytest.mark.parametrize(
    "numbers, message",
    [
        ((0.0, 20.0, 0.5), "length_ratio: got 0"),
        ((4.0, -1.0, 0.5), "voltage: got -1"),
        ((4.0, 20.0, float("nan")), "charge_ratio: got nan"),
        ((4.0, torch.tensor([20.0, torch.inf]), 0.5), "voltage: got inf"),
        (("four", 20.0, 0.5), "length_ratio: got 'four'"),
        ((4.0, torch.tensor(1j), 0.5), "voltage: got torch.complex64"),
        ((torch.ones(2), torch.ones(3), 0.5), "length_ratio .*broadcast"),
    ],
)
def test_numbers_out_of_range(numbers, message):
    with pytest.raises(ValueError, match=message):
        pnp_boundary(*numbers)


@pytest.mark.parametrize("at", [[1.1], [-1e-9], [float("nan")], torch.zeros(3, 5), "left"])
def test_positions_out_of_range(at):
    with pytest.raises(ValueError, match="positions: got"):
        pnp_boundary(torch.full((2,), 4.0), 20.0, 0.5).share(at)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_results_lie_where_the_numbers_do():
    charge = torch.tensor([0.5, 1.0], device="cuda", requires_grad=True)
    found = pnp_boundary(4.0, 20.0, charge)
    (found.b.sum() + found.share([0.2]).sum() + found.separation.sum()).backward()
    assert found.b.device == found.determined.device == charge.grad.device == charge.device
    layer = PNPBoundary(DIMS).cuda()
    layer().b.sum().backward()
    assert layer.log_charge.grad.is_cuda


def test_the_layer_starts_at_the_mapping():
    mapped = pnpfuse.hyperparameters(DIMS, n=3, voltage=15.0)
    layer = PNPBoundary(DIMS, n=3, voltage=15.0).double()
    found = layer()
    np.testing.assert_allclose(found.b.tolist(), list(mapped.b.values()), atol=1e-8)
    np.testing.assert_allclose(
        found.separation.tolist(), list(mapped.separation.values()), atol=1e-8
    )
    assert list(layer.dims) == list(mapped.b) and found.length_ratio.tolist() == [3.0] * 3
    assert PNPBoundary(DIMS, n=3, voltage=15.0)().b.dtype == torch.get_default_dtype()
    assert "text: n=3, voltage=15, charge=0.1302, b=0.11" in repr(layer)


@pytest.mark.parametrize("per_modality", [False, True])
def test_a_step_moves_b_as_differences_predict(per_modality):
    dims = {"image": 256, "text": 128, "audio": 192}
    layer = PNPBoundary(dims, n=2, voltage=6.0, per_modality=per_modality).double()
    parameters = dict(layer.named_parameters())
    assert {name: p.numel() for name, p in parameters.items()} == {
        "log_length": 3 if per_modality else 1,
        "log_voltage": 3 if per_modality else 1,
        "log_charge": 3,
    }
    before = layer().b
    before[0].backward()
    for name, parameter in parameters.items():
        entry = parameter.data.reshape(-1)
        slope = parameter.grad.reshape(-1)[0].item()
        for step in (-1e-4, 1e-4):
            entry[0] += step
            with torch.no_grad():
                moved = (layer().b[0] - before[0]).item()
            entry[0] -= step
            assert moved * slope * step > 0, name
            np.testing.assert_allclose(moved, slope * step, rtol=2e-3)


def test_training_reaches_a_wanted_b():
    torch.manual_seed(0)
    layer = PNPBoundary(DIMS, learn=("charge",))
    wanted = torch.tensor([0.3, 0.2, 0.45])
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    for _ in range(150):
        optimizer.zero_grad()
        (layer().b - wanted).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(layer().b.detach(), wanted, atol=1e-3, rtol=0)
    # b = r/(1 + r) in the strong field.
    charge = layer().charge_ratio.detach()
    torch.testing.assert_close(charge, wanted / (1 - wanted), atol=1e-2, rtol=0)
    assert layer().length_ratio.tolist() == [4.0] * 3


def test_the_layer_is_kept_and_copied():
    layer = PNPBoundary(DIMS, n=3, voltage=9.0, learn=("voltage", "charge"))
    with torch.no_grad():
        layer.log_charge += torch.tensor([0.1, 0.2, -0.3])
        layer.log_voltage -= 0.2
    b = layer().b
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = PNPBoundary(DIMS, learn=("voltage", "charge"))
    other.load_state_dict(torch.load(file, weights_only=True))
    for one in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert one().b.tolist() == b.tolist()
    assert set(dict(layer.named_parameters())) == {"log_voltage", "log_charge"}
    assert not list(PNPBoundary(DIMS, learn=()).parameters())


def test_a_layer_that_went_astray_can_still_be_printed():
    layer = PNPBoundary(DIMS)
    with torch.no_grad():
        layer.log_voltage.fill_(torch.nan)
    assert "no cells (voltage: got nan" in repr(layer)
    assert "no cells" in repr(PNPBoundary(DIMS).to("meta"))


@pytest.mark.parametrize(
    "dims, settings, message",
    [
        (DIMS, {"n": 0}, "n: got 0"),
        (DIMS, {"voltage": -3.0}, "voltage: got -3"),
        (DIMS, {"voltage": "high"}, "voltage: got 'high'"),
        (DIMS, {"learn": "voltage"}, "learn: got 'voltage'"),
        (DIMS, {"learn": None}, "learn: got None"),
        (DIMS, {"learn": [["voltage"]]}, "learn: got"),
        (DIMS, {"learn": ("b",)}, "learn: got .*length, voltage, charge"),
        (DIMS, {"nodes": 3}, "nodes: got 3"),
        ({"image": 4}, {}, "dims names 1"),
    ],
)
def test_a_layer_out_of_range(dims, settings, message):
    with pytest.raises(ValueError, match=message):
        PNPBoundary(dims, **settings)
