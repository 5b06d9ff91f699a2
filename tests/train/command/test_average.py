"""average and diff: the mean of models' weights, and what two of them differ in."""

import os
import re
import unittest

import h5py
import numpy
from test_command import COPY, CommandTest

SHAPE = ["--size", "16", "--blocks", "1", "--threads", "1", "--steps", "6", "--eval-every", "3",
         "--save-every", "3", "--eval-batches", "2", *COPY]


class ModelsTest(CommandTest):
    def train(self, name, *options):
        self.run_command("train", "copy", *SHAPE, "--out", name, *options)

    def weights(self, name):
        with h5py.File(self.path(name)) as file:
            return {name: values[()] for name, values in file["model"].items()}


class AverageTest(ModelsTest):
    def test_a_mean_is_rounded_once(self):
        for dtype in "f32", "f64":
            names = [dtype + seed for seed in "123"]
            for seed, name in enumerate(names):
                self.train(name, "--seed", str(seed), "--dtype", dtype)
            self.run_command("average", *names, "-o", dtype + ".h5")
            models = [self.weights(name + "/best.h5") for name in names]
            mean = self.weights(dtype + ".h5")
            self.assertEqual(mean.keys(), models[0].keys())
            for name, values in mean.items():
                total = sum(model[name].astype("f8") for model in models)
                numpy.testing.assert_array_equal(values, (total / 3).astype(values.dtype))

    def test_files_of_other_layouts_count_as_what_they_hold(self):
        self.train("run", "--style", "rwkv-lm")
        self.run_command("export", "run", "--layout", "rwkv-lm", "-o", "b.safetensors")
        self.run_command("average", "run", "b.safetensors", "run/best.h5", "-o", "mean.h5")
        self.run_command("diff", "run", "mean.h5")
        self.run_command("eval", "mean.h5") # with the first one's configuration

    def test_last_takes_the_last_checkpoints(self):
        for seed in "12":
            self.train(seed, "--seed", seed, "--lr", "0.5") # the best is not the last
        self.run_command("average", "--last", "1", "2", "-o", "mean.h5")
        first, second = (self.weights(seed + "/checkpoint.h5") for seed in "12")
        for name, values in self.weights("mean.h5").items():
            total = first[name].astype("f8") + second[name]
            numpy.testing.assert_array_equal(values, (total / 2).astype("f4"))

    def test_what_cannot_be_averaged(self):
        self.train("run")
        self.train("small", "--blocks", "2")
        self.train("norm", "--norm", "rms_norm")
        self.train("wide", "--dtype", "f64")
        self.write("notes.txt", "mine")
        for wrong, status, says in (
                (["run", "-o", "a.h5"], 2, ["run", "one model alone"]),
                (["run", "run"], 2, ["-o"]),
                (["run", "small", "-o", "a.h5"], 2, ["small/best.h5", "rwkv_blocks.1."]),
                (["run", "norm", "-o", "a.h5"], 2, ["norm/best.h5", "rms_norm"]),
                (["run", "wide", "-o", "a.h5"], 2, ["wide/best.h5", "f64", "f32"]),
                (["run", "nowhere", "-o", "a.h5"], 1, ["nowhere"]),
                (["run", "small", "-o", "run/best.h5"], 2, ["run/best.h5"]),
                (["run", "run", "-o", "small/checkpoint.h5"], 2, ["small/checkpoint.h5"]),
                (["run", "run", "-o", "notes.txt"], 2, ["notes.txt"])):
            self.refuse("average", *wrong, status=status, says=says)
            self.assertFalse(os.path.exists(self.path("a.h5")))

    def test_a_link_leads_to_no_other_run(self):
        for seed in "123":
            self.train(seed, "--seed", seed)
        os.symlink(self.path("3", "checkpoint.h5"), self.path("link.h5"))
        self.refuse("average", "1", "2", "-o", "link.h5", status=2, says=["link.h5", "goes on"])

    def test_a_mean_has_no_validation_of_its_own(self):
        self.train("run")
        self.run_command("average", "run", "run", "-o", "mean.h5")
        self.assertNotIn("best", self.run_command("info", "mean.h5").stdout.decode())

    def test_labels_have_to_stand_for_the_same(self):
        for name, text in ("ab", "ab ba " * 40), ("ac", "ac ca " * 40):
            self.write(name + ".txt", text)
            self.run_command("train", "text", "--data", name + ".txt", "--size", "16", "--blocks",
                             "1", "--length", "8", "--steps", "2", "--threads", "1", "--out", name)
        self.refuse("average", "ab", "ac", "-o", "a.h5", status=2,
                    says=["ac/best.h5", "label 2 is c", "it is b"])


class DiffTest(ModelsTest):
    def test_differences_are_numpys(self):
        for seed in "12":
            self.train(seed, "--seed", seed)
        result = self.run_command("diff", "1", "2", status=1)
        first, second = (self.weights(seed + "/best.h5") for seed in "12")
        lines = result.stdout.decode().splitlines()
        found = {line.split()[0]: line for line in lines[:-1]}
        self.assertEqual(found.keys(), first.keys())
        for name, line in found.items():
            by = numpy.abs(first[name].astype("f8") - second[name])
            told = re.search(r"largest (\S+) at (\d+), mean (\S+), (\d+) values", line)
            numpy.testing.assert_allclose(float(told[1]), by.max(), rtol=1e-3)
            self.assertEqual(int(told[2]), by.argmax())
            numpy.testing.assert_allclose(float(told[3]), by.mean(), rtol=1e-3)
            self.assertEqual(int(told[4]), numpy.count_nonzero(by))
        self.assertEqual(lines[-1], f"{len(first)} of {len(first)} parameters differ, 0 of the "
                                    "models' settings, and 0 labels")

    def test_what_is_the_same(self):
        self.train("run")
        self.assertEqual(self.run_command("diff", "run", "run").stdout.decode(),
                         "0 of 32 parameters differ, 0 of the models' settings, and 0 labels\n")
        lines = self.run_command("diff", "--all", "run", "run").stdout.decode().splitlines()
        self.assertEqual(len(lines), 33)
        self.assertTrue(all(line.endswith(" the same") for line in lines[:-1]))

    def test_other_shapes_names_and_settings(self):
        self.train("run")
        self.train("other", "--blocks", "2", "--linear-size", "32", "--norm-eps", "1e-6")
        said = self.run_command("diff", "run", "other", status=1).stdout.decode()
        self.assertRegex(said, r"rwkv_blocks.0.ffn.proj_key.weight +\(64, 16\), in the second "
                               r"\(32, 16\)\n")
        self.assertRegex(said, r"rwkv_blocks.1.att.time_decay +none, in the second \(16\)\n")
        self.assertRegex(said, r"num_blocks +1, in the second 2\n")
        self.assertRegex(said, r"1e-12, in the second 1e-06\n")

    def test_another_vocabulary_is_told(self):
        self.train("run")
        self.train("other", "--symbols", "7")
        said = self.run_command("diff", "run", "other", status=1).stdout.decode()
        self.assertRegex(said, r"vocab_size +\d+, in the second 9\n")
        self.assertIn(" 1 of the models' settings", said)

    def test_what_computes_the_same_is_the_same(self):
        self.train("run", "--style", "hf", "--time-first", "espnet")
        self.run_command("export", "run", "--layout", "hf", "-o", "folder")
        self.run_command("diff", "run", "folder")

    def test_labels_are_compared(self):
        for name in "ab", "ba":
            self.write(name + ".txt", f"<blank>\n{name[0]}\n{name[1]}\n")
            self.write("text", "u1 ab\nu2 ba\n")
            self.run_command("train", "tokens", "--data", "text", "--valid-data", "text",
                             "--token-list", name + ".txt", "--size", "8", "--blocks", "1",
                             "--steps", "1", "--batch", "4", "--threads", "1", "--out", name)
        said = self.run_command("diff", "ab", "ba", status=1).stdout.decode()
        self.assertIn("  label 1 is a, in the second b\n", said)

    def test_what_cannot_be_compared(self):
        self.train("run")
        for wrong, status, says in ((["run"], 2, ["two"]), ([], 2, ["two"]),
                                    (["run", "run", "third"], 2, ["at most 2", "third"]),
                                    (["run", "nowhere"], 2, ["nowhere"])):
            self.refuse("diff", *wrong, status=status, says=says)


if __name__ == "__main__":
    unittest.main()
