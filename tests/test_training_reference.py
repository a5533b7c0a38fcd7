"""What `fit` gives a model of its training rows: which rows, and that they travel with it."""

import numpy as np
import pytest
import torch
from test_checkpoints import Killed, assert_same, kill_at_step
from test_checkpoints import train as trained
from test_validation import as_lazy

from pnpfuse.data import Views
from pnpfuse.fusion import create_model
from pnpfuse.fusion.saved import load_model, save_model
from pnpfuse.history import BOUNDS
from pnpfuse.training import fit

SMALL = {"block_width": 8, "heads": 2, "tokens": 1, "k": 3, "bank": 16}
BOTH = {"base": "scope", "base_options": SMALL}


@pytest.fixture(scope="module")
def views():
    """Every feature of a row is its number; test rows are those from 60."""
    rows = np.arange(80.0)
    labels = (rows >= 40).astype(int)  # in order: the first rows alone would be one class
    present = {"a": rows % 5 > 0, "b": rows % 5 < 4}
    features = {"a": np.tile(rows[:, None], 3), "b": np.tile(rows[:, None], 2)}
    return Views.from_arrays(features, labels, (rows % 4 == 3).astype(int), present=present)


def train(views, name="scope", options=SMALL, **settings):
    torch.manual_seed(0)
    model = create_model(name, views.dims, views.classes, **options)
    fit(model, views, **{"epochs": 1, "device": "cpu", "progress": False} | settings)
    return model


def kept_rows(model):
    """The numbers of the rows in the bank, each read off the modality that it has."""
    features, present = model.bank()
    rows = torch.where(present["a"], features["a"][:, 0], features["b"][:, 0])
    for m, X in features.items():
        assert torch.equal(X, torch.where(present[m], rows, 0.0)[:, None].expand_as(X))
        assert torch.equal(present[m], rows % 5 > 0 if m == "a" else rows % 5 < 4)
    return rows.int().tolist()


def test_the_bank_holds_training_rows_that_were_not_held_back(views):
    held = train(views, validation=0.5)
    rows, again = kept_rows(held), kept_rows(train(views, validation=0.5))
    assert len(set(rows)) == 16 and all(row % 4 < 3 for row in rows) and rows == again
    from pnpfuse.validation import split_validation

    apart = split_validation(held, views.train, 0.5, 0)[1]
    assert not set(rows) & set(apart.features["b"][:, 0].astype(int))
    assert rows != kept_rows(train(views, validation=0.5, seed=1))
    assert 4 < sum(row >= 40 for row in rows) < 12  # a draw over all of them


def test_rows_that_are_read_give_the_same_bank(views):
    complete = Views.from_arrays(views.features, views.labels, views.split)
    held, read = (kept(complete) for kept in (train, lambda v: train(as_lazy(v))))
    assert torch.equal(held.bank.features0, read.bank.features0)
    assert torch.equal(held.head.linear.weight, read.head.linear.weight)


def test_a_companion_that_wants_more_rows_leaves_the_bank_its_own(views):
    around = train(views, "infobridge", BOTH | {"condition": "cluster", "clusters": 2})
    assert around.reference_rows > 16
    assert kept_rows(around) == kept_rows(train(views))


def test_more_rows_than_it_keeps_are_refused():
    model = create_model("scope", {"a": 3, "b": 2}, 2, **SMALL)
    with pytest.raises(ValueError, match="features has 17 rows; 'scope' keeps 16"):
        model.set_reference({"a": torch.zeros(17, 3), "b": torch.zeros(17, 2)})


def test_a_second_training_takes_the_bank_anew(views, tmp_path):
    model = train(views)
    reopened = load_model(save_model(model, tmp_path))
    assert kept_rows(reopened) == kept_rows(model)
    before = kept_rows(model)
    fit(model, views, epochs=1, device="cpu", progress=False, seed=1)
    assert kept_rows(model) != before


@pytest.mark.parametrize("weighting", ["fixed", "printed-trained"])
def test_bank_companion_and_bounds_go_on_to_the_same_bits(views, tmp_path, monkeypatch, weighting):
    """Killed in the third epoch, after the best one."""

    def run(**more):
        settings = {"validation": 0.25, "patience": 3, "weighting": weighting, **more}
        # Turns and a memory that wraps round: what a companion counts has to travel as well.
        options = BOTH | {"updates": "alternating", "memory": 24}
        return trained(views, name="infobridge", model_options=options, **settings)

    undisturbed = run()
    with monkeypatch.context() as patch:
        kill_at_step(patch, 7)
        with pytest.raises(Killed):
            run(checkpoint=tmp_path)
    resumed = run(init=9, checkpoint=tmp_path)
    assert_same(resumed, undisturbed)
    assert resumed[1].weights == undisturbed[1].weights
    assert set(resumed[1].validation) == {"loss", "accuracy", *BOUNDS}
