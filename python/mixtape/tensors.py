"""PyTorch's tensors as the library sees them: addresses on a device, numbers of a type, in the
order of their indices. `operator` is who asks, for messages."""

import contextlib
import os
import sys
import threading

import numpy
import torch

from mixtape import library

TYPES = {torch.float32: library.F32, torch.float64: library.F64}


def wide_of(dtype):
    """What is computed in for reals of a type: float64 for itself, float32 for all others."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def address(operator, tensor):
    """Where its numbers lie. Tensors that only stand for others (FakeTensor, functional ones, those
    of a wrapper class) lie nowhere, and those whose storage was made smaller, not all of them."""
    if tensor is None:
        return None
    needed = (tensor.storage_offset() + tensor.numel()) * tensor.element_size()
    try:
        # PyTorch 1.13 has no untyped_storage.
        storage = getattr(tensor, "untyped_storage", tensor.storage)()
        is_there = storage.device == tensor.device and storage.nbytes() >= needed
        place = tensor.data_ptr() if is_there else 0
    except RuntimeError:
        place = 0
    if place == 0 and tensor.numel() > 0:
        raise ValueError(f"{operator}: a {type(tensor).__name__} of shape {tuple(tensor.shape)} "
                         "has no memory that a kernel could work on")
    return place


def addresses(operator, *tensors):
    return (address(operator, tensor) for tensor in tensors)


def device_of(operator, tensor):
    """(device of the library, stream to work on) for a tensor."""
    if tensor.device.type == "cuda":
        stream = torch.cuda.current_stream(tensor.device).cuda_stream
        return library.device(f"cuda:{tensor.device.index}"), stream
    if tensor.device.type == "cpu":
        return library.device("cpu"), None
    raise ValueError(f"{operator}: tensors on {tensor.device}: there are kernels for cpu and cuda")


def as_current(tensor):
    """The tensor's device as the current one, which the library makes it, and afterwards the former
    again."""
    on_cuda = tensor.device.type == "cuda"
    return torch.cuda.device(tensor.device) if on_cuda else contextlib.nullcontext()


def check_dense(operator, name, tensor):
    if not isinstance(tensor, torch.Tensor):
        kind = f"{type(tensor).__module__}.{type(tensor).__qualname__}".replace("builtins.", "")
        raise ValueError(f"{operator}: {name} is not a dense tensor, but of type {kind}")
    if tensor.is_nested:
        raise ValueError(f"{operator}: {name} is not a dense tensor, but a nested one")
    if tensor.layout != torch.strided:
        raise ValueError(f"{operator}: {name} is not a dense tensor, but {tensor.layout}")


def check_real(operator, name, tensor):
    check_dense(operator, name, tensor)
    if not tensor.is_floating_point():
        raise ValueError(f"{operator}: {name} is of {tensor.dtype}, expected real numbers")


def check_type(operator, name, tensor, types):
    """For what is called by itself, as of torch.ops: the type is one that there are kernels for."""
    if tensor.dtype not in types:
        raise TypeError(f"{operator}: {name} is of {tensor.dtype}, expected one of "
                        f"{', '.join(map(str, types))}")


def plain(tensor, dtype):
    """The tensor of this type and as it lies in memory, which is all that the library sees of
    it."""
    return tensor.to(dtype).contiguous().resolve_neg()


_LARGE = 1 << 22  # bytes, from which on NumPy asks for large pages
_last, _lock = None, threading.Lock()


def _after_fork():
    """In a child of this process the thread is gone that may hold the lock."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def new_like(tensor):
    """Memory for as many numbers, to be written. New memory costs more time than a kernel takes to
    fill it: the last large one is kept, and taken again once nothing else holds it."""
    global _last
    size = tensor.numel() * tensor.element_size()
    if tensor.device.type != "cpu" or size < _LARGE:
        return torch.empty_like(tensor)
    with _lock:
        unused = _last is not None and sys.getrefcount(_last) <= 2  # the name's, and the call's own
        if not unused or len(_last) < size:
            _last = numpy.empty(size, numpy.uint8)
        array = _last[:size]
    kinds = {torch.float32: numpy.float32, torch.float64: numpy.float64}
    return torch.from_numpy(array.view(kinds[tensor.dtype]).reshape(tuple(tensor.shape)))
