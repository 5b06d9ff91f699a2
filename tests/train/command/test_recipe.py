"""Recipes, and the options that they set: what is told, kept, overridden, resumed and refused."""

import os
import re
import unittest

import h5py
import numpy

import test_command
from test_command import SMALL, read

RECIPE = {"initial-values": "rwkv-lm", "time-first": "rwkv", "dropout": "0", "lr": "0.0006",
          "lr-final": "0.016666666666666666", "schedule": "rwkv-lm", "warmup": "0",
          "beta1": "0.9", "beta2": "0.99", "adam-eps": "1e-08", "clip": "1", "weight-decay": "0",
          "rates": '"*.time_decay=2,*.time_first=3"', "l2wrap": "0.0001", "label-smoothing": "0"}
NEW = ["beta1", "beta2", "adam-eps", "rates", "l2wrap", "initial-values"]


class RecipeTest(test_command.CommandTest):
    def config(self, run):
        return dict(line.split(": ", 1) for line in
                    read(self.path(run, "config.yaml")).splitlines() if ": " in line)

    def arrays(self, run):
        """Weights and moments of a run's checkpoint."""
        found = {}
        with h5py.File(self.path(run, "checkpoint.h5")) as file:
            for group in "model", "optimizer":
                file[group].visititems(lambda name, item, group=group: found.update(
                    {f"{group}/{name}": item[()]} if isinstance(item, h5py.Dataset) else {}))
        return found

    def assert_same_arrays(self, run, other):
        found, expected = self.arrays(run), self.arrays(other)
        self.assertEqual(found.keys(), expected.keys())
        for name, array in expected.items():
            numpy.testing.assert_array_equal(found[name], array, name)

    def test_a_recipe_of_an_espnet_model(self):
        self.write("train.yaml", test_command.ESPNET_CONFIG)
        self.write("text", "".join(f"u{i} ab\n" for i in range(8)))
        self.write("tokens", "<blank>\n<unk>\na\nb\n<sos/eos>\n")
        self.run_command("train", "--espnet-config", "train.yaml", "--recipe", "rwkv-lm", "--data",
                         "text", "--valid-data", "text", "--token-list", "tokens", "--steps", "1",
                         "--batch", "4", "--out", "run")
        config = self.config("run")
        self.assertEqual((config["initial-values"], config["time-first"], config["beta2"]),
                         ("rwkv-lm", "rwkv", "0.99"))
        self.assertEqual((config["size"], config["norm"], config["att-dropout"]),
                         ("24", "rms_norm", "0.2"))

    def test_a_recipe_sets_options_that_others_override(self):
        self.train("--steps", "1", "--recipe", "rwkv-lm", "--out", "run")
        config = self.config("run")
        self.assertEqual({name: config[name] for name in RECIPE}, RECIPE)
        self.train("--steps", "1", "--beta2", "0.95", "--recipe", "rwkv-lm", "--l2wrap", "0",
                   "--rates", "*=1", "--out", "other")
        own = {**RECIPE, "beta2": "0.95", "l2wrap": "0", "rates": '"*=1"'}
        config = self.config("other")
        self.assertEqual({name: config[name] for name in RECIPE}, own)

    def test_a_task_does_without_what_it_does_not_read(self):
        self.run_command("train", "adding", "--size", "16", "--blocks", "1", "--batch", "4",
                         "--steps", "1", "--recipe", "rwkv-lm", "--out", "run")
        self.assertEqual(self.config("run")["l2wrap"], "0")
        self.assertEqual(self.config("run")["beta2"], "0.99")

    def test_defaults_are_those_before_there_were_recipes(self):
        self.train("--steps", "1", "--out", "run")
        config = self.config("run")
        self.assertEqual([config[name] for name in NEW],
                         ["0.9", "0.999", "1e-08", '""', "0", "espnet"])

    def test_a_run_that_goes_on_has_the_same_bits(self):
        """With all of its peak left at the end, the schedule is the same for any --steps."""
        options = ["--recipe", "rwkv-lm", "--warmup", "4", "--lr-final", "1"]
        self.train(*options, "--steps", "6", "--out", "whole")
        self.train(*options, "--steps", "3", "--out", "parts")
        self.run_command("train", "--resume", "parts", "--steps", "6")
        self.assert_same_arrays("parts", "whole")

    def test_a_run_of_before_goes_on(self):
        """Neither its config.yaml nor its checkpoint knows the newer options."""
        def without_new(text):
            return re.sub(rf"^({'|'.join(NEW)}): .*\n", "", text, flags=re.MULTILINE)
        self.train("--steps", "4", "--warmup", "2", "--schedule", "constant", "--out", "whole")
        self.train("--steps", "2", "--warmup", "2", "--schedule", "constant", "--out", "run")
        former = without_new(read(self.path("run", "config.yaml")))
        self.write(os.path.join("run", "config.yaml"), former)
        with h5py.File(self.path("run", "checkpoint.h5"), "r+") as file:
            text = file["train"].attrs["config"]
            file["train"].attrs["config"] = numpy.bytes_(without_new(text.decode()))
        self.run_command("train", "--resume", "run", "--steps", "4")
        self.assert_same_arrays("run", "whole")
        self.assertEqual(self.config("run")["beta2"], "0.999")

    def test_a_run_goes_on_with_other_numbers_of_adam(self):
        self.train("--steps", "2", "--recipe", "rwkv-lm", "--out", "run")
        self.run_command("train", "--resume", "run", "--steps", "3", "--beta2", "0.999",
                         "--adam-eps", "1e-7", "--rates", "*=1", "--l2wrap", "0")
        config = self.config("run")
        self.assertEqual([config[name] for name in NEW],
                         ["0.9", "0.999", "1e-07", '"*=1"', "0", "rwkv-lm"])

    def test_parameters_of_rate_zero_stay(self):
        self.train("--steps", "1", "--rates", "*=0,head.*=1", "--out", "one")
        self.train("--steps", "5", "--rates", "*=0,head.*=1", "--out", "five")
        one, five = self.arrays("one"), self.arrays("five")
        moved = {name for name in one if name.startswith("model/") and
                 not numpy.array_equal(one[name], five[name])}
        self.assertEqual(moved, {"model/head.weight", "model/head.bias"})

    def test_what_is_wrong_is_refused_with_its_value(self):
        for options, says in (
                (["--recipe", "gpt"], ["--recipe gpt", "not one of rwkv-lm"]),
                (["--rates", "x"], ["--rates 'x'", "PATTERN=FACTOR"]),
                (["--rates", "*=1,=2"], ["--rates '=2'", "PATTERN=FACTOR"]),
                (["--rates", "head.*=b"], ["--rates b", "not a number", "head.*"]),
                (["--rates", "*=-1"], ["--rates -1", "not a number in 0 .. 1000"]),
                (["--rates", "*=1,nothing=2"], ["--rates nothing", "none of ", "name"]),
                (["--rates", 300 * "a"], ["--rates aaaa", "longer than 255 bytes"]),
                (["--l2wrap", "-1"], ["--l2wrap -1", "0 .. 1000"]),
                (["--beta1", "1"], ["--beta1 1", "0 .. 0.999999"]),
                (["--beta2", "nan"], ["--beta2 nan"]),
                (["--adam-eps", "0"], ["--adam-eps 0"]),
                (["--initial-values", "zero"], ["--initial-values zero", "espnet|rwkv-lm"]),
                (["--schedule", "rwkv"], ["--schedule rwkv", "rwkv-lm"])):
            with self.subTest(options):
                self.refuse("train", "copy", *SMALL, "--steps", "1", *options, status=2, says=says)
        self.refuse("train", "adding", "--l2wrap", "1e-4", status=2,
                    says=["--l2wrap 1e-4", "adding does not read it"])
        self.refuse("train", "--resume", "run", "--recipe", "rwkv-lm", status=2,
                    says=["--recipe", "--resume"])
        self.train("--steps", "1", "--out", "run")
        self.refuse("train", "--resume", "run", "--initial-values", "rwkv-lm", status=2,
                    says=["--initial-values rwkv-lm", "espnet"])
        self.assertEqual(os.listdir(self.folder.name), ["run"])

    def test_the_page_about_it_knows_the_options(self):
        page = read(os.path.dirname(__file__), "..", "..", "..", "docs", "rwkv-lm.md")
        told = self.run_command("train", "--help").stdout.decode()
        table = [line.split("|") for line in page.splitlines() if line.startswith("| `--")]
        for name in {name for row in table for name in re.findall(r"--[a-z0-9-]+", row[-3])}:
            self.assertRegex(told, rf"{name}[=\[ \n]")
        recipe = dict(re.findall(r"--([a-z0-9-]+) \"?([^`\" ]+)",
                                 "".join(row[1] for row in table[:8])))
        self.train("--steps", "1", "--recipe", "rwkv-lm", "--out", "run")
        config = self.config("run")
        for name in RECIPE:
            value = config[name].strip('"')
            self.assertTrue(recipe[name] == value or float(recipe[name]) == float(value), name)

    def test_help_has_rwkv_lms_names(self):
        told = " ".join(self.run_command("train", "ids", "--help").stdout.decode().split())
        for name in ("RWKV-LM: lr_init)", "RWKV-LM: n_embd)", "RWKV-LM: layerwise_lr)",
                     "(default 0; RWKV-LM: dim_att)", "(RWKV-LM: load_model)",
                     "; RWKV-LM: ctx_len)"):
            self.assertIn(name, told)
        self.assertNotIn("()", told)


if __name__ == "__main__":
    unittest.main()
