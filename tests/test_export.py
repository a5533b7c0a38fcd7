"""Exported, ONNX and compiled forms of blocks and models agree with eager execution."""

import io

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from pnpfuse.fusion import PMR, FusionOutput, ModelOutput, create_model, list_models
from pnpfuse.fusion.experts import MixtureOfExperts
from pnpfuse.fusion.srht import SRHT

DIMS = {"text": 6, "audio": 4, "video": 9}
# A strict block's graph differs from the relaxed one's by the metric alone.
DISTINCT = [name for name in list_models() if not name.startswith("sg-")]
BATCH = {0: torch.export.Dim("batch")}


@pytest.fixture(autouse=True)
def fresh_compiler():
    """Every model has the same forward, and torch compiles a function eight times at most."""
    torch.compiler.reset()


def batch(rows, masked, seed=0):
    """(features,) or (features, present) with every sample present in "text"."""
    random = torch.Generator().manual_seed(seed)
    features = {m: torch.randn(rows, d, generator=random) for m, d in DIMS.items()}
    if not masked:
        return (features,)
    present = {m: torch.rand(rows, generator=random) < 0.5 for m in DIMS}
    present["text"][:] = True
    return features, present


def make(name):
    torch.manual_seed(0)
    if name == "block":
        return PMR(DIMS, metric="cosine").eval()
    if name == "folded":
        return PMR(DIMS).eval().fold()
    return create_model(name, DIMS, 3).eval()


def export(module, inputs):
    shapes = tuple(dict.fromkeys(argument, BATCH) for argument in inputs)
    return torch.export.export(module, inputs, dynamic_shapes=shapes)


@pytest.mark.parametrize(
    ("name", "masked"),
    [("block", True), ("folded", True), ("folded", False), ("concat", True), ("rpmr", False)],
)
def test_exported_program_is_saved_loaded_and_takes_any_batch(name, masked):
    module = make(name)
    file = io.BytesIO()
    torch.export.save(export(module, batch(5, masked)), file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for rows in (1, 2, 17):
        inputs = batch(rows, masked, seed=rows)
        with torch.no_grad():
            expected, found = module(*inputs), loaded(*inputs)
        assert type(found) is type(expected)
        assert isinstance(found, FusionOutput | ModelOutput)
        if isinstance(found, FusionOutput):
            assert list(found.fused) == list(DIMS)
        assert len(tree_leaves(found)) == len(tree_leaves(expected))
        torch.testing.assert_close(tree_leaves(found), tree_leaves(expected))


@pytest.mark.parametrize("module", [SRHT(100, 300), MixtureOfExperts(100)], ids=["srht", "experts"])
def test_parts_export_alone(module):
    x = torch.randn(5, 100)
    program = torch.export.export(module, (x,), dynamic_shapes=(BATCH,)).module()
    other = torch.randn(9, 100)
    torch.testing.assert_close(program(other), module(other))


class Field(torch.nn.Module):
    """One field of what a block or a model hands back."""

    def __init__(self, module, field):
        super().__init__()
        self.module, self.field = module, field

    def forward(self, features, present):
        return getattr(self.module(features, present), self.field)


@pytest.mark.parametrize(("name", "field"), [("folded", "fused"), ("rpmr", "logits")])
def test_onnx_gives_the_same_to_1e_5(name, field):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    if torch.torch_version.TorchVersion(torch.__version__) < (2, 6):
        pytest.skip("torch.onnx.export takes no exported program with dynamo=True before 2.6")
    module = Field(make(name), field)
    model = torch.onnx.export(export(module, batch(5, True)), dynamo=True, verbose=False)
    session = runtime.InferenceSession(model.model_proto.SerializeToString())
    names = [entry.name for entry in session.get_inputs()]
    assert names == [f"features_{m}" for m in DIMS] + [f"present_{m}" for m in DIMS]
    for rows in (1, 12):
        inputs = batch(rows, True, seed=rows)
        arrays = [tensor.numpy() for tensor in tree_leaves(inputs)]
        outputs = session.run(None, dict(zip(names, arrays, strict=True)))
        with torch.no_grad():
            expected = tree_leaves(module(*inputs))
        for found, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def step(run, module, inputs):
    """Outputs, and the gradients of the sum of everything that came back."""
    module.zero_grad()
    leaves = tree_leaves(run(*inputs))
    sum(leaf.sum() for leaf in leaves if leaf.requires_grad).backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return [leaf.detach() for leaf in leaves], [g.clone() for g in gradients]


@pytest.mark.parametrize(("name", "masked"), [("block", False), ("rpmr", True)])
def test_captured_in_one_graph_forward_and_backward(name, masked):
    module, inputs = make(name), batch(5, masked)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    found, expected = step(compiled, module, inputs), step(module, module, inputs)
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
def test_compiled_block_forward_and_backward():
    module, inputs = make("block"), batch(5, True)
    compiled = torch.compile(module, fullgraph=True)
    found, expected = step(compiled, module, inputs), step(module, module, inputs)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTINCT)
def test_every_model_is_one_graph_in_training(name):
    module, (features, present) = make(name).train(), batch(8, True)
    labels = torch.arange(8) % 3
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    output = compiled(features, present, labels)
    total = output.logits.logsumexp(-1).sum() + sum(output.losses.values())
    total.backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTINCT)
def test_every_model_exports(name):
    module = make(name)
    program = export(module, batch(5, True)).module()
    inputs = batch(11, True, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(program(*inputs).logits, module(*inputs).logits)
