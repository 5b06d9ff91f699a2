"""Random decoders on random labels, against the NumPy reference: shapes, options and all weights
are drawn. A model is a function of its number; MIXTAPE_MODELS says how many there are."""

import os
import subprocess
import tempfile
import unittest

import h5py
import numpy

import rwkv_reference

MIXTAPE = os.environ["MIXTAPE"]
MODELS = int(os.environ.get("MIXTAPE_MODELS", "30"))
WIDTHS = [1, 2, 3, 5, 7, 8, 16, 17, 31, 32, 64]


def run(*arguments, cwd):
    subprocess.run([MIXTAPE, *map(str, arguments)], cwd=cwd, check=True, capture_output=True,
                   timeout=300)


def draw_options(generator):
    """Options of train for a model, its type, and a batch that WKV takes."""
    size = int(generator.choice(WIDTHS))
    batch, length = int(generator.choice([1, 2, 3, 5])), int(generator.choice([1, 2, 3, 17, 130]))
    dtype = str(generator.choice(["f32", "f64"]))
    kind = str(generator.choice(["layer_norm", "rms_norm", "scale_norm", "basic_norm"]))
    options = ["--size", size, "--attention-size", generator.choice(WIDTHS), "--linear-size",
               generator.choice(WIDTHS), "--blocks", generator.integers(1, 4), "--norm", kind,
               "--dtype", dtype, "--norm-eps", generator.choice([0.01, 0.3])]
    if kind == "rms_norm" and size > 1 and generator.random() < 0.5:
        options += ["--norm-partial", 0.6]
    if generator.random() < 0.3:
        options += ["--no-bias"]
    return options, dtype, (batch, length)


def draw_weights(generator, file):
    """Other values for all arrays of a file of weights; a scale or a mix may well be negative."""
    for name, array in file.items():
        spread = 0.5 if "norm" in name or "time_" in name else array.shape[-1] ** -0.5
        array[...] = generator.normal(scale=spread, size=array.shape)


def read_weights(path):
    """The arrays and the configuration of an exchange file."""
    with h5py.File(path) as file:
        return ({name: array[()] for name, array in file.items()},
                {name: value.decode() if isinstance(value, bytes) else value
                 for name, value in file.attrs.items()})


class RandomModelsTest(unittest.TestCase):
    def check(self, number):
        generator = numpy.random.default_rng(number)
        options, dtype, shape = draw_options(generator)
        with tempfile.TemporaryDirectory() as folder, self.subTest(number=number, options=options,
                                                                   shape=shape):
            run("train", "copy", "--steps", 1, "--batch", 32, "--length", 2, "--eval-batches", 1,
                "--out", "run", *options, cwd=folder)
            run("export", "run", "--layout", "mixtape", "-o", "weights.h5", cwd=folder)
            labels = generator.integers(0, 10, size=shape).astype("int32")
            with h5py.File(os.path.join(folder, "in.h5"), "w") as file:
                file["labels"] = labels
            with h5py.File(os.path.join(folder, "weights.h5"), "r+") as file:
                draw_weights(generator, file)
            weights, config = read_weights(os.path.join(folder, "weights.h5"))
            run("import", "weights.h5", "-o", "drawn.h5", cwd=folder)
            run("forward", "drawn.h5", "--input", "in.h5", "--output", "out.h5", cwd=folder)
            tolerance = 3e-4 if dtype == "f32" else 1e-9
            with h5py.File(os.path.join(folder, "out.h5")) as file:
                for name, expected in zip(("output", "logits"),
                                          rwkv_reference.decoder(weights, config, labels)):
                    numpy.testing.assert_allclose(file[name][()], expected, rtol=tolerance,
                                                  atol=tolerance)

    def test_outputs_are_the_references(self):
        for number in range(MODELS):
            self.check(number)


if __name__ == "__main__":
    unittest.main()
