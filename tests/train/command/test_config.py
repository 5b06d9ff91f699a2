"""Files of options, what --print-config prints, and the names that were meant."""

import os
import unittest

from test_command import COPY, CommandTest, read

SHAPE = ["--size", "16", "--blocks", "1", "--threads", "1", "--eval-batches", "1", *COPY]
TEXT = "the quick brown fox jumps over the lazy dog\n" * 20


class ConfigTest(CommandTest):
    def options(self, *arguments):
        """What --print-config prints."""
        said = self.run_command("train", *arguments, "--print-config").stdout.decode()
        self.assertFalse(os.path.exists(self.path("runs")))
        return dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)

    def test_a_runs_file_makes_the_same_run(self):
        self.write("text.txt", TEXT)
        for name, options in (("copy", ["copy", *SHAPE, "--lr", "0.01", "--dropout", "0.2",
                                        "--embed-dropout", "0.1", "--no-bias", "--norm",
                                        "rms_norm", "--steps", "5"]),
                              ("text", ["text", "--data", "text.txt", "--length", "8", "--size",
                                        "16", "--blocks", "1", "--steps", "5", "--threads", "1"])):
            self.run_command("train", *options, "--out", name)
            self.run_command("train", "--config", name + "/config.yaml", "--out", name + "2")
            self.run_command("diff", "--last", name, name + "2")
            files = [read(self.path(run, "config.yaml")) for run in (name, name + "2")]
            self.assertEqual(files[0].replace(f'out: "{name}"', ""),
                             files[1].replace(f'out: "{name}2"', ""))

    def test_so_does_that_of_a_run_of_a_style(self):
        for style in "hf", "rwkv-lm", "espnet":
            self.run_command("train", "copy", *SHAPE, "--style", style, "--steps", "1", "--out",
                             style)
            self.run_command("train", "--config", style + "/config.yaml", "--out", style + "2")
            self.run_command("diff", "--last", style, style + "2")

    def test_the_command_line_comes_before_the_file(self):
        self.write("my.yaml", "task: copy\nsize: 24\nlr: 0.5\nno-bias: true\n")
        options = self.options("--config", "my.yaml", "--lr", "0.25")
        self.assertEqual((options["task"], options["size"], options["lr"], options["no-bias"]),
                         ("copy", "24", "0.25", "true"))
        self.assertEqual(self.options("reverse", "--config", "my.yaml")["task"], "reverse")

    def test_lists_of_the_file_and_of_the_command_line(self):
        for name in "abc":
            self.write(name, TEXT)
        self.write("my.yaml", "task: text\nlength: 8\ndata:\n- a\n- b\n")
        text = self.run_command("train", "--config", "my.yaml", "--print-config").stdout.decode()
        self.assertIn(f'data:\n- "{self.path("a")}"\n- "{self.path("b")}"\n', text)
        self.assertEqual(self.options("--config", "my.yaml", "--data", "c")["data"],
                         f'"{self.path("c")}"')

    def test_printed_options_are_a_file_of_options(self):
        said = self.run_command("train", "copy", *SHAPE, "--preset", "rwkv-lm", "--print-config")
        self.write("my.yaml", said.stdout.decode())
        self.assertEqual(self.run_command("train", "--config", "my.yaml", "--print-config").stdout,
                         said.stdout)

    def test_a_file_may_have_a_style_a_preset_and_where_processes_meet(self):
        self.write("my.yaml", "task: copy\nstyle: rwkv-lm\npreset: rwkv-lm\nlr: 0.001\n"
                              "address: localhost:1\nrank: 0\nworld-size: 1\nwait: 1\n")
        options = self.options("--config", "my.yaml")
        self.assertEqual((options["no-bias"], options["schedule"], options["beta2"]),
                         ("true", "rwkv-lm", "0.99"))
        self.assertEqual(options["lr"], "0.001") # a default is said all the same
        options = self.options("--config", "my.yaml", "--preset", "espnet-decoder", "--clip", "2")
        self.assertEqual((options["schedule"], options["warmup"], options["lr"], options["clip"]),
                         ("cosine", "1000", "0.001", "2"))
        self.write("my.yaml", "preset: rwkv-4-169m\nsize: 96\n")
        options = self.options("--config", "my.yaml")
        self.assertEqual((options["task"], options["size"], options["blocks"]),
                         ("ids", "96", "12"))
        self.write("my.yaml", "style: gpt\n")
        self.refuse("train", "copy", "--config", "my.yaml", status=1, says=["'gpt'"])

    def test_what_a_file_names_is_found_from_anywhere(self):
        self.write("text.txt", TEXT)
        small = ["--length", "8", "--size", "16", "--blocks", "1", "--steps", "1"]
        self.run_command("train", "text", "--data", "text.txt", *small, "--out", "first")
        self.run_command("train", "text", "--data", "text.txt", "--init", "first", "--length", "8",
                         "--steps", "1", "--out", "second")
        os.mkdir(self.path("elsewhere"))
        self.run_command("train", "--config", "../second/config.yaml", "--out", "third",
                         cwd=self.path("elsewhere"))
        self.run_command("diff", "--last", "second", "elsewhere/third")

    def test_data_that_changed_since_are_told(self):
        self.write("text.txt", TEXT)
        self.run_command("train", "text", "--data", "text.txt", "--length", "8", "--size", "16",
                         "--blocks", "1", "--steps", "1", "--out", "run")
        self.write("text.txt", TEXT.replace("quick", "slow"))
        again = ["train", "--config", "run/config.yaml", "--out", "again"]
        self.refuse(*again, status=2, says=["text.txt: it changed", "--data"])
        self.assertFalse(os.path.exists(self.path("again")))
        self.run_command(*again, "--data", "text.txt")

    def test_the_options_of_a_run_that_goes_on_are_printed(self):
        self.run_command("train", "copy", *SHAPE, "--steps", "2", "--out", "run")
        before = read(self.path("run", "train.log"))
        options = self.options("--resume", "run", "--lr", "0.25", "--steps", "3")
        self.assertEqual((options["task"], options["size"], options["lr"], options["steps"]),
                         ("copy", "16", "0.25", "3"))
        self.assertEqual(read(self.path("run", "train.log")), before)

    def test_what_is_wrong_in_a_file(self):
        for text, status, says in (
                ("task: copy\nsise: 3\n", 1, ["line 2", "'sise' (did you mean 'size'?)"]),
                ("task: copy\nsize: 0.5\n", 1, ["line 2", "size 0.5"]),
                ("task: copy\npreset: copi\n", 1,
                 ["my.yaml: config: line 2: --preset copi: no such preset"]),
                ("task: copy\nstyle: hg\n", 1, ["my.yaml: config: line 2: ", "'hg' is none of"]),
                ("rank: -1\nworld-size: 2\n", 1, ["my.yaml: config: line 1: --rank -1: "]),
                ("world-size: 0\n", 1, ["my.yaml: config: line 1: --world-size 0: "]),
                ("address: localhost:1\nwait: long\n", 1,
                 ["my.yaml: config: line 2: --wait long: "]),
                ("task: copy\ndata: x\n", 2, ["--data", "copy"]),
                ("size: 3\n", 2, ["my.yaml", "no task"]),
                ("task: cpy\n", 2, ["my.yaml", "'cpy'"]),
                ("task: copy\n\0size: 3\n", 1, ["my.yaml", "byte 11 is zero"]),
                ("task: [\n", 1, ["my.yaml"])):
            self.write("my.yaml", text)
            self.refuse("train", "--config", "my.yaml", "--out", "run", status=status, says=says)
            self.assertFalse(os.path.exists(self.path("run")))
        self.refuse("train", "copy", "--config", "none.yaml", status=1, says="none.yaml")
        self.write("my.yaml", "task: copy\n")
        self.refuse("train", "--config", "my.yaml", "--resume", "run", status=2,
                    says=["--config is for a new run"])

    def test_a_verb_that_was_meant(self):
        for verb, meant in (("trian", "train"), ("evla", "eval"), ("exprot", "export")):
            self.refuse(verb, status=2, says=[f"'{verb}' (did you mean '{meant}'?)"])
        for option, meant in ("--szie", "--size"), ("--seed-every=3", "--save-every"):
            self.refuse("train", "copy", option, "3", status=2,
                        says=[f"unrecognized option '{option.split('=')[0]}' (did you mean "
                              f"'{meant[2:]}'?)"])
        for option, meant in ("--n_layer", "blocks"), ("--micro_bsz=8", "batch"), ("--lr_init",
                                                                                   "lr"):
            self.refuse("train", "copy", option, "3", status=2, says=[f"(did you mean '{meant}'?)"])
        self.refuse("eval", "run", "--n_layer=3", status=2, says=["unrecognized option"])
        error = self.run_command("sing", status=2).stderr.decode()
        self.assertNotIn("mean", error)


if __name__ == "__main__":
    unittest.main()
