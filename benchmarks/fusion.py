"""Training steps of every fusion model beside Concat and the matched linear network, in one run.

    python benchmarks/fusion.py [--models rpmr gmf ...] [--cases ...] [--device cpu|cuda]
        [--threads 1] [--precision float32|bf16] [--compile] [--rounds 5] [--out fusion.json]

A step is forward, backward and AdamW on features that need no encoder. Models are called in turn,
warm; medians. FLOPs are those of the matrix products of forward and backward; the limit beside
them is one large square product in the same precision. "kept" is what autograd keeps for the
backward pass, on CUDA the peak of a step beyond weights and optimiser is given as well.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

threads = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv[:-1] else "1"
for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", threads)

import timing  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from pnpfuse.fusion import create_model, list_models  # noqa: E402
from pnpfuse.fusion.preservation import sample_error  # noqa: E402

CLASSES = 10
CASES = {
    "two of 512, batch 256": ([512, 512], 256),
    "three of 64, batch 128": ([64, 64, 64], 128),
    "4096 and 128, batch 256": ([4096, 128], 256),
    "six unequal, batch 128": ([64, 64, 64, 47, 64, 6], 128),
}
USUAL = [name for name in CASES if "4096" not in name]  # that one takes 2 GB a model
SQUARE = 4096  # of the product that gives the limit


class PlainPMR(nn.Module):
    """PMR Eq. 4-6 written down plainly, one `nn.Linear` a map and a modality: what stacking saves.

    n = 4, b = 1/2, cosine loss; concat head.
    """

    def __init__(self, dims):
        super().__init__()
        self.names, common = list(dims), min(dims.values())
        self.dissolve = nn.ModuleDict({m: nn.Linear(d, 4 * d) for m, d in dims.items()})
        self.shared = nn.ModuleDict({m: nn.Linear(2 * d, common) for m, d in dims.items()})
        self.specific = nn.ModuleDict({m: nn.Linear(2 * d, d) for m, d in dims.items()})
        self.recon = nn.ModuleDict({m: nn.Linear(common + d, d) for m, d in dims.items()})
        self.head = nn.Linear(sum(common + d for d in dims.values()), CLASSES)

    def forward(self, V, labels):
        halves = {m: self.dissolve[m](v).chunk(2, dim=-1) for m, v in V.items()}
        own = {m: self.shared[m](first) for m, (first, _) in halves.items()}
        after = dict(zip(self.names, self.names[1:] + self.names[:1], strict=True))
        Z = {m: torch.cat([own[after[m]], self.specific[m](halves[m][1])], -1) for m in V}
        errors = [sample_error(V[m], self.recon[m](Z[m]), "cosine", "mean").mean() for m in V]
        return self.head(torch.cat(list(Z.values()), -1)), {"preservation": sum(errors)}


def steps(dims, batch, names, given):
    """{model: callable that makes one training step}, and {model: the model}."""
    torch.manual_seed(0)
    device = torch.device(given.device)
    X = {m: torch.randn(batch, d, device=device) for m, d in dims.items()}
    labels = torch.randint(0, CLASSES, (batch,), device=device)
    warnings.filterwarnings("ignore", message=".*constant")  # SRHT without encoders
    models = {name: create_model(name, dims, CLASSES, encoder=None).to(device) for name in names}
    if "rpmr" in names:
        models["rpmr, plain"] = PlainPMR(dims).to(device)

    def stepper(model):
        optimizer = torch.optim.AdamW(model.parameters())
        weights = getattr(model, "loss_weights", {"preservation": 0.1})
        call = torch.compile(model, fullgraph=True) if given.compile else model

        def step():
            with torch.autocast(device.type, torch.bfloat16, enabled=given.precision == "bf16"):
                logits, losses = _outputs(call(X, labels=labels))
                loss = cross_entropy(logits, labels)
                for name, value in losses.items():
                    loss = loss + weights[name] * value
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return step

    return {name: stepper(model.train()) for name, model in models.items()}, models, (X, labels)


def _outputs(output):
    return output if isinstance(output, tuple) else (output.logits, output.losses)


def kept_bytes(model, X, labels):
    """Bytes that autograd keeps for the backward pass, beside the parameters and the features."""
    ours = [*model.parameters(), *model.buffers(), *X.values(), labels]
    known = {t.untyped_storage().data_ptr() for t in ours}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(X, labels=labels)  # alive until counted
        assert output is not None
    return sum(kept.values())


def peak_bytes(step):
    """Peak of the CUDA memory during a step beyond what lies there before it."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


def limit(given):
    """FLOP/s of a large square product."""
    kind = torch.bfloat16 if given.precision == "bf16" else torch.float32
    size = SQUARE if given.device == "cuda" else SQUARE // 4
    left = torch.randn(size, size, device=given.device, dtype=kind)

    def product():
        torch.mm(left, left)
        if given.device == "cuda":
            torch.cuda.synchronize()

    return 2 * size**3 / timing.in_turn({"mm": product}, given.rounds)["mm"].seconds


def rows(given, names):
    """Rows of the table, one a case and a model."""
    top = limit(given)
    for case in given.cases:
        widths, batch = CASES[case]
        dims = {f"m{i}": width for i, width in enumerate(widths)}
        calls, models, (X, labels) = steps(dims, batch, names, given)
        flops = {}
        for name, call in calls.items():
            with FlopCounterMode(display=False) as counter:
                call()
            flops[name] = counter.get_total_flops()
        times = timing.in_turn(calls, given.rounds)
        for name, model in models.items():
            seconds = times[name].seconds
            row = {
                "case": case,
                "model": name,
                "parameters": sum(p.numel() for p in model.parameters()),
                "seconds": seconds,
                "over_concat": seconds / times["concat"].seconds,
                "over_ffn_linear": seconds / times["ffn-linear"].seconds,
                "flops": flops[name],
                "flop_rate": flops[name] / seconds,
                "share_of_limit": flops[name] / seconds / top,
                "kept_bytes": kept_bytes(model, X, labels),
            }
            if given.device == "cuda":
                row["peak_bytes"] = peak_bytes(calls[name])
            yield row


def main():
    """Run the cases, print a line a row and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=list_models(), default=list_models())
    parser.add_argument("--cases", nargs="+", choices=CASES, default=USUAL)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default=str(Path(__file__).with_name("fusion.json")))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    names = sorted({*given.models, "concat", "ffn-linear"})
    machine = timing.machine()
    machine["versions"]["torch"] = torch.__version__
    if given.device == "cuda":
        machine["gpu"] = torch.cuda.get_device_name()
    asked = {key: value for key, value in vars(given).items() if key not in ("out", "models")}
    report = {"machine": machine, "settings": asked, "rows": []}
    print(
        f"{'case':26}{'model':18}{'ms':>9}{'/concat':>9}{'/ffn-lin':>9}{'GFLOP/s':>9}{'kept MB':>9}"
    )
    for row in rows(given, names):
        report["rows"].append(row)
        print(
            f"{row['case']:26}{row['model']:18}{1e3 * row['seconds']:9.2f}"
            f"{row['over_concat']:9.2f}{row['over_ffn_linear']:9.2f}"
            f"{row['flop_rate'] / 1e9:9.1f}{row['kept_bytes'] / 1e6:9.2f}",
            flush=True,
        )
        Path(given.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
