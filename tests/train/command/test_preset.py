"""Presets, and the options that they set: what is told, kept, overridden, resumed and refused."""

import os
import re
import unittest

import h5py
import numpy

import test_command
from test_command import SMALL, read

RWKV_LM = {"initial-values": "rwkv-lm", "time-first": "rwkv", "dropout": "0", "lr": "0.0006",
          "lr-final": "0.016666666666666666", "schedule": "rwkv-lm", "warmup": "0",
          "beta1": "0.9", "beta2": "0.99", "adam-eps": "1e-08", "clip": "1", "weight-decay": "0",
          "rates": '"*.time_decay=2,*.time_first=3"', "l2wrap": "0.0001", "label-smoothing": "0"}
NEW = ["beta1", "beta2", "adam-eps", "rates", "l2wrap", "initial-values"]


class RwkvLmTest(test_command.CommandTest):
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

    def test_a_preset_of_an_espnet_model(self):
        self.write("train.yaml", test_command.ESPNET_CONFIG)
        self.write("text", "".join(f"u{i} ab\n" for i in range(8)))
        self.write("tokens", "<blank>\n<unk>\na\nb\n<sos/eos>\n")
        self.run_command("train", "--espnet-config", "train.yaml", "--preset", "rwkv-lm", "--data",
                         "text", "--valid-data", "text", "--token-list", "tokens", "--steps", "1",
                         "--batch", "4", "--out", "run")
        config = self.config("run")
        self.assertEqual((config["initial-values"], config["time-first"], config["beta2"]),
                         ("rwkv-lm", "rwkv", "0.99"))
        self.assertEqual((config["size"], config["norm"], config["att-dropout"]),
                         ("24", "rms_norm", "0.2"))

    def test_a_preset_sets_options_that_others_override(self):
        self.train("--steps", "1", "--preset", "rwkv-lm", "--out", "run")
        config = self.config("run")
        self.assertEqual({name: config[name] for name in RWKV_LM}, RWKV_LM)
        self.train("--steps", "1", "--beta2", "0.95", "--preset", "rwkv-lm", "--l2wrap", "0",
                   "--rates", "*=1", "--out", "other")
        own = {**RWKV_LM, "beta2": "0.95", "l2wrap": "0", "rates": '"*=1"'}
        config = self.config("other")
        self.assertEqual({name: config[name] for name in RWKV_LM}, own)

    def test_a_task_does_without_what_it_does_not_read(self):
        self.run_command("train", "adding", "--size", "16", "--blocks", "1", "--batch", "4",
                         "--steps", "1", "--preset", "rwkv-lm", "--out", "run")
        self.assertEqual(self.config("run")["l2wrap"], "0")
        self.assertEqual(self.config("run")["beta2"], "0.99")

    def test_defaults_are_those_before_there_were_presets(self):
        self.train("--steps", "1", "--out", "run")
        config = self.config("run")
        self.assertEqual([config[name] for name in NEW],
                         ["0.9", "0.999", "1e-08", '""', "0", "espnet"])

    def test_a_run_that_goes_on_has_the_same_bits(self):
        """With all of its peak left at the end, the schedule is the same for any --steps."""
        options = ["--preset", "rwkv-lm", "--warmup", "4", "--lr-final", "1"]
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
        self.train("--steps", "2", "--preset", "rwkv-lm", "--out", "run")
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
                (["--preset", "gpt"], ["--preset gpt", "no such preset; --list-presets"]),
                (["--preset", "finetun"], ["--preset finetun", "did you mean 'finetune'?"]),
                (["--rates", "x"], ["--rates 'x'", "PATTERN=FACTOR"]),
                (["--rates", "*=1,"], ["--rates ''", "PATTERN=FACTOR"]),
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
        self.refuse("train", "--resume", "run", "--preset", "rwkv-lm", status=2,
                    says=["--preset", "--resume"])
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
        preset = dict(re.findall(r"--([a-z0-9-]+) \"?([^`\" ]+)",
                                 "".join(row[1] for row in table[:8])))
        self.train("--steps", "1", "--preset", "rwkv-lm", "--out", "run")
        config = self.config("run")
        for name in RWKV_LM:
            value = config[name].strip('"')
            self.assertTrue(preset[name] == value or float(preset[name]) == float(value), name)

    def test_help_has_rwkv_lms_names(self):
        told = " ".join(self.run_command("train", "ids", "--help").stdout.decode().split())
        for name in ("RWKV-LM: lr_init)", "RWKV-LM: n_embd)", "RWKV-LM: layerwise_lr)",
                     "(default 0; RWKV-LM: dim_att)", "(RWKV-LM: load_model)",
                     "; RWKV-LM: ctx_len)"):
            self.assertIn(name, told)
        self.assertNotIn("()", told)



FILES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "train", "presets")


class PresetTest(test_command.CommandTest):
    def options(self, *arguments):
        """What --print-config prints."""
        return self.run_command("train", *arguments, "--print-config").stdout.decode()

    def presets(self):
        said = self.run_command("train", "--list-presets").stdout.decode()
        return dict(line.split(maxsplit=1) for line in said.splitlines())

    def test_each_is_listed_with_what_its_file_says_it_is_for(self):
        self.assertEqual({name + ".yaml" for name in self.presets()}, set(os.listdir(FILES)))
        page = read(FILES, "..", "..", "docs", "tasks.md")
        for name, purpose in self.presets().items():
            self.assertEqual(read(FILES, name + ".yaml").splitlines()[0], "# " + purpose)
            self.assertRegex(page, rf"(?m)^\|.*`{name}`.*\|$")

    def test_each_sets_what_its_file_says(self):
        numpy.zeros(99, "u2").tofile(self.path("ids.bin"))
        self.run_command("train", "ids", "--data", "ids.bin", "--size", "16", "--blocks", "1",
                         "--length", "8", "--steps", "1", "--out", "model")
        for name in self.presets():
            text = read(FILES, name + ".yaml")
            task = re.search(r"^task: (.*)$", text, re.MULTILINE)
            named = [] if task else ["ids"]
            named += ["--init", self.path("model")] if name == "finetune" else []
            options = self.options(*named, "--preset", name)
            self.assertEqual(options, self.options(*named, "--config",
                                                   os.path.join(FILES, name + ".yaml")))
            self.assertTrue(options.startswith(f"task: {task[1] if task else 'ids'}\n"), options)

    def test_a_task_that_is_named_comes_before_and_reads_what_it_knows(self):
        for task in "adding", "copy", "text", "tokens":
            options = self.options(task, "--preset", "rwkv-4-169m")
            self.assertTrue(options.startswith(f"task: {task}\nblocks: 12\nsize: 768\n"))
            self.assertIn("\nvocab-size: 0\n", options)
        self.refuse("train", "--preset", "rwkv-lm", status=2, says=["name a task"])

    def test_a_preset_may_be_copied_and_changed(self):
        text = read(FILES, "rwkv-4-169m.yaml").replace("size: 768", "size: 96")
        self.write("own.yaml", text)
        self.assertEqual(self.options("--config", "own.yaml"),
                         self.options("--preset", "rwkv-4-169m", "--size", "96"))

    def test_a_model_is_finetuned(self):
        self.write("text.txt", "the quick brown fox " * 40)
        self.run_command("train", "text", "--data", "text.txt", "--size", "16", "--blocks", "1",
                         "--length", "16", "--steps", "2", "--out", "first")
        self.run_command("train", "text", "--preset", "finetune", "--init", "first", "--data",
                         "text.txt", "--length", "16", "--steps", "3", "--out", "tuned")
        self.refuse("train", "text", "--preset", "finetune", "--data", "text.txt", status=2,
                    says=["--preset finetune", "--init"])
        config = read(self.path("tuned", "config.yaml"))
        for line in "size: 16", "lr: 0.0001", "patience: 5", "schedule: cosine":
            self.assertIn(f"\n{line}\n", config)


if __name__ == "__main__":
    unittest.main()
