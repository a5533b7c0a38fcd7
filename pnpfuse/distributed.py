"""Several processes that train one model: each its shard of every batch."""

import atexit
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

Result = TypeVar("Result")


def world() -> int:
    """Number of processes, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if world() > 1 else 0


def join_processes(device: str | torch.device = "auto") -> None:
    """Join the processes that ``torchrun`` started, until the end of this one.

    Without torchrun, and inside a group that is there already, nothing happens.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        return
    cpu = str(device) == "cpu" or not torch.cuda.is_available()
    if not cpu:
        torch.cuda.set_device(local_device())
    dist.init_process_group("gloo" if cpu else "nccl")
    # Not sooner: torchrun's store still holds the addresses, so a second group would use them.
    atexit.register(lambda: dist.destroy_process_group() if dist.is_initialized() else None)


def local_device() -> torch.device:
    """The GPU of this process: torchrun counts the processes of a machine in LOCAL_RANK."""
    if "LOCAL_RANK" not in os.environ:
        return torch.device("cuda")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


def from_first(work: Callable[[], Result]) -> Result:
    """What `work` hands back, or raises, in the first process; the others do not do it."""
    if world() == 1:
        return work()
    box: list = [None, None]
    if rank() == 0:
        try:
            box[0] = work()
        except Exception as error:  # the others would wait for ever
            box[1] = error
    dist.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise box[1]
    return box[0]


def shard(rows: Tensor) -> tuple[Tensor, int]:
    """This process's part of the row numbers (batch,) of a batch, and how many of them count.

    A batch of fewer rows than there are processes leaves some with a row that does not count:
    they have to take part in the exchange of gradients.
    """
    if world() == 1:
        return rows, len(rows)
    mine = rows.tensor_split(world())[rank()]
    return (mine, len(mine)) if len(mine) else (rows[:1], 0)


def add_up(values: Tensor) -> Tensor:
    """The sum of `values` over the processes, in each of them."""
    if world() > 1:
        dist.all_reduce(values)
    return values


def gather(values: Tensor) -> list[Tensor]:
    """The `values` of every process, in their order; equally long everywhere."""
    if world() == 1:
        return [values]
    boxes: list = [None] * world()
    dist.all_gather_object(boxes, values)
    return boxes


def share_state(module: nn.Module) -> None:
    """Give every process the weights and buffers of the first."""
    if world() > 1:
        for value in module.state_dict().values():
            dist.broadcast(value, src=0)


def data_parallel(module: nn.Module, loss: Callable[[], Tensor]) -> nn.Module:
    """`module` inside DistributedDataParallel.

    Parameters
    ----------
    module : on this process's device
    loss : of a first batch, as a function; tells whether some parameters take no part in it, for
        which DistributedDataParallel has to look at every step
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    grads = torch.autograd.grad(loss(), weights, allow_unused=True)
    for buffer, before in buffers:  # running means have followed the trial
        buffer.copy_(before)
    unused = add_up(torch.tensor(float(any(g is None for g in grads)), device=weights[0].device))
    return DistributedDataParallel(module, find_unused_parameters=bool(unused))


def average_gradients(weights: Iterable[nn.Parameter], share: float) -> None:
    """Sum of share * gradient over the processes, put in place of every gradient."""
    if world() == 1:
        return
    for weight in weights:
        if weight.requires_grad:
            grad = torch.zeros_like(weight) if weight.grad is None else weight.grad * share
            dist.all_reduce(grad)
            weight.grad = grad
