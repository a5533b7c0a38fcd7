"""SCOPE Table 5 as the paper would have it: the same network trained anew for every T."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, elu

from pnpfuse.fusion.arguments import check_choice, check_count
from pnpfuse.fusion.diffusion import MASKS, Attention, attention, coefficients, propagate
from pnpfuse.fusion.encoders import Standardise
from pnpfuse.optimisers import check_rate
from pnpfuse.oversmoothing.study import OPERATORS, numbered, several, smoothness
from pnpfuse.provenance import provenance
from pnpfuse.training import choose_device
from pnpfuse.views import Views, check_is_views

__all__ = ["NETWORKS", "Propagated", "retrained_study"]

NETWORKS = OPERATORS | {
    "gat, values": "T layers h <- elu(A h W), each with an attention and a W of its own",
}

LONG_NAMES = {
    "dirichlet_energy": "Dirichlet energy after the propagation",
    "energy_before": "Dirichlet energy of the same network's features before the propagation",
    "rayleigh_quotient": "energy over variance: roughness that does not depend on scale",
    "mean_average_distance": "cosine distance to the neighbours, mean over all nodes",
    "accuracy": "share of the test rows that is classified correctly, batch by batch",
}


class Propagated(nn.Module):
    """A classifier that propagates features over the semantic graph of their batch.

    Linear(d, width) - ReLU - Linear(width, width) = h; the kNN graph of h; T steps over learned
    attention, scaled dot products of Linear(h) and Linear(h); Linear(width, classes).

    Parameters
    ----------
    inputs, classes : int
        Width of the raw features, and number of classes.
    operator : str
        Of `NETWORKS`.
    steps : int
        T. With 0, "gat" has no layer.
    xi : float
        Decay rate of the diffusion.
    k : int
        Neighbours of each sample; one less than the batch has samples, at most.
    width : int
        Of h.
    mask : {"neighbours", "printed"}
        See `pnpfuse.fusion.diffusion.attention`.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        operator: str,
        steps: int,
        *,
        xi: float = 0.3,
        k: int = 30,
        width: int = 32,
        mask: str = "neighbours",
    ):
        super().__init__()
        check_choice("operator", operator, NETWORKS)
        coefficients("residual", steps, xi)  # refuses bad steps or xi
        self.operator, self.steps, self.xi, self.k, self.mask = operator, steps, xi, k, mask
        self.scale = Standardise(inputs)
        self.encoder = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
        self.head = nn.Linear(width, classes)
        # Made last, so that a seed draws the same encoder and head for every operator and T.
        layers = steps if operator.startswith("gat") else 1
        self.query = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.key = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        valued = layers if operator == "gat, values" else 0
        self.value = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(valued))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of raw features x (batch, inputs)."""
        h = self.encoder(self.scale(x))  # (batch, width)
        return self.head(self.propagated(h, self.graph(h)))

    @torch.no_grad()
    def graph(self, h: Tensor) -> Tensor:
        """Edges (2, E) from each sample of h (batch, width) to its nearest others."""
        nodes = len(h)
        own = torch.eye(nodes, dtype=torch.bool, device=h.device)
        apart = torch.cdist(h, h).masked_fill(own, torch.inf)
        nearest = apart.topk(min(self.k, nodes - 1), largest=False).indices  # (batch, k)
        source = torch.arange(nodes, device=h.device)[:, None].expand_as(nearest)
        return torch.stack((source, nearest)).flatten(1)

    def propagated(self, h: Tensor, edges: Tensor) -> Tensor:
        """h (batch, width) after T steps over a graph (2, E) without self-loops."""
        own = torch.arange(len(h), device=h.device)
        reach = torch.cat((edges, own.expand(2, -1)), dim=1)
        if not self.operator.startswith("gat"):
            form = self.operator
            return propagate(h, self._attention(0, h, reach), self.steps, form=form, xi=self.xi)
        for layer in range(self.steps):
            h = self._attention(layer, h, reach) @ h
            if self.value:
                h = elu(self.value[layer](h))
        return h

    def _attention(self, layer: int, h: Tensor, reach: Tensor) -> Attention:
        return attention(self.query[layer](h), self.key[layer](h), reach, mask=self.mask)


def retrained_study(
    views: Views,
    *,
    operators: Sequence[str] = ("gat", "gat, values", "residual", "renormalised", "iterated"),
    steps: Sequence[int] = (0, 1, 3, 5),
    xi: float = 0.3,
    k: int = 30,
    mask: str = "neighbours",
    width: int = 32,
    epochs: int = 10,
    batch_size: int = 60,
    lr: float = 1e-3,
    seeds: int | Iterable[int] = 3,
    device: str | torch.device = "auto",
    convention: str = "scope",
) -> xr.Dataset:
    """Train a network for every operator, T and seed, and measure how smooth its features are.

    As in SCOPE, graphs are made within each batch: 30 neighbours of 60 samples. Predictions then
    depend on the company that a sample keeps; test rows are taken batch by batch in their order,
    and the last incomplete batch is left out unless it is the only one.

    Parameters
    ----------
    views : Views
        Without missing modalities. They are put side by side and standardised by the training rows.
    operators, steps, xi, k, mask, width
        As for `Propagated`, for each operator and each T.
    epochs, batch_size, lr
        Of the training with AdamW on the cross-entropy of the training rows.
    seeds : int or iterable of int
        Of the initial weights and the shuffling; a count means 0, 1, ...
    device : "auto" takes the GPU if there is one
    convention : str
        Of the energy, see `pnpfuse_analysis.dirichlet_energy`.

    Returns
    -------
    xarray.Dataset
        dirichlet_energy, energy_before, rayleigh_quotient, mean_average_distance, accuracy over
        (operator, seed, steps), means over the test batches. Energies are measured on the semantic
        graph of the features before the propagation; energy_before is theirs, so that what the
        operator does and what training for it has done to the features can be told apart.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what would do.
    """
    if check_is_views(views).present is not None:
        raise ValueError("views has missing modalities; give views in which all are present")
    axes: dict[str, list[Any]] = {
        "operator": several("operators", operators),
        "seed": numbered(seeds),
        "steps": several("steps", steps),
    }
    options: dict[str, Any] = {
        "xi": xi,
        "k": check_count("k", k),
        "width": check_count("width", width),
        "mask": check_choice("mask", mask, MASKS),
    }
    batch_size = check_count("batch_size", batch_size, least=2)
    epochs, lr = check_count("epochs", epochs), check_rate("lr", lr)
    where = choose_device(device)
    train, test = (_rows(part, where) for part in (views.train, views.test))
    sizes = train[0].shape[1], views.classes
    plans = list(product(*axes.values()))
    found = {name: np.empty([len(labels) for labels in axes.values()]) for name in LONG_NAMES}
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        for operator, _, T in plans:
            Propagated(*sizes, operator, T, **options)  # refuses what it cannot do at once
        for at, (operator, seed, T) in zip(np.ndindex(found["accuracy"].shape), plans, strict=True):
            torch.manual_seed(seed)
            model = Propagated(*sizes, operator, T, **options).to(where)
            # Shuffled by a generator of its own: at T = 0 several operators are the same network.
            _train(model, *train, epochs, batch_size, lr, torch.Generator().manual_seed(seed))
            for name, value in _measured(model, *test, batch_size, convention).items():
                found[name][at] = value
    one = {"units": "1"}
    return xr.Dataset(
        {n: (tuple(axes), X, one | {"long_name": LONG_NAMES[n]}) for n, X in found.items()},
        coords={n: (n, labels, one | {"long_name": n}) for n, labels in axes.items()},
        attrs=provenance(
            "smoothness after training anew for every number of steps",
            data=views.name,
            operators=json.dumps({name: NETWORKS[name] for name in axes["operator"]}),
            graph=f"directed kNN of h within batches of {batch_size}, k = {k}, without self-loops",
            attention="softmax of scaled dot products of Linear(h), Linear(h), self-loops added",
            epochs=epochs,
            lr=lr,
            convention=convention,
            **options,
        ),
    )


def _rows(views: Views, device: torch.device) -> tuple[Tensor, Tensor]:
    """Raw features of all modalities (rows, d), labels (rows,)."""
    read = views.read(np.arange(len(views)))
    X = torch.from_numpy(np.concatenate(list(read.values()), axis=1))
    return X.to(device), torch.from_numpy(views.labels).to(device)


def _train(
    model: Propagated,
    X: Tensor,
    labels: Tensor,
    epochs: int,
    batch_size: int,
    lr: float,
    generator: torch.Generator,
) -> None:
    model.scale.fit(X)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for _ in range(epochs):
        for rows in torch.randperm(len(X), generator=generator).to(X.device).split(batch_size):
            if len(rows) < 2:  # no neighbour to speak of
                continue
            loss = cross_entropy(model(X[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def _measured(
    model: Propagated, X: Tensor, labels: Tensor, batch_size: int, convention: str
) -> dict[str, float]:
    """Means over the complete batches, of every measure."""
    whole = max(len(X) // batch_size * batch_size, min(len(X), batch_size))
    measures = []
    for x, y in zip(X[:whole].split(batch_size), labels[:whole].split(batch_size), strict=True):
        h = model.encoder(model.scale(x))  # (batch, width)
        edges = model.graph(h)
        outcome = model.propagated(h, edges)
        right = model.head(outcome).argmax(1) == y
        before = smoothness(h, edges, convention)["dirichlet_energy"]
        measures.append(
            smoothness(outcome, edges, convention)
            | {"energy_before": before, "accuracy": float(right.double().mean())}
        )
    return {name: float(np.mean([m[name] for m in measures])) for name in measures[0]}
