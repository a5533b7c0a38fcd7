"""Train many models at once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from tqdm.auto import tqdm

from pnpfuse.data import Views
from pnpfuse.distributed import world
from pnpfuse.evaluation import check_views
from pnpfuse.fusion.model import FusionModel, check_model
from pnpfuse.history import History
from pnpfuse.stacked.obstacles import obstacle
from pnpfuse.stacked.sizes import stacks
from pnpfuse.stacked.trainer import StackTrainer
from pnpfuse.trainer import TrainingError
from pnpfuse.training import check_numbers, choose_device, fit, outcome, own_rates, record
from pnpfuse.weighting import name_of, resolve_weights

NUMBERS = ("batch_size", "lr", "weight_decay", "block_lr", "block_weight_decay", "clip")


def fit_stacked(
    models: Sequence[FusionModel],
    views: Views,
    *,
    seeds: Sequence[int],
    epochs: int = 30,
    progress: bool = True,
    **settings: Any,
) -> list[History | TrainingError]:
    """Train all `models` in place, as `pnpfuse.fit` would one by one; hands back their histories.

    The same numbers as ``[fit(model, views, seed=seed, ...) for model, seed in ...]`` up to
    rounding, several times faster where models are small: their weights are stacked, and what is
    many small products for each model is one batched product for all. On a CPU take one thread
    (`torch.set_num_threads`) and, for several cores, a process for each of some `stacks`.

    Parameters
    ----------
    models : of `create_model`, each with its own initial weights; alike but for n and b, and none
        that `obstacle` speaks against
    views, epochs, progress : as in `fit`
    seeds : one for each model, as `fit` takes it
    settings : the other arguments of `fit`, but for those that `obstacle` names

    Returns
    -------
    list of History or TrainingError
        One for each model. A training whose losses or weights stop being finite ends with the error
        that `fit` would raise, the model keeping its weights of that moment; the others go on.

    Raises
    ------
    ValueError
        as `fit`; for models that differ in more than n and b; for what cannot be stacked

    Notes
    -----
    On the CPU dropout and shuffling are those of `fit` to the bit, and the rest agrees to rounding,
    which a training magnifies from step to step. On a GPU dropout is another draw from the same
    distribution. Lazy views are read whole.
    """
    models, seeds = list(models), list(seeds)
    settings = _complete(settings)
    _check_models(models, seeds, settings)
    if not models:
        return []
    given = {name: settings[name] for name in NUMBERS}
    numbers = [check_numbers(epochs=epochs, seed=seed, **given) for seed in seeds]
    weights = resolve_weights(models[0], settings["weights"])
    train = check_views(models[0], views, "train")
    where = choose_device(settings["device"])
    choices = settings["optimizer"], settings["schedule"]
    known = {
        "optimizer": settings["optimizer"],
        "schedule": name_of(settings["schedule"]),
        "weighting": settings["weighting"],
        "weights": json.dumps(weights),
        "validation": 0.0,
        "precision": settings["precision"],
        "processes": world(),
    }
    done = outcome(views, train, where)
    found: dict[int, History | TrainingError] = {}
    total, quiet = len(models) * numbers[0]["epochs"], None if progress else True
    try:
        for model in models:
            model.to(where)
        with tqdm(total=total, desc=models[0].name, disable=quiet) as bar:
            for positions in stacks(models):
                together, own = [models[i] for i in positions], [seeds[i] for i in positions]
                trainer = StackTrainer(together, train, own, numbers[0], weights, *choices)
                trainer.run(bar)
                rates = own_rates(trainer.rates)
                ends = zip(positions, trainer.losses, trainer.failures, strict=True)
                for i, losses, failure in ends:
                    about = record(models[i], views, train, **numbers[i], **known) | done
                    found[i] = failure or History(losses, about, rates=deepcopy(rates))
    finally:
        for model in models:
            model.eval()
    return [found[i] for i in range(len(models))]


def _complete(settings: dict[str, Any]) -> dict[str, Any]:
    """All arguments of `fit` that are no argument of `fit_stacked`."""
    known = {
        name: one.default
        for name, one in inspect.signature(fit).parameters.items()
        if one.default is not one.empty and name not in ("epochs", "seed", "progress")
    }
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"settings has the unknown {', '.join(unknown)}; fit takes {list(known)}")
    return known | settings


def _check_models(models: list[FusionModel], seeds: list[int], settings: dict[str, Any]) -> None:
    if len(seeds) != len(models):
        raise ValueError(
            f"seeds must be one for each model; found {len(seeds)} for {len(models)} models"
        )
    if len({id(model) for model in models}) < len(models):
        raise ValueError("models has one twice; give each point a model of its own")
    for i, model in enumerate(models):
        if why := obstacle(check_model(model), settings):
            raise ValueError(f"models[{i}] cannot be stacked: {why}; train it with fit")
        if _kind(model) != _kind(models[0]):
            raise ValueError(
                f"models must be alike but for n and b; found {_kind(models[0])} and, in "
                f"models[{i}], {_kind(model)}"
            )


def _kind(model: FusionModel) -> tuple[Any, ...]:
    """What the models of a stack have in common."""
    options = {key: value for key, value in model.options.items() if key not in ("n", "b")}
    weight = next(model.parameters())
    return model.name, model.dims, model.classes, options, weight.dtype
