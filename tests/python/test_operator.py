"""mixtape.wkv: PyTorch's own gradient checks, a plain loop over time, carried states, types, and
wrong arguments."""

import os
import re
import signal
import threading
import unittest
import warnings
from unittest import mock

import support


def setUpModule():
    support.need("torch")
    global torch, mixtape, library, operator
    import torch

    import mixtape
    from mixtape import library, operator


def loop(time_decay, time_first, key, value, state=None):
    """The recurrence with PyTorch's own operators."""
    B, T, C = key.shape
    num, den, largest = state or (key.new_zeros(B, C), key.new_zeros(
        B, C), key.new_full((B, C), -1e38))
    w, outputs = -torch.exp(time_decay), []
    for t in range(T):
        lead = torch.maximum(largest, time_first + key[:, t])
        old, new = torch.exp(largest - lead), torch.exp(time_first + key[:, t] - lead)
        outputs.append((old * num + new * value[:, t]) / (old * den + new))
        lead = torch.maximum(largest + w, key[:, t])
        old, new = torch.exp(largest + w - lead), torch.exp(key[:, t] - lead)
        num, den, largest = old * num + new * value[:, t], old * den + new, lead
    return torch.stack(outputs, 1), (num, den, largest)


def arguments(B, T, C, dtype=None, device="cpu", carried=False):
    generator = torch.Generator().manual_seed(B * 1000 + T * 10 + C)
    shapes = [(C,), (C,), (B, T, C), (B, T, C)] + ([(B, C)] * 3 if carried else [])
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    if carried:
        tensors[5] = tensors[5].exp()
    return [
        tensor.to(device, dtype or torch.float64).requires_grad_(i < 6)
        for i, tensor in enumerate(tensors)
    ]


def can_autocast(device, dtype):
    """PyTorch 1.13 has float16 on CUDA alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.autocast(device, dtype=dtype):
                return True
    except RuntimeError:
        return False


class OperatorTest(unittest.TestCase):
    def test_one_header_says_the_version(self):
        header = os.path.join(os.path.dirname(__file__), "..", "..", "include", "mixtape",
                              "version.h")
        if not os.path.exists(header):
            self.skipTest("the headers are not here")
        with open(header) as file:
            numbers = re.findall(r"#define MT_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", file.read())
        self.assertEqual(".".join(numbers), mixtape.__version__)

    def test_gradcheck(self):
        for device in support.devices():
            for shape in ((1, 1, 1), (2, 5, 3), (1, 33, 2), (3, 2, 17)):
                with self.subTest(device=device, shape=shape):
                    self.assertTrue(
                        torch.autograd.gradcheck(lambda *a: mixtape.wkv(*a)[0],
                                                 arguments(*shape, device=device)))

    def test_gradcheck_with_states(self):
        # num and den are multiples of e^max: what has a gradient is their product.
        def sums(d, u, k, v, num, den, largest):
            output, state = mixtape.wkv(d, u, k, v, (num, den, largest))
            return output, state[0] * torch.exp(state[2]), state[1] * torch.exp(state[2])

        for device in support.devices():
            for shape in ((1, 1, 1), (2, 5, 3), (1, 33, 2)):
                with self.subTest(device=device, shape=shape):
                    self.assertTrue(
                        torch.autograd.gradcheck(sums, arguments(*shape, device=device,
                                                                 carried=True)))

    def test_it_is_the_loop(self):
        for device in support.devices():
            for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
                with self.subTest(device=device, dtype=dtype):
                    given = arguments(3, 70, 16, dtype, device)
                    again = [x.detach().clone().requires_grad_() for x in given]
                    ours, theirs = mixtape.wkv(*given)[0], loop(*again)[0]
                    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
                    upstream = torch.randn(ours.shape, dtype=dtype,
                                           generator=torch.Generator().manual_seed(1)).to(device)
                    ours.backward(upstream)
                    theirs.backward(upstream)
                    for a, b in zip(given, again):
                        torch.testing.assert_close(a.grad, b.grad, rtol=10 * tolerance,
                                                   atol=10 * tolerance)

    def test_parts_with_a_carried_state_are_the_whole(self):
        whole, parts = arguments(2, 40, 8), arguments(2, 40, 8)
        y, _ = mixtape.wkv(*whole)
        state, pieces = None, []
        for first, last in ((0, 1), (1, 33), (33, 40)):
            piece, state = mixtape.wkv(parts[0], parts[1], parts[2][:, first:last],
                                       parts[3][:, first:last], state)
            pieces.append(piece)
        torch.testing.assert_close(torch.cat(pieces, 1), y, rtol=1e-12, atol=1e-12)
        y.square().sum().backward()
        torch.cat(pieces, 1).square().sum().backward()
        for a, b in zip(whole, parts):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)

    def test_a_returned_state_may_be_changed(self):
        _, state = mixtape.wkv(*arguments(2, 5, 3))
        state[0].mul_(2.0)

    def test_half_types_are_computed_in_float32(self):
        for dtype in (torch.float16, torch.bfloat16):
            with self.subTest(dtype=dtype):
                given = [x.detach().requires_grad_() for x in arguments(2, 9, 4, dtype)]
                y, state = mixtape.wkv(*given)
                self.assertEqual(y.dtype, dtype)
                self.assertEqual(state[0].dtype, torch.float32)
                expected, _ = mixtape.wkv(*(x.detach().float() for x in given))
                self.assertTrue(torch.equal(y, expected.to(dtype)))
                y.float().sum().backward()
                self.assertTrue(
                    all(x.grad.dtype == dtype and torch.isfinite(x.grad).all() for x in given))

    def assert_float32_rounded(self, shape, dtype, device, digits):
        narrow = [x.detach().requires_grad_() for x in arguments(*shape, dtype, device)]
        wide = [x.detach().float().requires_grad_() for x in narrow]
        y, state = mixtape.wkv(*narrow)
        expected, wide_state = mixtape.wkv(*wide)
        self.assertTrue(torch.equal(y, expected.to(dtype)))
        self.assertTrue(all(map(torch.equal, state, wide_state)))
        weights = torch.randn_like(y)
        torch.autograd.backward([y, *state[:2]], [weights, state[0], state[1]])
        torch.autograd.backward([expected, *wide_state[:2]],
                                [weights.float(), state[0], state[1]])
        for a, b in zip(narrow, wide):  # sums are not fused alike in both
            torch.testing.assert_close(a.grad, b.grad.to(dtype), rtol=2**(1 - digits), atol=1e-6)

    def test_half_types_are_float32_rounded(self):
        torch.manual_seed(1)
        for device in support.devices():
            for dtype, digits in ((torch.bfloat16, 8), (torch.float16, 11)):
                for shape in ((1, 1, 1), (2, 70, 5), (3, 9, 33), (1, 100, 130)):
                    with self.subTest(device=device, dtype=dtype, shape=shape):
                        self.assert_float32_rounded(shape, dtype, device, digits)

    def test_half_types_are_read_and_written_as_they_are(self):
        for dtype in (torch.float16, torch.bfloat16):
            other = {torch.float16: torch.bfloat16, torch.bfloat16: torch.float16}[dtype]
            d, u, k, v = arguments(2, 9, 4, dtype)
            y, state, saved = torch.ops.mixtape.wkv_forward(-d.float().exp(), u.float(), k, v, None,
                                                            True)
            self.assertEqual((y.dtype, state.dtype, saved.dtype),
                             (dtype, torch.float32, torch.float32))
            with mock.patch.object(operator, "forward", side_effect=operator.forward) as kernel:
                for value in (v, v.float(), v.to(other)):
                    self.assertEqual(mixtape.wkv(d, u, k, value)[0].dtype, dtype)
            self.assertEqual([call.args[2].dtype for call in kernel.call_args_list],
                             [dtype, torch.float32, torch.float32])

    def test_what_float16_does_not_hold_is_infinite(self):
        for device in support.devices():
            d, u, k, v = (x.detach() for x in arguments(1, 3, 4, torch.float16, device))
            v.fill_(65504).requires_grad_()
            y, (num, _, _) = mixtape.wkv(d, u, k, v)
            self.assertTrue(torch.equal(y, v))
            self.assertEqual(num.dtype, torch.float32)
            num.backward(torch.full_like(num, 1e30))
            self.assertTrue(torch.equal(v.grad, torch.full_like(v, torch.inf)))

    def test_parameters_beside_half_types_keep_their_own(self):
        for dtype in (torch.float16, torch.bfloat16):
            given = arguments(2, 9, 4, torch.float32)
            half = [x.detach().to(dtype).requires_grad_() for x in given[2:]]
            y, state = mixtape.wkv(*given[:2], *half)
            self.assertEqual((y.dtype, state[0].dtype), (dtype, torch.float32))
            y.sum().backward()
            self.assertEqual([x.grad.dtype for x in (*given[:2], *half)],
                             [torch.float32] * 2 + [dtype] * 2)

    def test_types_without_kernels_are_refused_by_the_operator_itself(self):
        d, u, k, v = (x.detach() for x in arguments(2, 5, 3))
        saved = d.new_empty(0)
        for dtype in (torch.int64, torch.complex64, torch.bool):
            for device in ("cpu", "meta"):
                given = [x.to(device) for x in (d, u, k.to(dtype), v.to(dtype))]
                with self.subTest(dtype=dtype, device=device):
                    expected = (f"wkv: k is of {dtype}, expected one of torch.float32, "
                                "torch.float64, torch.bfloat16, torch.float16")
                    with self.assertRaisesRegex(TypeError, expected):
                        torch.ops.mixtape.wkv_forward(*given, None, False)
                    with self.assertRaisesRegex(TypeError, expected):
                        torch.ops.mixtape.wkv_backward(*given, None, saved.to(device), None, None,
                                                       [True] * 5)

    def test_autocast_leaves_the_operator_in_float32_or_float64(self):
        for device in support.devices():
            for dtype, computed, cast in ((torch.float64, torch.float64, torch.bfloat16),
                                          (torch.float32, torch.float32, torch.bfloat16),
                                          (torch.bfloat16, torch.float32, torch.bfloat16),
                                          (torch.float32, torch.float32, torch.float16),
                                          (torch.float16, torch.float32, torch.float16)):
                if not can_autocast(device, cast):
                    continue
                with self.subTest(device=device, dtype=dtype, cast=cast):
                    given = [x.detach().requires_grad_() for x in arguments(2, 9, 4, dtype, device)]
                    with torch.autocast(device, dtype=cast):
                        y, state = mixtape.wkv(*given)
                    self.assertEqual((y.dtype, state[0].dtype), (dtype, computed))
                    self.assertTrue(torch.equal(y, mixtape.wkv(*given)[0]))
                    y.sum().backward()
                    self.assertTrue(all(x.grad.dtype == dtype for x in given))

    def test_views_with_a_pending_sign(self):
        for device in support.devices():
            for shape in ((2, 6, 4), (1, 1, 1)):  # the latter is contiguous all the same
                d, u, k, v = arguments(*shape, device=device)
                pending = [torch.complex(x, -x).conj().imag for x in (k, v)]
                self.assertTrue(all(x.is_neg() for x in pending))
                self.assertTrue(
                    torch.equal(mixtape.wkv(d, u, *pending)[0],
                                mixtape.wkv(d, u, k, v)[0]))

    def test_a_batch_of_nothing(self):
        for device in support.devices():
            for shape in ((0, 5, 3), (2, 5, 0), (0, 0, 0)):
                for carried in (False, True):
                    with self.subTest(device=device, shape=shape, carried=carried):
                        given = arguments(*shape, device=device, carried=carried)
                        y, state = mixtape.wkv(*given[:4], tuple(given[4:]) if carried else None)
                        self.assertEqual((y.shape, state[0].shape), (shape, (shape[0], shape[2])))
                        y.sum().backward()
                        for x in given[:4]:
                            self.assertTrue(torch.equal(x.grad, torch.zeros_like(x)))

    def calls(self, function):
        """What is recorded of each call of the operator's function of this name."""
        patch = mock.patch.object(operator, function, side_effect=getattr(operator, function))
        self.addCleanup(patch.stop)
        return patch.start().call_args_list

    def test_nothing_is_saved_where_there_will_be_no_gradient(self):
        given, calls = arguments(2, 6, 4), self.calls("forward")
        with torch.no_grad():
            mixtape.wkv(*given)
        with torch.inference_mode():
            mixtape.wkv(*given)
        mixtape.wkv(*(x.detach() for x in given))
        mixtape.wkv(*given)
        self.assertEqual([call[1]["save"] for call in calls], [False, False, False, True])

    def test_gradients_that_nobody_wants_are_not_computed(self):
        everything = arguments(2, 6, 4)
        mixtape.wkv(*everything)[0].sum().backward()
        for wanted in range(4):
            given, calls = arguments(2, 6, 4), self.calls("backward")
            given = [x.detach().requires_grad_(i == wanted) for i, x in enumerate(given)]
            mixtape.wkv(*given)[0].sum().backward()
            self.assertEqual([x is not None for x in calls[0][0][7:11]],
                             [i == wanted for i in range(4)])
            self.assertTrue(torch.equal(given[wanted].grad, everything[wanted].grad))

    def test_gradients_are_not_differentiated_again(self):
        given = arguments(2, 6, 4)
        first, = torch.autograd.grad(
            mixtape.wkv(*given)[0].square().sum(), given[2], create_graph=True)
        with self.assertRaisesRegex(RuntimeError, "differentiate twice"):
            first.sum().backward()

    def test_threads_do_not_disturb_one_another(self):
        problems = [arguments(2, 700, channels, torch.float32) for channels in (3, 40, 64, 100)]

        def results(given):
            y, _ = mixtape.wkv(*given)
            return (y, *torch.autograd.grad(y.square().sum(), given))

        expected, found = [results(given) for given in problems], [[] for _ in problems]
        threads = [
            threading.Thread(target=lambda given=given, found=found: found.extend(
                results(given) for _ in range(20))) for given, found in zip(problems, found)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i, wanted in enumerate(expected):
            self.assertEqual(len(found[i]), 20)
            self.assertTrue(
                all(torch.equal(a, b) for each in found[i] for a, b in zip(each, wanted)))

    def test_a_forked_child_goes_on(self):
        given = [x.detach() for x in arguments(8, 256, 64)]
        threads = torch.get_num_threads()
        self.addCleanup(torch.set_num_threads, threads)
        torch.set_num_threads(2)
        expected = mixtape.wkv(*given)[0].numpy().tobytes()
        lock = library.device("cpu").lock
        lock.acquire()  # as another thread might have it
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            try:
                os._exit(0 if mixtape.wkv(*given)[0].numpy().tobytes() == expected else 1)
            finally:
                os._exit(2)
        lock.release()
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_message_that_is_cut_within_a_character(self):
        for name in ("é" * 300, "a" + "é" * 300):
            with self.assertRaisesRegex(library.MixtapeError, "éééé"):
                library.device(name)

    def test_strided_tensors_and_parts_without_gradients(self):
        given = arguments(2, 6, 4)
        strided = given[2].detach().transpose(0, 1).contiguous().transpose(0, 1)
        y, _ = mixtape.wkv(given[0].detach(), given[1], strided, given[3].detach())
        self.assertTrue(torch.equal(y, mixtape.wkv(*given)[0]))
        y.sum().backward()
        self.assertIsNotNone(given[1].grad)
        with torch.no_grad():
            self.assertFalse(mixtape.wkv(*given)[0].requires_grad)

    def test_wrong_arguments_are_refused(self):
        d, u, k, v = (x.detach() for x in arguments(2, 5, 3))
        for given, says in (
            ((d, u, k[0], v[0]), r"key \(5, 3\)"),
            ((d, u, k, v[:, :4]), r"value \(2, 4, 3\)"),
            ((d[:2], u, k, v), r"time_decay \(2,\), expected \(3,\)"),
            ((d, u[:1], k, v), r"time_first \(1,\)"),
            ((d, u, k, v, (k[:, 0], k[:, 0], k[:1, 0])), r"state\[2\] \(1, 3\), expected \(2, 3\)"),
            ((d, u, k.long(), v.long()), "key is of torch.int64, expected real numbers"),
            ((d, u, k, v.numpy()), "value is not a dense tensor, but of type numpy.ndarray"),
            ((None, u, k, v), "time_decay is not a dense tensor, but of type NoneType"),
            ((d, u, k.to_sparse(), v), "key is not a dense tensor, but torch.sparse_coo"),
            ((d, u, k, v, (k[:, 0], k[:, 0])), "state is not"),
            ((d, u, k, v, torch.stack((k[:, 0],) * 3)), "state is not"),
            ((d, u, k, v, (None,) * 3), r"state\[0\] is not"),
        ):
            with self.subTest(says=says):
                with self.assertRaisesRegex(ValueError, says):
                    mixtape.wkv(*given)

    def test_no_time_leaves_the_state_as_it_was(self):
        d, u, k, v = arguments(2, 5, 3)
        y, state = mixtape.wkv(d, u, k[:, :0], v[:, :0])
        self.assertEqual(y.shape, (2, 0, 3))
        part = mixtape.wkv(d, u, k, v, state)
        for given, expected in zip((part[0], *part[1]), (lambda y, s: (y, *s))(
                *mixtape.wkv(d, u, k, v))):
            self.assertTrue(torch.equal(given, expected))
        state = part[1]
        y, after = mixtape.wkv(d, u, k[:, :0], v[:, :0], state)
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(state, after)))
        expected = torch.autograd.grad(state[0].sum() + 2 * state[1].sum(), (d, k, v),
                                       retain_graph=True)
        found = torch.autograd.grad(after[0].sum() + 2 * after[1].sum() + y.sum(), (d, k, v))
        for given, wanted in zip(found, expected):
            self.assertTrue(torch.equal(given, wanted))
        meta = [x.detach().to("meta") for x in (d, u, k[:, :0], v[:, :0])]
        self.assertEqual(mixtape.wkv(*meta)[0].shape, (2, 0, 3))


if __name__ == "__main__":
    unittest.main()
