"""bench/gpu_peers.py without a GPU: a peer is compared with the loop over time before it is timed,
and what is there and what is not becomes a table."""

import contextlib
import io
import os
import sys
import tempfile
import types
import unittest
from unittest import mock

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(SOURCE, "bench"), os.path.join(SOURCE, "tests", "python")]

import gpu_peers
from support import need

WKV = {"what": "wkv", "shape": [8, 256, 512], "forward_s": 1e-3, "backward_s": 2e-3,
       "forward_gb_per_s": 2000.0, "backward_gb_per_s": 1500.0, "copy_gb_per_s": 4000.0}
STEP = {"what": "step", "B": 2, "T": 3, "vocab": 5, "size": 8, "blocks": 1, "step_s": 2e-3,
        "replayed_s": 1e-3}


class CheckTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("torch")

    def loop(self, decay, first, key, value):
        import pytorch_peer
        import torch

        return pytorch_peer.wkv(-torch.exp(decay), first, key, value)

    def check(self, operator):
        import torch

        gpu_peers.check(torch, operator, "cpu", shape=(2, 5, 32))

    def test_the_loop_itself_is_right(self):
        self.check(self.loop)

    def test_a_peer_that_computes_something_else_is_refused(self):
        others = {
            "y": lambda decay, *rest: self.loop(decay + 0.1, *rest),
            "d value": lambda decay, first, key, value: self.loop(
                decay, first, key, value.detach() + 0 * value),
        }
        for name, other in others.items():
            with self.assertRaisesRegex(ValueError, f"something else: {name} is off"):
                self.check(other)

    def test_what_is_wrong_with_a_peer_is_told(self):
        import torch

        peers, errors = gpu_peers.open_peers(torch, None, "cpu")
        self.assertNotIn("espnet", peers)
        self.assertIn("no folder", errors["espnet"])

    def test_flash_linear_attention_is_called_as_it_wants_to_be(self):
        """By a stand-in with its interface: time_decay before -exp, and the empty state."""
        import torch

        def fused_recurrent_rwkv4(w, u, k, v, initial_state):
            B, _, C = k.shape
            self.assertEqual(initial_state.shape, (B, 3, 1, C))
            self.assertFalse(initial_state[:, :2].any())
            self.assertTrue((initial_state[:, 2] <= -1e38).all())
            return self.loop(w, u, k, v), initial_state

        stand_in = types.SimpleNamespace(fused_recurrent_rwkv4=fused_recurrent_rwkv4)
        modules = dict.fromkeys(["fla", "fla.ops", "fla.ops.rwkv4"], stand_in)
        with mock.patch.dict(sys.modules, modules):
            self.check(gpu_peers.FlashLinearAttention(torch, None).operator)

    def test_the_gradients_of_espnets_kernel_are_summed_over_the_batch(self):
        """By a stand-in for the kernel, which leaves dw and du of each row of the batch."""
        import pytorch_peer
        import torch

        def forward(w, u, k, v, y):
            y.copy_(pytorch_peer.wkv(w, u, k, v))

        def backward(w, u, k, v, y, gy, gw, gu, gk, gv):
            for b in range(len(k)):
                given = [x.clone().requires_grad_() for x in (w, u, k[b:b + 1], v[b:b + 1])]
                with torch.enable_grad():
                    rows = pytorch_peer.wkv(*given)
                grads = torch.autograd.grad(rows, given, gy[b:b + 1])
                for to, grad in zip((gw[b], gu[b], gk[b:b + 1], gv[b:b + 1]), grads):
                    to.copy_(grad)

        kernel = types.SimpleNamespace(forward=forward, backward=backward)
        with mock.patch.object(gpu_peers, "build_kernel", lambda folder: kernel):
            self.check(gpu_peers.Espnet(torch, "a folder").operator)


class TableTest(unittest.TestCase):
    def show(self, errors, rows):
        result = {"device": "A GPU", "pytorch": "2", "errors": errors,
                  "mixtape": {"results": [row for row, _ in rows]},
                  "peers": [peers for _, peers in rows]}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "peers.json")
            gpu_peers.write(result, path)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                gpu_peers.table(path)
        return printed.getvalue()

    def test_each_peer_has_its_ratio(self):
        times = {"forward_s": 4e-3, "backward_s": 5e-3}
        printed = self.show({}, [(WKV, {"espnet": times, "flash-linear-attention": times}),
                                 (STEP, {"espnet": {"step_s": 3e-3}})])
        self.assertIn("50 % of copy", printed)
        self.assertIn("ESPnet's kernel takes 3.0 x (forward 4.0, backward 2.5)", printed)
        self.assertIn("flash-linear-attention takes 3.0 x", printed)
        self.assertIn("PyTorch with ESPnet's kernel takes 3.0 x", printed)

    def test_a_peer_that_is_missing_or_fails_is_a_line(self):
        printed = self.show({"espnet": "FileNotFoundError: no folder"},
                            [(WKV, {"flash-linear-attention": {"error": "RuntimeError: memory"}})])
        self.assertIn("ESPnet's kernel is not measured: FileNotFoundError: no folder", printed)
        self.assertIn("flash-linear-attention: RuntimeError: memory", printed)


if __name__ == "__main__":
    unittest.main()
