"""Retrieval: the metrics against slow versions and scikit-learn, and that nothing leaks."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, ndcg_score

from pnpfuse import Views, create_model, ranking
from pnpfuse.ranking import rank
from pnpfuse.retrieval import embeddings, retrieve

CUTS = [1, 2, 5, 30, 200]


def naive(query, gallery, wanted, labels, k, exclude_self=False, normaliser="possible"):
    """One query at a time, one position at a time."""
    precision_sums, hits, shares, reciprocal, firsts, full = [], [], [], [], [], []
    for i, q in enumerate(query):
        cosines = [
            (-(q @ g) / max(np.linalg.norm(q) * np.linalg.norm(g), 1e-300), j)
            for j, g in enumerate(gallery)
            if not (exclude_self and i == j)
        ]
        relevant = [labels[j] == wanted[i] for _, j in sorted(cosines)]
        R = sum(relevant)
        if R == 0:
            continue
        terms, found = [], 0
        for position, yes in enumerate(relevant, start=1):
            found += yes
            terms.append(found / position if yes else 0.0)
        top = sum(relevant[:k])
        divisor = min(k, R) if normaliser == "possible" else max(top, 1)
        precision_sums.append(sum(terms[:k]) / divisor)
        hits.append(top > 0)
        shares.append(top / min(k, len(relevant)))
        firsts.append(relevant.index(True) + 1)
        reciprocal.append(1 / firsts[-1])
        full.append(sum(terms) / R)
    return {
        "map_at_k": np.mean(precision_sums),
        "recall_at_k": np.mean(hits),
        "precision_at_k": np.mean(shares),
        "mean_average_precision": np.mean(full),
        "mean_reciprocal_rank": np.mean(reciprocal),
        "median_rank": np.median(firsts),
    }


@pytest.mark.parametrize("normaliser", ["possible", "found"])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_scores_are_those_of_the_slow_version(normaliser, exclude_self, monkeypatch):
    rng = np.random.default_rng(1)
    Q, labels = rng.normal(size=(41, 6)), rng.integers(0, 9, 41)
    G = Q if exclude_self else rng.normal(size=(41, 6))
    other = labels if exclude_self else rng.integers(0, 12, 41)
    monkeypatch.setattr(ranking, "CHUNK_BYTES", 7 * 41 * ranking.BYTES_PER_PAIR)  # 7 queries
    options = {"exclude_self": exclude_self, "normaliser": normaliser}
    found = rank(Q, G, labels, other, k=CUTS, **options)
    for k in CUTS:
        for name, expected in naive(Q, G, labels, other, k, **options).items():
            value = found[name].sel(k=k) if "k" in found[name].dims else found[name]
            assert float(value) == pytest.approx(expected, abs=1e-12), (name, k)


def test_the_whole_list_is_scored_as_scikit_learn_does():
    rng = np.random.default_rng(2)
    Q, G = rng.normal(size=(20, 4)), rng.normal(size=(60, 4))
    wanted, labels = rng.integers(0, 4, 20), rng.integers(0, 4, 60)
    cosine = Q / np.linalg.norm(Q, axis=1)[:, None] @ (G / np.linalg.norm(G, axis=1)[:, None]).T
    expected = np.mean(
        [average_precision_score(labels == w, c) for w, c in zip(wanted, cosine, strict=True)]
    )
    found = rank(Q, G, wanted, labels, k=[1, 60])
    assert float(found.mean_average_precision) == pytest.approx(expected, abs=1e-12)
    assert float(found.map_at_k.sel(k=60)) == pytest.approx(expected, abs=1e-12)
    best = [ndcg_score([labels == w], [c], k=1) for w, c in zip(wanted, cosine, strict=True)]
    assert float(found.recall_at_k.sel(k=1)) == pytest.approx(np.mean(best))


def test_of_a_list_worked_out_by_hand():
    # Along one circle; query 0 at angle 0, items at 1..5 degrees, of which the 1st, 3rd, 5th count.
    angles = np.deg2rad([1, 2, 3, 4, 5])
    gallery = np.stack([np.cos(angles), np.sin(angles)], 1)
    found = rank([[1.0, 0.0]], gallery, ["x"], list("xyxyx"), k=[1, 2, 4, 5])
    np.testing.assert_allclose(
        found.map_at_k, [1, 1 / 2, (1 + 2 / 3) / 3, (1 + 2 / 3 + 3 / 5) / 3], rtol=1e-12
    )
    np.testing.assert_allclose(found.precision_at_k, [1, 1 / 2, 1 / 2, 3 / 5])
    by_found = rank([[1.0, 0.0]], gallery, ["x"], list("xyxyx"), k=[2, 4], normaliser="found")
    np.testing.assert_allclose(by_found.map_at_k, [1, (1 + 2 / 3) / 2])


@pytest.mark.parametrize(
    "relevant, size, k", [(1, 7, 1), (1, 7, 3), (3, 7, 2), (3, 7, 5), (2, 4, 9)]
)
def test_chance_counts_all_choices(relevant, size, k):
    choices = list(itertools.combinations(range(size), min(k, size)))
    expected = np.mean([min(choice) < relevant for choice in choices])
    labels = [0] * relevant + [1] * (size - relevant)
    found = rank(np.ones((1, 2)), np.ones((size, 2)), [0], labels, k=k)
    assert float(found.chance_recall_at_k.sel(k=k)) == pytest.approx(expected)


def test_ties_keep_the_order_of_the_gallery_and_zeros_are_no_nan():
    same = np.ones((5, 3), np.float32)
    found = rank(same, same, k=[1, 3])
    assert found.recall_at_k.values.tolist() == [1 / 5, 3 / 5]
    assert float(found.median_rank) == 3
    zeros = rank(np.zeros((2, 3)), np.eye(3), [0, 1], [0, 1, 1], k=1)
    assert zeros.recall_at_k.values.tolist() == [0.5]


def test_scale_plays_no_part_however_large():
    rng = np.random.default_rng(3)
    Q, G = rng.normal(size=(2, 30, 5)).astype(np.float32)
    scale = 10.0 ** rng.integers(-30, 30, (30, 1)).astype(np.float32)
    expected, found = rank(Q, G, k=5), rank(Q * scale, G * scale[::-1], k=5)
    assert expected.equals(found)


def test_a_query_with_nothing_to_find_counts_nowhere():
    found = rank(np.eye(3), np.eye(3), [0, 1, 7], [0, 1, 2], k=1)
    assert found.attrs["skipped"] == 1 and found.map_at_k.item() == 1
    with pytest.raises(ValueError, match="nothing can be found"):
        rank(np.eye(2), np.eye(2), [0, 1], [2, 3], k=1)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"gallery": np.eye(4)}, "one width"),
        ({"gallery": np.ones((2, 3))}, "pairs need as many"),
        ({"query": np.ones(3)}, r"query must be numbers \(rows, width\)"),
        ({"query": np.full((3, 3), np.nan)}, "query has NaN"),
        ({"query_labels": [0, 1, 2]}, "go together"),
        ({"query_labels": [0, 1], "gallery_labels": [0, 1, 2]}, "query_labels must have shape"),
        ({"k": 0}, "k must be"),
        ({"k": [5, 1]}, "k must be numbers that rise"),
        ({"normaliser": "x"}, "normaliser must be one of"),
        ({"query": np.ones((2, 3)), "exclude_self": True}, "exclude_self needs one set"),
    ],
)
def test_bad_arguments_of_rank(arguments, match):
    with pytest.raises(ValueError, match=match):
        rank(**{"query": np.eye(3), "gallery": np.eye(3), **arguments})


@pytest.fixture(scope="module")
def independent():
    """Modalities that know nothing of each other; the labels nothing of either."""
    rng = np.random.default_rng(0)
    features = {"a": rng.normal(size=(400, 24)), "b": rng.normal(size=(400, 10))}
    return Views.from_arrays(features, rng.integers(0, 4, 400), np.ones(400, int))


def made(name, views, **options):
    torch.manual_seed(0)
    return create_model(name, views.dims, views.classes, **options).eval()


def test_z_finds_the_pair_in_independent_data_and_an_embedding_does_not(independent):
    model = made("rpmr", independent)
    X = {m: torch.from_numpy(x) for m, x in independent.features.items()}
    with torch.no_grad():
        Z = model(X).fusion.fused["a"]  # (400, l* + l_a): its first part was made from b
    own = embeddings(model, independent, "b", "shared")  # (400, l*)
    leaked = rank(Z[:, : own.shape[1]], own, k=1)
    assert leaked.recall_at_k.item() == 1.0  # nothing could be known: the answer was in the query
    honest = retrieve(model, independent, "a", "b", relevance="pair", k=[1, 10])
    chance = honest.chance_recall_at_k.values
    np.testing.assert_allclose(chance, [1 / 400, 10 / 400])
    sd = np.sqrt(chance * (1 - chance) / 400)
    assert np.all(np.abs(honest.recall_at_k.values - chance) < 4 * sd)
    with pytest.raises(ValueError, match="leaks the answer"):
        retrieve(model, independent, "a", "b", parts="fused")
    with torch.no_grad():
        output = model(X)
    for fused in (output, output.fusion, output.fusion.fused):
        with pytest.raises(ValueError, match="leaks the answer"):
            rank(fused, own)


@pytest.mark.parametrize("name", ["rpmr", "gmf", "concat"])
def test_an_embedding_is_made_from_its_own_modality_alone(independent, name):
    model = made(name, independent)
    rng = np.random.default_rng(1)
    changed = Views(
        {**independent.features, "b": rng.normal(size=(400, 10))},
        independent.labels, independent.split, independent.class_names,
    )  # fmt: skip
    assert torch.equal(embeddings(model, independent, "a"), embeddings(model, changed, "a"))
    assert not torch.equal(embeddings(model, independent, "b"), embeddings(model, changed, "b"))


def test_an_embedding_is_own_shared_and_own_specific(independent):
    model = made("rpmr", independent)
    X = {m: torch.from_numpy(x) for m, x in independent.features.items()}
    with torch.no_grad():
        output = model(X).fusion
        own = {m: embeddings(model, independent, m) for m in ("a", "b")}
    torch.testing.assert_close(own["a"][:, :10], output.shared["b"])  # a's part is b's to receive
    torch.testing.assert_close(own["a"][:, 10:], output.specific["a"])
    shared, specific = (embeddings(model, independent, "a", p) for p in ("shared", "specific"))
    assert torch.equal(torch.cat([shared, specific], 1), own["a"])
    assert own["b"].shape == (400, 20)


def test_what_can_be_compared(independent):
    model, concat = made("rpmr", independent), made("concat", independent)
    across = retrieve(model, independent, "a", "b", k=10)
    assert (across.attrs["parts"], across.attrs["searched"]) == ("shared", "b")
    inside = retrieve(model, independent, "a", "a", k=10)
    assert inside.attrs["parts"] == "all" and inside.attrs["gallery"] == 399
    E = embeddings(model, independent, "a")
    by_hand = rank(E, E, independent.labels, independent.labels, k=10, exclude_self=True)
    assert inside.map_at_k.item() == by_hand.map_at_k.item()
    for bad, arguments, match in [
        (model, {"parts": "all"}, "width 34 in a and 20 in b.*take parts='shared'"),
        (concat, {}, "width 24 in a and 10 in b.*one width"),
        (concat, {"parts": "shared"}, "parts must be one of .*all.* for concat"),
        (model, {"gallery": "a", "relevance": "pair"}, "would look for itself"),
        (model, {"gallery": "c"}, "gallery must be one of"),
        (model, {"parts": "x"}, "parts must be one of"),
        (model, {"relevance": "x"}, "relevance must be one of"),
        (model, {"split": "train"}, "no train rows"),
    ]:
        with pytest.raises(ValueError, match=match):
            retrieve(bad, independent, **{"query": "a", "gallery": "b", **arguments})
    one_width = made("concat", independent, width=16)
    assert 0 < retrieve(one_width, independent, "a", "b", k=1).map_at_k.item() < 1


def test_what_is_shared_is_found():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    features = {m: rng.normal(size=(300, 8)) + 6 * np.eye(3, 8)[labels] for m in "ab"}
    views = Views.from_arrays(features, labels, np.ones(300, int))
    model = made("concat", views, encoder=None)
    found = retrieve(model, views, "a", "b", k=[1, 50])
    assert float(found.mean_average_precision) > 0.9 > 0.5 > 1 / 3
    assert float(found.map_at_k.sel(k=50)) > 0.9


def test_absent_rows_are_no_queries_and_no_items(independent):
    rng = np.random.default_rng(0)
    present = {"a": rng.random(400) < 0.7}
    present["b"] = ~present["a"] | (rng.random(400) < 0.5)
    views = Views(
        independent.features, independent.labels, independent.split, independent.class_names,
        present=present,
    )  # fmt: skip
    model = made("rpmr", independent)
    found = retrieve(model, views, "a", "b", relevance="pair", k=10)
    assert found.attrs["queries"] == present["a"].sum()
    assert found.attrs["gallery"] == present["b"].sum()
    assert found.attrs["skipped"] == (present["a"] & ~present["b"]).sum()
    E = {m: embeddings(model, independent, m, "shared", np.flatnonzero(present[m])) for m in "ab"}
    ids = {m: np.flatnonzero(present[m]) for m in "ab"}
    assert found.map_at_k.item() == rank(E["a"], E["b"], ids["a"], ids["b"], k=10).map_at_k.item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_ranks_as_the_cpu_does(independent):
    model = made("rpmr", independent)
    here = retrieve(model, independent, "a", "b")
    there = retrieve(model.cuda(), independent, "a", "b")
    for name in here:
        np.testing.assert_allclose(here[name], there[name], atol=2e-3)
