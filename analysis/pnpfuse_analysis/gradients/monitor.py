"""Conflict between losses over a training run, at named points of a model."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .conflict import GradReport, Tally, check_eps, inverse
from .course import Record, draw
from .measuring import at_activations, at_parameters
from .passes import reached
from .points import check_dim, check_flag, check_losses, check_names
from .schedules import every
from .taps import Point, Tap, resolve

_SCHEDULE = every(10)


class ConflictMonitor:
    """Watch the gradients of several losses at points of a model while it trains.

    Ten lines suffice::

        points = {"bottleneck": "encoder", "weights": ("encoder", "parameters")}
        with ConflictMonitor(model, points, ["task", "rebuild"], main="task") as monitor:
            for step, batch in enumerate(loader):
                losses = {"task": ..., "rebuild": ...}
                monitor.step(losses, step)
                sum(losses.values()).backward()
                ...
        monitor.compute()
        monitor.plot()

    Parameters
    ----------
    model : nn.Module
        May be wrapped in DistributedDataParallel or DataParallel; names go without "module.".
    points : mapping of str to str, nn.Module, or (str or nn.Module, place)
        Where to compare, by a label of yours: a module of the model or its name, for its output; or
        with the place "input", "output" or "parameters". "" is the whole model. All tensors that
        pass a point count as one, so the outputs of a module may be tuples or mappings of them.
        Tensors inside a region that `torch.compile` has compiled, or that is checkpointed with
        use_reentrant=True, cannot be seen: choose points at its border, and behind it for the
        latter.
    losses : sequence of str
        The losses to compare.
    main : str
        The one that the others are compared with.
    schedule : callable
        Takes the number of a step, says whether to measure. It is asked once for a number, one
        step ahead: steps are taken to go on as they have. Of micro-batches that share a number the
        first is measured. Each measured step costs a backward pass from the losses to the points
        for each loss; others next to nothing.
    batch_dim : int
        The axis of samples at inputs and outputs.
    eps : float
        A gradient of norm <= eps has no direction.
    coupled : bool
        The losses couple the samples of a batch, as contrastive ones do: reports warn of it.
    group : "world", process group, or None
        The processes whose samples make up a batch. With torch.distributed running, "world" are
        all of them; None leaves each process to itself.

    Attributes
    ----------
    history : list of Record
        (step, {label: report}) of each measured step.

    Raises
    ------
    ValueError
        For an empty mapping of points, a point that is not in the model, losses and main that do
        not fit, or a step outside of the context.

    Notes
    -----
    Hooks are set on entering the context and removed on leaving it, also after an exception, and
    when the monitor is forgotten; `attach` and `detach` do the same for callbacks of a trainer.
    Passes without gradients are not seen. Others, as of an evaluation outside of torch.no_grad(),
    are kept until the next `step`, the last 256 of a point at most; a report on more warns. A copy
    of the model, or a saved one, takes hooks along that do nothing and need nothing of this
    package; a copy of the monitor is not attached, and its `detach` removes them.

    Over processes inner products are added up, never cosines: numbers are those of the loss
    averaged over the processes, for the samples of all of them. At parameters the gradients
    themselves are averaged first, as the training step does. Every process must call `step` alike;
    `compute` exchanges nothing. Averages over steps are made of inner products and counts as well.
    With `DistributedDataParallel(static_graph=True)` the first step is never measured: torch would
    stop averaging gradients from then on (as after any `torch.autograd.grad` in that step).
    """

    def __init__(
        self,
        model: nn.Module,
        points: Mapping[str, Point],
        losses: Sequence[str],
        *,
        main: str,
        schedule: Callable[[int], bool] = _SCHEDULE,
        batch_dim: int = 0,
        eps: float = 0.0,
        coupled: bool = False,
        group: Any = "world",
    ):
        if not isinstance(points, Mapping) or not points:
            raise ValueError(f"points must map labels to at least one point, found {points!r}")
        self._names = check_names(losses, "losses")
        if main not in self._names:
            raise ValueError(
                f"losses must be names with main among them, found {losses!r} and main={main!r}"
            )
        check_eps(eps)
        check_dim(batch_dim)
        check_flag(coupled, "coupled")
        if not callable(schedule):
            raise ValueError(
                "schedule must be a function of the number of a step, as every(10), found "
                f"{schedule!r}"
            )
        self._main = main
        self._others = tuple(name for name in self._names if name != main)
        self._schedule, self._batch_dim, self._eps = schedule, batch_dim, eps
        self._coupled, self._group = coupled, group
        self._taps = {
            label: Tap(*resolve(model, point, f"points[{label!r}]"))
            for label, point in points.items()
        }
        # Such a wrapper learns its graph in the first backward pass, which must be the step's own.
        self._static = any(
            isinstance(module, DistributedDataParallel) and module.static_graph
            for module in model.modules()
        )
        self._attached, self._owed = False, False
        self._last: int | None = None
        self._answers: dict[int, bool] = {}
        self._watch()
        self.reset()

    def _watch(self):
        # The hooks know nothing of the monitor, so that they go when it does.
        weakref.finalize(self, _detach, tuple(self._taps.values()))

    def __getstate__(self):
        # A copy has hooks of its own, and none yet.
        taps = {label: Tap(tap.module, tap.where) for label, tap in self._taps.items()}
        fresh = {"_taps": taps, "_attached": False, "_answers": dict(self._answers)}
        return self.__dict__ | fresh | {"_sums": dict(self._sums), "history": list(self.history)}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._watch()

    def attach(self) -> ConflictMonitor:
        """Set the hooks; a second time changes nothing."""
        if not self._attached:
            self._attached, self._owed, self._last = True, False, None
            for tap in self._taps.values():
                tap.attach()
                tap.open = True
        return self

    def detach(self) -> None:
        """Remove the hooks; a second time changes nothing."""
        self._attached = False
        _detach(self._taps.values())

    __enter__ = attach

    def __exit__(self, *_: object) -> None:
        self.detach()

    def step(
        self, losses: Mapping[str, Tensor], step: int | None = None, *, scale: Any = None
    ) -> dict[str, GradReport] | None:
        """Compare the gradients of this step's losses, if it is due.

        To be called before the losses' own backward pass, whose graph it needs and keeps.

        Parameters
        ----------
        losses : mapping of str to scalar Tensor
            With the names given to the monitor; others are left aside.
        step : int or None
            Number of the step; None counts the calls.
        scale : None, number, scalar Tensor or GradScaler
            What the losses were multiplied by: pass the scaled losses of a GradScaler together with
            the scaler.

        Returns
        -------
        dict of str to GradReport, or None
            By the labels of the points; None if the step was not due. A point that nothing has
            passed has NaN, and a warning that says so. Tensors of each sample are this process's.
        """
        if not self._attached:
            raise ValueError(
                "step must be called while the monitor is attached; use it as a context manager "
                "around the training loop, or call attach()"
            )
        last = -1 if self._last is None else self._last
        step = last + 1 if step is None else _number(step)
        ahead = step + (1 if self._last is None else max(1, step - last))
        self._answers = {number: self._due(number) for number in (step, ahead)}
        # The micro-batches of an accumulated step share its number: the first stands for them.
        due = (self._answers[step] and step != self._last) or self._owed
        if self._static and self._last is None:
            due = False
        seen = any(tap.open for tap in self._taps.values())
        overrun = {label for label, tap in self._taps.items() if tap.overrun}
        calls = {label: tap.take() for label, tap in self._taps.items()}
        # Hooks have to know beforehand whether the next step counts: steps are taken to go on as
        # they have. One that was due without being seen is made up for.
        self._owed = due and not seen
        self._last = step
        reports = self._measure(losses, calls, overrun, scale) if due and seen else None
        for tap in self._taps.values():
            tap.open = self._owed or self._answers[ahead]
        if reports is not None:
            slim = {"sample_cosine": None, "sample_gram": None}
            kept = {label: replace(report, **slim) for label, report in reports.items()}
            self.history.append(Record(step, kept))
        return reports

    def _due(self, step):
        """Whether the schedule has a step, which it is asked once: it may draw its answer."""
        return self._answers[step] if step in self._answers else bool(self._schedule(step))

    def _measure(self, losses, calls, overrun, scale):
        if not isinstance(losses, Mapping) or not set(self._names) <= set(losses):
            found = list(losses) if isinstance(losses, Mapping) else type(losses).__name__
            raise ValueError(f"losses must have the names {list(self._names)}, found {found}")
        losses = {name: losses[name] for name in (self._main, *self._others)}
        check_losses(losses, self._main)
        order = list(losses.values())
        points = [tensor for each in calls.values() for call in each for tensor in call]
        gradients = reached(order, points) if points else [() for _ in order]
        factor = inverse(scale, order[0].device)
        reports, start = {}, 0
        for label, tap in self._taps.items():
            each = calls[label]
            stop = start + sum(map(len, each))
            found = [row[start:stop] for row in gradients]
            more = {"factor": factor * factor, "overrun": label in overrun}
            reports[label] = self._report(label, tap, order, each, found, **more)
            start = stop
        return reports

    def _report(self, label, tap, order, calls, gradients, factor, overrun):
        """The report at one point, from the gradients of each loss at its tensors."""
        options = {"factor": factor, "group": self._group}
        if tap.where == "parameters":
            found = at_parameters(order, calls[0], gradients, **options)
        else:
            options |= {"batch_dim": self._batch_dim, "eps": self._eps, "coupled": self._coupled}
            found = at_activations(order, calls, gradients, overrun=overrun, **options)
        self._add(label, found.tally)
        return found.tally.report(
            self._main,
            self._others,
            self._eps,
            sample_cosine=found.sample_cosine,
            sample_gram=found.sample_gram,
            warnings=found.warnings,
        )

    def _add(self, label, tally):
        """Add a step to the averages, unless its gradients have overflowed."""
        fine = tally.gram.isfinite().all()
        now = (tally.gram, tally.counts, torch.ones_like(tally.gram[0, 0]))
        now = tuple(None if part is None else torch.where(fine, part, 0) for part in now)
        before = self._sums.get(label, (0, 0, 0))
        self._sums[label] = tuple(
            None if part is None else part + old for part, old in zip(now, before, strict=True)
        )

    def compute(self) -> dict[str, float]:
        """Return averages over the measured steps since the last reset.

        Returns
        -------
        dict of str to float
            "<label>/<main>/<other>/cosine", from inner products added up over the steps;
            ".../conflict_rate" and ".../undefined", shares of all samples; "<label>/<loss>/norm",
            root mean square over the steps; "<label>/steps", how many had finite gradients. Empty
            before the first measured step.
        """
        found: dict[str, Tensor] = {}
        for label, (gram, counts, steps) in self._sums.items():
            mean = Tally(gram / steps, counts)
            report = mean.report(self._main, self._others, self._eps)
            found |= report.scalars(f"{label}/") | {f"{label}/steps": steps}
        # The only transfer from the device.
        values = torch.stack(list(found.values())).tolist() if found else []
        return dict(zip(found, values, strict=True))

    def reset(self) -> None:
        """Forget all steps; hooks stay as they are."""
        self._sums: dict[str, tuple[Any, ...]] = {}
        self.history: list[Record] = []

    def plot(self, ax: Any = None) -> Any:
        """Draw cosines (lines) and conflict rates (dashes) over the measured steps.

        Parameters
        ----------
        ax : matplotlib Axes or None
            None makes a figure.

        Returns
        -------
        matplotlib Axes
            Its figure is `ax.figure`.
        """
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots(layout="constrained")[1]
        draw(self.history, ax)
        return ax


def _number(step):
    """The number of a step; whole numbers of NumPy and torch are as good."""
    try:
        return operator.index(step if not isinstance(step, bool) else None)
    except TypeError:
        raise ValueError(f"step must be a whole number or None, found {step!r}") from None


def _detach(taps):
    for tap in taps:
        tap.detach()
