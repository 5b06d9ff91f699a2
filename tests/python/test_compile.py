"""mixtape.wkv in what PyTorch makes of programs from its version 2.4 on: compiled ones, exported
ones, and transforms of functions. scripts/test-newest has such a PyTorch."""

import io
import os
import unittest

import test_operator
import test_transducer
from test_torch import output, results


def setUpModule():
    test_operator.setUpModule()
    test_transducer.setUpModule()
    global torch, mixtape
    import torch

    import mixtape
    if not hasattr(torch.library, "register_autograd"):
        raise unittest.SkipTest(f"PyTorch {torch.__version__} compiles no operators")


def has_headers():
    """Tells if PyTorch's own headers are there, which inductor compiles with; Debian has them in a
    package of their own, and setuptools, which PyTorch asks for them, in another."""
    try:
        from torch.utils.cpp_extension import include_paths
    except ImportError:
        return False
    return any(os.path.exists(os.path.join(path, "ATen", "NumericUtils.h"))
               for path in (*include_paths(), "/usr/include"))


def with_state(*given):
    """The output and what the state stands for, in one tensor."""
    y, (num, den, largest) = mixtape.wkv(*given[:4], tuple(given[4:]) or None)
    return torch.cat((2 * y, torch.stack((num, den), 1) * torch.exp(largest)[:, None]), 1)


def arguments(*shape, dtype=None, carried=False):
    return [x.detach() for x in test_operator.arguments(*shape, dtype, carried=carried)]


class CompileTest(unittest.TestCase):
    def setUp(self):
        torch._dynamo.reset()

    def assert_same(self, found, expected):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)

    def assert_compiles(self, function, given, **options):
        compiled = torch.compile(function, fullgraph=True, **options)
        self.assert_same(results(compiled, given), results(function, given))
        return compiled

    def test_one_graph_with_gradients(self):
        for backend in ("eager", "aot_eager", *(["inductor"] if has_headers() else [])):
            for carried in (False, True):
                with self.subTest(backend=backend, carried=carried):
                    *given, largest = test_operator.arguments(2, 40, 4, torch.float32, carried=True)
                    rest = [largest] if carried else []
                    self.assert_compiles(lambda *a: with_state(*a, *rest),
                                         given if carried else given[:4], backend=backend)

    def test_one_graph_for_all_lengths(self):
        graphs = []

        def backend(graph, example):
            graphs.append(graph)
            return torch._dynamo.lookup_backend("aot_eager")(graph, example)

        compiled = torch.compile(output, fullgraph=True, dynamic=True, backend=backend)
        for shape in ((2, 6, 4), (3, 40, 5), (4, 100, 6), (2, 33, 7)):
            given = test_operator.arguments(*shape)
            self.assert_same(results(compiled, given), results(output, given))
        self.assertEqual(len(graphs), 1)

    def test_autocast_and_checkpoints_in_a_graph(self):
        from torch.utils.checkpoint import checkpoint

        for dtype in (torch.bfloat16, torch.float16):

            def half(*given, dtype=dtype):
                with torch.autocast("cpu", dtype=dtype):
                    return output(*given)

            self.assert_compiles(half, test_operator.arguments(2, 9, 4, dtype),
                                 backend="aot_eager")
        self.assert_compiles(lambda *given: checkpoint(output, *given, use_reentrant=False),
                             test_operator.arguments(2, 9, 4), backend="aot_eager")

    def test_transforms_of_functions_in_a_graph_are_refused(self):
        compiled = torch.compile(torch.func.grad(lambda *given: output(*given).square().sum()),
                                 fullgraph=True, backend="aot_eager")
        with self.assertRaises(torch._dynamo.exc.TorchDynamoException):
            compiled(*arguments(2, 6, 4))

    def test_an_exported_program_has_any_length_and_gradients(self):

        class Model(torch.nn.Module):
            def __init__(self, time_decay, time_first):
                super().__init__()
                self.time_decay = torch.nn.Parameter(time_decay)
                self.time_first = torch.nn.Parameter(time_first)

            def forward(self, key, value):
                return output(self.time_decay, self.time_first, key, value)

        time_decay, time_first, key, value = arguments(2, 6, 4)
        model = Model(time_decay, time_first)
        free = {0: torch.export.Dim("B"), 1: torch.export.Dim("T", min=2, max=4000)}
        for strict in (False, True):
            file = io.BytesIO()
            torch.export.save(torch.export.export(model, (key, value), strict=strict,
                                                  dynamic_shapes=(free, free)), file)
            file.seek(0)
            again = torch.export.load(file).module()
            _, _, key, value = arguments(3, 50, 4)
            y = again(key, value)
            y.square().sum().backward()
            torch.testing.assert_close(y.detach(), output(time_decay, time_first, key, value))
            expected = results(lambda *a: output(*a, key, value), list(model.parameters()))
            self.assert_same([x.grad for x in again.parameters()], expected[1:])

    def test_pytorch_finds_no_fault_with_the_operators(self):
        for carried, dtype in ((False, torch.float32), (True, torch.float32),
                               (True, torch.float16)):
            d, u, k, v, *state = test_operator.arguments(2, 70, 5, torch.float32, carried=carried)
            w, k, v = -torch.exp(d.detach()), k.to(dtype), v.to(dtype)
            state = torch.stack([x.detach() for x in state]) if carried else None
            given = [None if x is None else x.detach().requires_grad_()
                     for x in (w, u, k, v, state)]
            torch.library.opcheck(torch.ops.mixtape.wkv_forward.default, (*given, True))
            y, after, saved = (x.detach() for x in torch.ops.mixtape.wkv_forward(*given, True))
            given = [None if x is None else x.detach() for x in given]
            for dstate in (None, after):
                torch.library.opcheck(torch.ops.mixtape.wkv_backward.default,
                                      (*given, saved, y, dstate, [True] * 4 + [carried]))


class TransformsTest(unittest.TestCase):
    """torch.func's transforms of functions."""

    def setUp(self):
        self.given = arguments(1, 40, 2)  # two chunks of time
        self.keys = torch.stack([self.given[2], 2 * self.given[2], self.given[2] - 1])
        self.each = [[*self.given[:2], key, self.given[3]] for key in self.keys]
        self.in_dims = (None, None, 0, None)

    def assert_same(self, found, expected):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)

    @staticmethod
    def loss(*given):
        return output(*given).square().sum()

    def gradients(self, given):
        return results(output, [x.clone().requires_grad_() for x in given])[1:]

    def test_grad(self):
        self.assert_same(torch.func.grad(self.loss, (0, 1, 2, 3))(*self.given),
                         self.gradients(self.given))

    def test_vmap(self):
        self.assert_same(torch.vmap(output, self.in_dims)(*self.given[:2], self.keys,
                                                          self.given[3]),
                         torch.stack([output(*given) for given in self.each]))

    def test_gradients_for_each_sample(self):
        expected = [torch.stack(parts) for parts in zip(*map(self.gradients, self.each))]
        found = torch.vmap(torch.func.grad(self.loss, (0, 1, 2, 3)),
                           self.in_dims)(*self.given[:2], self.keys, self.given[3])
        self.assert_same(list(found), expected)

    def test_the_gradient_of_what_is_mapped(self):

        def loss(keys):
            return torch.vmap(output, self.in_dims)(*self.given[:2], keys,
                                                    self.given[3]).square().sum()

        self.assert_same(torch.func.grad(loss)(self.keys),
                         torch.stack([self.gradients(given)[2] for given in self.each]))

    def test_jacrev(self):
        self.assert_same(torch.func.jacrev(output, (0, 1, 2, 3))(*self.given),
                         torch.autograd.functional.jacobian(output, tuple(self.given)))

    def test_what_has_no_kernels_is_refused(self):
        with self.assertRaisesRegex(NotImplementedError, "forward mode"):
            torch.func.jvp(output, tuple(self.given), tuple(self.given))
        with self.assertRaisesRegex(RuntimeError, "differentiate twice"):
            torch.func.grad(lambda *given: torch.func.grad(self.loss)(*given).sum())(*self.given)
        with self.assertRaisesRegex(NotImplementedError, "forward mode"):
            torch.func.hessian(self.loss)(*self.given)


class TransducerTest(unittest.TestCase):
    """The same of mixtape.transducer_loss."""

    def setUp(self):
        torch._dynamo.reset()
        self.logits, *self.rows = test_transducer.arguments(3, 5, 2, 4)

    def results(self, function):
        losses = function(self.logits, *self.rows)
        return losses.detach(), *torch.autograd.grad(losses.square().sum(), self.logits)

    def loss(self, logits, *rows):
        return mixtape.transducer_loss(logits, *rows, reduction="none", fastemit_lambda=0.1)

    def test_one_graph_with_gradients(self):
        expected = self.results(self.loss)
        for backend in ("eager", "aot_eager"):
            compiled = torch.compile(self.loss, fullgraph=True, backend=backend)
            found = self.results(compiled)
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b)

    def test_one_graph_for_all_lengths_by_the_name_of_espnets_loss(self):
        from mixtape.warprnnt_pytorch import RNNTLoss

        compiled = torch.compile(RNNTLoss(), fullgraph=True, dynamic=True, backend="aot_eager")
        for shape in ((2, 6, 3, 4), (3, 9, 5, 7), (4, 7, 1, 6)):
            self.logits, *rows = test_transducer.arguments(*shape)
            self.rows = [x.int() for x in rows]
            for a, b in zip(self.results(compiled), self.results(RNNTLoss()), strict=True):
                torch.testing.assert_close(a, b)

    def test_pytorch_finds_no_fault_with_the_operators(self):
        given = (*self.rows, 0, 0.1, False, True)
        given = tuple(x.int() if isinstance(x, torch.Tensor) else x for x in given)
        torch.library.opcheck(torch.ops.mixtape.transducer_forward.default, (self.logits, *given))
        logits = self.logits.detach()
        losses, nodes = torch.ops.mixtape.transducer_forward(logits, *given)
        torch.library.opcheck(torch.ops.mixtape.transducer_backward.default,
                              (logits, *given[:3], nodes, losses, 0, 0.1))

    def test_what_a_graph_is_given_is_refused_with_its_place(self):
        compiled = torch.compile(self.loss, fullgraph=True, backend="aot_eager")
        labels, *lengths = self.rows
        with self.assertRaisesRegex(ValueError, r"labels\[0\]\[0\] is 9, not in 0 .. 3"):
            compiled(self.logits, torch.full_like(labels, 9), *lengths)

    def test_exported_programs_compute_the_same(self):
        class Model(torch.nn.Module):
            def forward(self, *given):
                return mixtape.transducer_loss(*given)

        given = (self.logits.detach(), *self.rows)
        exported = torch.export.export(Model(), given)
        torch.testing.assert_close(exported.module()(*given), Model()(*given))

    def test_transforms_of_functions(self):
        logits = torch.stack((self.logits.detach(), 2.0 * self.logits.detach()))
        of_one = torch.func.grad(lambda z: self.loss(z, *self.rows).sum())
        found = torch.func.vmap(of_one)(logits)
        for grad, one in zip(found, logits):
            torch.testing.assert_close(grad, of_one(one))
        loss = self.loss(self.logits, *self.rows)
        expected, = torch.autograd.grad(loss.sum(), self.logits)
        torch.testing.assert_close(found[0], expected)


if __name__ == "__main__":
    unittest.main()
