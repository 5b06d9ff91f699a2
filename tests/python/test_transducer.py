"""mixtape.transducer_loss: PyTorch's own gradient checks, torchaudio's loss, types, reductions, and
wrong arguments."""

import threading
import unittest

import support


def setUpModule():
    support.need("torch")
    global numpy, torch, mixtape
    import numpy
    import torch

    import mixtape


def arguments(B, T, U, V, blank=0, device="cpu", dtype=None):
    """Logits, labels, frames and label lengths; row 0 has all frames and labels, others fewer."""
    generator = torch.Generator().manual_seed(1000 * T + 10 * U + V)
    logits = torch.randn((B, T, U + 1, V), generator=generator, dtype=torch.float64)
    labels = torch.randint(max(V - 1, 1), (B, U), generator=generator)
    labels = labels + (labels >= blank).long()
    frames = torch.tensor([T - b % T for b in range(B)])
    lengths = torch.tensor([U - b % (U + 1) for b in range(B)])
    logits = logits.to(device, dtype or torch.float64).requires_grad_()
    return logits, labels.to(device), frames.to(device), lengths.to(device)


def loss_and_gradient(logits, *rest, **options):
    given = logits.detach().clone().requires_grad_()
    loss = mixtape.transducer_loss(given, *rest, **options)
    loss.sum().backward()
    return loss.detach(), given.grad


class TransducerTest(unittest.TestCase):
    def test_gradcheck(self):
        for device in support.devices():
            for shape in ((1, 1, 0, 2), (1, 1, 3, 2), (3, 4, 2, 5), (2, 5, 0, 3)):
                logits, *rest = arguments(*shape, device=device)
                for reduction in ("none", "mean", "sum"):
                    with self.subTest(device=device, shape=shape, reduction=reduction):
                        self.assertTrue(torch.autograd.gradcheck(
                            lambda z: mixtape.transducer_loss(z, *rest, reduction=reduction),
                            (logits,)))

    def test_reductions_are_of_the_rows_losses(self):
        given = arguments(3, 4, 2, 5)
        losses = mixtape.transducer_loss(*given, reduction="none")
        self.assertEqual(losses.shape, (3,))
        self.assertEqual(mixtape.transducer_loss(*given), losses.mean())
        self.assertEqual(mixtape.transducer_loss(*given, reduction="sum"), losses.sum())

    def test_another_blank_is_a_permutation_of_the_vocabulary(self):
        logits, labels, *lengths = arguments(2, 4, 3, 5)
        moved = mixtape.transducer_loss(logits.roll(-1, -1), (labels - 1) % 5, *lengths, blank=4)
        self.assertAlmostEqual(moved.item(),
                               mixtape.transducer_loss(logits, labels, *lengths).item())

    def test_fastemit_weighs_the_labels_share_of_the_gradient(self):
        # Of one frame the first node is left by its label for certain, the second by a blank.
        logits, *rest = arguments(1, 1, 1, 3)
        loss, plain = loss_and_gradient(logits, *rest)
        weighed_loss, weighed = loss_and_gradient(logits, *rest, fastemit_lambda=0.25)
        self.assertEqual(weighed_loss, loss)
        torch.testing.assert_close(weighed[0, 0, 0], 1.25 * plain[0, 0, 0])
        torch.testing.assert_close(weighed[0, 0, 1], plain[0, 0, 1])

    def test_half_types_are_computed_in_float32(self):
        for dtype in (torch.float16, torch.bfloat16):
            logits, *rest = arguments(2, 3, 2, 4, dtype=dtype)
            loss = mixtape.transducer_loss(logits, *rest)
            loss.backward()
            expected, grad = loss_and_gradient(logits.float(), *rest)
            self.assertEqual(loss.dtype, torch.float32)
            self.assertEqual(loss, expected)
            self.assertEqual(logits.grad.dtype, dtype)
            torch.testing.assert_close(logits.grad, grad.to(dtype))

    def test_integers_of_any_type_and_tensors_laid_out_otherwise(self):
        logits, labels, frames, lengths = arguments(3, 4, 2, 5)
        expected, grad = loss_and_gradient(logits, labels, frames, lengths)
        for dtype in (torch.int32, torch.int16, torch.uint8):
            narrow = [x.clamp(0).to(dtype) for x in (labels, frames, lengths)]
            self.assertEqual(mixtape.transducer_loss(logits, *narrow), expected)
        turned = logits.detach().transpose(0, 3).contiguous().transpose(0, 3)
        turned.requires_grad_()
        mixtape.transducer_loss(turned, labels.t().contiguous().t(), frames, lengths,
                                overwrite_logits=True).backward()
        torch.testing.assert_close(turned.grad, grad)
        torch.testing.assert_close(turned, logits)

    def test_the_gradient_is_written_over_logits_where_that_is_allowed(self):
        logits, *rest = arguments(3, 4, 2, 5)
        _, grad = loss_and_gradient(logits, *rest)
        made = logits * 1.0
        loss = mixtape.transducer_loss(made, *rest, overwrite_logits=True)
        loss.backward(retain_graph=True)
        torch.testing.assert_close(made.detach(), grad)
        torch.testing.assert_close(logits.grad, grad)
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation"):
            loss.backward()

    def test_memory_of_a_large_gradient_is_taken_again_once_it_is_free(self):
        logits, *rest = arguments(2, 40, 10, 1000)
        places, grads = [], []
        for kept in (True, True, False, False):
            _, grad = loss_and_gradient(logits, *rest)
            places.append(grad.data_ptr())
            if kept:
                grads.append(grad)
            torch.testing.assert_close(grad, grads[0], rtol=0, atol=0)
            del grad
        self.assertEqual(len(set(places)), 3)
        self.assertEqual(places[2], places[3])
        shorter = loss_and_gradient(*arguments(2, 40, 10, 700))[1]
        self.assertEqual(shorter.data_ptr(), places[3])
        torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0)

    def test_nothing_is_kept_where_no_gradient_will_be_asked_for(self):
        logits, *rest = arguments(2, 3, 2, 4)
        with torch.no_grad():
            loss = mixtape.transducer_loss(logits, *rest)
        self.assertFalse(loss.requires_grad)
        self.assertEqual(loss, mixtape.transducer_loss(logits, *rest))

    def test_fake_tensors_have_the_shapes_of_real_ones(self):
        from torch._subclasses.fake_tensor import FakeTensorMode

        for reduction, shape in (("none", (2,)), ("mean", ())):
            real = arguments(2, 3, 2, 4, dtype=torch.float16)
            with FakeTensorMode():
                fake = [torch.empty(x.shape, dtype=x.dtype, requires_grad=x.requires_grad)
                        for x in real]
                loss = mixtape.transducer_loss(*fake, reduction=reduction)
                loss.sum().backward()
            self.assertEqual((loss.shape, loss.dtype), (shape, torch.float32))
            self.assertEqual((fake[0].grad.shape, fake[0].grad.dtype),
                             (real[0].shape, torch.float16))

    def test_a_blank_of_any_integer_type(self):
        given = arguments(2, 3, 2, 4)
        for blank in numpy.int64(0), torch.tensor(0):
            self.assertEqual(mixtape.transducer_loss(*given, blank=blank),
                             mixtape.transducer_loss(*given))

    def test_what_is_overwritten_and_needed_by_others_is_told(self):
        logits, *rest = arguments(3, 4, 2, 5)
        twice = torch.cat((logits, logits))
        loss = twice.square().sum() + mixtape.transducer_loss(twice[:3], *rest,
                                                              overwrite_logits=True)
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation"):
            loss.backward()

    def test_meta_tensors_have_shapes(self):
        given = [x.detach().to("meta") for x in arguments(2, 3, 2, 4)]
        self.assertEqual(mixtape.transducer_loss(*given, reduction="none").shape, (2,))

    def test_a_batch_without_rows(self):
        empty = torch.zeros(0, dtype=torch.int32)
        logits = torch.zeros((0, 3, 2, 4), requires_grad=True)
        rest = torch.zeros((0, 1), dtype=torch.int32), empty, empty
        self.assertEqual(mixtape.transducer_loss(logits, *rest, reduction="none").shape, (0,))
        mixtape.transducer_loss(logits, *rest, reduction="sum").backward()
        self.assertEqual(logits.grad.shape, logits.shape)

    def test_gradients_of_gradients_are_refused(self):
        for overwrite in (False, True):
            logits, *rest = arguments(2, 3, 2, 4)
            loss = mixtape.transducer_loss(1.0 * logits, *rest, overwrite_logits=overwrite)
            grad, = torch.autograd.grad(loss * loss, logits, create_graph=True)
            with self.assertRaisesRegex(RuntimeError, "differentiate twice"):
                grad.sum().backward()


class MachineryTest(unittest.TestCase):
    """The loss among PyTorch's own machinery."""

    def setUp(self):
        self.logits, *self.rest = arguments(3, 6, 4, 7)
        self.expected, self.grad = loss_and_gradient(self.logits, *self.rest)

    def assert_gradient(self, loss, logits):
        logits.grad = None
        loss.backward()
        torch.testing.assert_close(logits.grad, self.grad)

    def test_checkpoints_compute_it_again_overwriting_or_not(self):
        from torch.utils.checkpoint import checkpoint

        for reentrant in (False, True):
            for overwrite in (False, True):
                with self.subTest(reentrant=reentrant, overwrite=overwrite):
                    loss = checkpoint(
                        lambda logits: mixtape.transducer_loss(1.0 * logits, *self.rest,
                                                               overwrite_logits=overwrite),
                        self.logits, use_reentrant=reentrant)
                    self.assert_gradient(loss, self.logits)

    def test_what_it_keeps_may_be_put_elsewhere_meanwhile(self):
        for overwrite in (False, True):
            with torch.autograd.graph.saved_tensors_hooks(lambda x: x.numpy().copy(),
                                                          torch.from_numpy):
                loss = mixtape.transducer_loss(1.0 * self.logits, *self.rest,
                                               overwrite_logits=overwrite)
            self.assert_gradient(loss, self.logits)

    def test_logits_that_share_their_memory(self):
        one, *rest = arguments(1, 6, 4, 7)
        rest = [x.expand(3, *x.shape[1:]) for x in rest]
        expected, grad = loss_and_gradient(one.expand(3, -1, -1, -1).contiguous(), *rest)
        for overwrite in (False, True):
            one.grad = None
            loss = mixtape.transducer_loss(one.expand(3, -1, -1, -1), *rest,
                                           overwrite_logits=overwrite)
            loss.backward()
            self.assertEqual(loss, expected)
            torch.testing.assert_close(one.grad, grad.sum(0, keepdim=True))

    def test_autocast_leaves_the_loss_in_float32(self):
        inputs = self.logits.detach().float()
        joint = torch.nn.Linear(7, 7)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = joint(inputs)
            loss = mixtape.transducer_loss(logits, *self.rest)
        self.assertEqual((logits.dtype, loss.dtype), (torch.bfloat16, torch.float32))
        self.assertEqual(loss, mixtape.transducer_loss(logits.float(), *self.rest))

    def test_threads_do_not_disturb_one_another(self):
        found = [None] * 8

        def work(i):
            for _ in range(20):
                found[i] = loss_and_gradient(self.logits, *self.rest)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(found))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for loss, grad in found:
            self.assertEqual(loss, self.expected)
            self.assertTrue(torch.equal(grad, self.grad))


class RefusalTest(unittest.TestCase):
    def refused(self, says, logits=None, labels=None, frames=None, lengths=None, **options):
        given = arguments(2, 3, 2, 5)
        given = [own if own is not None else default
                 for own, default in zip((logits, labels, frames, lengths), given)]
        with self.assertRaises(ValueError) as raised:
            mixtape.transducer_loss(*given, **options)
        self.assertIn("transducer_loss: " + says, str(raised.exception))

    def test_values_out_of_range_are_refused_with_their_place(self):
        self.refused("labels[1][0] is 7, not in 0 .. 4", labels=torch.tensor([[1, 2], [7, 1]]))
        self.refused("labels[0][1] is 0, which is the blank", labels=torch.tensor([[1, 0], [2, 1]]))
        self.refused("labels[0][0] is 2147483647", labels=torch.tensor([[2**32 + 1, 1], [2, 1]]))
        self.refused("frames[1] is 4, not in 1 .. 3", frames=torch.tensor([3, 4]))
        self.refused("frames[0] is 0, not in 1 .. 3", frames=torch.tensor([0, 3]))
        self.refused("label_lengths[0] is 3, not in 0 .. 2", lengths=torch.tensor([3, 1]))
        self.refused("label_lengths[0] is -1, not in 0 .. 2", lengths=torch.tensor([-1, 1]))

    def test_shapes_and_types_are_refused_with_both(self):
        self.refused("labels (2, 3), expected (2, 2)", labels=torch.ones((2, 3), dtype=torch.int32))
        self.refused("frames (3,), expected (2,)", frames=torch.ones(3, dtype=torch.int32))
        self.refused("label_lengths is of torch.float32", lengths=torch.ones(2))
        self.refused("labels is of torch.bool", labels=torch.ones((2, 2), dtype=torch.bool))
        self.refused("labels is not a dense tensor, but of type list", labels=[[1, 2], [3, 4]])
        self.refused("frames is not a dense tensor, but of type numpy.ndarray",
                     frames=torch.ones(2, dtype=torch.int32).numpy())
        for shape in ((3, 4), (2, 0, 3, 5), (2, 3, 0, 5), (2, 3, 3, 0), (1, 2, 3, 3, 5)):
            self.refused(f"logits {shape}, expected (B, T, U + 1, V), the last three from 1 on",
                         logits=torch.zeros(shape))
        self.refused("logits is not a dense tensor, but a nested one",
                     logits=torch.nested.nested_tensor([torch.zeros(3, 3, 5)] * 2))
        self.refused("logits is of torch.int64, expected real numbers",
                     logits=torch.zeros((2, 3, 3, 5), dtype=torch.int64))
        self.refused("frames on meta", frames=torch.ones(2, dtype=torch.int32, device="meta"))

    def test_options_are_refused_with_their_value(self):
        self.refused("blank 5, not in 0 .. 4", blank=5)
        self.refused("blank -1, not in 0 .. 4", blank=-1)
        self.refused("blank 0.0, not in 0 .. 4", blank=0.0)
        self.refused("blank True, not in 0 .. 4", blank=True)
        self.refused("fastemit_lambda -1.0", fastemit_lambda=-1.0)
        self.refused("fastemit_lambda nan", fastemit_lambda=float("nan"))
        self.refused("fastemit_lambda 'much', expected a number", fastemit_lambda="much")
        self.refused("fastemit_lambda None, expected a number", fastemit_lambda=None)
        self.refused("reduction 'average', expected one of none, mean, sum", reduction="average")
        self.refused("reduction ['mean'], expected one of", reduction=["mean"])


class TorchaudioTest(unittest.TestCase):
    def setUp(self):
        support.need("torchaudio")

    def test_losses_and_gradients_are_torchaudios(self):
        from torchaudio.functional import rnnt_loss

        for device in support.devices():
            for shape, blank in (((1, 1, 0, 2), 0), ((4, 20, 6, 33), 0), ((3, 9, 9, 5), 4)):
                logits, *rest = arguments(*shape, blank, dtype=torch.float32)
                rest = [x.clamp(0).int() for x in rest]
                theirs = logits.detach().clone().requires_grad_()
                expected = rnnt_loss(theirs, *rest, blank=blank, reduction="none")
                expected.sum().backward()
                loss, grad = loss_and_gradient(logits.to(device), *(x.to(device) for x in rest),
                                               blank=blank, reduction="none")
                with self.subTest(device=device, shape=shape):
                    torch.testing.assert_close(loss.cpu(), expected.detach(), rtol=1e-5, atol=1e-5)
                    torch.testing.assert_close(grad.cpu(), theirs.grad, rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    unittest.main()
