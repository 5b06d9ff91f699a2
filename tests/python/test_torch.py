"""mixtape.wkv among PyTorch's own machinery: tensors that stand for others, checkpoints, processes.
What needs a newer PyTorch than Debian's is in test_compile.py."""

import os
import tempfile
import unittest

import test_operator


def setUpModule():
    test_operator.setUpModule()
    global torch, mixtape
    import torch

    import mixtape


def output(*given):
    import mixtape

    return mixtape.wkv(*given)[0]


def results(function, given):
    """The output, and the gradients of its squares' sum."""
    import torch

    y = function(*given)
    return (y.detach(), *torch.autograd.grad(y.square().sum(), given))


class StandInsTest(unittest.TestCase):
    """Tensors that are not their own memory."""

    def assert_same(self, found, expected):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)

    def test_fake_tensors_have_the_shapes_of_real_ones(self):
        from torch._subclasses.fake_tensor import FakeTensorMode

        for shape, dtype, carried in (((2, 9, 4), torch.float64, False),
                                      ((1, 70, 3), torch.float32, True),
                                      ((2, 5, 3), torch.bfloat16, True),
                                      ((2, 5, 3), torch.float16, False),
                                      ((0, 5, 3), torch.float32, False)):
            with self.subTest(shape=shape, dtype=dtype, carried=carried):
                real = test_operator.arguments(*shape, dtype, carried=carried)
                with FakeTensorMode():
                    fake = [torch.empty(x.shape, dtype=x.dtype, requires_grad=x.requires_grad)
                            for x in real]
                    found = mixtape.wkv(*fake[:4], tuple(fake[4:]) or None)
                    found[0].sum().backward()
                expected = mixtape.wkv(*real[:4], tuple(real[4:]) or None)
                for a, b in zip((found[0], *found[1], *(x.grad for x in fake[:4])),
                                (expected[0], *expected[1], *real[:4]), strict=True):
                    self.assertEqual((a.shape, a.dtype, a.device, a.stride()),
                                     (b.shape, b.dtype, b.device, b.stride()))

    def test_a_subclass_that_wraps_a_tensor_sees_the_operator(self):
        from torch.utils._pytree import tree_map

        class Wrapper(torch.Tensor):
            seen = []

            @staticmethod
            def __new__(cls, inner):
                return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

            def __init__(self, inner):
                self.inner = inner

            @classmethod
            def __torch_dispatch__(cls, function, types, given=(), options=None):
                cls.seen.append(str(function))
                given, options = tree_map(lambda x: x.inner if isinstance(x, cls) else x,
                                          (given, options or {}))
                return tree_map(lambda x: cls(x) if isinstance(x, torch.Tensor) else x,
                                function(*given, **options))

        given = [x.detach() for x in test_operator.arguments(2, 9, 4)]
        for i in range(4):  # one of them suffices
            mixed = [Wrapper(x) if i == j else x for j, x in enumerate(given)]
            y = output(*mixed)
            self.assertIsInstance(y, Wrapper)
            self.assert_same([y.inner], [output(*given)])
        self.assertIn("mixtape.wkv_forward.default", Wrapper.seen)

    def test_a_subclass_with_memory_is_a_tensor(self):

        class Named(torch.Tensor):
            pass

        given = [x.detach() for x in test_operator.arguments(2, 9, 4)]
        y = output(*(x.as_subclass(Named) for x in given))
        self.assertIsInstance(y, Named)
        self.assert_same([y.as_subclass(torch.Tensor)], [output(*given)])

    def test_tensors_of_functionalization_and_of_zeros(self):
        given = [x.detach() for x in test_operator.arguments(2, 9, 4)]
        zeros = torch.zeros_like(given[2])
        for i in (1, 2, 3):
            functional = list(given)
            functional[i] = torch._to_functional_tensor(given[i])
            self.assert_same([torch._from_functional_tensor(output(*functional))],
                             [output(*given)])
        lazy = torch._efficientzerotensor(zeros.shape, dtype=zeros.dtype)
        self.assert_same([output(*given[:2], lazy, given[3])],
                         [output(*given[:2], zeros, given[3])])

    def test_tensors_without_their_memory_are_refused(self):
        for size in (0, 1):
            for i in (1, 2, 3):  # PyTorch itself computes with the first
                given = [x.detach() for x in test_operator.arguments(2, 9, 4)]
                getattr(given[i], "untyped_storage", given[i].storage)().resize_(size)
                with self.subTest(size=size, i=i), self.assertRaisesRegex(
                        ValueError, "no memory that a kernel could work on"):
                    output(*given)

    def test_forward_mode_is_refused(self):
        from torch.autograd import forward_ad

        given = [x.detach() for x in test_operator.arguments(2, 9, 4)]
        with forward_ad.dual_level(), self.assertRaisesRegex(NotImplementedError, "forward mode"):
            given[2] = forward_ad.make_dual(given[2], given[2])
            output(*given)

    def test_checkpoints_compute_it_again(self):
        from torch.utils.checkpoint import checkpoint

        expected = results(output, test_operator.arguments(2, 40, 4))
        for reentrant in (True, False):
            given = test_operator.arguments(2, 40, 4)
            y = checkpoint(output, *given, use_reentrant=reentrant)
            y.square().sum().backward()
            self.assert_same([y.detach(), *(x.grad for x in given)], expected)

    def test_gradients_of_many_outputs_at_once(self):
        given = [x.detach() for x in test_operator.arguments(1, 3, 2)]
        one, all_at_once = (
            torch.autograd.functional.jacobian(output, tuple(given), vectorize=vectorize)
            for vectorize in (False, True))
        self.assert_same(all_at_once, one)


def train_on_a_half(rank, folder):
    """A process of two that share a model: leaves its gradients in a file."""
    import torch
    import torch.distributed

    class Model(torch.nn.Module):
        def __init__(self, time_decay, time_first):
            super().__init__()
            self.time_decay = torch.nn.Parameter(time_decay.detach())
            self.time_first = torch.nn.Parameter(time_first.detach())

        def forward(self, key, value):
            return output(self.time_decay, self.time_first, key, value)

    test_operator.setUpModule()
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank,
                                         world_size=2)
    time_decay, time_first, key, value = test_operator.arguments(4, 40, 6)
    model = torch.nn.parallel.DistributedDataParallel(Model(time_decay, time_first))
    half = slice(2 * rank, 2 * rank + 2)
    model(key.detach()[half], value.detach()[half]).square().sum().backward()
    torch.save([x.grad for x in model.parameters()], os.path.join(folder, str(rank)))
    torch.distributed.destroy_process_group()


class Rows:
    """A data set whose items the operator computes."""

    def __len__(self):
        return 5

    def __getitem__(self, i):
        test_operator.setUpModule()
        return output(*(x.detach() for x in test_operator.arguments(2, 40 + i, 6)))


class ProcessesTest(unittest.TestCase):
    def test_two_processes_share_a_model(self):
        import torch.multiprocessing

        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(train_on_a_half, (folder,), nprocs=2)
            found = [torch.load(os.path.join(folder, str(rank))) for rank in range(2)]
        _, *expected = results(output, test_operator.arguments(4, 40, 6))
        for gradients in found:
            for a, b in zip(gradients, expected[:2], strict=True):
                torch.testing.assert_close(a, b / 2, rtol=1e-10, atol=1e-12)

    def test_workers_of_a_data_loader(self):
        rows = Rows()
        expected = [rows[i] for i in range(len(rows))]  # the library runs here before it is forked
        for method in ("fork", "spawn"):
            loader = torch.utils.data.DataLoader(rows, batch_size=None, num_workers=2,
                                                 multiprocessing_context=method)
            with self.subTest(method=method):
                for a, b in zip(loader, expected, strict=True):
                    self.assertTrue(torch.equal(a, b))


if __name__ == "__main__":
    unittest.main()
