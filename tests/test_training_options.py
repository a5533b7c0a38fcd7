"""The options of `pnpfuse train` reach `fit`; errors are one line with status 2."""

import numpy as np
import pytest
import xarray as xr

from pnpfuse import load_model
from pnpfuse.cli import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    random = np.random.default_rng(0)
    y = np.arange(80) % 2
    path = tmp_path_factory.mktemp("data") / "small.npz"
    a, b = random.normal(size=(80, 4)) + y[:, None], random.normal(size=(80, 3))
    np.savez(path, view_a=a, view_b=b, y=y)
    return str(path)


def run(capsys, *arguments):
    try:
        status = main(["train", *arguments])
    except SystemExit as stop:  # argparse
        status = stop.code
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_every_option_is_recorded(capsys, data, tmp_path):
    arguments = (
        "--model gmf --epochs 3 --batch-size 16 --optimizer sgd --schedule step --lr 0.02 "
        "--weight-decay 0.001 --block-lr 0.005 --block-weight-decay 0.0 --weight preservation 0.3 "
        "--validation 0.25 --patience 3 --precision bf16 --clip 1.5 --device cpu --seed 4"
    )
    status, out, _ = run(capsys, data, *arguments.split(), "--out", str(tmp_path))
    assert status == 0 and "losses after 3 epochs (9 steps)" in out
    assert "validation after epoch " in out
    with xr.open_dataset(tmp_path / "history.nc") as history:
        told = history.attrs
        assert (told["optimizer"], told["schedule"], told["precision"]) == ("sgd", "step", "bf16")
        assert (told["lr"], told["block_lr"], told["block_weight_decay"]) == (0.02, 0.005, 0.0)
        assert (told["validation"], told["patience"], told["clip"]) == (0.25, 3, 1.5)
        assert told["weights"] == '{"preservation": 0.3}' and told["seed"] == 4
        assert {"validation_loss", "block_learning_rate"} <= set(history.data_vars)
    assert load_model(tmp_path).name == "gmf"


def test_a_recipe_and_what_goes_before_it(capsys, data, tmp_path):
    given = ["--recipe", "pmr-sgd", "--epochs", "2", "--device", "cpu", "--out", str(tmp_path)]
    assert run(capsys, data, *given)[0] == 0
    with xr.open_dataset(tmp_path / "history.nc") as history:
        told = history.attrs
        assert (told["epochs"], told["optimizer"], told["batch_size"]) == (2, "sgd", 64)
        assert (told["lr"], told["block_lr"]) == (0.01, 2.5e-4)


def test_checkpoint_goes_on_and_restart_does_not(capsys, data, tmp_path):
    given = [data, "--epochs", "2", "--device", "cpu", "--checkpoint", "--out", str(tmp_path)]
    status, first, _ = run(capsys, *given)
    assert status == 0 and (tmp_path / "checkpoint" / "checkpoint.json").exists()
    assert run(capsys, *given)[:2] == (0, first)
    status, _, err = run(capsys, *given, "--lr", "0.1")
    assert status == 2 and "lr was 0.001" in err and err.count("\n") == 1
    assert run(capsys, *given, "--lr", "0.1", "--restart")[0] == 0
    (tmp_path / "checkpoint" / "checkpoint.json").write_text("{")
    status, _, err = run(capsys, *given)
    assert status == 2 and "checkpoint.json cannot be used" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--optimizer adam", "optimizer must be one of"),
        ("--schedule linear", "schedule must be one of"),
        ("--recipe best", "--recipe must be one of"),
        ("--block-lr -1", "block_lr must be"),
        ("--validation 1", "validation must be views or a share"),
        ("--patience 2", "patience needs validation rows"),
        ("--precision half", "precision must be one of"),
        ("--clip -1", "clip must be"),
        ("--weight perservation 1", "unknown loss perservation"),
        ("--weight preservation much", "--weight needs LOSS and a number"),
        ("--weight preservation 1 --weight preservation 2", "--weight names a loss twice"),
        ("--weighting best", "weighting must be one of"),
        ("--restart", "go with --checkpoint"),
        ("--checkpoint --checkpoint-every 0", "checkpoint_every must be"),
        ("--lr fast", "invalid float"),
    ],
)
def test_bad_options_are_one_line_and_status_2(capsys, data, tmp_path, arguments, said):
    status, out, err = run(capsys, data, *arguments.split(), "--out", str(tmp_path / "out"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
