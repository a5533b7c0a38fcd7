"""Sentences and tables: what they say follows from the numbers, also when those are turned."""

import numpy as np
import torch
import xarray as xr

from pnpfuse.diagnosis.findings import diagnosis
from pnpfuse.diagnosis.tables import diagnostics_table, meanings_table, tables
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
    assert len(mapping(sound)) == 2
    off = Hyperparameters(
        4.0, {"a": 0.49}, {"a": 1.0}, {"a": "screened"}, voltage=8.0, limit={"a": 0.5},
        felt={"a": 4.0},
    )  # fmt: skip
    assert mapping(off)[2].startswith("Not the strong field's: a: b = 0.4900 is 0.01 below")
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
            "relative_spread": of("point", [0.5, 0.25, 0.5, 0.5, 0.5]),
            "rayleigh_noise": of("point", [4.0, 4.0, 4.0, 4.0, 4.0]),
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
        "m: task and kept gradients oppose each other in 50.0 ± 35.4 % of the rows at encoder "
        "output (cosine of the whole gradients -0.25 ± 0.00); 50.0 ± 0.0 % of the rows at "
        "bottleneck (cosine of the whole gradients -0.25 ± 0.00)."
    )
    assert "0.50 ± 0.00 at encoder output and 0.25 ± 0.00 at bottleneck" in said[1]
    assert "goes from 2.00 ± 0.00 at encoder output to 1.00 ± 0.00 at bottleneck" in said[2]
    assert "(Gaussian noise: 4.00 and 4.00)" in said[2]
    assert "1.5 ± 0.0 of 8 directions at bottleneck" in said[3]
    assert "own shared and specific parts: more than in any of 20 shuffles in 1 ± 0 of 1" in said[4]
    assert "received from another modality" in said[5] and "0.25 ± 0.00 nat" in said[5]
    assert "0 ± 0 of 1 pairs (by chance 0.0 would be)" in said[6]
    assert "other pairs" in said[6] and "shared: a | shared: b" in said[6]
    assert "0.75 ± 0.00 of 1.00 ± 0.00 nat at encoder output" in said[7]


def single(**change):
    """One model: 100 rows at each point, of which 30 and then 86 oppose."""
    one = diagnostics([0.1, 0.2, 0.0]).isel(model=0, seed=0, drop=True)
    cosines = np.full((1, 5, 100), np.nan)
    cosines[0, 0] = [-0.5] * 30 + [0.5] * 70
    cosines[0, 1] = [-0.01] * 86 + [0.9] * 14
    one["sample_cosine"] = ("loss", "point", "row"), cosines
    dims = one["conflict_rate"].dims
    one["conflict_rate"] = dims, [[0.3, 0.86, np.nan, np.nan, np.nan]]
    one["conflict_rate_low"] = dims, [[0.2, 0.78, np.nan, np.nan, np.nan]]
    one["conflict_rate_high"] = dims, [[0.4, 0.91, np.nan, np.nan, np.nan]]
    one["median_cosine"] = dims, [[0.5, -0.01, np.nan, np.nan, np.nan]]
    one["chance_cosine"] = "point", [0.25, 0.35, 0.5, 0.5, 0.5]
    for name, values in change.items():
        one[name] = one[name].dims, np.broadcast_to(values, one[name].shape)
    return one


def test_of_one_model_rows_are_counted_beside_what_chance_gives():
    said = diagnosis(single())
    assert "30 of 100 rows at encoder output (95 % interval 20 to 40 %" in said[0]
    assert (
        "86 of 100 rows at bottleneck (95 % interval 78 to 91 %; median cosine of a row -0.01, by "
        "chance about ±0.35; of the whole gradients -0.25)"
    ) in said[0]
    assert said[0].startswith("Task and kept gradients oppose")


def test_a_collapse_is_said_from_the_spread():
    assert not any("ollapse" in sentence for sentence in diagnosis(single()))
    said = diagnosis(single(relative_spread=[0.5, 1e-5, 0.5, 0.5, 0.5]))
    assert "1.0e-05 at bottleneck" in said[1]
    assert "Collapse to a point: all rows have nearly the same features at bottleneck" in said[2]
    assert "Rayleigh" in said[3]


def test_points_are_a_path_only_in_a_fusion_model_and_where_they_differ():
    quotients = ([2.0, 2.0, 0, 0, 0], [np.nan, 1.0, 0, 0, 0])
    same, lost = (diagnosis(single(rayleigh_quotient=values)) for values in quotients)
    assert "is 2.00 at encoder output and 2.00 at bottleneck" in " ".join(same)
    assert "quotient is 1.00 at bottleneck" in " ".join(lost)
    assert "nan" not in " ".join(lost)
    own = single().sel(point=["encoder output", "bottleneck"]).assign_coords(point=["b", "a"])
    assert "is 2.00 at b and 1.00 at a" in " ".join(diagnosis(own))


def test_the_diagnosis_of_one_model_has_no_spread_and_names_what_is_missing():
    one = single(conflict_rate=np.nan)
    assert diagnosis(one)[0] == (
        "Task and kept gradients do not meet at encoder output and bottleneck."
    )
    only = diagnosis(one[["rayleigh_quotient"]].sel(point=["bottleneck"]))
    assert only == ["The Rayleigh quotient is 1.00 at bottleneck."]


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
    one["cka"] = ("point", "other_point"), np.eye(5)
    matrix = tables(one, "geometry")[-1]
    assert matrix.header[0] == "CKA" and matrix.rows[1][:3] == ["bottleneck", "0", "1"]
    assert meanings_table(one) is None
    one.attrs["meanings"] = '{"bottleneck": "what the head takes"}'
    assert meanings_table(one).rows == [["bottleneck", "what the head takes"]]


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
