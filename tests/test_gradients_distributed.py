"""Two real processes with half a batch each report what one process with the whole batch does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pnpfuse_analysis import ConflictMonitor, every

STEPS, ROWS = 4, 12
POINTS = {"x": ("encoder", "input"), "z": "encoder", "w": ("encoder", "parameters")}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
        self.expert = nn.Linear(4, 4)  # one process alone runs it
        self.heads = nn.ModuleDict({"task": nn.Linear(4, 3), "rebuild": nn.Linear(4, 6)})

    def forward(self, x, expert=False):
        z = self.encoder(x)
        z = self.expert(z) if expert else z + 0 * sum(p.sum() for p in self.expert.parameters())
        return {name: head(z) for name, head in self.heads.items()}


def train(model, rows, monitor, **options):
    X = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(0)).double()
    x, y = X[rows], (torch.arange(ROWS) % 3)[rows]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    found = []
    with monitor:
        for step in range(STEPS):
            out = model(x, **options)
            losses = {
                "task": nn.functional.cross_entropy(out["task"], y),
                "rebuild": (out["rebuild"] - x).square().mean(),
            }
            reports = monitor.step(losses, step)
            if reports is not None:
                found.append({k: numbers(v) for k, v in reports.items()})
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
    return {"steps": found, "average": monitor.compute()}


def numbers(report):
    fields = {name: getattr(report, name) for name in ("gram", "cosine", "conflict_rate")}
    found = {name: None if value is None else value.tolist() for name, value in fields.items()}
    return found | {"rows": None if report.sample_gram is None else len(report.sample_gram)}


def monitor_of(model, points=POINTS, **options):
    names = ["task", "rebuild"]
    return ConflictMonitor(model, points, names, main="task", schedule=every(2), **options)


def work(folder, rank):
    """What each of the two processes does."""
    torch.set_num_threads(1)
    meeting = (folder / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    rows = slice(rank * ROWS // 2, (rank + 1) * ROWS // 2)
    model = DistributedDataParallel(Net().double())
    found = {"together": train(model, rows, monitor_of(model))}
    model = DistributedDataParallel(Net().double())
    found["apart"] = train(model, rows, monitor_of(model, group=None))
    model = DistributedDataParallel(Net().double())
    options = {"points": {"expert": "expert"}}
    found["expert"] = train(model, rows, monitor_of(model, **options), expert=rank == 0)
    model = DistributedDataParallel(Net().double(), static_graph=True)
    found["static"] = train(model, rows, monitor_of(model))
    found["weights"] = [p.detach().flatten().tolist() for p in model.module.heads.parameters()]
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes have found."""
    folder = tmp_path_factory.mktemp("two")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), str(rank)], env=environment,
            stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    for each in running:
        _, errors = each.communicate(timeout=240)
        assert each.returncode == 0, errors[-4000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_report_the_whole_batch(two):
    model = Net().double()
    whole = train(model, slice(None), monitor_of(model))
    for rank in (0, 1):
        found = two[rank]["together"]
        assert found["average"] == pytest.approx(whole["average"], rel=1e-9)
        for ours, theirs in zip(found["steps"], whole["steps"], strict=True):
            for label in POINTS:
                for field in ("gram", "cosine", "conflict_rate"):
                    expected = theirs[label][field]
                    if expected is None:
                        assert ours[label][field] is None
                    else:
                        torch.testing.assert_close(
                            torch.tensor(ours[label][field]), torch.tensor(expected), rtol=1e-5,
                            atol=1e-8,
                        )  # fmt: skip
            assert ours["z"]["rows"] == ROWS // 2


def test_cosines_of_the_processes_do_not_average_to_that(two):
    for label in ("z", "w"):
        name = f"{label}/task/rebuild/cosine"
        apart = [each["apart"]["average"][name] for each in two]
        together = two[0]["together"]["average"][name]
        assert abs(sum(apart) / 2 - together) > 1e-3


def test_a_module_that_one_process_skips_does_not_hang_the_others(two):
    for each in two:
        assert each["expert"]["average"] == two[0]["expert"]["average"]
    assert two[0]["expert"]["steps"][0]["expert"]["rows"] == ROWS // 2
    assert two[1]["expert"]["steps"][0]["expert"]["rows"] is None


def test_a_static_graph_is_left_alone_while_it_is_learnt(two):
    """Another backward pass in the first step would leave the processes apart from then on."""
    model = Net().double()
    train(model, slice(None), monitor_of(model))
    for each in two:
        assert len(each["static"]["steps"]) == 1  # of the steps 0 and 2 the first is left out
        for ours, theirs in zip(each["weights"], model.heads.parameters(), strict=True):
            torch.testing.assert_close(torch.tensor(ours).double(), theirs.detach().flatten())


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
