"""Adapters after some updates, against autograd and Adam of PyTorch: LoRA as W + (alpha / R) B A,
and a tuned state by its formulas."""

import os
import tempfile
import unittest

import h5py
import numpy

from test_random_models import read_weights, run

try:
    import rwkv_torch
    import torch
except ImportError:
    if os.environ.get("MIXTAPE_REQUIRE_ALL"):
        raise
    rwkv_torch = None

TOKENS = ["<blank>", *"abcdefgh", "<sos/eos>"]
LABELS = numpy.array([3, 1, 4, 1, 5, 8, 2, 6])
LR, STEPS, RANK, ALPHA = 0.01, 4, 2, 3.0
SIZES = ["--size", 6, "--attention-size", 5, "--linear-size", 7, "--blocks", 2, "--dtype", "f64"]
TRAIN = ["train", "tokens", "--data", "text", "--valid-data", "text", "--token-list", "tokens.txt",
         "--unit", "word", "--clip", 0, "--batch", 32, "--threads", 1]


def adapter_of(path):
    found = {}
    with h5py.File(path) as file:
        file["adapter"].visititems(
            lambda name, item: found.update({name: item[()]})
            if isinstance(item, h5py.Dataset) else None)
    return found


@unittest.skipIf(rwkv_torch is None, "PyTorch cannot be imported")
class AdapterTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(self.path("tokens.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(TOKENS))
        with open(self.path("text"), "w", encoding="utf-8") as file:
            file.writelines(f"utterance-{i} {' '.join(TOKENS[label] for label in LABELS)}\n"
                            for i in range(32))
        run(*TRAIN, *SIZES, "--steps", 2, "--out", "model", cwd=self.folder)
        run("export", "model", "--layout", "mixtape", "-o", "weights.h5", cwd=self.folder)
        self.weights, self.config = read_weights(self.path("weights.h5"))

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def tuned(self, steps, *options):
        out = f"run-{steps}"
        run(*TRAIN, "--init", "weights.h5", "--dtype", "f64", "--schedule", "constant", "--warmup",
            0, "--lr", LR, "--steps", steps, "--out", out, *options, cwd=self.folder)
        return adapter_of(self.path(out, "checkpoint.h5"))

    def expected(self, first, weights_of):
        """What PyTorch makes of the adapter `first`; `weights_of` adds it to the model's."""
        model = {name: torch.tensor(value, dtype=torch.float64)
                 for name, value in self.weights.items()}
        leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
                  for name, value in first.items()}
        adam = torch.optim.Adam(leaves.values(), lr=LR)
        labels = torch.tensor([[0, *LABELS[:-1]]])
        for _ in range(STEPS):
            adam.zero_grad()
            found = rwkv_torch.logits(weights_of(model, leaves), self.config, labels)
            torch.nn.functional.cross_entropy(found[0], torch.tensor(LABELS)).backward()
            adam.step()
        return {name: leaf.detach().numpy() for name, leaf in leaves.items()}

    def compare(self, found, expected):
        self.assertEqual(found.keys(), expected.keys())
        for name, values in expected.items():
            numpy.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-8, err_msg=name)

    def test_lora(self):
        options = ["--tune", "lora", "--lora-rank", RANK, "--lora-alpha", ALPHA, "--lora-on",
                   "key,value,receptance,output,ffn_key,ffn_value,ffn_receptance"]

        def weights_of(model, leaves):
            whole = dict(model)
            for name, a in leaves.items():
                if name.endswith("lora_A"):
                    stem = name.removesuffix("lora_A")
                    whole[stem + "weight"] = (model[stem + "weight"] +
                                              ALPHA / RANK * leaves[stem + "lora_B"] @ a)
            return whole

        first = self.tuned(1, *options)  # A has no gradient yet, since B was 0
        first = {name: numpy.zeros_like(values) if name.endswith("lora_B") else values
                 for name, values in first.items()}
        self.assertEqual(len(first), 2 * 7 * 2)
        self.compare(self.tuned(STEPS, *options), self.expected(first, weights_of))

    def test_state(self):
        found = self.tuned(STEPS, "--tune", "state")
        first = {name: numpy.full_like(values, 1e-6 if name.endswith("root_den") else 0.0)
                 for name, values in found.items()}
        self.assertEqual(len(first), 2 * 4)
        self.compare(found, self.expected(first, lambda model, leaves: {**model, **leaves}))


if __name__ == "__main__":
    unittest.main()
