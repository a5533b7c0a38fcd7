"""`pnpfuse models`, and the options of a model on the command line of `pnpfuse train`."""

import json

import numpy as np
import pytest
from command_line import run

from pnpfuse import create_model, hyperparameters, load_model, load_views
from pnpfuse.experiment import mapped_options
from pnpfuse.fusion.methods import METHODS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    random = np.random.default_rng(0)
    y = np.arange(60) % 3
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, view_a=random.normal(size=(60, 90)), view_b=random.normal(size=(60, 10)), y=y)
    return str(path)


def test_models_lists_all_with_what_create_model_takes_and_weighs(capsys):
    status, out, _ = run(capsys, "models")
    assert status == 0 and max(map(len, out.splitlines())) <= 100
    first, *rest = out.splitlines()
    common, listed, name, title = first.partition(": ")[2].split(), {}, None, ""
    for line in rest[:-1]:
        if not line.startswith(" "):
            name, title = line.partition(": ")[0], ""
            listed[name] = {"options": [], "losses": []}
            assert METHODS[name].summary in line
        else:
            words = line.split()
            title = words.pop(0) if words[0] in listed[name] else title
            listed[name][title] += words
    assert list(listed) == sorted(METHODS)
    for name, found in listed.items():
        model = create_model(name, {"a": 8, "b": 6}, 3)
        given = {}
        for entry in common + found["options"]:
            key, _, value = entry.partition("=")
            given[key] = value if value[0].isalpha() and not is_json(value) else json.loads(value)
        assert given == model.options  # what is printed is what is built
        losses = dict(entry.split("=") for entry in found["losses"])
        assert {loss: float(weight) for loss, weight in losses.items()} == model.loss_weights


def is_json(text):
    return text in ("true", "false", "null")


def test_help_names_the_list_of_models(capsys):
    assert "pnpfuse models" in run(capsys, "train", "--help")[1]
    assert "models" in run(capsys, "--help")[1]


def test_train_takes_every_option(capsys, data, tmp_path):
    given = ["--option", "heads=2", "--option", "layers=1", "--option", 'width={"a": 8, "b": 6}',
             "--option", "bias=false", "--fill", "learned"]  # fmt: skip
    out = ["--epochs", "1", "--out", str(tmp_path)]
    status, _, err = run(capsys, "train", data, "--model", "rg-mbt", *given, *out)
    assert status == 0, err
    options = load_model(tmp_path).options
    assert (options["heads"], options["layers"], options["fill"]) == (2, 1, "learned")
    assert options["width"] == {"a": 8, "b": 6} and options["bias"] is False


@pytest.mark.parametrize("model", ["ffn", "g-mbt", "sg-srht", "rg-umoe", "pmr-robust"])
def test_n_b_and_mapped_go_with_all_that_have_them(capsys, data, tmp_path, model):
    given = ["train", data, "--model", model, "--epochs", "1", "--out", str(tmp_path)]
    status, _, err = run(capsys, *given, "--n", "2", "--b", "0.25")
    assert status == 0, err
    assert load_model(tmp_path).options["n"] == 2 and load_model(tmp_path).options["b"] == 0.25
    status, out, err = run(capsys, *given, "--mapped")
    assert status == 0 and out.startswith("n = 4"), err
    # The strong field's l*/(l* + l_m), of the encoders' outputs: 64 and 10.
    assert load_model(tmp_path).options["b"]["a"] == pytest.approx(10 / 74, abs=1e-3)


@pytest.mark.parametrize(
    "options, widths",
    [({}, (64, 10)), ({"encoder": None}, (90, 10)), ({"width": 16}, (16, 16))],
)
def test_mapped_options_are_those_of_the_widths_that_reach_the_block(data, options, widths):
    found = mapped_options(load_views(data), voltage=50, **options)
    assert found == hyperparameters(dict(zip("ab", widths, strict=True)), voltage=50)
    assert found.b["a"] == pytest.approx(widths[1] / sum(widths), abs=1e-4)


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--model gmf-mae --mapped", "--mapped gives n, which gmf-mae does not have; it has b"),
        ("--model gmf-mae --n 2", "--n gives n, which gmf-mae does not have"),
        ("--model late --option b=0.5", "--option b gives b, which late does not have"),
        (
            "--model infobridge --n 2",
            "the base of infobridge takes its own in --option base_options={...}",
        ),
        ("--model infobridge --mapped", "--mapped gives n, which infobridge does not have"),
        ("--model infobridge --option base_options=4", "base_options must be a mapping"),
        ("--option wide=3", "--option wide gives wide, which rpmr does not have"),
        ("--option metric=mse", "take 'spmr'"),
        ("--option", "expected one argument"),
        ("--option n", "--option needs KEY=VALUE"),
        ("--option =3", "--option needs KEY=VALUE"),
        ("--option n=", "n must be"),
        ("--option n=NaN", "n must be"),
        ("--option n=[4]", "n must be"),
        ("--option n=1 --option n=2", "n is given twice"),
        ("--b 0.5 --option b=0.2", "b is given twice"),
        ("--mapped --option b=0.2", "take one of them"),
        ("--fill none", "fill must be one of"),
        ("--weighting homoscedastic --weight preservation 1", "goes with --weighting fixed"),
    ],
)
def test_bad_options_are_one_line_before_anything_is_solved(
    capsys, data, tmp_path, arguments, said
):
    status, out, err = run(capsys, "train", data, *arguments.split(), "--out", str(tmp_path))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_changed_setting_names_the_option_that_begins_anew(capsys, data, tmp_path):
    given = ["train", data, "--epochs", "1", "--checkpoint", "--out", str(tmp_path)]
    assert run(capsys, *given)[0] == 0
    status, _, err = run(capsys, *given, "--lr", "0.1")
    assert status == 2 and "or --restart to begin anew" in err and "resume" not in err
    (tmp_path / "checkpoint" / "checkpoint.json").write_text("{")
    status, _, err = run(capsys, *given)
    assert status == 2 and "give --restart to begin anew" in err


def test_map_says_which_widths_it_means(capsys):
    assert "min(64, width)" in run(capsys, "map", "--help")[1]
