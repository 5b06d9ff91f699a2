"""The gradients of random decoders, against PyTorch's: test_random_models draws the models."""

import os
import tempfile
import unittest

import h5py
import numpy

from test_random_models import MODELS, draw_options, draw_weights, read_weights, run

try:
    import rwkv_torch
except ImportError:
    if os.environ.get("MIXTAPE_REQUIRE_ALL"):
        raise
    rwkv_torch = None

TOKENS = ["<blank>", *"abcdefgh", "<sos/eos>"]
BETA1 = 0.9 # the share of the gradients that Adam's first moment has after one step is 1 - BETA1


def moments_of(file):
    """Names and arrays of Adam's first moments; blocks are groups within groups of HDF5."""
    found = []
    file["optimizer/m"].visititems(lambda name, item: found.append((name, item))
                                   if isinstance(item, h5py.Dataset) else None)
    return found


def trained_gradients(folder, options, labels):
    """The weights, the configuration and the gradients of one step of training, from transcripts
    that are all the same; gradients are told from Adam's first moments."""
    with open(os.path.join(folder, "tokens.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(TOKENS))
    with open(os.path.join(folder, "text"), "w", encoding="utf-8") as file:
        file.writelines(f"utterance-{i} {' '.join(TOKENS[label] for label in labels)}\n"
                        for i in range(3))
    train = ["train", "tokens", "--data", "text", "--valid-data", "text", "--token-list",
             "tokens.txt", "--unit", "word", "--steps", 1, "--clip", 0, "--batch", 2, *options]
    run(*train, "--out", "drawn", cwd=folder)
    run("export", "drawn", "--layout", "mixtape", "-o", "weights.h5", cwd=folder)
    path = os.path.join(folder, "weights.h5")
    with h5py.File(path, "r+") as file:
        draw_weights(numpy.random.default_rng(len(labels)), file)
        file["embed.weight"][file.attrs["embed_pad"]] = 0.0
    run(*train, "--init", "weights.h5", "--out", "run", cwd=folder)
    with h5py.File(os.path.join(folder, "run", "checkpoint.h5")) as file:
        moments = {name: array[()] / (1.0 - BETA1) for name, array in moments_of(file)}
    return *read_weights(path), moments


@unittest.skipIf(rwkv_torch is None, "PyTorch cannot be imported")
class RandomGradientsTest(unittest.TestCase):
    def check(self, number):
        generator = numpy.random.default_rng(number)
        options, dtype, (_, length) = draw_options(generator)
        labels = generator.integers(1, len(TOKENS), size=length)
        with tempfile.TemporaryDirectory() as folder, self.subTest(number=number, options=options,
                                                                   labels=labels):
            weights, config, found = trained_gradients(folder, options, labels)
            expected = rwkv_torch.gradients(weights, config, numpy.array([[0, *labels[:-1]]]),
                                            labels[None])
            self.assertEqual(found.keys(), expected.keys())
            tolerance = 3e-4 if dtype == "f32" else 1e-9
            for name, gradient in expected.items():
                numpy.testing.assert_allclose(
                    found[name], gradient, rtol=tolerance, err_msg=name,
                    atol=tolerance * max(1e-3, numpy.abs(gradient).max()))

    def test_gradients_are_pytorchs(self):
        for number in range(MODELS):
            self.check(number)


if __name__ == "__main__":
    unittest.main()
