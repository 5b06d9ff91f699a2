"""bench/gpu_peers.py without a GPU: a peer is compared with the loop over time before it is timed,
and what is there and what is not becomes a table."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

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

    def test_flash_linear_attention_computes_the_recurrence(self):
        """On Triton's interpreter, where that is installed (TRITON_INTERPRET=1)."""
        if os.environ.get("TRITON_INTERPRET") != "1":
            self.skipTest("TRITON_INTERPRET is not 1")
        import torch

        self.check(gpu_peers.FlashLinearAttention(torch, None).operator)


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
