"""ESPnet's RWKV transducer on Mixtape's kernels: built, trained and decoded on a CPU, or on a GPU
without ninja or a compiler, and without warp-transducer.

    python3 -m mixtape.espnet -m MODULE [ARGUMENT...]     runs a program of ESPnet so
    python3 -m mixtape.espnet PROGRAM.py [ARGUMENT...]    ... by this Python
    python3 -m mixtape.espnet PROGRAM [ARGUMENT...]       ... or a recipe, as ./run.sh
"""

import contextlib
import importlib.util
import os
import runpy
import sys

import torch
from torch.autograd.function import once_differentiable

from mixtape import hooks, library, operator, tensors


class Kernel:
    """What ESPnet calls wkv_kernel: forward and backward on its tensors, and context_size."""

    def __init__(self, context_size):
        self.context_size = context_size

    def forward(self, w, u, k, v, y):
        """w = -exp(time_decay), u = time_first (C); k, v (B, T, C); writes y (B, T, C)."""
        wide = tensors.wide_of(k.dtype)
        given = [tensors.plain(x, wide) for x in (w, u, k, v)]
        if y.dtype == wide and y.is_contiguous():
            operator.forward(*given, y=y)
        else:
            y.copy_(operator.forward(*given)[0])

    def backward(self, w, u, k, v, y, gy, gw, gu, gk, gv):
        """Writes the gradients of time_decay (through w) and of u, k and v. gw and gu are (B, C),
        to be summed over B by the caller: their first row has the sum, the others are zero."""
        wide = tensors.wide_of(k.dtype)
        w_, u_, k_, v_, gy_ = (tensors.plain(x, wide) for x in (w, u, k, v, gy))
        _, saved = operator.forward(w_, u_, k_, v_, save=True)
        dw, du, dk, dv = (torch.empty_like(x) for x in (w_, u_, k_, v_))
        operator.backward(w_, u_, k_, v_, saved, gy_, None, dw, du, dk, dv, None)
        for row, total in ((gw, w_ * dw), (gu, du)):
            row.zero_()
            row[:1].copy_(total)
        gk.copy_(dk)
        gv.copy_(dv)


def patch(attention):
    """Makes a module of ESPnet's SelfAttention use Mixtape, once."""
    if getattr(attention.load_wkv_kernel, "of_mixtape", False):
        return

    def load_wkv_kernel(context_size):
        if context_size < 1:
            raise ValueError(f"wkv: context_size {context_size}")
        library.library()
        # One object serves every decoder: the longest context counts, and each decoder checks its
        # own.
        before = getattr(attention.wkv_kernel, "context_size", 0)
        if not isinstance(attention.wkv_kernel, Kernel) or before < context_size:
            attention.wkv_kernel = Kernel(max(before, context_size))

    load_wkv_kernel.of_mixtape = True
    attention.load_wkv_kernel = load_wkv_kernel
    # PyTorch would take the gradients for constants where they are differentiated in their turn.
    attention.WKVLinearAttention.backward = staticmethod(
        once_differentiable(attention.WKVLinearAttention.backward))


def install():
    """Makes ESPnet's SelfAttention use Mixtape, and its transducer's loss where warprnnt_pytorch is
    not installed: in this process and in those that it starts from now on. What was built before
    keeps working, on the new kernel."""
    hooks.hook()
    from espnet2.asr_transducer.decoder.modules.rwkv import attention

    patch(attention)


_USAGE = """usage: python3 -m mixtape.espnet -m MODULE [ARGUMENT...]
       python3 -m mixtape.espnet PROGRAM [ARGUMENT...]"""
_HELP = f"""{_USAGE}

Runs a program of ESPnet, and all Python programs that it starts, on Mixtape's kernels: a module,
a file PROGRAM.py, by this Python, or a command or recipe, as ./run.sh."""


def _fail(text):
    print(text, file=sys.stderr)
    sys.exit(2)


def _why_not(module):
    """Why python3 -m could not run it, or None."""
    try:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations is not None:
            module += ".__main__"
            spec = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:  # of what it is in, or no name of a module
        return str(error)
    return f"No module named {module}" if spec is None else None


def _run_module(module):
    sys.path[0] = os.getcwd()
    reason = _why_not(module)
    if reason is not None:
        _fail(f"mixtape.espnet: -m {module}: {reason}")
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _run_file(path):
    if not os.path.isfile(path):
        _fail(f"mixtape.espnet: {path}: no such file")
    sys.path[0] = os.path.dirname(os.path.abspath(path))  # as Python has it
    runpy.run_path(path, run_name="__main__")


def _run_command(arguments):
    name = arguments[0]
    with contextlib.suppress(AttributeError, OSError):
        sys.stdout.flush()  # what others wrote while Python started; there may be no output
    try:
        os.execvp(name, arguments)
    except OSError as error:
        hint = ""
        if os.path.isfile(name) and os.sep not in name:
            hint = f" on PATH (the one in this folder: ./{name})"
        elif isinstance(error, PermissionError):
            hint = f" (chmod +x {name}, or name the program that reads it)"
        _fail(f"mixtape.espnet: {name}: {error.strerror}{hint}")


def main():
    arguments = sys.argv[1:]
    if arguments[:1] in (["-h"], ["--help"]):
        print(_HELP)
        return
    if not arguments or arguments == ["-m"]:
        _fail(_USAGE)
    if arguments[0].startswith("-") and arguments[0] != "-m":
        _fail(f"mixtape.espnet: no option {arguments[0]} (--help)")
    hooks.hook()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        _run_module(arguments[1])
    elif arguments[0].endswith(".py"):
        sys.argv = arguments
        _run_file(arguments[0])
    else:
        _run_command(arguments)


if __name__ == "__main__":
    main()
