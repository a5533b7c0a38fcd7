"""Sentences and tables: what they say follows from the numbers, also when those are turned."""

import numpy as np
import torch
import xarray as xr

from pnpfuse.findings import condition_label, diagnosis, fusion, mapping, physics
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


def diagnostics(low):
    pair, modality, seed = ["own", "received"], ["a", "b"], [0, 1]
    information = np.full((1, 2, 2, 2), 0.5)
    return xr.Dataset(
        {
            "conflict_rate": (("model", "seed", "point"), np.array([[[0.25, 0.5], [0.75, 0.5]]])),
            "rayleigh_quotient": (("model", "seed", "stage"), np.array([[[2.0, 1.0], [2.0, 1.0]]])),
            "mutual_information": (("model", "seed", "pair", "modality"), information),
            "mutual_information_low": (
                ("model", "seed", "pair", "modality"),
                np.broadcast_to(np.array(low), (1, 2, 2, 2)),
            ),
        },
        coords={
            "model": ["m"], "seed": seed, "pair": pair, "modality": modality,
            "point": ["encoder output", "bottleneck"], "stage": ["encoded", "fused"],
        },
        attrs={"components": 3},
    )  # fmt: skip


def test_disentanglement_is_judged_by_the_lowest_interval():
    assert "so they are not disentangled" in diagnosis(diagnostics([0.1, 0.2]))[2]
    assert "not clearly above 0 everywhere" in diagnosis(diagnostics([-0.1, 0.2]))[2]
    assert "50.0 ± 35.4 % of the rows at the encoders' output" in diagnosis(diagnostics([0, 0]))[0]


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
