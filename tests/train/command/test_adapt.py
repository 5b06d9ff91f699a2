"""What is trained beside a model that stays as it is: by the command, and all that it does with
such a run."""

import glob
import json
import os
import random
import shutil
import signal
import subprocess
import time
import unittest

import h5py
import numpy

from test_command import CommandTest, read

WORDS = "the cat sat on a mat and ran far away with dog house tree blue red".split()
SHIFTS = 8
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
SIZES = ["--size", "24", "--blocks", "2", "--threads", "1"]
BATCHES = ["--length", "16", "--batch", "8", "--eval-batches", "8", "--threads", "1"]


def sentence(number, shift):
    """Words, with each letter the one so many places further in the alphabet."""
    words = " ".join(random.Random(number).choices(WORDS, k=8))
    moved = ALPHABET[shift:] + ALPHABET[:shift]
    return words.translate(str.maketrans(ALPHABET, moved))


def datasets(group):
    found = {}
    group.visititems(lambda name, item: found.update({name: item})
                     if isinstance(item, h5py.Dataset) else None)
    return found


def contents(path):
    with h5py.File(path) as file:
        return {name: array[()] for name, array in datasets(file).items()}


class AdaptTest(CommandTest):
    def setUp(self):
        super().setUp()
        # Each line begins anew; only what came before in it tells the shift.
        self.write("all.txt", "".join(sentence(i, i % SHIFTS) + "\n" for i in range(400)))
        self.write("one.txt", "".join(sentence(i, 3) + "\n" for i in range(400, 500)))
        self.train("all.txt", *SIZES, "--steps", "60", "--out", "model")

    def train(self, data, *options, **others):
        return self.run_command("train", "text", "--data", data, *BATCHES, *options, **others)

    def tune(self, kind, *options, out="run", status=0, steps=20):
        return self.train("one.txt", "--init", "model", "--tune", kind, "--lr", "0.05",
                          "--schedule", "constant", "--warmup", "0", "--steps", str(steps), "--out",
                          out, *options, status=status)

    def loss(self, *arguments):
        return json.loads(self.run_command("eval", *arguments, "--json").stdout)["loss"]

    def failure(self, *arguments, status=2):
        """What the command says, in one line."""
        error = self.run_command(*arguments, status=status).stderr.decode()
        self.assertEqual(error.count("\n"), 1, error)
        return error

    def refused(self, kind, *options):
        error = self.tune(kind, *options, out="refused", status=2).stderr.decode()
        self.assertFalse(os.path.exists(self.path("refused")))
        return error.splitlines()[-1]


class RunTest(AdaptTest):
    def test_a_state_is_tuned(self):
        said = self.tune("state", "--histograms").stderr.decode()
        events, = glob.glob(self.path("run", "tensorboard", "train", "*"))
        self.assertIn(b"rwkv_blocks.0.att.start_num", read(events, mode="rb"))
        self.assertIn("the model stays as it is; trained are 192 values of the state", said)
        self.assertLess(self.loss("run"), self.loss("model") - 0.01)
        self.assertLess(os.path.getsize(self.path("run", "best.h5")),
                        os.path.getsize(self.path("model", "best.h5")) / 4)
        information = self.run_command("info", "run").stdout.decode()
        self.assertIn("run/best.h5: adapter\nthe state that sequences begin with: 192 values, "
                      f"beside the model {os.path.realpath(self.path('model', 'best.h5'))}\n",
                      information)
        self.assertIn("task text, unit char", information)

    def test_a_tuned_state_is_told_and_read(self):
        self.tune("state", steps=2)
        told = self.run_command("info", "run", "--all").stdout.decode()
        states = told.split("\nthe state:\n")[1].splitlines()
        self.assertEqual(len(states), 8)
        self.assertRegex(states[0], r"^  rwkv_blocks\.0\.att\.start_x +\(24\) +rms 0\.0")
        found = json.loads(self.run_command("info", "run", "--all", "--json").stdout)["parameters"]
        values = contents(self.path("run", "best.h5"))
        for name in "rwkv_blocks.0.att.start_num", "rwkv_blocks.1.ffn.start_x":
            rms = numpy.sqrt(numpy.mean(numpy.square(values["adapter/" + name], dtype=float)))
            self.assertAlmostEqual(found[name]["rms"], rms, delta=1e-9)
        self.assertIn("head.weight", found)
        with h5py.File(self.path("run", "best.h5"), "r+") as file:
            file["adapter/rwkv_blocks.1.ffn.start_x"][3] = numpy.nan
        self.assertIn("start_x", self.failure("info", "run", "--all", status=1))

    def test_a_state_is_where_generating_begins(self):
        self.tune("state")
        free = ["--length", "40", "--seed", "3"]
        answers = [self.run_command("generate", *arguments, *free).stdout for arguments in
                   (["run"], ["model", "--adapter", "run"], ["model"])]
        self.assertEqual(answers[0], answers[1])
        self.assertNotEqual(answers[0], answers[2])
        self.run_command("export", "run", "--state", "-o", "state.h5")
        found = [self.run_command("generate", *arguments, *free, "--prompt", "d").stdout
                 for arguments in (["run"], ["model", "--state", "state.h5"], ["model"])]
        self.assertEqual(found[0], found[1])
        self.assertNotEqual(found[0], found[2])
        self.write("lines", "d\n")
        answer = json.loads(self.run_command("generate", "run", "--prompts", "lines", *free).stdout)
        self.assertEqual("d" + answer["answer"] + "\n", found[0].decode())

    def test_lora_is_trained_and_merged(self):
        said = self.tune("lora", "--lora-rank", "4", "--lora-on", "key,output", "--rates",
                         "*.lora_B=2").stderr.decode()
        self.assertIn("LoRA of rank 4, alpha 16, on key,output", said)
        self.assertLess(self.loss("run"), self.loss("model") - 0.05)
        expected = self.loss("run", "--data", "one.txt")
        self.run_command("export", "run", "--layout", "mixtape", "-o", "merged.h5")
        self.run_command("import", "merged.h5", "-o", "imported.h5")
        for model in ["merged.h5"], ["imported.h5"], ["model", "--adapter", "run"]:
            self.assertAlmostEqual(self.loss(*model, "--data", "one.txt"), expected, delta=1e-6)
        coarse = self.loss("run", "--data", "one.txt", "--weights", "int8")
        self.assertAlmostEqual(coarse, expected, delta=0.02)
        self.assertIn("LoRA of rank 4, alpha 16, on key,output: 768 values",
                      self.run_command("info", "run").stdout.decode())
        self.assertEqual(json.loads(self.run_command("info", "run", "--json").stdout)["adapter"],
                         {"kind": "lora", "values": 768, "rank": 4, "alpha": 16.0,
                          "on": "key,output",
                          "model": os.path.realpath(self.path("model", "best.h5"))})

    def test_merged_is_the_sum_of_its_parts(self):
        self.tune("lora", "--lora-rank", "3", "--lora-alpha", "5", "--dtype", "f64")
        self.run_command("export", "run", "--last", "--layout", "mixtape", "-o", "merged.h5")
        self.run_command("export", "model", "--layout", "mixtape", "-o", "model.h5")
        merged, model = contents(self.path("merged.h5")), contents(self.path("model.h5"))
        adapter = contents(self.path("run", "checkpoint.h5"))
        changed = 0
        for name, values in model.items():
            stem = "adapter/" + name.removesuffix("weight")
            if stem + "lora_A" in adapter:
                product = adapter[stem + "lora_B"] @ adapter[stem + "lora_A"]
                values = values + 5 / 3 * product
                changed += 1
            numpy.testing.assert_allclose(merged[name], values, rtol=1e-12, err_msg=name)
        self.assertEqual(changed, 8)

    def test_outputs_are_the_same_wherever_it_is_named(self):
        labels = numpy.array([[1, 2, 3, 4, 5, 6, 7, 8]], dtype="int32")
        with h5py.File(self.path("in.h5"), "w") as file:
            file["labels"] = labels
        self.tune("state")
        found = []
        for i, model in enumerate((["run"], ["model", "--adapter", "run"], ["model"])):
            self.run_command("forward", *model, "--input", "in.h5", "--output", f"{i}.h5")
            found.append(contents(self.path(f"{i}.h5"))["logits"])
        numpy.testing.assert_array_equal(found[0], found[1])
        self.assertGreater(numpy.abs(found[0] - found[2]).max(), 1e-3)

    def test_a_run_resumed_is_the_same_bits(self):
        for kind in "state", "lora":
            with self.subTest(kind=kind):
                self.tune(kind, "--recompute", out=kind)
                self.tune(kind, "--recompute", out=f"{kind}-2", steps=9)
                self.run_command("train", "--resume", f"{kind}-2", "--steps", "20")
                whole, parts = (contents(self.path(out, "checkpoint.h5"))
                                for out in (kind, f"{kind}-2"))
                self.assertEqual(whole.keys(), parts.keys())
                for name, values in whole.items():
                    numpy.testing.assert_array_equal(parts[name], values, err_msg=name)
                self.assertEqual({name.split("/")[0] for name in whole}, {"adapter", "optimizer"})

    def test_a_run_that_carries_is_resumed_to_the_same_bits(self):
        carrying = ["lora", "--carry", "--carry-gradient", "2"]
        self.tune(*carrying, out="whole", steps=8)
        self.tune(*carrying, out="parts", steps=3)
        self.run_command("train", "--resume", "parts", "--steps", "8")
        whole, parts = (contents(self.path(out, "checkpoint.h5")) for out in ("whole", "parts"))
        self.assertEqual(whole.keys(), parts.keys())
        self.assertIn("carried/rows", whole)
        for name, values in whole.items():
            numpy.testing.assert_array_equal(parts[name], values, err_msg=name)
        self.assertEqual(self.loss("whole", "--last"), self.loss("parts", "--last"))
        self.assertIn("carries 8 rows",
                      self.run_command("info", "whole/checkpoint.h5").stdout.decode())

    def test_the_norm_is_that_of_the_run(self):
        """Which the model's file tells otherwise, or not at all."""
        self.run_command("export", "model", "--layout", "espnet-model", "-o", "told.h5")
        with h5py.File(self.path("told.h5")) as told, \
                h5py.File(self.path("untold.h5"), "w") as untold:
            for name, array in datasets(told).items():
                untold[name] = array[()]
        for model in "model", "untold.h5":
            with self.subTest(model=model):
                run = "run-" + model
                self.train("all.txt", "--init", model, "--tune", "lora", "--steps", "1", "--lr",
                           "1e-9", "--norm-eps", "0.5", "--context-size", "99", "--rescale-every",
                           "6", "--out", run)
                told = json.loads(self.run_command("info", run, "--json").stdout)
                self.assertEqual([told["model"][name] for name in
                                  ("eps", "context_size", "rescale_every")], [0.5, 99, 6])
                best = numpy.genfromtxt(self.path(run, "metrics.csv"), delimiter=",",
                                        names=True)["val_loss"]
                self.assertAlmostEqual(self.loss(run), best, delta=1e-6)
                self.run_command("export", run, "--layout", "mixtape", "-o", "merged.h5")
                self.assertAlmostEqual(self.loss("merged.h5", "--data", "one.txt"),
                                       self.loss(run, "--data", "one.txt"), delta=1e-6)
                with h5py.File(self.path("merged.h5")) as file:
                    self.assertEqual([file.attrs[name] for name in
                                      ("eps", "context_size", "rescale_every")], [0.5, 99, 6])

    def test_a_run_that_saved_nothing_may_be_told_again_where_the_model_is(self):
        """config.yaml has been written then, and no checkpoint."""
        self.tune("lora", steps=5)
        self.run_command("export", "model", "--layout", "mixtape", "-o", "moved.h5")
        shutil.copytree(self.path("run"), self.path("before"))
        self.run_command("train", "--resume", "run", "--steps", "6", "--init", "moved.h5")
        for init in ["--init", "moved.h5"], []:
            with self.subTest(init=init):
                shutil.copy(self.path("before", "checkpoint.h5"),
                            self.path("run", "checkpoint.h5"))
                said = self.run_command("train", "--resume", "run", "--steps", "6", *init)
                self.assertIn("config.yaml has init moved.h5, the checkpoint "
                              f"{self.path('model')} (taken: the checkpoint's, or what --init "
                              "says)", said.stderr.decode())

    def test_the_last_is_of_the_adapter(self):
        self.run_command("train", "--resume", "model", "--steps", "64", "--lr", "1")  # worse
        self.assertNotEqual(self.loss("model", "--data", "one.txt"),
                            self.loss("model", "--data", "one.txt", "--last"))
        self.tune("lora", steps=3)
        self.run_command("train", "--resume", "run", "--steps", "6", "--lr", "9")
        expected = [self.loss("run", "--data", "one.txt", *last) for last in ([], ["--last"])]
        self.assertNotEqual(*expected)
        self.assertEqual([self.loss("model", "--adapter", "run", "--data", "one.txt", *last)
                          for last in ([], ["--last"])], expected)

    def test_the_best_stays_beside_the_model_where_it_was(self):
        self.tune("lora", steps=5)
        expected = self.loss("run")
        shutil.move(self.path("model"), self.path("moved"))
        self.run_command("train", "--resume", "run", "--steps", "6", "--lr", "9", "--init", "moved")
        self.loss("run", "--last")
        self.assertIn("the model that it adapts", self.failure("eval", "run", status=1))
        self.assertEqual(self.loss("moved", "--adapter", "run"), expected)

    def test_the_model_may_move_into_a_file_without_symbols(self):
        self.train("all.txt", *SIZES, "--no-bias", "--steps", "20", "--out", "bare")
        self.tune("lora", "--init", "bare", steps=4)
        self.tune("lora", "--init", "bare", steps=8, out="whole")
        self.run_command("export", "bare", "--layout", "hf", "-o", "hf")
        self.assertEqual(set(os.listdir(self.path("hf"))), {"config.json", "model.safetensors"})
        expected = self.loss("run", "--data", "one.txt")
        self.assertEqual(self.loss("hf", "--adapter", "run", "--data", "one.txt"), expected)
        self.run_command("train", "--resume", "run", "--steps", "8", "--init", "hf")
        self.assertEqual(self.loss("run", "--last"), self.loss("whole", "--last"))

    def test_the_tokenizer_is_kept(self):
        """That of a World list, which the model's file has, too."""
        self.write("list", "".join(f"{i + 1} {chr(97 + i)!r} 1\n" for i in range(26)) +
                   "27 ' ' 1\n28 '\\n' 1\n")
        self.train("all.txt", *SIZES, "--tokenizer", "list", "--steps", "1", "--out", "encoded")
        self.train("one.txt", "--init", "encoded", "--tune", "state", "--steps", "1", "--out",
                   "run")
        self.assertIn("tokenizer/file", contents(self.path("run", "best.h5")))
        self.run_command("info", "run", "--tokenizer", "kept")
        self.assertEqual(read(self.path("kept")), read(self.path("list")))

    def test_the_model_may_move(self):
        self.tune("lora", steps=5)
        shutil.move(self.path("model"), self.path("moved"))
        for arguments in ["eval", "run"], ["train", "--resume", "run", "--steps", "6"]:
            self.assertIn("the model that it adapts", self.failure(*arguments, status=1))
        self.loss("moved", "--adapter", "run")
        self.run_command("train", "--resume", "run", "--steps", "6", "--init", "moved")
        self.loss("run")

    def test_a_bad_step_is_replayed(self):
        """Of an adapter whose values are too large, but finite."""
        for kind, told in ("lora", "output of linear_lora"), ("state", "output of wkv_start"):
            with self.subTest(kind=kind):
                self.tune(kind, out=kind, steps=2)
                with h5py.File(self.path(kind, "checkpoint.h5"), "r+") as file:
                    for array in datasets(file["adapter"]).values():
                        array[...] = 3e38
                self.assertIn(told, self.run_command("train", "--resume", kind, "--steps", "3",
                                                     status=1).stderr.decode())
                self.assertIn(told, self.run_command("replay", kind).stdout.decode())

    def test_a_bad_step_is_where_the_model_goes_wrong(self):
        self.tune("state", steps=2)
        with h5py.File(self.path("run", "checkpoint.h5"), "r+") as file:
            file["adapter/rwkv_blocks.1.ffn.start_x"][...] = 3e38
        told = "layer rwkv_blocks.1.ffn.proj_"
        self.assertIn(told, self.run_command("train", "--resume", "run", "--steps", "3",
                                             status=1).stderr.decode())
        self.assertIn(told, self.run_command("replay", "run").stdout.decode())

    def test_a_preset_has_no_rates_of_a_model_that_stays(self):
        self.tune("lora", "--preset", "rwkv-lm", steps=2)
        self.assertNotRegex(read(self.path("run", "config.yaml")), "(?m)^rates: .*time_decay")
        self.assertLess(self.loss("run"), self.loss("model"))

    def test_a_model_that_is_moved_meanwhile(self):
        command = subprocess.Popen(
            [os.environ["MIXTAPE"], "train", "text", "--data", "one.txt", *BATCHES, "--init",
             "model", "--tune", "lora", "--steps", "1000000", "--save-every", "0", "--log-every",
             "1", "--out", "run"],
            cwd=self.folder.name, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        metrics = self.path("run", "metrics.csv")
        while not os.path.exists(metrics) or len(read(metrics).splitlines()) < 2:
            time.sleep(0.01)
        shutil.move(self.path("model"), self.path("moved"))
        command.send_signal(signal.SIGINT)
        error = command.communicate(timeout=60)[1].decode()
        self.assertRegex(error, r"the model that it adapts: .*: No such file or directory "
                                r"\(step \d+ is saved; --init or --adapter goes on\)")
        self.run_command("train", "--resume", "run", "--init", "moved", "--dry-run")

    def test_other_types(self):
        for dtype in "f64", "bf16":
            for kind in "state", "lora":
                with self.subTest(dtype=dtype, kind=kind):
                    out = f"{dtype}-{kind}"
                    self.tune(kind, "--dtype", dtype, out=out)
                    self.assertLess(self.loss(out), self.loss("model"))
                    self.run_command("generate", out, "--length", "5")
        self.run_command("export", "f64-state", "--state", "-o", "state.h5")
        self.run_command("generate", "model", "--state", "state.h5", "--prompt", "d")

    def test_a_cuda_device_trains_the_same(self):
        """The second update is recorded there, and replayed from then on."""
        for kind in "state", "lora":
            options = ["train", "text", "--data", "one.txt", "--init", "model", "--tune", kind,
                       "--lr", "0.05", "--schedule", "constant", "--warmup", "0", "--steps", "4",
                       "--length", "8", "--batch", "2", "--eval-batches", "1", "--threads", "1",
                       "--log-every", "1"]
            self.run_command(*options, "--out", kind)
            subprocess.run([os.environ["MIXTAPE_CUDA_ON_CPU"], *options, "--device", "cuda",
                            "--out", f"{kind}-cuda"], cwd=self.folder.name, capture_output=True,
                           check=True)
            expected, found = (numpy.genfromtxt(self.path(out, "metrics.csv"), delimiter=",",
                                                names=True)["loss"]
                               for out in (kind, f"{kind}-cuda"))
            self.assertEqual(len(found), 4)
            numpy.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_memory_is_that_of_what_is_trained(self):
        def told(*tune):
            out = self.train("one.txt", "--init", "model", *tune, "--dry-run").stdout.decode()
            return float(out.splitlines()[1].split()[0]), out.splitlines()[1]

        whole, _ = told()
        beside, line = told("--tune", "lora")
        self.assertIn(" parameters that stay; 3072, their gradients and two moments", line)
        self.assertLess(beside, whole / 2)


class RefusedTest(AdaptTest):
    def test_options(self):
        for options, told in (
                (["lora", "--lora-rank", "0"], "--lora-rank 0"),
                (["lora", "--lora-rank", "25"], "rank 25 exceeds the sizes of key, 24 by 24"),
                (["lora", "--lora-on", "key,keys"],
                 "--lora-on: 'keys' is no projection: they are key,value,receptance,output,"
                 "ffn_key,ffn_value,ffn_receptance"),
                (["lora", "--lora-alpha", "0"], "--lora-alpha 0"),
                (["lora", "--rates", "*.time_decay=2"], "--rates *.time_decay: "),
                (["state", "--lora-rank", "4"], "--lora-rank 4: it is of --tune lora"),
                (["state", "--carry"], "--carry: rows would not begin from the state"),
                (["both"], "--tune both")):
            with self.subTest(options=options):
                self.assertIn(told, self.refused(*options))

    def test_no_model(self):
        error = self.train("one.txt", *SIZES, "--tune", "state", "--out", "refused", status=2)
        self.assertIn(b"--tune state: there is no model to adapt (name it with --init)",
                      error.stderr)
        self.assertFalse(os.path.exists(self.path("refused")))

    def test_a_path_that_no_file_can_hold(self):
        shutil.move(self.path("model"), self.path("moved").encode() + b"\xff")
        os.symlink(b"moved\xff", self.path("model").encode())
        for kind in "state", "lora":
            self.assertIn("model/best.h5: its whole path is not UTF-8", self.refused(kind))

    def test_symbols_that_the_model_lacks(self):
        self.write("other.txt", read(self.path("one.txt")) + "ABC" * 20)
        error = self.train("other.txt", "--init", "model", "--tune", "lora", status=2)
        self.assertIn(b"which --tune would leave untrained", error.stderr)

    def test_another_model(self):
        self.tune("state", steps=2)
        self.train("all.txt", *SIZES, "--seed", "2", "--steps", "1", "--out", "other")
        self.train("all.txt", "--size", "16", "--blocks", "1", "--steps", "1", "--out", "smaller")
        for other in "other", "smaller":
            error = self.failure("eval", other, "--adapter", "run", "--data", "one.txt")
            self.assertIn("it adapts other weights than those of ", error)
        self.assertIn("it is no adapter", self.failure("generate", "model", "--adapter", "other"))
        self.assertIn("is no adapter (--init is for a new run",
                      self.failure("train", "--resume", "model", "--init", "other"))
        self.run_command("train", "--resume", "model", "--steps", "61")
        self.assertIn("or they have changed", self.failure("info", "run"))

    def test_where_a_state_has_no_place(self):
        self.tune("state", steps=2)
        self.tune("lora", out="lora", steps=2)
        for arguments in (["export", "run", "-o", "out.h5"],
                          ["export", "run", "--part", "rwkv_blocks.0.att", "-o", "out.h5"],
                          ["import", "run", "-o", "out.h5"],
                          ["average", "model", "run", "-o", "out.h5"],
                          ["average", "run", "model", "-o", "out.h5"], ["diff", "model", "run"],
                          ["train", "text", "--data", "one.txt", *BATCHES, "--init", "run",
                           "--out", "out"]):
            self.assertIn("a tuned state is part of it", self.failure(*arguments))
        self.assertIn("it is an adapter itself",
                      self.train("one.txt", "--init", "lora", "--tune", "state", "--out", "out",
                                 status=2).stderr.decode())
        for run in "lora", "model":
            self.assertIn("no state was tuned there",
                          self.failure("export", run, "--state", "-o", "out.h5"))
        self.run_command("export", "run", "--state", "--layout", "hf", "-o", "out.h5", status=2)
        self.assertFalse(os.path.exists(self.path("out.h5")))
        self.train("one.txt", "--init", "lora", "--steps", "1", "--out", "merged")

    def change(self, name, value):
        """Gives the adapter another attribute, as Mixtape writes them."""
        if isinstance(value, str):
            value = numpy.array(value.encode(), dtype=h5py.string_dtype("utf-8", len(value)))
        with h5py.File(self.path("run", "best.h5"), "r+") as file:
            file["adapter"].attrs[name] = value

    def test_damaged_files(self):
        self.tune("lora", steps=2)
        os.mkfifo(self.path("pipe"))
        whole = read(self.path("run", "best.h5"), mode="rb")
        for name, value, told in (("kind", "other", "'kind' is 'other'"), ("rank", 0, "rank is 0"),
                                  ("rank", 3, "shape"), ("rank", 10**6, "exceeds"),
                                  ("alpha", 0.0, "alpha is 0"), ("on", "nose", "no projection"),
                                  ("on", "key", "unknown"), ("model", "none.h5", "none.h5"),
                                  ("model", self.path("pipe"), "pipe"),
                                  ("dtype", "f64", "f64"),
                                  ("block_size", 25, "it adapts a model of other sizes"),
                                  ("eps", -1.0, "eps")):
            with self.subTest(name=name, value=value):
                self.write("run/best.h5", whole)
                self.change(name, value)
                self.assertIn(told, self.failure("eval", "run", status=1))
        for name, value, told in (("weights", 1, "other weights"),
                                  ("model", self.path("run", "best.h5"), "an adapter itself")):
            with self.subTest(name=name, value=value):
                self.write("run/best.h5", whole)
                self.change(name, value)
                self.assertIn(told, self.failure("eval", "run"))


if __name__ == "__main__":
    unittest.main()
