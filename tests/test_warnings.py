"""What estimators say where they fail badly, and that they say nothing where they do not."""

import pytest
import torch

from pnpfuse_analysis import (
    ConditionalNCE,
    Variational,
    conditional_mutual_information,
    entropy,
    mutual_information,
    total_correlation,
)


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pair(n, d, rho):
    x = noise(n, d)
    return x, rho * x + (1 - rho**2) ** 0.5 * noise(n, d, seed=1)


def says(found, text):
    return any(text in note for note in found.warnings)


LABEL = torch.arange(400) % 4
CLASS = torch.tensor([2.0, 0.0, 3.0, -1.0], dtype=torch.float64)[LABEL, None] + 0.3 * noise(400, 1)
NUMBERS = "holds whole numbers (4 different ones), here taken as measurements"
CRITICS = [
    Variational(bound, hidden=8, steps=5, batch=32) for bound in ("infonce", "nwj", "dv", "smile")
]


@pytest.mark.parametrize("method", ["gaussian", "copula", "histogram", *CRITICS])
def test_labels_taken_as_numbers_are_named(method):
    assert says(mutual_information(LABEL, CLASS, method=method), f"x {NUMBERS}")
    assert says(mutual_information(CLASS, LABEL.to(torch.uint8), method=method), f"y {NUMBERS}")
    assert not says(mutual_information(LABEL.double(), CLASS, method=method), "measurements")


@pytest.mark.parametrize("z", [noise(400, 1, seed=2), LABEL // 2], ids=["continuous", "classes"])
@pytest.mark.parametrize(
    "method", ["gaussian", "copula", ConditionalNCE(hidden=8, steps=5, batch=32)]
)
def test_labels_taken_as_numbers_are_named_given_a_third(method, z):
    found = conditional_mutual_information(LABEL, CLASS, z, method=method)
    assert says(found, f"x {NUMBERS}") and not says(found, "z holds")


def test_labels_taken_as_numbers_are_named_among_many():
    assert says(total_correlation([CLASS, LABEL]), f"xs[1] {NUMBERS}")


def test_whole_numbers_that_measure_are_not_named():
    counts = (1000 * noise(400, 1)).round().long()
    assert mutual_information(counts, CLASS, method="gaussian").warnings == ()
    assert mutual_information(LABEL, CLASS, method="label").warnings == ()
    assert mutual_information(LABEL, CLASS, method="mixed").warnings == ()
    constant = mutual_information(LABEL * 0, CLASS, method="gaussian")
    assert constant.warnings == ("x is constant, so the information is 0.",)


@pytest.mark.parametrize("method", ["label", "mixed"])
def test_labels_and_many_features_ask_for_a_probe(method):
    def features(d):
        return 0.25 * noise(4, d, seed=3)[LABEL] + noise(400, d)

    wide, narrow = (mutual_information(LABEL, features(d), method=method) for d in (64, 4))
    probed = mutual_information(LABEL, features(64), method="probe")
    assert says(wide, "method='probe'") and float(wide) < 0.7 * float(probed)
    assert not says(narrow, "dimensions")


@pytest.mark.parametrize(("d", "bad"), [(1, False), (4, False), (6, False), (16, True)])
def test_neighbour_entropy_in_many_dimensions_is_named(d, bad):
    found = entropy(noise(1000, d))
    gap = float(found) - d * 1.4189385
    assert says(found, "often reads high") == bad
    assert (gap > 6 * found.stderr) == bad


def test_canonical_pairs_left_out_are_counted():
    x, y = pair(400, 20, 0.7)
    some = mutual_information(x, y, reduce="cca")
    every = mutual_information(x, y, reduce="cca", components=20)
    few = mutual_information(x[:, :4], y[:, :4], reduce="cca")
    assert says(some, "4 of 20 canonical pairs are left out")
    assert not says(every, "left out") and not says(few, "left out")


def test_smile_says_above_which_value_it_reads_low():
    quick = Variational("smile", hidden=32, steps=200)
    high = mutual_information(*pair(1000, 16, 0.7), method=quick)  # 5.39
    low = mutual_information(*pair(1000, 1, 0.5), method=quick)  # 0.14
    assert says(high, "'smile' can read far too low") and 1 < float(high) < 4.5
    assert low.warnings == ()


@pytest.mark.parametrize("d", [3, 4, 5])
def test_columns_beside_a_curve_are_named(d):
    x = noise(1000, d)
    y = x[:, 0] ** 2 + 0.1 * noise(1000, seed=1)
    alone, beside = mutual_information(x[:, 0], y), mutual_information(x, y)
    assert alone.warnings == () and float(alone) > 1.7
    assert says(beside, "often reads low") and float(beside) < 1.2


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("n", [40, 300, 2000])
@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_neighbours_are_silent_where_they_are_good(d, n, rho):
    assert mutual_information(*pair(n, d, rho)).warnings == ()


@pytest.mark.parametrize("method", ["ksg", "mixed"])
@pytest.mark.parametrize(("n", "k", "few"), [(5, 3, True), (39, 3, True), (40, 3, False)])
def test_few_samples_are_named(method, n, k, few):
    found = mutual_information(*pair(n, 1, 0.9), method=method, k=k)
    assert says(found, f"N={n} samples are few") == few


@pytest.mark.parametrize(
    ("method", "kind"), [("gaussian", "no linear"), ("copula", "no monotone"), ("ksg", None)]
)
def test_nothing_found_names_what_could_not_be(method, kind):
    found = []
    for seed in range(6):
        q, size = noise(400, 2, seed=seed), noise(400, seed=seed + 50).abs()
        z = q.prod(1).sign() * size
        found.append(conditional_mutual_information(q[:, 0], q[:, 1], z, method=method))
    if kind is None:
        assert all(float(one) > 0.3 for one in found)
        return
    negative = [one for one in found if float(one) < 0]
    assert negative and all(abs(float(one)) < 0.02 for one in found)
    assert all(says(one, f"{kind} dependence, the only kind") for one in negative)


@pytest.mark.parametrize("method", ["ksg", "gaussian", "histogram"])
def test_a_constant_is_named_once(method):
    found = mutual_information(torch.ones(400, 1), CLASS, method=method)
    assert found.warnings == ("x is constant, so the information is 0.",)
    assert found.tie_fraction in (0.0, 1.0)


def test_repeated_values_beside_a_constant_are_still_named():
    found = mutual_information(torch.ones(400, 1), (10 * CLASS).round())
    assert says(found, "exact copies") and says(found, "x is constant")
