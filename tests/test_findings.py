"""Sentences and tables: what they say follows from the numbers, also when those are turned."""

import numpy as np
import torch
import xarray as xr

from pnpfuse.diagnosis.findings import diagnosis, diagnostics_table, tables
from pnpfuse.findings import condition_label, fusion, mapping, physics
from pnpfuse.mapping import Hyperparameters
from pnpfuse.threads import cpu_threads


def fig8(residual, ratio):
    dims = ("contact", "voltage")
    return xr.Dataset(
        {
            "residual": (dims, np.array([[1e-14, residual]])),
            "length_ratio": (dims, np.full((1, 2), ratio)),
            "debye_length": (dims, np.full((1, 2), 1e-8 / ratio)),
        }
    )


def lengths(line):
    return xr.Dataset(
        {"separation": (("length_ratio", "voltage"), np.array(line)[:, None])},
        coords={"voltage": [5.0], "length_ratio": np.arange(1.0, 1.0 + len(line))},
    )


def test_physics_sentences_turn_with_the_numbers():
    said = " ".join(physics(fig8(1e-12, 0.118), lengths([0.9, 0.8, 0.6])))
    assert "'below 1e-8 %' holds" in said
    assert "contrary to the l > λ_D" in said
    assert "a longer cell separates less" in said
    turned = " ".join(physics(fig8(1e-9, 2.0), lengths([0.6, 0.9, 0.8])))
    assert "does not hold" in turned
    assert "as the paper requires" in turned
    assert "does not always separate less" in turned


def test_mapping_sentences_name_a_void_analogy():
    sound = Hyperparameters(4.0, {"a": 0.5}, {"a": 1.0}, {"a": "screened"})
    assert "stands for all" in mapping(sound)[1]
    mixed = Hyperparameters(4.0, {"a": 0.5}, {"a": 0.7}, {"a": "screened"})
    assert mapping(mixed)[1].startswith("The analogy is void: a: only 70%")
    unknown = Hyperparameters(4.0, {"a": 0.5}, {"a": float("nan")}, {"a": "screened"})
    assert unknown.void


def diagnostics(low, seeds=(0, 1)):
    """Two points and their parts; the same numbers in every seed but for the conflict rate."""
    point = ["encoder output", "bottleneck", "shared: a", "specific: a", "shared: b"]
    pair = ["shared: a | specific: a", "shared: b | specific: a", "shared: a | shared: b"]
    seeds = list(seeds)

    def of(dim, values):
        return ("model", "seed", dim), np.broadcast_to(values, (1, len(seeds), len(values)))

    rates = np.full((1, 2, 1, 5), np.nan)
    rates[0, :, 0, :2] = [[0.25, 0.5], [0.75, 0.5]]
    rates = rates[:, : len(seeds)]
    gradients = ("model", "seed", "loss", "point")
    return xr.Dataset(
        {
            "conflict_rate": (gradients, rates),
            "gradient_cosine": (gradients, np.full(rates.shape, -0.25)),
            "rayleigh_quotient": of("point", [2.0, 1.0, 0.5, 0.5, 0.5]),
            "effective_rank": of("point", [7.0, 1.5, 1.0, 1.0, 1.0]),
            "width": of("point", [16.0, 8.0, 4.0, 4.0, 4.0]),
            "label_information": of("point", [0.75, 0.5, 0.1, 0.1, 0.1]),
            "label_entropy": of("point", [1.0, 1.0, 1.0, 1.0, 1.0]),
            "mutual_information": of("pair", [0.5, 0.25, 0.125]),
            "mutual_information_low": of("pair", low),
            "mutual_information_high": of("pair", [0.7, 0.5, 0.3]),
            "mutual_information_null": of("pair", [0.0, 0.0, 0.0]),
            "p_value": of("pair", [0.04, 0.04, 0.5]),
        },
        coords={"model": ["m"], "seed": seeds, "loss": ["kept"], "pair": pair, "point": point},
        attrs={"components": 3, "main": "task"},
    )


def test_the_diagnosis_says_what_the_numbers_are():
    said = diagnosis(diagnostics([0.1, 0.2, 0.0]))
    assert said[0] == (
        "m: task and kept gradients oppose each other in 50.0 ± 35.4 % of the rows at the encoder "
        "output and 50.0 ± 0.0 % of the rows at the bottleneck (cosine of the whole gradients "
        "there: -0.25 ± 0.00)."
    )
    assert "goes from 2.00 ± 0.00 (encoder output) to 1.00 ± 0.00 (bottleneck)" in said[1]
    assert "1.5 ± 0.0 of 8 directions at the bottleneck" in said[2]
    assert "0.50 ± 0.00 nat, so they are not disentangled; the shared part received" in said[3]
    assert "0 ± 0 of 1 pairs" in said[4] and "shared: a | shared: b" in said[4]
    assert "0.75 ± 0.00 of 1.00 ± 0.00 nat at the encoder output" in said[5]


def test_disentanglement_is_judged_by_the_lowest_interval():
    assert "so they are not disentangled" in diagnosis(diagnostics([0.1, 0.2, 0]))[3]
    assert "not clearly above 0" in diagnosis(diagnostics([-0.1, 0.2, 0]))[3]


def test_the_diagnosis_of_one_model_has_no_spread_and_names_what_is_missing():
    one = diagnostics([0.1, 0.2, 0.0]).isel(model=0, seed=0, drop=True)
    said = diagnosis(one)
    assert said[0].startswith("Task and kept gradients oppose each other in 25.0 % of the rows")
    one["conflict_rate"][:] = np.nan
    assert diagnosis(one)[0] == (
        "Task and kept gradients do not meet at the encoder output and bottleneck."
    )
    only = diagnosis(one[["rayleigh_quotient"]].sel(point=["bottleneck"]))
    assert only == ["The Rayleigh quotient is 1.00 (bottleneck)."]


def test_tables_hold_every_number_once():
    both = diagnostics([0.1, 0.2, 0.0])
    beside = diagnostics_table(both)
    assert list(beside.header) == ["diagnostic", "m"]
    assert ["information / nat, shared: a | specific: a (shuffled)", "0.50 ± 0.00 (0.00)"] in (
        beside.rows
    )
    one = both.isel(model=0, seed=0, drop=True)
    (gradients,) = tables(one, "gradients")
    assert list(gradients.header) == ["loss and point", "gradient cosine", "conflict rate"]
    assert gradients.rows[1] == ["kept, bottleneck", "-0.25", "0.5"]
    assert gradients.rows[2][2] == "–"
    (pairs,) = tables(one, "information")
    assert [row[0] for row in pairs.rows] == list(one.pair.values)
    assert tables(one[["rayleigh_quotient"]], "labels") == []


def test_fusion_sentences_cover_both_conditions():
    accuracy = np.zeros((4, 2, 2)) + np.array([0.9, 0.8, 0.7, 0.6])[:, None, None]
    comparison = xr.Dataset(
        {"accuracy": (("model", "seed", "condition"), accuracy)},
        coords={"model": ["Concat", "GMF", "paper", "mapped"], "condition": ["none", "each"]},
    )
    said = fusion(comparison, "paper", "mapped")
    assert len(said) == 6
    assert said[0] == (
        "With all modalities, paper against Concat: -20.0 ± 0.0 points, lower with every seed."
    )


def test_labels_and_threads():
    assert [condition_label(c) for c in ("none", "each", "missing:a", "only:a")] == [
        "all present", "one missing (mean)", "missing a", "only a",
    ]  # fmt: skip
    before = torch.get_num_threads()
    with cpu_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
