"""Presence masks: which modality each sample has, and what stands for one it lacks.

An absent feature vector counts as zero. The check happens at the border of every block, so that
the arithmetic behind it can trust names, shapes and dtypes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Features = Mapping[str, Tensor]
Presence = Mapping[str, Tensor]


def check_features(
    features: Features,
    dims: Mapping[str, int],
    present: Presence | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Check names, shapes, dtypes and devices; hands back one of the tensors as a reference.

    Parameters
    ----------
    features : {modality: (batch, l_m)}, exactly the modalities of `dims`, in any order; one whose
        `present` entry is False for the whole batch may be left out
    dims : {modality: l_m}
    present : {modality: bool (batch,)} or None; a modality that it does not name is present
    dtype : what the features must have, or None for any floating dtype

    Raises
    ------
    ValueError
        naming the entry, what was found and what would do. No value is read here.
    """
    check_names("features", features, dims)
    masks = {} if present is None else present
    check_names("present", masks, dims)
    missing = [name for name in dims if name not in features and name not in masks]
    if missing or not features:
        lacking = ", ".join(missing or dims)
        raise ValueError(
            f"features lacks {lacking}; give {list(dims)}, or say in present that a modality is "
            "absent (all False) to leave it out"
        )
    first = next(iter(features))
    reference = features[first]
    for name, V in features.items():
        entry = f"features[{name!r}]"
        if not isinstance(V, Tensor) or not V.is_floating_point():
            found = V.dtype if isinstance(V, Tensor) else type(V).__name__
            raise ValueError(f"{entry} must be a floating-point torch tensor; found {found}")
        if V.ndim != 2 or V.shape[1] != dims[name]:
            raise ValueError(f"{entry} must have shape (batch, {dims[name]}); found {_shape(V)}")
        if V.shape[0] != reference.shape[0]:
            raise ValueError(
                f"{entry} has {V.shape[0]} samples and features[{first!r}] has "
                f"{reference.shape[0]}; all modalities need the same batch"
            )
        if dtype is not None and V.dtype != dtype:
            raise ValueError(f"{entry} is {V.dtype}; this module computes in {dtype}: convert one")
        if V.device != reference.device:
            raise ValueError(
                f"{entry} is on {V.device} and features[{first!r}] on {reference.device}; "
                "move them to one device"
            )
    if reference.shape[0] == 0:
        raise ValueError("features holds an empty batch; at least one sample is needed")
    for name, mask in masks.items():
        entry = f"present[{name!r}]"
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(f"{entry} must be a torch.bool tensor; found {found}")
        if mask.shape != reference.shape[:1]:
            raise ValueError(
                f"{entry} must have shape ({reference.shape[0]},), one value for each sample; "
                f"found {_shape(mask)}"
            )
        if mask.device != reference.device:
            raise ValueError(
                f"{entry} is on {mask.device} and the features on {reference.device}; "
                "move them to one device"
            )
    return reference


def resolve_present(
    features: Features,
    present: Presence | None,
    dims: Mapping[str, int],
    *,
    dtype: torch.dtype | None = None,
    check_values: bool = True,
) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """The features with absent rows set to zero, in the order of `dims`, and complete masks.

    Parameters
    ----------
    features, present, dims, dtype : as in `check_features`
    check_values : False leaves out the search for NaN and infinity

    Returns
    -------
    features : {modality: (batch, l_m)}; whatever an absent row held, NaN included, reaches
        neither the values nor the gradients
    present : {modality: bool (batch,)}, every modality named, or None if it was None

    Raises
    ------
    ValueError
        as `check_features`; on the CPU also for a value of a present row that is not finite,
        and for a sample that has no modality at all.
    """
    reference = check_features(features, dims, present, dtype=dtype)
    if present is None:
        resolved = {name: features[name] for name in dims}
        masks = None
    else:
        everyone = torch.ones(reference.shape[0], dtype=torch.bool, device=reference.device)
        masks = {name: present.get(name, everyone) for name in dims}  # each (batch,)
        _check_left_out({name: masks[name] for name in dims if name not in features})
        _check_someone(masks)
        resolved = {
            name: zero_absent(features[name], masks[name])  # (batch, l_m)
            if name in features
            else reference.new_zeros(reference.shape[0], width)  # (batch, l_m)
            for name, width in dims.items()
        }
    if check_values:
        check_finite(resolved)
    return resolved, masks


def zero_absent(V: Tensor, mask: Tensor) -> Tensor:
    """V (..., batch, width) with zeros in the rows where mask (..., batch) is False."""
    # where, not a product: 0 * NaN is NaN, and its gradient would be as well.
    return torch.where(mask[..., None], V, torch.zeros((), dtype=V.dtype, device=V.device))


def working_dtype(module: nn.Module) -> torch.dtype | None:
    """The dtype that `module`'s features must have, None for any.

    Any will do under autocast, which converts them, and for a module without parameters.
    """
    # A loop that ends at once: torch.compile of torch 2.4 knows no next with a default.
    for weight in module.parameters():
        kind = weight.device.type
        autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        return None if autocast or not weight.is_floating_point() else weight.dtype
    return None


def readable(tensor: Tensor) -> bool:
    """Whether a value of `tensor` can be read without waiting for a device or breaking a trace."""
    return (
        tensor.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # inside vmap, grad
    )


def check_names(argument: str, given: Mapping[str, Tensor], dims: Mapping[str, int]) -> None:
    """ValueError unless `given` is a mapping that names modalities of `dims`, not all perhaps."""
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{argument} must be a mapping {{modality: tensor}}; found {type(given).__name__}"
        )
    unknown = [str(name) for name in given if name not in dims]
    if unknown:
        raise ValueError(
            f"{argument} has the unknown modality {', '.join(unknown)}; known are {list(dims)}"
        )


def check_labels(labels: Tensor, features: Features) -> None:
    """ValueError unless `labels` is an int64 tensor (batch,) beside `features`."""
    batch = len(next(iter(features.values()), ()))
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (batch,):
        found = (
            f"{labels.dtype} with shape {_shape(labels)}"
            if isinstance(labels, Tensor)
            else type(labels).__name__
        )
        raise ValueError(f"labels must be int64 with shape ({batch},); found {found}")


def _check_left_out(masks: dict[str, Tensor]) -> None:
    for name, mask in masks.items():
        if readable(mask):
            if mask.any():
                raise ValueError(
                    f"features lacks {name}, but present[{name!r}] is True for "
                    f"{int(mask.sum())} samples; give the features or set the mask to False"
                )
        elif mask.device.type == "cuda" and not torch.compiler.is_compiling():
            torch._assert_async(~mask.any(), f"features lacks {name}, but present has it")


def _check_someone(masks: dict[str, Tensor]) -> None:
    someone = torch.stack(list(masks.values())).any(0)  # (batch,)
    if readable(someone):
        if not someone.all():
            rows = (~someone).nonzero().flatten().tolist()
            raise ValueError(
                f"present has no modality for {len(rows)} samples (rows {rows[:5]}"
                f"{', ...' if len(rows) > 5 else ''}); every sample needs at least one: "
                "leave these rows out"
            )
    elif someone.device.type == "cuda" and not torch.compiler.is_compiling():
        # Reading the answer would stall the stream, so the device raises by itself, later.
        torch._assert_async(someone.all(), "present has a sample with no modality at all")


def check_finite(features: dict[str, Tensor]) -> None:
    """ValueError for a feature (batch, l_m) on the CPU that is NaN or infinite."""
    # On a device other than the CPU this would wait for the stream at every call; there a value
    # that is not finite shows in the loss instead.
    for name, V in features.items():
        # A finite sum has finite terms only; one that overflows is looked at again.
        if readable(V) and not V.sum().isfinite() and not torch.isfinite(V).all():
            rows = (~torch.isfinite(V).all(1)).nonzero().flatten().tolist()
            raise ValueError(
                f"features[{name!r}] has NaN or infinite values in {len(rows)} present rows "
                f"(first: {rows[0]}); mask these rows with present, or clean them"
            )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
