"""How losses become one step: fixed weights, learned variances, a network, an aggregator."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_number
from pnpfuse.fusion.model import FusionModel

TASK = "task"
WEIGHTINGS = ("fixed", "homoscedastic", "printed", "printed-trained")
HIDDEN = 16
Losses = dict[str, Tensor]
Aggregate = Callable[[Losses, FusionModel], None]


class FixedWeights(nn.Module):
    """task + sum of weight * loss.

    Parameters
    ----------
    weights : {loss: weight}
    """

    def __init__(self, weights: Mapping[str, float]):
        super().__init__()
        self.weights = dict(weights)

    def forward(self, losses: Losses) -> Tensor:
        """The weighted sum, ()."""
        total = losses[TASK]
        for name, value in losses.items():
            if name not in self.weights and name != TASK:
                raise ValueError(
                    f"weights has no entry for the loss {name!r}; found {self.weights}"
                )
            if name != TASK:
                total = total + self.weights[name] * value
        return total


class Homoscedastic(nn.Module):
    """One learned variance for each loss (Kendall, Gal & Cipolla 2018).

    With s = log sigma^2 the sum is ``sum of (exp(-s) L + s) / 2``, their Eq. 7 for every loss; it
    is smallest at sigma^2 = L. Their form for a classification, Eq. 10, lacks the 1/2 before L,
    which only doubles that sigma^2. The losses must not be negative.

    Parameters
    ----------
    names : of the losses, the task's included
    """

    def __init__(self, names: list[str]):
        super().__init__()
        self.names = names
        self.log_variance = nn.Parameter(torch.zeros(len(names)))  # s, (losses,)

    def forward(self, losses: Losses) -> Tensor:
        """The weighted sum, ()."""
        found = [i for i, name in enumerate(self.names) if name in losses]
        stacked = torch.stack([losses[self.names[i]] for i in found])  # (losses,)
        s = self.log_variance[found]  # (losses,)
        return 0.5 * (torch.exp(-s) * stacked + s).sum()

    def variances(self) -> dict[str, float]:
        """{loss: sigma^2}."""
        return dict(zip(self.names, self.log_variance.detach().exp().tolist(), strict=True))


class PrintedWeights(nn.Module):
    """Weights phi = softmax(MLP(losses)), as SCOPE prints them (Sec. 4.4).

    Trained by the sum that it weighs, the MLP puts all the weight on the smallest loss: the sum
    has no other minimum. So no gradient enters it here, unless `trained`, and it stays as it was
    drawn: phi is then a fixed function of the losses, near equal weights. The paper leaves the
    MLP open; this one is Linear(losses, 16)-ReLU-Linear(16, losses).

    Parameters
    ----------
    names : of the losses, the task's included
    seed : of the MLP's weights
    trained : whether the sum trains the MLP, and the model through it
    """

    def __init__(self, names: list[str], seed: int, trained: bool):
        super().__init__()
        self.names, self.trained = names, trained
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.mlp = nn.Sequential(
                nn.Linear(len(names), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(names))
            )
        self.requires_grad_(trained)

    def forward(self, losses: Losses) -> Tensor:
        """The weighted sum, ()."""
        stacked = torch.stack([losses[name] for name in self.names])  # (losses,)
        phi = self.phi(stacked if self.trained else stacked.detach())
        return (phi * stacked).sum()

    def phi(self, losses: Tensor) -> Tensor:
        """Weights that sum to 1 for losses in the order of `names`, (losses,) each."""
        weight = next(self.mlp.parameters())
        return self.mlp(losses.to(weight.dtype)).softmax(-1).to(losses.dtype)

    @torch.no_grad()
    def weights(self, losses: Mapping[str, float]) -> dict[str, float]:
        """{loss: phi} at {loss: value}."""
        given = torch.tensor([losses[name] for name in self.names])  # (losses,)
        phi = self.phi(given.to(next(self.mlp.parameters()).device))
        return dict(zip(self.names, phi.tolist(), strict=True))


Summed = FixedWeights | Homoscedastic | PrintedWeights


def resolve_weights(model: FusionModel, weights: Mapping[str, float] | None) -> dict[str, float]:
    """{loss: weight} for every loss of the model: the method's own, overridden by `weights`.

    Raises
    ------
    ValueError
        for a weight that is no number of at least 0, or of a loss that the model does not have
    """
    known = dict(model.loss_weights)
    if weights is None:
        return known
    if not isinstance(weights, Mapping):
        raise ValueError(f"weights must be a mapping {{loss: weight}}; found {weights!r}")
    unknown = [str(name) for name in weights if name not in known]
    if unknown:
        raise ValueError(
            f"weights has the unknown loss {', '.join(unknown)}; {model.name} has {list(known)}"
        )
    given = {str(name): check_number(f"weights[{name!r}]", w) for name, w in weights.items()}
    return known | given


def make_weighting(
    model: FusionModel,
    weighting: str | Aggregate,
    weights: Mapping[str, float] | None,
    seed: int = 0,
) -> Summed | Aggregate:
    """What `fit` calls by `weighting` and `weights`; `seed` is of what has to be drawn."""
    if weighting == "fixed":
        return FixedWeights(resolve_weights(model, weights))
    if not callable(weighting) and weighting not in WEIGHTINGS:
        raise ValueError(
            f"weighting must be one of {list(WEIGHTINGS)} or a function of (losses, model) that "
            f"does the backward pass; found {weighting!r}"
        )
    if weights is not None:
        raise ValueError(
            f"weights goes with weighting='fixed'; with {name_of(weighting)!r} leave it out"
        )
    if callable(weighting):
        return weighting
    names = [TASK, *model.loss_weights]
    if weighting == "homoscedastic":
        return Homoscedastic(names)
    return PrintedWeights(names, seed, trained=weighting == "printed-trained")


def name_of(choice: Any) -> str:
    """How a record calls a choice: its word, or the name of the function given instead."""
    if isinstance(choice, str):
        return choice
    return str(getattr(choice, "__name__", type(choice).__name__))
