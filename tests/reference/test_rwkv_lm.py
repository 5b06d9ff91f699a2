"""Training by RWKV-LM's recipe, against the same steps in PyTorch: rates by groups, its schedule,
Adam's numbers, clipping and L2Wrap, from RWKV-v4neo's formulas, in float64."""

import math
import os
import tempfile
import unittest

import h5py
import numpy

from test_random_models import draw_weights, read_weights, run

try:
    import torch
    from torch.nn import functional

    import rwkv_torch
except ImportError:
    if os.environ.get("MIXTAPE_REQUIRE_ALL"):
        raise
    torch = None

TOKENS = ["<blank>", *"abcdefgh", "<sos/eos>"]
ROWS, LENGTH, STEPS, WARMUP = 4, 7, 6, 2
LR, LR_SHARE = 6e-4, 1e-5 / 6e-4
SIZES = ["--size", 32, "--blocks", 2, "--dtype", "f64"]


def write_data(folder):
    """Transcripts of one length, all of which are a batch; their labels (ROWS, LENGTH)."""
    labels = numpy.random.default_rng(1).integers(1, len(TOKENS), size=(ROWS, LENGTH))
    with open(os.path.join(folder, "tokens.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(TOKENS))
    with open(os.path.join(folder, "text"), "w", encoding="utf-8") as file:
        file.writelines(f"utterance-{i} {' '.join(TOKENS[label] for label in row)}\n"
                        for i, row in enumerate(labels))
    return labels


def train(folder, *options):
    run("train", "tokens", "--data", "text", "--valid-data", "text", "--token-list", "tokens.txt",
        "--unit", "word", "--style", "rwkv-lm", "--preset", "rwkv-lm", "--batch", ROWS,
        "--log-every", 1, *options, cwd=folder)


def exported(folder, name):
    run("export", name, "--layout", "mixtape", "-o", name + ".h5", cwd=folder)
    return read_weights(os.path.join(folder, name + ".h5"))


def metrics(folder, column):
    rows = numpy.genfromtxt(os.path.join(folder, "run", "metrics.csv"), delimiter=",", names=True)
    return rows[column]


def rate(step):
    """Of update `step`, from 0 on, as RWKV-LM counts them."""
    progress = min(1.0, max(0.0, (step - WARMUP + 1) / (STEPS - WARMUP)))
    warm = 0.2 + 0.8 * step / WARMUP if step < WARMUP else 1.0
    return LR * math.exp(math.log(LR_SHARE) * progress) * warm


def groups_of(leaves, decay):
    """The parameters by rate, and matrices by themselves where there is weight decay."""
    groups = {}
    for name, leaf in leaves.items():
        factor = 2.0 if "time_decay" in name else 3.0 if "time_first" in name else 1.0
        is_matrix = sum(size > 1 for size in leaf.shape) > 1
        groups.setdefault((factor, decay if is_matrix else 0.0), []).append(leaf)
    return [{"params": leaves, "factor": factor, "weight_decay": own, "lr": LR}
            for (factor, own), leaves in groups.items()]


def clip(leaves, norm_of_clip=1.0):
    norm = torch.sqrt(sum(leaf.grad.square().sum() for leaf in leaves))
    for leaf in leaves:
        leaf.grad *= min(1.0, norm_of_clip / norm)


def pytorch_steps(weights, config, labels, decay):
    """Losses and weights: what is shown is the cross-entropy alone, of L2Wrap the gradient is
    that of half its factor times the mean of the squares of the largest logits."""
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
              for name, value in weights.items()}
    optimiser = torch.optim.AdamW(groups_of(leaves, decay), betas=(0.9, 0.99), eps=1e-8)
    before = numpy.concatenate([numpy.zeros((ROWS, 1), int), labels[:, :-1]], axis=1)
    losses = []
    for step in range(STEPS):
        logits = rwkv_torch.logits(leaves, config, torch.tensor(before)).flatten(0, 1)
        loss = functional.cross_entropy(logits, torch.tensor(labels).flatten())
        losses.append(loss.item())
        for leaf in leaves.values():
            leaf.grad = None
        (loss + 0.5e-4 * logits.max(dim=-1).values.square().mean()).backward()
        clip(leaves.values())
        for group in optimiser.param_groups:
            group["lr"] = rate(step) * group["factor"]
        optimiser.step()
    return losses, {name: leaf.detach().numpy() for name, leaf in leaves.items()}


@unittest.skipIf(torch is None, "PyTorch cannot be imported")
class RecipeTest(unittest.TestCase):
    def check(self, decay):
        with tempfile.TemporaryDirectory() as folder:
            labels = write_data(folder)
            train(folder, *SIZES, "--steps", 1, "--out", "drawn")
            exported(folder, "drawn")
            with h5py.File(os.path.join(folder, "drawn.h5"), "r+") as file:
                draw_weights(numpy.random.default_rng(2), file)
                file["head.weight"][...] *= 3 # so that L2Wrap and the clipping matter
            weights, config = read_weights(os.path.join(folder, "drawn.h5"))
            train(folder, "--init", "drawn.h5", "--dtype", "f64", "--steps", STEPS, "--warmup",
                  WARMUP, "--weight-decay", decay, "--out", "run")
            losses, expected = pytorch_steps(weights, config, labels, decay)
            found, _ = exported(folder, "run")
            numpy.testing.assert_allclose(metrics(folder, "loss"), losses, rtol=1e-5)
            numpy.testing.assert_allclose(metrics(folder, "lr"), [rate(i) for i in range(STEPS)],
                                          rtol=1e-5)
            self.assertGreater(metrics(folder, "grad_norm").max(), 1.0)
            for name, value in expected.items():
                moved = numpy.abs(value - weights[name]).max()
                numpy.testing.assert_allclose(found[name], value, rtol=0, atol=1e-7 * moved,
                                              err_msg=name)

    def test_steps_are_pytorchs(self):
        self.check(0.0)

    def test_steps_with_weight_decay_are_pytorchs(self):
        self.check(0.1)

    def test_a_new_model_begins_as_rwkv_lms_does(self):
        with tempfile.TemporaryDirectory() as folder:
            write_data(folder)
            train(folder, *SIZES, "--lr", 1e-9, "--steps", 1, "--out", "run")
            weights, _ = exported(folder, "run")
        eye = numpy.eye(32)
        embedding = numpy.abs(weights.pop("embed.weight")).max()
        self.assertTrue(0.9e-9 < embedding < 2.1e-9, embedding) # within lr of 0, and a step
        head = weights.pop("head.weight") # (10, 32): rows are orthogonal
        numpy.testing.assert_allclose(head @ head.T, 0.25 * numpy.eye(10), atol=1e-7)
        for name, value in weights.items():
            with self.subTest(name):
                if name.endswith("att.proj_value.weight"):
                    numpy.testing.assert_allclose(value.T @ value, eye, atol=1e-7)
                elif name.endswith("ffn.proj_key.weight"):
                    numpy.testing.assert_allclose(value.T @ value, 4 * eye, atol=1e-7)
                elif "proj_" in name:
                    numpy.testing.assert_allclose(value, 0, atol=2e-9)


if __name__ == "__main__":
    unittest.main()
