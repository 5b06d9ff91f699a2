"""Mixtape's outputs against the NumPy reference, from exported weights."""

import os
import subprocess
import tempfile
import unittest

import h5py
import numpy

import rwkv_reference

MIXTAPE = os.environ["MIXTAPE"]


def run(*arguments, cwd):
    subprocess.run([MIXTAPE, *arguments], cwd=cwd, check=True, capture_output=True, timeout=300)


class WkvTest(unittest.TestCase):
    def test_the_reference_is_the_recurrence(self):
        generator = numpy.random.default_rng(1)
        time_decay, time_first = generator.normal(size=3), generator.normal(size=3)
        key, value = generator.normal(size=(9, 3)), generator.normal(size=(9, 3))
        state = rwkv_reference.empty_state(3)
        outputs = rwkv_reference.wkv(time_decay, time_first, key, value, state)
        num = den = numpy.zeros(3)
        for t, output in enumerate(outputs):
            first = numpy.exp(time_first + key[t])
            numpy.testing.assert_allclose(output, (num + first * value[t]) / (den + first),
                                          rtol=1e-12)
            decay = numpy.exp(-numpy.exp(time_decay))
            num, den = decay * num + numpy.exp(key[t]) * value[t], decay * den + numpy.exp(key[t])


class DecoderTest(unittest.TestCase):
    def compare(self, *options, dtype):
        tolerance = 1e-5 if dtype == "f32" else 1e-10
        with tempfile.TemporaryDirectory() as folder:
            run("train", "copy", "--steps", "5", "--batch", "32", "--length", "5", "--eval-batches",
                "1", "--dtype", dtype, "--out", "run", *options, cwd=folder)
            run("export", "run", "--layout", "mixtape", "-o", "weights.h5", cwd=folder)
            labels = numpy.random.default_rng(2).integers(0, 10, size=(2, 75)).astype("int32")
            with h5py.File(os.path.join(folder, "in.h5"), "w") as file:
                file["labels"] = labels
            run("forward", "run", "--input", "in.h5", "--output", "out.h5", cwd=folder)
            with h5py.File(os.path.join(folder, "weights.h5")) as file:
                weights = {name: file[name][()] for name in file}
                config = {
                    name: value.decode() if isinstance(value, bytes) else value
                    for name, value in file.attrs.items()
                }
            output, logits = rwkv_reference.decoder(weights, config, labels)
            with h5py.File(os.path.join(folder, "out.h5")) as file:
                numpy.testing.assert_allclose(file["output"][()], output, rtol=tolerance,
                                              atol=tolerance)
                numpy.testing.assert_allclose(file["logits"][()], logits, rtol=tolerance,
                                              atol=tolerance)

    def test_outputs_agree(self):
        configurations = [
            ["--size", "32"],
            ["--size", "32", "--attention-size", "64", "--linear-size", "48", "--blocks", "3"],
            ["--size", "32", "--blocks", "1", "--time-first", "espnet"],
            ["--size", "32", "--norm", "rms_norm"],
            ["--size", "32", "--norm", "rms_norm", "--norm-partial", "0.3"],
            ["--size", "32", "--norm", "scale_norm"],
            ["--size", "32", "--norm", "basic_norm"],
            ["--size", "17", "--norm", "basic_norm", "--batch", "17"],
        ]
        for dtype in ["f32", "f64"]:
            for options in configurations:
                with self.subTest(dtype=dtype, options=options):
                    self.compare(*options, dtype=dtype)

    def test_exported_names_and_shapes_are_espnets(self):
        with tempfile.TemporaryDirectory() as folder:
            run("train", "copy", "--steps", "1", "--size", "8", "--attention-size", "16",
                "--blocks", "1", "--out", "run", cwd=folder)
            run("export", "run", "--layout", "espnet", "-o", "espnet.h5", cwd=folder)
            with h5py.File(os.path.join(folder, "espnet.h5")) as file:
                shapes = {name: file[name].shape for name in file}
        att, ffn = "rwkv_blocks.0.att.", "rwkv_blocks.0.ffn."
        expected = {"embed.weight": (10, 8), att + "time_decay": (16,), att + "time_first": (16,)}
        for name in [
                "embed_norm", "rwkv_blocks.0.layer_norm_att", "rwkv_blocks.0.layer_norm_ffn",
                "final_norm"
        ]:
            expected.update({name + ".weight": (8,), name + ".bias": (8,)})
        for name in [
                att + "time_mix_key", att + "time_mix_value", att + "time_mix_receptance",
                ffn + "time_mix_key", ffn + "time_mix_receptance"
        ]:
            expected[name] = (1, 1, 8)
        for name, out, into in [(att + "proj_key", 16, 8), (att + "proj_value", 16, 8),
                                (att + "proj_receptance", 16, 8), (att + "proj_output", 8, 16),
                                (ffn + "proj_key", 32, 8), (ffn + "proj_value", 8, 32),
                                (ffn + "proj_receptance", 8, 8)]:
            expected.update({name + ".weight": (out, into), name + ".bias": (out,)})
        self.assertEqual(shapes, expected)


if __name__ == "__main__":
    unittest.main()
