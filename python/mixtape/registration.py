"""How operators of the library join PyTorch: as entries of its dispatcher, with kernels that
compute, kernels that only tell shapes, and gradients. So programs that compile, export, fake or
transform PyTorch's own operators do so with these."""

import torch

# PyTorch keeps what is defined here for as long as this object lives.
_LIBRARY = torch.library.Library("mixtape", "DEF")
# From AutogradMeta PyTorch 1.13 does not find the way to Meta.
_META = ("Meta",) if hasattr(torch, "func") else ("Meta", "AutogradMeta")
_COMPILES = hasattr(torch.library, "register_autograd")  # PyTorch 2.4


def in_graph():
    """Whether this is no computation but the making of a graph."""
    return _COMPILES and torch.compiler.is_compiling()


def define(schema, kernel, shapes):
    """The operator torch.ops.mixtape.NAME of a schema `NAME(arguments) -> results`, whose kernel
    works on CPU and CUDA tensors. `shapes` returns tensors of the results' shapes and types for
    arguments that have no numbers."""
    name = schema.partition("(")[0]
    _LIBRARY.define(schema)
    for key, function in (("CPU", kernel), ("CUDA", kernel), *((meta, shapes) for meta in _META)):
        _LIBRARY.impl(name, function, key)
    operator = getattr(torch.ops.mixtape, name).default
    if hasattr(torch.library, "register_vmap"):  # PyTorch 2.5
        torch.library.register_vmap(f"mixtape::{name}", _one_by_one(operator), lib=_LIBRARY)
    return operator


def with_gradients(operator, setup_context, backward):
    """A function that calls the operator, with gradients: setup_context(ctx, inputs, output) and
    backward(ctx, *gradients) are those of torch.autograd.Function."""
    if hasattr(torch, "func"):  # PyTorch 2.0, whose transforms of functions want the two apart

        def forward(*inputs):
            return operator(*inputs)
    else:

        def forward(ctx, *inputs):
            output = operator(*inputs)
            setup_context(ctx, inputs, output)
            return output

    if _COMPILES:
        torch.library.register_autograd(operator._schema.name, backward,
                                        setup_context=setup_context, lib=_LIBRARY)
    name = operator._schema.name.replace("::", "_")
    methods = {"forward": forward, "setup_context": setup_context, "backward": backward}
    function = type(name, (torch.autograd.Function,), {
        "generate_vmap_rule": True,
        **{method: staticmethod(function) for method, function in methods.items()}
    })

    def call(*inputs):
        # A graph holds the operator itself: of the function an exported one would keep forward
        # alone, which has no gradients. The transforms of torch.func want the function.
        return operator(*inputs) if in_graph() else function.apply(*inputs)

    return call


def leave_out_gradients(ctx):
    """For setup_context: backward has None, and no zeros, for gradients that there are not. But not
    under torch.vmap, which brings a context of its own: PyTorch 2.6 fails to map over None."""
    ctx.set_materialize_grads(not isinstance(ctx, torch.autograd.function.FunctionCtx))


def differentiated_once(operator):
    """A function that calls the operator, which computes gradients. PyTorch would take them for
    constants where they are differentiated in their turn."""

    def setup_context(ctx, inputs, output):
        pass

    def backward(ctx, *_):
        raise RuntimeError(f"{operator._schema.name}: trying to differentiate twice, which the "
                           "library has no kernels for")

    return with_gradients(operator, setup_context, backward)


def _one_by_one(operator):
    """torch.vmap of an operator: a call for each element of the dimension that is mapped over."""

    def of_all(info, in_dims, *arguments):
        calls = [
            operator(*(argument.select(dim, i) if isinstance(dim, int) else argument
                       for argument, dim in zip(arguments, in_dims)))
            for i in range(info.batch_size)
        ]
        if isinstance(calls[0], torch.Tensor):
            return torch.stack(calls), 0
        results = tuple(torch.stack(parts) for parts in zip(*calls))
        return results, (0,) * len(results)

    return of_all
