"""The command as users see it: every verb, every kind of wrong input, interruption and resuming."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..",
                                "bench"))

import memory

MIXTAPE = os.environ["MIXTAPE"]
SANITIZED = os.environ.get("MIXTAPE_SANITIZED", "") != ""
SHAPE = ["--size", "16", "--blocks", "1", "--batch", "16", "--threads", "2", "--eval-batches", "2"]
COPY = ["--length", "3", "--symbols", "4"]
SMALL = [*SHAPE, *COPY]


def read(*path, mode="r"):
    with open(os.path.join(*path), mode) as file:
        return file.read()


class CommandTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, *names):
        return os.path.join(self.folder.name, *names)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def run_command(self, *arguments, status=0, cwd=None, environment=None, input=None):
        result = subprocess.run([MIXTAPE, *arguments], capture_output=True, input=input,
                                cwd=cwd or self.folder.name, timeout=300,
                                env={**os.environ, **(environment or {})})
        self.assertEqual(result.returncode, status, result.stderr.decode())
        return result

    def files(self, name):
        """The content of each file in a folder and those below it."""
        return {os.path.join(folder, file): read(folder, file, mode="rb")
                for folder, _, files in os.walk(self.path(name)) for file in files}

    def forget_model(self, *names):
        """Leaves in a .safetensors file what other programs write: no word of the model."""
        content = read(self.path(*names), mode="rb")
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8:8 + length])
        header["__metadata__"] = {"format": "pt"}
        text = json.dumps(header).encode()
        self.write(os.path.join(*names),
                   len(text).to_bytes(8, "little") + text + content[8 + length:])

    def refuse(self, *arguments, status, says):
        """The command fails with this status and one line that contains what it says; wrong usage
        says nothing else, but of a file of another program what was assumed."""
        result = self.run_command(*arguments, status=status)
        error = result.stderr.decode()
        complaint = [
            line for line in error.splitlines()
            if (status == 2 and ", and so assumed: " not in line) or line.startswith("mixtape")
        ]
        self.assertEqual(len(complaint), 1, error)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, complaint[0])

    def train(self, *arguments, **options):
        return self.run_command("train", "copy", *SMALL, *arguments, **options)


class TrainTest(CommandTest):
    def test_run_folder_holds_what_it_says(self):
        self.train("--steps", "20", "--eval-every", "10", "--out", "run")
        self.assertEqual(sorted(os.listdir(self.path("run"))),
                         ["best.h5", "checkpoint.h5", "config.yaml", "metrics.csv", "tensorboard",
                          "train.log"])
        rows = read(self.path("run", "metrics.csv")).splitlines()
        self.assertEqual(
            rows[0], "step,loss,accuracy,val_loss,val_accuracy,lr,grad_norm,tokens_per_s,seconds,"
            "spikes,skipped")
        self.assertEqual([row.split(",")[0] for row in rows[1:]], ["10", "20"])
        self.assertIn("\nbatch: 16\n", read(self.path("run", "config.yaml")))

    def test_runs_without_a_name_are_numbered(self):
        for _ in range(2):
            self.train("--steps", "1")
        self.assertEqual(sorted(os.listdir(self.path("runs"))), ["copy-1", "copy-2"])

    def test_a_run_is_not_written_over(self):
        self.train("--steps", "1", "--out", "run")
        log = read(self.path("run", "train.log"))
        self.refuse("train", "copy", *SMALL, "--out", "run", status=2,
                    says=["--out run", "checkpoint.h5", "--resume"])
        self.assertEqual(read(self.path("run", "train.log")), log)

    def test_runs_that_begin_at_once_have_folders_of_their_own(self):
        processes = [
            subprocess.Popen([MIXTAPE, "train", "copy", *SMALL, "--steps", "1"],
                             cwd=self.folder.name, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE) for _ in range(6)
        ]
        for process in processes:
            error = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 0, error.decode())
        self.assertEqual(sorted(os.listdir(self.path("runs"))), [f"copy-{n}" for n in range(1, 7)])

    def start_endless(self, name, *arguments, **options):
        """A run that is at work when this returns."""
        process = subprocess.Popen(
            [MIXTAPE, "train", *arguments, "--steps", "1000000", "--log-every", "1"],
            cwd=self.folder.name, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, **options)
        metrics = self.path(name, "metrics.csv")
        rows = read(metrics).count("\n") if os.path.exists(metrics) else 0
        while not os.path.exists(metrics) or read(metrics).count("\n") < rows + 3:
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        return process

    def test_one_process_at_a_time_trains_in_a_folder(self):
        self.train("--steps", "1", "--out", "run")
        process = self.start_endless("run", "--resume", "run")
        self.refuse("train", "--resume", "run", "--steps", "1000000", status=1,
                    says=["run", "another process"])
        self.refuse("train", "copy", *SMALL, "--out", "run", status=1,
                    says=["run", "another process"])
        self.assertNotIn("failed", read(self.path("run", "train.log")))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.run_command("info", "run")

    def test_a_run_is_locked_before_its_checkpoint_is_read(self):
        self.train("--steps", "1", "--out", "run")
        process = self.start_endless("run", "--resume", "run")
        with open(self.path("run", "checkpoint.h5"), "wb") as file: # which nobody may read yet
            file.write(b"being replaced")
        self.refuse("train", "--resume", "run", status=1, says=["run", "another process"])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.run_command("info", "run/checkpoint.h5")
        for run in ("", "none"):
            self.refuse("train", "--resume", run, status=1 if run else 2,
                        says="none/checkpoint.h5: No such file" if run else "--resume")
        self.assertFalse(os.path.exists(self.path("none")))

    def test_what_is_ignored_from_the_start_stays_so(self):
        process = self.start_endless(
            "run", "copy", *SMALL, "--out", "run",
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.send_signal(signal.SIGHUP)
        rows = read(self.path("run", "metrics.csv")).count("\n")
        while read(self.path("run", "metrics.csv")).count("\n") < rows + 20:
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.kill()
        process.communicate(timeout=60)

    def test_the_best_model_of_a_run_that_was_killed_is_not_written_over(self):
        self.train("--steps", "2", "--out", "run")
        os.remove(self.path("run", "checkpoint.h5"))
        self.refuse("train", "reverse", *SMALL, "--out", "run", status=2,
                    says=["--out run", "best.h5"])

    def test_a_run_goes_on_without_its_metrics(self):
        self.train("--steps", "2", "--out", "run")
        for damage in (lambda: os.remove(self.path("run", "metrics.csv")),
                       lambda: self.write("run/metrics.csv", "")):
            damage()
            self.run_command("train", "--resume", "run/checkpoint.h5", "--steps", "4")
            self.assertTrue(read(self.path("run", "metrics.csv")).startswith("step,loss"))

    def test_rows_of_metrics_stay_whatever_version_wrote_them(self):
        self.train("--steps", "4", "--log-every", "1", "--out", "run")
        header, *rows = read(self.path("run", "metrics.csv")).splitlines()
        for columns, rest in ((9, ",,"), (11, ""), (12, "")):
            def line(text):
                return ",".join([*text.split(","), "more"][:columns])

            self.write("run/metrics.csv", "\n".join(map(line, [header, *rows])) + "\n7,")
            self.run_command("train", "--resume", "run", "--steps", "4")
            self.assertEqual(read(self.path("run", "metrics.csv")).splitlines(), [
                line(header) if columns > 11 else header, *(line(row) + rest for row in rows)
            ])

    def test_every_toy_task_trains(self):
        for task in ["copy", "reverse", "recall", "echo", "adding"]:
            options = [
                *SHAPE, *{
                    "copy": COPY, "reverse": COPY, "recall": ["--symbols", "4"],
                    "echo": ["--symbols", "4", "--length", "8"], "adding": ["--length", "8"]
                }[task]
            ]
            result = self.run_command("train", task, *options, "--steps", "3", "--out", task)
            self.assertIn("prediction", result.stdout.decode())
            self.assertIn("loss ", self.run_command("eval", task).stdout.decode())

    def test_adding_trains_in_float64(self):
        self.run_command("train", "adding", *SHAPE, "--length", "8", "--steps", "2", "--dtype",
                         "f64", "--out", "run")

    def test_bfloat16_trains_and_its_checkpoint_is_of_float32(self):
        self.run_command("train", "adding", *SHAPE, "--length", "8", "--steps", "2", "--dtype",
                         "bf16", "--out", "adding")
        self.train("--steps", "12", "--dtype", "bf16", "--out", "whole")
        self.train("--steps", "7", "--dtype", "bf16", "--out", "parts")
        self.run_command("train", "--resume", "parts", "--steps", "12")
        with h5py.File(self.path("whole/checkpoint.h5")) as file:
            types = {item.dtype for item in file["model"].values()}
        self.assertEqual(types, {numpy.dtype("float32")})
        self.assert_same_model("whole/checkpoint.h5", "parts/checkpoint.h5")
        self.train("--steps", "12", "--out", "other")
        with self.assertRaises(AssertionError):
            self.assert_same_model("whole/checkpoint.h5", "other/checkpoint.h5")
        self.run_command("eval", "whole")

    def test_a_run_goes_on_in_the_other_type(self):
        for first, then in ("f32", "bf16"), ("bf16", "f32"):
            run = first + then
            self.train("--steps", "4", "--dtype", first, "--out", run)
            said = self.run_command("train", "--resume", run, "--dtype", then, "--steps", "6")
            self.assertIn(f"parameters, {then} on", said.stderr.decode())
            self.assertIn(f"dtype: {then}\n", read(self.path(run, "config.yaml")))
        before = read(self.path(run, "config.yaml"))
        self.refuse("train", "--resume", run, "--dtype", "f64", "--steps", "8", status=2,
                    says="of type f32, the model of f64")
        self.assertEqual(read(self.path(run, "config.yaml")), before)

    def test_a_vocabulary_that_grows_is_grown_in_bfloat16_too(self):
        self.write("text.txt", "abcdefgh" * 200)
        self.write("more.txt", "abcdefghijklmnop" * 100)
        options = [*SHAPE, "--batch", "8", "--length", "16", "--log-every", "1"]
        self.run_command("train", "text", "--data", "text.txt", *options, "--steps", "60", "--out",
                         "base")
        losses = []
        for dtype in "f32", "bf16":
            self.run_command("train", "text", "--data", "more.txt", "--init", "base", *options,
                             "--steps", "1", "--dtype", dtype, "--out", dtype)
            first = read(self.path(dtype, "metrics.csv")).splitlines()[1]
            losses.append(float(first.split(",")[1]))
        self.assertAlmostEqual(*losses, delta=0.02)

    def test_a_bad_step_of_bfloat16_is_told_and_replayed(self):
        self.run_command("train", "copy", *SHAPE, "--dtype", "bf16", "--lr", "1e3", "--warmup", "0",
                         "--clip", "0", "--schedule", "constant", "--norm", "basic_norm", "--out",
                         "run", status=1)
        kept = read(self.path("run", "train.log"))
        said = self.run_command("replay", "run").stdout.decode()
        found = re.search(r"(forward|backward): element .*", said).group(0)
        self.assertIn(found, kept)

    def test_where_bfloat16_is_not_multiplied_as_such_it_is_said_once(self):
        said = self.train("--steps", "4", "--dtype", "bf16", "--eval-every", "2", "--out", "run",
                          environment={"MIXTAPE_ISA": "baseline"}).stderr.decode()
        self.assertEqual(said.count("products of bf16 are those of f32 here"), 1, said)
        said = self.train("--steps", "4", "--dtype", "bf16", "--out", "told",
                          environment={"ONEDNN_MAX_CPU_ISA": "AVX2"}).stderr.decode()
        self.assertEqual(said.count("products of bf16 are those of f32 here"), 1, said)
        said = self.train("--steps", "2", "--out", "wide",
                          environment={"MIXTAPE_ISA": "baseline"}).stderr.decode()
        self.assertNotIn("bf16", said)

    def test_results_do_not_depend_on_out_or_repetition(self):
        for name in ["a", "b"]:
            self.train("--steps", "12", "--out", name)
        self.assert_same_model("a/checkpoint.h5", "b/checkpoint.h5")

    def assert_same_model(self, a, b):
        def collect(path):
            found = {}
            with h5py.File(self.path(path)) as file:
                file.visititems(lambda name, item: found.update({name: item[()]})
                                if isinstance(item, h5py.Dataset) else None)
                found["step"] = file["train"].attrs["step"]
                found["best"] = file["train"].attrs["best_loss"]
            return found

        left, right = collect(a), collect(b)
        self.assertEqual(left.keys(), right.keys())
        for name in left:
            self.assertTrue(numpy.array_equal(left[name], right[name]), name)

    def metrics(self, run):
        """The rows without what a clock measures."""
        return [row.split(",")[:7] for row in read(self.path(run, "metrics.csv")).splitlines()]

    def test_resuming_gives_the_same_bits_as_not_stopping(self):
        options = [
            "--eval-every", "8", "--log-every", "3", "--dropout", "0.2", "--accumulate", "2",
            "--save-every", "0"
        ]
        self.train("--steps", "30", *options, "--out", "whole")
        self.train("--steps", "30", *options, "--out", "parts", "--patience", "1", "--lr", "1e-12",
                   status=0)
        process = subprocess.Popen([
            MIXTAPE, "train", "copy", *SMALL, "--steps", "30", *options, "--save-every", "7",
            "--out", "killed"
        ], cwd=self.folder.name, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while not os.path.exists(self.path("killed", "checkpoint.h5")) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        self.run_command("train", "--resume", "killed", "--save-every", "0")
        self.assert_same_model("whole/checkpoint.h5", "killed/checkpoint.h5")
        self.assertEqual(self.metrics("whole"), self.metrics("killed"))

    def test_killed_at_any_point_a_run_can_go_on(self):
        process = None
        for attempt in range(6):
            verb = ["--resume", "run"] if os.path.exists(self.path("run",
                                                                   "checkpoint.h5")) else None
            if verb is None and os.path.exists(self.path("run")):
                subprocess.run(["rm", "-r", self.path("run")], check=True)
            arguments = ["train", *verb] if verb else [
                "train", "copy", *SMALL, "--out", "run", "--steps", "100000", "--save-every", "1"
            ]
            process = subprocess.Popen([MIXTAPE, *arguments], cwd=self.folder.name,
                                       stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            time.sleep(0.05 + 0.2 * random.random())
            process.kill()
            process.wait()
            if os.path.exists(self.path("run", "checkpoint.h5")):
                self.run_command("info", self.path("run", "checkpoint.h5"))
        self.assertTrue(os.path.exists(self.path("run", "checkpoint.h5")))

    def test_signals_save_and_end(self):
        for number, name in [(signal.SIGINT, "int"), (signal.SIGTERM, "term"),
                             (signal.SIGHUP, "hup"), (signal.SIGUSR2, "usr2"),
                             (signal.SIGXCPU, "cpu-time")]:
            process = self.start_endless(name, "copy", *SMALL, "--out", name)
            process.send_signal(number)
            error = process.communicate(timeout=60)[1].decode()
            self.assertEqual(process.returncode, 128 + number)
            self.assertIn("go on with: mixtape train --resume " + name, error)
            with h5py.File(self.path(name, "checkpoint.h5")) as file:
                step = int(file["train"].attrs["step"])
            self.assertGreater(step, 0)
            self.run_command("train", "--resume", name, "--steps", str(step + 2))

    def test_a_run_whose_folder_is_moved_goes_on_and_saves_when_it_is_back(self):
        process = self.start_endless("run", "copy", *SMALL, "--save-every", "5", "--out", "run")
        os.rename(self.path("run"), self.path("moved"))
        for line in process.stderr:
            if b"not saved: run/checkpoint.h5: No such file" in line:
                break
        self.assertFalse(os.path.exists(self.path("run")))
        os.rename(self.path("moved"), self.path("run"))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1].decode().splitlines()[-1]
        self.assertEqual(process.returncode, 128 + signal.SIGINT)
        self.assertIn(", saved; go on with: mixtape train --resume run", said)
        self.run_command("info", "run")

    def test_a_run_whose_folder_is_moved_writes_into_no_other(self):
        process = self.start_endless("run", "copy", *SMALL, "--save-every", "5", "--out", "run")
        os.rename(self.path("run"), self.path("moved"))
        self.train("--steps", "2", "--out", "run")
        with open(self.path("run", "checkpoint.h5"), "rb") as file:
            before = file.read()
        for line in process.stderr:
            if b"not saved: run: it is another folder by now" in line:
                break
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1].decode().splitlines()[-1]
        self.assertEqual(process.returncode, 1)
        self.assertIn("run: it is another folder by now: that of the run was moved", said)
        with open(self.path("run", "checkpoint.h5"), "rb") as file:
            self.assertEqual(file.read(), before)

    def test_a_run_outlives_who_reads_its_progress(self):
        process = self.start_endless("run", "copy", *SMALL, "--eval-every", "1", "--out", "run")
        process.stderr.close()
        rows = read(self.path("run", "metrics.csv")).count("\n")
        while read(self.path("run", "metrics.csv")).count("\n") < rows + 20:
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.kill()
        process.wait()

    def test_export_does_not_write_over_what_it_reads(self):
        self.train("--steps", "2", "--out", "run")
        best = self.path("run", "best.h5")
        with open(best, "rb") as file:
            before = file.read()
        os.symlink(best, self.path("link.h5"))
        for output in ("run/best.h5", "link.h5"):
            result = self.run_command("export", "run", "-o", output, status=2)
            self.assertIn(b"the file that is to be exported", result.stderr)
        self.assertEqual(read(best, mode="rb"), before)

    def test_import_writes_over_no_run(self):
        self.train("--steps", "2", "--out", "run")
        before = [read(self.path("run", name), mode="rb") for name in ("best.h5", "checkpoint.h5")]
        self.refuse("import", "run", "-o", "run/best.h5", status=2, says="is to be imported")
        self.refuse("import", "run", "-o", "run/checkpoint.h5", status=2,
                    says=["run/checkpoint.h5", "the run in that folder"])
        self.refuse("export", "run", "-o", "run/checkpoint.h5", status=2,
                    says=["run/checkpoint.h5", "the run in that folder"])
        self.assertEqual(before, [read(self.path("run", name), mode="rb")
                                  for name in ("best.h5", "checkpoint.h5")])
        self.run_command("import", "run", "-o", "other.h5")
        self.run_command("import", "run", "-o", "other.h5")

    def test_only_weights_are_written_over(self):
        self.train("--steps", "2", "--out", "run")
        self.write("short", "abc")
        for name, says in (("run/config.yaml", "it is a file of the run in that folder"),
                           ("run/metrics.csv", "it is a file of the run in that folder"),
                           ("short", "no file of weights: it is not written over")):
            before = read(self.path(name), mode="rb")
            for verb in ("export", "import"):
                self.refuse(verb, "run", "-o", name, status=2, says=[name, says])
            self.assertEqual(read(self.path(name), mode="rb"), before)
        self.write("empty.h5", "")
        for name in ("w.h5", "w.h5", "w.safetensors", "w.safetensors", "empty.h5"):
            self.run_command("export", "run", "-o", name)

    def test_the_most_time_ends_a_run(self):
        options = ["--steps", "100000000", "--max-time", "0.003", "--out", "run"]
        said = self.train(*options).stderr.decode()
        step = int(re.search(r"out of time after step (\d+), saved; go on with", said)[1])
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            self.assertEqual(file["train"].attrs["step"], step)
        said = self.run_command("train", "--resume", "run", "--max-time", "0.002").stderr.decode()
        self.assertGreater(int(re.search(r"out of time after step (\d+)", said)[1]), step)
        self.run_command("train", "--resume", "run", "--max-time", "0", "--steps",
                         str(10 + int(re.search(r"out of time after step (\d+)", said)[1])))
        self.refuse("train", "copy", "--max-time", "-1", status=2, says=["--max-time", "-1"])

    def test_patience_ends_a_run(self):
        result = self.train("--steps", "1000", "--eval-every", "1", "--patience", "2", "--lr",
                            "1e-12", "--warmup", "0", "--out", "run")
        self.assertIn("no better validation any more", result.stderr.decode())
        for _ in range(2):
            self.assertIn(b"\nstep 3, ", self.run_command("info", "run/checkpoint.h5").stdout)
            result = self.run_command("train", "--resume", "run")
            self.assertIn("no better validation any more", result.stderr.decode())
        self.refuse("train", "--resume", "run", "--steps", "1", status=2,
                    says=["--steps 1", "has made 3"])

    def test_a_loss_that_is_not_finite_ends_the_run_with_the_step(self):
        self.refuse("train", "copy", *SMALL, "--steps", "300", "--lr", "900", "--clip", "0",
                    "--schedule", "constant", "--warmup", "0", "--weight-decay", "500", "--out",
                    "run", status=1, says=["step ", "--lr"])

    def test_recomputation_gives_the_same_bits(self):
        for name, options in [("plain", []), ("again", ["--recompute"])]:
            self.train("--steps", "10", "--dropout", "0.3", *options, "--out", name)
        self.assert_same_model("plain/checkpoint.h5", "again/checkpoint.h5")

    def test_isa_can_be_chosen(self):
        result = self.train("--steps", "2", "--out", "run", environment={"MIXTAPE_ISA": "baseline"})
        self.assertIn("(baseline, 2 threads)", result.stderr.decode())


class DryRunTest(CommandTest):
    def told(self, *arguments):
        """What a dry run tells: its bytes at most, and the lines below."""
        text = self.run_command("train", *arguments, "--dry-run").stdout.decode()
        first, *rows = text.splitlines()
        self.assertIn(" MB at most on cpu:", first)
        return 1e6 * float(first.split()[0]), rows

    def peak(self, *arguments):
        return memory.run([MIXTAPE, "train", *arguments], self.folder.name)[0]

    def test_the_memory_of_a_run_is_told_before_it_is_taken(self):
        base = self.peak("copy", *SMALL, "--steps", "1")
        numpy.save(self.path("ids.npy"), numpy.arange(20000, dtype="u2"))
        common = ["--steps", "1", "--eval-batches", "1", "--threads", "2"]
        for shape in (["copy", "--size", "1024", "--blocks", "2", "--batch", "1", "--length", "4"],
                      ["copy", "--size", "1024", "--blocks", "2", "--batch", "1", "--length", "4",
                       "--dtype", "bf16"],
                      ["copy", "--size", "64", "--blocks", "2", "--batch", "64", "--length", "64"],
                      ["copy", "--size", "256", "--blocks", "6", "--batch", "16", "--length", "64",
                       "--dtype", "bf16"],
                      ["copy", "--size", "256", "--blocks", "3", "--batch", "16", "--length", "64",
                       "--recompute", "--accumulate", "2"],
                      ["adding", "--size", "128", "--blocks", "2", "--batch", "32", "--length",
                       "64", "--dtype", "f64"],
                      ["ids", "--data", "ids.npy", "--size", "128", "--blocks", "2", "--batch",
                       "8", "--length", "128"]):
            with self.subTest(shape):
                told, rows = self.told(*shape, *common)
                own = 1e6 * float(next(row for row in rows if row.endswith("itself")).split()[0])
                found = self.peak(*shape, *common)
                beside = (told - own) / (found - base)
                self.assertLess(abs(beside - 1), 0.05, f"told {told:.0f}, found {found:.0f}")
                if not SANITIZED:
                    self.assertLess(abs(told / found - 1), 0.05,
                                    f"told {told:.0f}, found {found:.0f}")

    @unittest.skipIf(SANITIZED, "sanitizers take memory of their own")
    def test_a_small_run_is_little_more_than_the_program(self):
        for options in SMALL, [*SMALL, "--batch", "64", "--size", "64", "--length", "16"]:
            with self.subTest(options):
                told, _ = self.told("copy", *options, "--steps", "1")
                found = self.peak("copy", *options, "--steps", "1")
                self.assertLess(abs(told - found), 4e6, f"told {told:.0f}, found {found:.0f}")

    def test_nothing_is_taken_or_written(self):
        giant = ["copy", "--size", "8192", "--blocks", "64"]
        told, rows = self.told(*giant)
        self.assertGreater(told, 16 * 5e10)
        self.assertTrue(rows[-1].endswith(" MB, which is too little"), rows)
        self.assertLess(self.peak(*giant, "--dry-run"), 1e8)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_what_a_run_refuses_a_dry_one_does(self):
        self.refuse("train", "copy", "--size", "48", "--batch", "1", "--dry-run", status=2,
                    says="--batch")
        self.refuse("train", "text", "--data", "no.txt", "--dry-run", status=1, says="no.txt")

    def test_a_run_that_goes_on_is_told_of_and_left_alone(self):
        self.train("--steps", "2", "--out", "run")
        before = self.files("run")
        _, small = self.told("--resume", self.path("run"), "--steps", "4")
        _, large = self.told("--resume", self.path("run"), "--steps", "4", "--batch", "64")
        self.assertGreater(float(large[1].split()[0]), 2 * float(small[1].split()[0]))
        self.assertIn("a step of 64 by 7", large[1])
        self.assertEqual(before, self.files("run"))

    def test_the_longest_transcripts_count(self):
        self.write("tokens.txt", "<blank>\n<unk>\na\nb\n<sos/eos>\n")
        self.write("text", "".join(f"u{i} {'ab' * (1 + i)}\n" for i in range(40)))
        _, rows = self.told("tokens", "--data", "text", "--token-list", "tokens.txt", *SHAPE)
        self.assertIn("a step of 16 by 80", rows[1])

    def test_reals_are_told_of(self):
        told, rows = self.told("adding", *SHAPE, "--length", "5", "--dtype", "f64")
        self.assertIn("a step of 16 by 5", rows[1])


class TextTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("text.txt", "the quick brown fox jumps over the lazy dog, wie schön.\n" * 60)
        self.options = [
            "--size", "16", "--blocks", "1", "--batch", "4", "--length", "16", "--steps", "20"
        ]

    def test_characters_train_and_generate(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        first, second = (self.run_command("generate", "run", "--prompt", "the ", "--length", "50",
                                          "--seed", "3").stdout for _ in range(2))
        self.assertEqual(first, second)
        self.assertEqual(len(first.decode()), 4 + 50 + 1)
        self.assertTrue(first.decode().startswith("the "))
        with h5py.File(self.path("run", "best.h5")) as file:
            self.assertIn("ö", [token.decode() for token in file.attrs["token_list"]])

    def test_weights_are_kept_as_asked(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")

        def loss(*options):
            shown = self.run_command("eval", "run", "--threads", "1", *options).stdout.decode()
            return float(shown[shown.index("loss "):].split()[1])

        generate = ["generate", "run", "--prompt", "the ", "--length", "40"]
        plain = self.run_command(*generate).stdout
        self.assertEqual(self.run_command(*generate, "--weights", "f32").stdout, plain)
        for data in [], ["--data", "text.txt"]:
            whole = loss(*data)
            self.assertEqual(loss(*data, "--weights", "f32"), whole)
            for name, most in ("bf16", 0.002), ("int8", 0.005):
                kept = loss(*data, "--weights", name)
                self.assertNotEqual(kept, whole)
                self.assertAlmostEqual(kept, whole, delta=most * whole)
        for name in "bf16", "int8":
            text = self.run_command(*generate, "--weights", name).stdout
            self.assertEqual(text, self.run_command(*generate, "--weights", name).stdout)
            self.assertEqual(len(text.decode()), len(plain.decode()))
        for verb in "generate", "eval":
            self.refuse(verb, "run", "--weights", "int4", status=2,
                        says=["--weights int4", "f32, bf16, int8"])

    def test_a_state_goes_on_with_weights_that_are_kept_the_same(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        generate = ["generate", "run", "--weights", "int8", "--seed", "3", "--length"]
        whole = self.run_command(*generate, "60").stdout
        first = self.run_command(*generate, "25", "--save-state", "a.h5").stdout
        last = self.run_command(*generate, "35", "--state", "a.h5").stdout
        self.assertEqual(first[:-1] + last, whole)
        self.refuse("generate", "run", "--state", "a.h5", status=2,
                    says=["a.h5", "the state of other weights"])

    def test_weights_of_float64_are_kept_in_fewer_bits_or_as_they_are(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--dtype", "f64",
                         "--out", "run")
        for verb in "generate", "eval":
            self.refuse(verb, "run", "--weights", "f32", status=2,
                        says="--weights f32: the model's are f64")
            self.run_command(verb, "run", "--weights", "int8")

    def test_the_context_is_as_long_as_the_windows(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--length", "100",
                         "--out", "run")
        info = self.run_command("info", "run").stdout.decode()
        self.assertIn("context_size 100", info)
        self.assertIn("task text, unit char\n", info)
        whole = self.run_command("info", "--all", "run").stdout.decode()
        with h5py.File(self.path("run", "best.h5")) as file:
            count, values = len(file["model"]), sum(array.size for array in file["model"].values())
            self.assertIn(f"\n{values} values in {count} parameters", info)
            self.assertEqual(whole.count(" rms "), count)
            self.assertNotIn(" rms ", info)

    def test_data_is_found_from_any_folder_and_other_data_is_measured_whole(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        os.mkdir(self.path("elsewhere"))
        held_out = self.run_command("eval", "../run", cwd=self.path("elsewhere")).stdout.decode()
        self.assertEqual(
            self.run_command("eval", "run", "--threads", "1").stdout.decode(), held_out)
        self.refuse("eval", "run", "--threads", "few", status=2, says="--threads few")
        text = read(self.path("text.txt"))
        last = text[len(text) // 10 * 9 + len(text) % 10 * 9 // 10:]
        self.write("last.txt", last)
        os.rename(self.path("text.txt"), self.path("gone.txt"))
        self.assertIn(f"\ncounted {len(last) - 1}\n",
                      self.run_command("eval", "run", "--data", "last.txt").stdout.decode())
        self.refuse("eval", "run", status=1, says=["text.txt", "No such file"])

    def test_a_text_to_validate_on(self):
        text = read(self.path("text.txt"))
        self.write("other.txt", text[:300])
        self.run_command("train", "text", "--data", "text.txt", "--valid-data", "other.txt",
                         *self.options, "--out", "run")
        # windows of 16 in 299
        self.assertIn("counted 288", self.run_command("eval", "run").stdout.decode())
        self.write("short.txt", text[:16])
        self.refuse("train", "text", "--data", "text.txt", "--valid-data", "short.txt",
                    *self.options, status=2, says=["short.txt: 16", "--length 16"])

    def test_a_model_without_its_run_generates_the_same(self):
        for name, options in (("char", []), ("byte", ["--unit", "byte"])):
            self.run_command("train", "text", "--data", "text.txt", *options, *self.options,
                             "--out", name)
            self.run_command("export", name, "--layout", "mixtape", "-o", name + ".h5")
            self.run_command("import", name + ".h5", "-o", name + "-again.h5")
            expected = self.run_command("generate", name, "--length", "50").stdout
            for file in (name + ".h5", name + "-again.h5"):
                self.assertEqual(
                    self.run_command("generate", file, "--length", "50").stdout, expected)
        self.run_command("export", "char", "--layout", "espnet", "-o", "decoder.h5")
        self.refuse("generate", "decoder.h5", status=2, says=["decoder.h5", "no head"])

    def test_bytes_train_and_generate(self):
        self.run_command("train", "text", "--data", "text.txt", "--unit", "byte", *self.options,
                         "--out", "run")
        self.assertEqual(len(self.run_command("generate", "run", "--length", "40").stdout), 41)

    def test_bytes_do_not_begin_with_a_model_of_characters(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out",
                         "characters")
        self.refuse("train", "text", "--data", "text.txt", *self.options, "--unit", "byte",
                    "--init", "characters", status=2, says=["text.txt", "256"])

    def test_a_prompt_beyond_the_vocabulary_is_refused(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        self.refuse("generate", "run", "--prompt", "Ω", status=1, says=["--prompt", "U+03A9"])

    def test_texts_end_are_chosen_and_begin_as_asked(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        generate = lambda *options, **more: self.run_command("generate", "run", *options,
                                                             **more).stdout.decode()
        whole = generate("--prompt", "the ", "--length", "60")
        with self.subTest("a prompt from a file, without its last newline"):
            self.write("prompt.txt", "the \n")
            self.assertEqual(generate("--prompt-file", "prompt.txt", "--length", "60"), whole)
        with self.subTest("a prompt from standard input"):
            self.assertEqual(generate("--prompt-file", "-", "--length", "60", input=b"the "), whole)
        with self.subTest("the text ends with what ends it, but not in the prompt"):
            stop = whole[30:32]
            end = whole.index(stop, 4) + 2
            self.assertEqual(generate("--prompt", "the ", "--length", "60", "--stop", stop),
                             whole[:end] + "\n")
            self.assertGreater(len(generate("--prompt", "the ", "--stop", "the ")), 5)
        with self.subTest("of numbers one ends the text, and not another that has its digits"):
            numbers = generate("--ids", "--length", "60").split()
            stop = next(number for number in numbers[10:] if len(number) == 1)
            end = numbers.index(stop) + 1
            self.assertEqual(generate("--ids", "--length", "60", "--stop", stop).split(),
                             numbers[:end])
            self.assertTrue(any(len(number) > 1 and stop in number for number in numbers[:end]))
            prompt = f"{stop} {stop}"  # which does not end the text
            self.assertGreater(len(generate("--ids", "--prompt", prompt, "--stop", stop)), 5)
        with self.subTest("several texts, of which the first is that of one alone"):
            texts = generate("--prompt", "the ", "--length", "60", "--samples", "3")
            self.assertTrue(texts.startswith(whole))
            self.assertEqual(len(texts), 3 * len(whole))
            self.assertNotEqual(texts[len(whole):2 * len(whole)], whole)
        with self.subTest("symbols that must not come"):
            text = generate("--length", "300", "--without", "e", "--without", " ")
            self.assertFalse(set(text) & set("e "))
        with self.subTest("as numbers"):
            numbers = generate("--ids", "--prompt", "3 1\n2", "--length", "4").split()
            self.assertEqual(numbers[:3], ["3", "1", "2"])
            self.assertEqual(len(numbers), 7)
        with self.subTest("a share that only the likeliest has"):
            self.assertEqual(generate("--top-p", "1e-9", "--length", "40"),
                             generate("--temperature", "0", "--length", "40"))

    def test_a_text_goes_on_from_a_file_with_the_same_bits(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        generate = lambda *options, **more: self.run_command("generate", "run", *options,
                                                             **more).stdout.decode()
        whole = generate("--prompt", "the quick ", "--length", "60")
        with self.subTest("between chosen symbols"):
            first = generate("--prompt", "the quick ", "--length", "25", "--save-state", "a.h5")
            self.assertEqual(first[:-1] + generate("--state", "a.h5", "--length", "35"), whole)
        with self.subTest("within a prompt"):
            generate("--prompt", "the q", "--length", "0", "--save-state", "a.h5")
            self.assertEqual(
                "the q" + generate("--state", "a.h5", "--prompt", "uick ", "--length", "60"), whole)
        with self.subTest("after lines, and before the first"):
            lines = [b"the q\n", b"uick \n", b"\n", b"lazy"]
            interactive = ["--interactive", "--length", "20"]
            whole = generate(*interactive, input=b"".join(lines))
            for cut in range(len(lines) + 1):
                first = generate(*interactive, "--save-state", "a.h5", input=b"".join(lines[:cut]))
                last = generate(*interactive, "--state", "a.h5", input=b"".join(lines[cut:]))
                self.assertEqual(first + last, whole)
                self.assertEqual(first.count("\n") >= cut, True)
        with self.subTest("of another run"):
            self.run_command("train", "text", "--data", "text.txt", *self.options, "--seed", "2",
                             "--out", "other")
            self.refuse("generate", "other", "--state", "a.h5", status=2,
                        says=["a.h5", "other weights"])
            self.refuse("generate", "run", "--state", "run/best.h5", status=1,
                        says=["run/best.h5", "mixtape-checkpoint"])
        with self.subTest("where there is no folder"):
            self.refuse("generate", "run", "--save-state", "none/a.h5", status=1, says="none/a.h5")
            for name in ("none/a.h5", "a.bin", "a.safetensors"):
                result = self.run_command("generate", "run", "--save-state", name,
                                          status=1 if "/" in name else 2)
                self.assertEqual(result.stdout, b"") # it is told before the text
                self.assertIn(name, result.stderr.decode())
                self.assertEqual(result.stderr.count(b"\n"), 1)
            for name in ("run/best.h5", "text.txt"):
                before = read(self.path(name), mode="rb")
                self.refuse("generate", "run", "--save-state", name, status=2,
                            says=[name, "no state"])
                self.assertEqual(read(self.path(name), mode="rb"), before)

    def test_lines_are_answered_as_they_come(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        process = subprocess.Popen([MIXTAPE, "generate", "run", "--interactive", "--length", "9",
                                    "--without", "\n", "--save-state", "a.h5"],
                                   cwd=self.folder.name, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for line in (b"the ", b"", b"q\r"):
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            self.assertEqual(len(process.stdout.readline().decode()), 10)
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.wait(60), process.stderr.read()), (130, b""))
        process.stdin.close()
        process.stdout.close()
        process.stderr.close()
        self.run_command("generate", "run", "--state", "a.h5", "--length", "3")

    def test_wrong_lines_are_told_and_the_others_answered(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        generate = lambda *options, **more: self.run_command(
            "generate", "run", "--interactive", "--length", "9", "--without", "\n", *options,
            **more)
        good = generate("--save-state", "good.h5", input=b"the \n\nq\n")
        mixed = generate("--save-state", "mixed.h5", status=1,
                         input=b"\xce\xa9\nthe \n\xff\n\nb\0\nq\nwith \xce\xa9")
        self.assertEqual(mixed.stdout, good.stdout)
        self.assertEqual(read(self.path("mixed.h5"), mode="rb"),
                         read(self.path("good.h5"), mode="rb"))
        said = mixed.stderr.decode().splitlines()
        for line, (number, says) in zip(said, ((1, "U+03A9"), (3, "not UTF-8"),
                                               (5, "zero byte at 1"), (7, "U+03A9")), strict=True):
            self.assertIn(f"mixtape: standard input: line {number}: ", line)
            self.assertIn(says, line)
        said = self.run_command("generate", "run", "--interactive", "--ids", "--length", "1",
                                status=1, input=b"x\n1 99999\n1\n")
        self.assertEqual((said.stdout.count(b"\n"), said.stderr.count(b"\n")), (1, 2))

    def test_on_a_terminal_a_wrong_line_is_told_and_another_asked_for(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        ours, theirs = os.openpty()
        process = subprocess.Popen([MIXTAPE, "generate", "run", "--interactive", "--length", "3"],
                                   cwd=self.folder.name, stdin=theirs, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        os.write(ours, "Ω\nthe \n\x04".encode()) # and the end of the input
        answers, said = process.communicate(timeout=60)
        os.close(ours)
        os.close(theirs)
        self.assertEqual(process.returncode, 0)
        self.assertGreaterEqual(len(answers.decode()), 4)
        self.assertIn("U+03A9", said.decode())
        self.assertEqual(said.count(b"> "), 3)

    def test_a_text_that_is_ended_keeps_its_state(self):
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        endless = [MIXTAPE, "generate", "run", "--length", "1000000000", "--save-state", "a.h5"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU, signal.SIGPIPE):
            with self.subTest(number):
                process = subprocess.Popen(endless, cwd=self.folder.name, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE)
                self.assertEqual(len(process.stdout.read(100)), 100)
                if number != signal.SIGPIPE:
                    process.send_signal(number)
                    process.stdout.read()
                process.stdout.close() # for SIGPIPE, who reads goes away
                self.assertEqual(process.stderr.read(), b"")
                self.assertEqual(process.wait(60),
                                 -number if number == signal.SIGPIPE else 128 + number)
                process.stderr.close()
                self.run_command("generate", "run", "--state", "a.h5", "--length", "3")
                os.remove(self.path("a.h5"))

    def test_a_state_beyond_all_bounds_goes_on_or_is_told(self):
        """Every finite value may be loaded: what the model makes of it is looked at."""
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        statuses = set()
        for value in (1e38, -1e38, 3.4e38, -3.4e38, 1e20, 1e-45):
            self.run_command("generate", "run", "--length", "3", "--save-state", "bad.h5")
            with h5py.File(self.path("bad.h5"), "r+") as file:
                file["state"][...] = value
            result = subprocess.run(
                [MIXTAPE, "generate", "run", "--prompt", "the", "--length", "4", "--state",
                 "bad.h5", "--save-state", "next.h5"], cwd=self.folder.name, capture_output=True)
            statuses.add(result.returncode)
            self.assertEqual(os.path.exists(self.path("next.h5")), result.returncode == 0)
            self.assertRegex(
                result.stderr.decode(), r"\A\Z" if result.returncode == 0 else
                r"\Amixtape: (the model, behind bad.h5: the logit of symbol \d+ is (nan|-?inf)|"
                r"next.h5: /state: element \d+ is (nan|-?inf), and not saved)\n\Z")
            if result.returncode == 0:
                os.remove(self.path("next.h5"))
        self.assertEqual(statuses, {0, 1})

    def test_wrong_prompts_and_choices_are_refused(self):
        self.write("zero.txt", b"th\0e\n")
        self.write("other.txt", "the \u03a9")
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--out", "run")
        for options, says, status in (
                (["--ids", "--prompt", "1 99999"], ["--prompt", "number 2", "99999"], 2),
                (["--ids", "--prompt", "1 x"], ["--prompt", "number 2", "x"], 2),
                (["--ids", "--stop", "x"], ["--stop: number 1, 'x', not in 0 .. "], 2),
                (["--ids", "--stop", "1 2"], ["--stop: '1 2' is 2 symbols, not one"], 2),
                (["--ids", "--unit", "char"], ["--unit char: not with --ids"], 2),
                (["--unit", "byte"], ["--unit byte: the model's", "are not the 256 bytes"], 2),
                (["--without", "ab"], ["--without", "ab", "2 symbols"], 2),
                (["--ids", "--stop", "3", "--without", "3"], ["--without: 3: ", "--stop"], 2),
                (["--stop", "t", "--without", "t"], ["--without: t: ", "--stop"], 2),
                (["--prompt", "a", "--prompt-file", "b"], ["--prompt", "not both"], 2),
                (["--prompt-file", "none.txt"], ["--prompt-file", "none.txt", "No such"], 1),
                (["--prompt", b"the \xff"], ["--prompt: byte 4 is not UTF-8"], 1),
                (["--prompt-file", "other.txt"], ["--prompt-file other.txt: the character U+03A9"],
                 1),
                (["--prompt-file", "zero.txt"], ["--prompt-file", "zero.txt: a zero byte at 2"], 1),
                (["--interactive", "--prompt-file", "-"], ["--interactive", "--prompt-file -"], 2),
                (["--interactive", "--samples", "2"], ["--samples 2", "--interactive"], 2),
                (["--save-state", "a.h5", "--samples", "2"], ["--samples 2", "--save-state"], 2),
                (["--length", "-1"], ["--length -1"], 2),
                (["--state", "none.h5"], ["none.h5", "No such"], 1),
                (["--top-p", "0"], ["--top-p", "0"], 2),
                (["--top-p", "1.5"], ["--top-p", "1.5"], 2)):
            with self.subTest(options):
                self.refuse("generate", "run", *options, status=status, says=says)

    def test_wrong_files_are_refused(self):
        self.write("empty.txt", "")
        self.write("binary.txt", b"\xff\xfd\x00\x01" * 2000)
        self.write("short.txt", "short")
        refuse = lambda name, says, status=1: self.refuse(
            "train", "text", "--data", name, *self.options, status=status, says=says)
        refuse("missing.txt", ["missing.txt", "No such file"])
        refuse("empty.txt", ["empty.txt", "empty"])
        refuse("binary.txt", ["binary.txt", "byte 0", "--unit byte"])
        refuse("short.txt", ["short.txt", "--length 16"], 2)
        refuse("/dev/null", "not a regular file")
        self.refuse("train", "text", *self.options, status=2, says="--data")


class TranscriptsTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("tokens.txt", "<blank>\n<unk>\n<space>\na\nb\nc\n<sos/eos>\n")
        lines = [f"utt{i} {'abc'[i % 3] * (1 + i % 5)} {'cab'[i % 3]}" for i in range(60)]
        self.write("text", "\n".join(lines) + "\n")
        self.options = ["--size", "16", "--blocks", "1", "--batch", "4", "--steps", "30"]

    def train_tokens(self, *arguments, **options):
        return self.run_command("train", "tokens", "--data", "text", "--token-list", "tokens.txt",
                                *self.options, *arguments, **options)


class TokensTest(TranscriptsTest):
    def test_transcripts_train_generate_and_export(self):
        self.train_tokens("--out", "run")
        text = lambda *options: self.run_command("generate", "run", "--length", "400", *options
                                                 ).stdout.decode()
        self.assertNotIn("<blank>", text()) # which no transcript has
        self.assertIn("<blank>", text("--blank"))
        self.assertEqual(text("--without", "<blank>"), text())
        self.assertNotIn("0", text("--ids").split())
        self.run_command("export", "run", "--layout", "espnet", "-o", "espnet.h5")
        with h5py.File(self.path("espnet.h5")) as file:
            self.assertEqual(list(file.attrs["token_list"])[:3], [b"<blank>", b"<unk>", b"<space>"])
            self.assertEqual(file["embed.weight"].shape, (7, 16))
            self.assertTrue(numpy.all(file["embed.weight"][0] == 0.0)) # the padding row never moves
            self.assertNotIn("head.weight", file)
        self.run_command("export", "run", "--layout", "espnet-model", "-o", "model.h5")
        with h5py.File(self.path("model.h5")) as file:
            self.assertIn("decoder.embed.weight", file)
            self.assertEqual(file["lm_lin.weight"].shape, (7, 16))

    def test_transcripts_of_another_token_list_are_noticed(self):
        self.assertIn(", 0.00 % of them <unk>\n",
                      self.train_tokens("--out", "known").stderr.decode())
        self.write("upper", read(self.path("text")).replace("a", "A", 40))
        result = self.run_command("train", "tokens", "--data", "upper", "--token-list",
                                  "tokens.txt", *self.options)
        self.assertIn("<unk>: are the token list and --unit", result.stderr.decode())
        self.write("upper.txt", read(self.path("tokens.txt")).replace("a\nb\nc\n", "A\nB\nC\n"))
        self.refuse("train", "tokens", "--data", "text", "--token-list", "upper.txt", *self.options,
                    status=2, says=["text", "% of its labels", "upper.txt", "--unit char"])
        self.write("unknown", "".join(f"u{i} XYZ\n" for i in range(9)))
        self.refuse("train", "tokens", "--data", "text", "--valid-data", "unknown", "--token-list",
                    "tokens.txt", *self.options, status=2, says=["unknown: 100.0 %"])

    def test_the_list_of_a_model_to_begin_with_needs_no_name(self):
        self.train_tokens("--out", "first")
        begin = ["train", "tokens", "--data", "text", *self.options, "--steps", "1"]
        self.run_command(*begin, "--init", "first", "--out", "second")
        self.run_command(*begin, "--init", "first", "--token-list", "tokens.txt", "--out", "third")
        self.run_command("train", "--resume", "second", "--steps", "2")
        self.run_command("train", "--resume", "third", "--steps", "2")
        weights = [self.run_command("info", "--all", run).stdout.decode().split("parameters")[-1]
                   for run in ("second", "third")]
        self.assertEqual(*weights)
        self.write("upper", read(self.path("text")).upper())
        self.refuse("train", "tokens", "--data", "upper", "--init", "first", *self.options,
                    status=2, says=["% of its labels are not in the model's token list"])
        self.run_command("export", "first", "--layout", "mixtape", "-o", "first.safetensors")
        self.refuse(*begin, "--init", "first.safetensors", status=2, says="no token list")

    def test_a_token_list_without_its_blank_is_refused(self):
        self.write("cut.txt", "<unk>\n<space>\na\nb\nc\n")
        self.refuse("train", "tokens", "--data", "text", "--token-list", "cut.txt", *self.options,
                    status=2, says=["cut.txt", "'<unk>', not <blank>"])

    def test_sizes_that_cannot_stream_are_told(self):
        result = self.train_tokens("--size", "40", "--out", "run")
        self.assertIn("40 is no multiple of 32: here and in ESPnet, batches are of a multiple of "
                      "4 sequences", result.stderr.decode())

    def test_other_transcripts_are_measured_whole(self):
        self.train_tokens("--valid-data", "text", "--eval-batches", "1", "--out", "run")
        labels = sum(
            len(line.split(maxsplit=1)[1]) for line in read(self.path("text")).splitlines())
        self.assertIn(f"counted {labels}\n",
                      self.run_command("eval", "run", "--data", "text").stdout.decode())
        self.train_tokens("--out", "copy")
        self.refuse("eval", "copy", "--data", "none", status=1, says=["none", "No such file"])
        os.remove(self.path("tokens.txt")) # the model knows it
        self.run_command("eval", "copy", "--data", "text")

    def test_a_list_of_characters_may_hold_a_longer_symbol(self):
        self.write("tokens.txt", "<blank>\n<unk>\n<space>\na\nb\nc\n[noise]\n")
        self.train_tokens("--out", "run")
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.h5")
        first, second = (self.run_command("generate", file, "--prompt", "ab", "--length",
                                          "9").stdout for file in ("run", "run.h5"))
        self.assertEqual(first, second)

    def test_a_model_without_tokens_gets_them_by_an_option(self):
        self.train_tokens("--out", "run")
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.safetensors")
        expected = self.run_command("generate", "run", "--length", "9").stdout
        listed = ["generate", "run.safetensors", "--token-list"]
        self.assertEqual(
            self.run_command(*listed, "tokens.txt", "--length", "9").stdout, expected)
        self.refuse("generate", "run.safetensors", status=2,
                    says=["run.safetensors", "no token list", "--token-list", "--ids"])
        self.write("short.txt", "<blank>\na\n")
        self.write("other.txt", read(self.path("tokens.txt")).replace("b", "d"))
        self.refuse(*listed, "short.txt", status=2, says=["short.txt: 2 tokens", "has 7"])
        self.refuse("generate", "run", "--token-list", "other.txt", status=2,
                    says=["other.txt", "not the one"])
        self.refuse("generate", "run", "--unit", "byte", status=2, says=["--unit byte", "word"])
        self.refuse("generate", "run", "--unit", "bit", status=2, says=["--unit bit", "byte"])

    def test_words_train(self):
        self.write("words.txt", "<blank>\n<unk>\na\naa\naaa\nb\nbb\nbbb\nc\n<sos/eos>\n")
        self.run_command("train", "tokens", "--data", "text", "--token-list", "words.txt", "--unit",
                         "word", *self.options, "--out", "run")
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.h5")
        first, second = (self.run_command("generate", file, "--prompt", "aa b", "--length",
                                          "9").stdout for file in ("run", "run.h5"))
        self.assertTrue(first.startswith(b"aa b "))
        self.assertEqual(first, second)

    def test_wrong_files_are_refused(self):
        self.write("strict.txt", "<blank>\n<space>\na\nb\n")
        self.refuse("train", "tokens", "--data", "text", "--token-list", "strict.txt",
                    *self.options, status=1, says=["text: line 1", "'c'", "<unk>"])
        self.write("twice.txt", "<blank>\na\nb\na\n")
        self.refuse("train", "tokens", "--data", "text", "--token-list", "twice.txt", *self.options,
                    status=1, says=["twice.txt", "'a'", "1", "3"])
        self.refuse("train", "tokens", "--data", "text", *self.options, status=2,
                    says="--token-list")
        self.refuse("train", "tokens", "--token-list", "tokens.txt", *self.options, status=2,
                    says="--data")
        self.write("double", "utt1 a\nutt1 b\n")
        self.refuse("train", "tokens", "--data", "double", "--token-list", "tokens.txt",
                    *self.options, status=1, says=["double", "utt1"])

    def test_a_context_that_is_too_short_is_refused_with_the_utterance(self):
        self.refuse("train", "tokens", "--data", "text", "--token-list", "tokens.txt",
                    *self.options, "--context-size", "4", status=2,
                    says=["utt", "--context-size 4"])


ESPNET_CONFIG = """
optim: adam
encoder_conf:
    main_conf: {pos_wise_layer_type: linear}
    body_conf:
    - block_type: conformer
      num_blocks: 2
decoder: rwkv
decoder_conf:
    block_size: 24
    linear_size: 40
    attention_size: 16
    context_size: 128
    num_blocks: 3
    rescale_every: 6
    normalization_type: rms_norm
    normalization_args:
        eps: 1.0e-04
        partial: 0.5
    embed_dropout_rate: 0.1
    att_dropout_rate: 0.2
    ffn_dropout_rate: 0.3
    embed_pad: 2
"""


class EspnetConfigTest(TranscriptsTest):
    def train_config(self, text, *arguments, **options):
        self.write("train.yaml", text)
        return self.run_command("train", "--espnet-config", "train.yaml", "--data", "text",
                                "--token-list", "tokens.txt", "--batch", "4", "--steps", "1",
                                *arguments, **options)

    def attributes(self, run):
        with h5py.File(self.path(run, "checkpoint.h5")) as file:
            self.assertTrue(
                numpy.all(file["model/embed.weight"][file["model"].attrs["embed_pad"]] == 0.0))
            return dict(file["model"].attrs)

    def test_the_decoder_is_the_files(self):
        self.train_config(ESPNET_CONFIG, "--out", "run")
        found = self.attributes("run")
        expected = {
            "vocab_size": 7, "block_size": 24, "linear_size": 40, "attention_size": 16,
            "context_size": 128, "num_blocks": 3, "eps": 1e-4, "partial": 0.5,
            "embed_dropout_rate": 0.1, "att_dropout_rate": 0.2, "ffn_dropout_rate": 0.3,
            "embed_pad": 2, "rescale_every": 6
        }
        self.assertEqual({name: found[name] for name in expected}, expected)
        self.assertEqual(found["normalization_type"], b"rms_norm")

    def test_a_rescale_every_of_both_is_told(self):
        config = ("decoder: rwkv\ndecoder_conf:\n  num_blocks: 1\n  block_size: 8\n"
                  "  rescale_every: {}\n")
        self.train_config(config.format(-1), "--out", "never")
        self.assertEqual(self.attributes("never")["rescale_every"], -1)
        self.train_config(config.format(6), "--out", "six")
        result = self.train_config(config.format(2), "--init", "six", "--out", "both")
        self.assertIn("rescale_every is 2, but 6 in --init six, which is taken",
                      result.stderr.decode())
        self.assertEqual(self.attributes("both")["rescale_every"], 6)

    def test_what_the_file_leaves_out_is_espnets_default(self):
        self.train_config("decoder: rwkv\ndecoder_conf:\n  num_blocks: 1\n  linear_size: null\n",
                          "--out", "run")
        found = self.attributes("run")
        self.assertEqual([
            found[name]
            for name in ("block_size", "attention_size", "linear_size", "context_size", "eps")
        ], [512, 512, 2048, 1024, 1e-12])

    def test_of_a_name_that_is_there_twice_the_last_counts(self):
        self.train_config("decoder: transformer\n" + ESPNET_CONFIG, "--out", "run")
        self.assertEqual(self.attributes("run")["block_size"], 24)

    def test_a_zero_byte_in_a_value_is_told(self):
        result = self.train_config(ESPNET_CONFIG + 'token_list: "tokens.txt\\0x"\n', status=1)
        self.assertIn(b": a zero byte in 'tokens.txt'", result.stderr)

    def test_dropout_on_the_command_line_comes_after_the_files(self):
        self.train_config(ESPNET_CONFIG, "--dropout", "0.5", "--att-dropout", "0.4", "--out", "run")
        found = self.attributes("run")
        self.assertEqual([found[name + "_dropout_rate"] for name in ("embed", "att", "ffn")],
                         [0.5, 0.4, 0.5])

    def test_options_come_after_the_file(self):
        self.train_config(ESPNET_CONFIG, "--size", "16", "--out", "run")
        self.assertEqual(self.attributes("run")["block_size"], 16)

    def test_what_a_file_to_begin_with_does_not_tell_is_the_configurations(self):
        self.train_config(ESPNET_CONFIG, "--out", "run")
        for name in "told.safetensors", "bare.safetensors":
            self.run_command("export", "run", "--layout", "mixtape", "-o", name)
        self.forget_model("bare.safetensors")
        changed = ESPNET_CONFIG.replace("block_size: 24", "block_size: 32").replace("128", "99")
        for init, context in (("run", 128), ("told.safetensors", 128), ("bare.safetensors", 99)):
            with self.subTest(init):
                self.train_config(changed, "--init", init, "--out", "of-" + init)
                found = self.attributes("of-" + init)
                self.assertEqual((found["block_size"], found["context_size"], found["eps"]),
                                 (24, context, 1e-4))

    def test_the_partial_that_files_of_others_lack_is_the_configurations(self):
        self.train_config(ESPNET_CONFIG, "--out", "run")
        for layout, name in (("mixtape", "m.safetensors"), ("espnet", "e.safetensors")):
            with self.subTest(layout):
                self.run_command("export", "run", "--layout", layout, "-o", name)
                self.forget_model(name)
                told = self.run_command("info", name).stderr.decode()
                self.assertIn("assumed: eps 1e-05, partial 0, context_size 1024", told)
                told = self.train_config(ESPNET_CONFIG, "--init", name, "--out", "of-" + layout)
                self.assertNotIn("assumed", told.stderr.decode())
                self.assertEqual(self.attributes("of-" + layout)["partial"], 0.5)
        told = self.train_config(ESPNET_CONFIG.replace("        eps: 1.0e-04\n", ""), "--init",
                                 "e.safetensors", "--out", "of-default").stderr.decode()
        self.assertNotIn("assumed", told)
        told = self.run_command("train", "tokens", "--data", "text", "--token-list", "tokens.txt",
                                "--init", "e.safetensors", "--norm-partial", "0.25",
                                "--context-size", "64", "--batch", "4", "--steps", "1", "--out",
                                "of-options")
        self.assertIn("it does not tell, and so assumed: eps 1e-05\n", told.stderr.decode())
        with h5py.File(self.path("of-options", "checkpoint.h5")) as file:
            self.assertEqual(file["model"].attrs["partial"], 0.25)

    def test_where_a_file_to_begin_with_contradicts_the_configuration_is_said(self):
        self.train_config(ESPNET_CONFIG, "--out", "run")
        changed = ESPNET_CONFIG.replace("attention_size: 16", "attention_size: 8")
        changed = changed.replace("rms_norm", "layer_norm").replace("        partial: 0.5\n", "")
        told = self.train_config(changed, "--init", "run", "--out", "again").stderr.decode()
        lines = [line for line in told.splitlines() if "which is taken" in line]
        self.assertEqual(lines, [
            "train.yaml: attention_size is 8, but 16 in --init run, which is taken",
            "train.yaml: normalization_type is layer_norm, but rms_norm in --init run, which is "
            "taken"
        ])
        self.assertNotIn("taken",
                         self.train_config(ESPNET_CONFIG, "--init", "run", "--out",
                                           "same").stderr.decode())

    TOKENS = "[<blank>, <unk>, <space>, a, b, c, <sos/eos>]"

    def of_config(self, text, *arguments):
        """What a run with nothing but a configuration says, and its tokens."""
        self.write("train.yaml", ESPNET_CONFIG + text)
        result = self.run_command("train", "--espnet-config", "train.yaml", "--data", "text",
                                  "--batch", "4", "--steps", "1", *arguments)
        return [line for line in result.stderr.decode().splitlines() if "taken of" in line]

    def tokens_of(self, run):
        with h5py.File(self.path(run, "checkpoint.h5")) as file:
            return [token.decode() for token in file.attrs["token_list"]]

    def test_the_tokens_of_a_saved_configuration_are_taken(self):
        said = self.of_config(f"token_type: char\ntoken_list: {self.TOKENS}\n", "--out", "run")
        self.assertEqual(said, ["train.yaml: taken of the text: token_list of 7 tokens"])
        self.assertEqual(self.tokens_of("run"), read(self.path("tokens.txt")).split())
        os.remove(self.path("train.yaml"))
        self.run_command("train", "--resume", "run", "--steps", "2")

    def test_an_empty_name_in_a_configuration_is_shown(self):
        self.write("train.yaml", "decoder: rwkv\ntoken_list: ''\n")
        result = self.run_command("train", "--espnet-config", "train.yaml", "--data", "text",
                                  status=2)
        self.assertIn(b"taken of the text: token_list ''\n", result.stderr)

    def test_the_files_of_a_configuration_are_taken(self):
        self.write("symbols.txt", "<noise>\n")
        texts = ("token_list: tokens.txt\nnon_linguistic_symbols: symbols.txt\n"
                 "bpemodel: none.model\n")
        self.assertEqual(self.of_config(texts + "token_type: char\n", "--out", "run"), [
            "train.yaml: taken of the text: token_list tokens.txt, non_linguistic_symbols "
            "symbols.txt"
        ])
        self.assertIn("nlsyms: \"<noise>\"\n", read(self.path("run", "config.yaml")))
        self.write("text", "\n".join(f"utt{i} a b c" for i in range(60)) + "\n")
        said = self.of_config(texts + "token_type: word\n", "--out", "words")
        self.assertEqual(said, [
            "train.yaml: taken of the text: token_list tokens.txt, token_type word"
        ])
        self.assertIn("unit: word\n", read(self.path("words", "config.yaml")))
        for told in "token_type: bpe\n", "":
            self.write("train.yaml", ESPNET_CONFIG + texts + told)
            self.refuse("train", "--espnet-config", "train.yaml", "--data", "text", status=1,
                        says="none.model: No such file")

    def test_the_command_line_and_the_model_come_before_a_configurations_text(self):
        texts = f"token_type: bpe\ntoken_list: {self.TOKENS}\nbpemodel: none.model\n"
        self.assertEqual(self.of_config(texts, "--token-list", "tokens.txt", "--unit", "char",
                                        "--out", "run"), [])
        other = texts.replace("<space>", "x")
        self.assertEqual(self.of_config(other, "--init", "run", "--out", "again"), [])
        self.assertEqual(self.tokens_of("again"), self.tokens_of("run"))

    def test_a_wrong_text_of_a_configuration_is_refused(self):
        for text, says in (("token_list: [a, [b]]", "line 24: token_list: a token that is no text"),
                           ("token_list: {a: b}", "line 24: token_list: not a single value"),
                           ("token_list: [<blank>, a, a]", "'a' is there twice, as 1 and 2"),
                           ("token_list: nothing.txt", "nothing.txt: No such file"),
                           ("bpemodel: [x]", "line 24: bpemodel: not a single value"),
                           ("token_type: [char]", "line 24: token_type: 'a list' is not supported"),
                           ("token_type: whisper_en", "token_type: 'whisper_en' is not supported")):
            with self.subTest(text):
                self.write("train.yaml", f"{ESPNET_CONFIG}{text}\n")
                self.refuse("train", "--espnet-config", "train.yaml", "--data", "text", status=1,
                            says=says)
        self.assertFalse(os.path.exists(self.path("runs")))

    def refuse_config(self, text, says):
        self.write("train.yaml", text)
        self.refuse("train", "--espnet-config", "train.yaml", "--data", "text", "--token-list",
                    "tokens.txt", status=1, says=says)

    def test_what_would_take_libyaml_minutes_is_refused(self):
        many = 200000
        block = "".join(f"{' ' * i}a:\n" for i in range(65))
        anchors = "".join(f"- &a{i} x\n" for i in range(many))
        tags = "".join(f"%TAG !a{i}! x\n" for i in range(many))
        for text in ("[" * many, "{a: " * many, "- " * many, "? " * many, block,
                     ESPNET_CONFIG + "x: " + "[" * many):
            self.refuse_config(text, ["train.yaml: line ", "64 levels of nesting"])
        self.refuse_config(anchors, "line 1001: more than 1000 anchors")
        self.refuse_config(tags, "more than 1000 anchors")
        self.refuse_config("[" + "," * (2 << 20), "more than 1048576 names and values")
        self.refuse_config("#" * ((16 << 20) + 1), "16777217 bytes of YAML")

    def test_a_configuration_may_be_long_and_nested(self):
        deep = "".join(f"{' ' * i}a:\n" for i in range(63))
        tokens = "token_list:\n" + "- '['\n" * 100000
        none = "cleaner: null\ng2p: none\n"
        self.train_config(ESPNET_CONFIG + deep + tokens + none, "--out", "run")

    def test_wrong_files_are_refused(self):
        for text, says in ((ESPNET_CONFIG.replace("linear_size", "liner_size"), [
                "train.yaml: line 11", "liner_size"
        ]), (ESPNET_CONFIG.replace("partial", "part"), [
                "train.yaml: line 19", "normalization_args: part"
        ]), (ESPNET_CONFIG.replace("rms_norm", "group_norm"), [
                "line 16", "group_norm", "layer_norm"
        ]), (ESPNET_CONFIG.replace("block_size: 24", "block_size: 0"), [
                "line 10: decoder_conf: block_size: 0: not a whole"
        ]), (ESPNET_CONFIG.replace("block_size: 24", "block_size: [24]"), [
                "line 10", "block_size", "single value"
        ]), (ESPNET_CONFIG.replace("decoder: rwkv", "decoder: rnn"), [
                "'rnn'", "rwkv"
        ]), ("decoder: rwkv\ndecoder_conf: 3\n", ["line 2", "not a mapping"]), ("a: [1", [
                "train.yaml: line"
        ]), ("encoder: rwkv\n", ["train.yaml: there is no `decoder"]), ("", ["train.yaml",
                                                                             "rwkv"])):
            with self.subTest(says):
                self.refuse_config(text, says)
        for text, says in (("decoder: rwkv\ncleaner: tacotron\n", "2: cleaner: 'tacotron' is not"),
                           ("decoder: rwkv\ntoken_type: phn\n", "2: token_type: 'phn' is not"),
                           ("decoder: rwkv\ng2p: g2p_en\n", "2: g2p: 'g2p_en' is not supported"),
                           ("cleaner: [jaconv]\ndecoder: rwkv\n", "1: cleaner: 'a list' is not")):
            with self.subTest(says):
                self.refuse_config(text, ["train.yaml: line " + says])
        self.refuse("train", "--espnet-config", "none.yaml", status=1,
                    says=["none.yaml", "No such file"])
        self.refuse("train", "--espnet-config", "train.yaml", "--resume", "run", status=2,
                    says=["--resume"])
        self.assertFalse(os.path.exists(self.path("runs")))


class InitTest(TranscriptsTest):
    def weights(self, path):
        with h5py.File(self.path(path)) as file:
            return {name: file["model"][name][()] for name in file["model"]}

    def test_sizes_and_weights_are_the_files(self):
        self.train_tokens("--norm", "rms_norm", "--linear-size", "20", "--attention-size", "8",
                          "--out", "first")
        for layout, dtype in (("mixtape", "f32"), ("mixtape", "f64"), ("espnet", "f32")):
            with self.subTest(layout=layout, dtype=dtype):
                self.run_command("export", "first", "--last", "--layout", layout, "-o",
                                 "weights.h5")
                run = layout + dtype
                self.run_command("train", "tokens", "--data", "text", "--token-list", "tokens.txt",
                                 "--batch", "4", "--steps", "1", "--lr", "1e-9", "--init",
                                 "weights.h5", "--dtype", dtype, "--out", run)
                before, after = self.weights("first/checkpoint.h5"), self.weights(run +
                                                                                  "/checkpoint.h5")
                self.assertEqual(sorted(before), sorted(after))
                for name in before:
                    if layout == "mixtape" or not name.startswith("head."):
                        numpy.testing.assert_allclose(after[name], before[name], atol=1e-6,
                                                      err_msg=name)

    def test_a_file_without_a_head_is_told(self):
        self.train_tokens("--out", "first")
        self.run_command("export", "first", "--layout", "espnet", "-o", "decoder.h5")
        self.assertIn("decoder.h5 has no head",
                      self.train_tokens("--init", "decoder.h5").stderr.decode())
        self.assertIn("decoder.h5 has no head",
                      self.run_command("import", "decoder.h5", "-o", "a.h5").stderr.decode())

    def test_resuming_does_not_begin_again(self):
        self.train_tokens("--out", "first")
        self.run_command("train", "tokens", "--data", "text", "--token-list", "tokens.txt",
                         "--batch", "4", "--steps", "4", "--schedule", "constant", "--init",
                         "first", "--out", "whole")
        self.run_command("train", "tokens", "--data", "text", "--token-list", "tokens.txt",
                         "--batch", "4", "--steps", "2", "--schedule", "constant", "--init",
                         "first", "--out", "half")
        self.run_command("train", "--resume", "half", "--steps", "4")
        whole, half = self.weights("whole/checkpoint.h5"), self.weights("half/checkpoint.h5")
        self.assertTrue(all(numpy.array_equal(whole[name], half[name]) for name in whole))

    def test_what_does_not_fit_is_refused_with_both_sizes(self):
        self.train_tokens("--out", "first")
        self.write("short.txt", "<blank>\n<unk>\na\n<sos/eos>\n")
        self.refuse("train", "tokens", "--data", "text", "--token-list", "short.txt", "--init",
                    "first", "--batch", "4", status=2, says=["short.txt", "token list"])
        self.refuse("train", "copy", *SMALL, "--init", "first", status=2,
                    says=[f"--init {self.path('first')}: the vocabularies differ: 7 symbols there, "
                          "6 of copy (begin with a model of that task)"])
        self.run_command("export", "first", "--layout", "mixtape", "-o", "first.safetensors")
        self.refuse("train", "tokens", "--data", "text", "--token-list", "short.txt", "--init",
                    "first.safetensors", "--batch", "4", "--most-unknown", "1", status=2,
                    says=["the vocabularies differ: 7 symbols there, 4 of tokens (name its own "
                          "token list, --token-list)"])
        self.refuse("train", "tokens", "--data", "text", "--token-list", "tokens.txt", "--init",
                    "first", "--batch", "4", "--linear-size", "3", status=2,
                    says=["--init " + self.path("first"), "proj_key.weight", "(64, 16)",
                          "(3, 16)"])
        self.refuse("train", "copy", *SMALL, "--init", "none.h5", status=1, says=["none.h5"])


class WrongUsageTest(CommandTest):
    def test_what_a_task_does_not_read_is_refused(self):
        self.refuse("train", "copy", "--pairs", "9", status=2, says=["--pairs 9", "copy", "recall"])
        self.refuse("train", "tokens", "--length", "9", status=2, says=["--length 9", "tokens"])
        self.train("--steps", "1", "--out", "run")
        self.refuse("eval", "run", "--data", "text", status=2, says=["--data text", "copy"])

    def test_an_empty_value_is_none(self):
        self.train("--steps", "1", "--out", "run")
        options_of = {
            ("train", "text"): "data valid-data init tokenizer unit out espnet-config resume",
            ("train", "ids"): "data tokenizer ids-type steps",
            ("train", "tokens"): "token-list nlsyms device",
            ("train", "--resume", "run"): "data",
            ("generate", "run"): "tokenizer token-list unit state save-state prompt-file weights",
            ("eval", "run"): "data weights task tokenizer token-list unit ids-type",
            ("export", "run"): "layout output",
            ("forward", "run"): "input",
            ("info", "run"): "tokenizer",
            ("bench", ): "device"
        }
        for verb, options in options_of.items():
            for name in map("--{}".format, options.split()):
                with self.subTest(verb, name=name):
                    self.refuse(*verb, name, "", status=2,
                                says=f"{name}: an empty value (it takes ")
        for verb in "train", "generate", "eval", "export", "info", "forward", "replay":
            self.refuse(verb, "", status=2, says="an empty argument")

    def test_help_tells_the_defaults_of_a_task(self):
        self.assertIn("Sequences of a batch (default 12;",
                      self.run_command("train", "text", "--help").stdout.decode())
        self.assertNotIn("--pairs=", self.run_command("train", "text", "--help").stdout.decode())
        self.assertIn("Sequences of a batch (default 64;",
                      self.run_command("train", "--help").stdout.decode())
        self.assertNotIn(
            "--pairs=",
            self.run_command("train", "--out", "recall", "text", "--help").stdout.decode())

    def test_one_rate_of_dropout_may_differ_wherever_it_stands(self):
        for name, order in (("a", ["--embed-dropout", "0.5", "--dropout", "0.25"]),
                            ("b", ["--dropout", "0.25", "--embed-dropout", "0.5"])):
            self.train("--steps", "1", *order, "--out", name)
            self.assertIn("embed-dropout: 0.5\n", read(self.path(name, "config.yaml")))

    def test_wrong_values_are_refused_with_the_option(self):
        for arguments, says in [
                (["nothing"], ["'nothing'", "copy", "tokens"]),
                (["copy", "--batch", "0"], ["--batch 0"]),
                (["copy", "--size", "0"], ["--size 0"]),
                (["copy", "--batch", "12x"], ["--batch 12x"]),
                (["copy", "--lr", "nan"], ["--lr nan"]),
                (["copy", "--norm", "batch_norm"], ["--norm batch_norm", "layer_norm"]),
                (["copy", "--length", "600"], ["1201", "1024", "--context-size"]),
                (["copy", "--size", "33", "--batch", "3"], ["batch 3", "33", "--batch"]),
                (["copy", "--size", "16000000"], ["--size"]),
                (["copy", "--batch", "16000000", "--length", "500"], ["--batch"]),
                (["recall", "--pairs", "9"], ["--pairs 9", "--symbols 8"]),
                (["echo", "--delay", "24"], ["--delay 24", "--length 24"]),
                (["copy", "--device", "tpu"], ["'tpu'"])]:
            with self.subTest(arguments):
                self.refuse("train", *arguments, status=2, says=says)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_unknown_verbs_and_options_are_wrong_usage(self):
        self.refuse("fly", status=2, says="'fly'")
        for asking in ["--help", "-h", "help"]:
            self.assertIn("exit status", self.run_command(asking).stdout.decode())
        self.run_command(status=2)
        for verb in [
                "train", "eval", "generate", "forward", "export", "import", "info", "gradcheck",
                "bench"
        ]:
            self.refuse(verb, "--nonsense", status=2, says="--nonsense")
            self.assertIn("Usage: mixtape " + verb,
                          self.run_command(verb, "--help").stdout.decode())
        self.refuse("train", "copy", "--steps", status=2, says=["--steps", "requires an argument"])
        self.refuse("gradcheck", "everything", status=2, says="'everything'")

    def test_a_device_that_is_not_there_is_told(self):
        self.refuse("train", "copy", *SMALL, "--device", "cuda", status=1, says=["CUDA"])

    def test_an_unwritable_folder_is_told(self):
        self.write("file", "")
        self.refuse("train", "copy", *SMALL, "--out", self.path("file", "run"), status=1,
                    says=["file", "Not a directory"])


class FilesTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.train("--steps", "3", "--out", "run")
        self.checkpoint = self.path("run", "checkpoint.h5")
        self.original = read(self.checkpoint, mode="rb")

    def refuse_changed(self, change, says):
        with open(self.checkpoint, "wb") as file:
            file.write(self.original)
        with h5py.File(self.checkpoint, "r+") as file:
            change(file)
        for arguments in [["train", "--resume", "run"], ["info", "--all", self.checkpoint]]:
            self.refuse(*arguments, status=1,
                        says=["checkpoint.h5", *([says] if isinstance(says, str) else says)])

    def test_changed_files_are_refused_with_dataset_and_figures(self):
        name = "model/rwkv_blocks.0.att.proj_key.weight"

        def replace(file, data):
            del file[name]
            file[name] = data

        def never_written(file):
            properties, space = file[name].id.get_create_plist(), file[name].id.get_space()
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            del file[name]
            h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, properties)

        self.refuse_changed(lambda file: file.attrs.__setitem__("version", 7), ["version 7", "1"])
        self.refuse_changed(lambda file: file.attrs.__setitem__("format", numpy.bytes_("else")),
                            "format 'else'")
        self.refuse_changed(lambda file: file.attrs.__setitem__("format", "else"),
                            ["'format'", "variable-length string"])
        for tokens, says in (([b"a", b"\xff"], "not UTF-8 at byte 0 of string 1"), ([
                b"a\0b"
        ], "zero byte at 1 of string 0"), ([b"a", b""], "the token 1 is empty")):
            self.refuse_changed(
                lambda file: file.attrs.__setitem__("token_list", numpy.array(tokens)),
                ["token_list", says])
        self.refuse_changed(lambda file: file.__delitem__(name), [name[6:], "missing"])
        self.refuse_changed(lambda file: file.move(name, "model/other"), [name[6:], "missing"])
        self.refuse_changed(lambda file: file.__setitem__("model/more", [1.0]), ["more", "unknown"])
        self.refuse_changed(lambda file: replace(file, numpy.zeros((16, 8), "f4")),
                            ["(16, 8)", "(16, 16)"])
        self.refuse_changed(lambda file: replace(file, numpy.zeros((16, 16), "f8")), ["f64", "f32"])
        self.refuse_changed(lambda file: replace(file, numpy.zeros((16, 16), "i4")), ["i32", "f32"])
        self.refuse_changed(lambda file: replace(file, numpy.full((16, 16), numpy.nan, "f4")),
                            [name[6:], "nan"])
        self.refuse_changed(never_written, [name[6:], "element 0 is nan, or missing"])
        for group, real, value in (("train", "best_loss", numpy.nan), ("train", "seconds",
                                                                       numpy.inf),
                                   ("optimizer", "beta1", numpy.nan), ("model", "eps", numpy.inf)):
            self.refuse_changed(lambda file: file[group].attrs.__setitem__(real, value),
                                [group, f"{real} is {value}"])
        self.refuse_changed(lambda file: file["train"].attrs.__setitem__("symbols", -1),
                            "symbols is -1")
        self.refuse_changed(lambda file: file["model"].attrs.__setitem__("num_blocks", 2),
                            "missing")
        self.refuse_changed(lambda file: file["model"].attrs.__setitem__("block_size", -5),
                            "block_size is -5")
        self.refuse_changed(lambda file: file["model"].attrs.__delitem__("num_blocks"),
                            "'num_blocks' is missing")

    def test_a_configuration_that_is_not_one_is_refused(self):
        for text in ["steps: [1", "steps: 0", "stairs: 3", "- 1"]:
            with h5py.File(self.checkpoint, "r+") as file:
                file["train"].attrs["config"] = numpy.bytes_(text)
            self.refuse("train", "--resume", "run", status=1, says=["checkpoint.h5", "config"])

    def test_files_truncated_anywhere_are_refused(self):
        for length in range(0, len(self.original), 1024):
            with open(self.checkpoint, "wb") as file:
                file.write(self.original[:length])
            self.refuse("info", self.checkpoint, status=1, says="checkpoint.h5")

    def test_damaged_values_are_noticed(self):
        with h5py.File(self.checkpoint) as file:
            dataset = file["model/embed.weight"]
            self.assertTrue(dataset.fletcher32)
            offset = dataset.id.get_chunk_info(0).byte_offset
        damaged = bytearray(self.original)
        damaged[offset + 40] ^= 1
        with open(self.checkpoint, "wb") as file:
            file.write(damaged)
        for verb in (["info", "--all", self.checkpoint], ["train", "--resume", "run"],
                     ["eval", self.checkpoint], ["export", self.checkpoint, "-o", "new.h5"]):
            self.refuse(*verb, status=1, says=["checkpoint.h5", "embed.weight", "damaged"])
            self.assertEqual(sorted(os.listdir(self.path(""))), ["run"])

    def test_damage_anywhere_is_told_in_one_line(self):
        generator = random.Random(1)
        for _ in range(150):
            damaged = bytearray(self.original)
            for _ in range(generator.choice([1, 2, 5])):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            with open(self.checkpoint, "wb") as file:
                file.write(damaged)
            result = subprocess.run([MIXTAPE, "info", "--all", self.checkpoint],
                                    capture_output=True, timeout=60)
            self.assertIn(result.returncode, (0, 1))
            self.assertEqual(len(result.stderr.splitlines()), result.returncode, result.stderr)

    def test_every_dataset_has_a_checksum(self):
        with h5py.File(self.checkpoint) as file:
            file.visititems(lambda name, item: self.assertTrue(item.fletcher32, name)
                            if isinstance(item, h5py.Dataset) else None)

    def test_export_then_import_gives_the_same_bits(self):
        self.run_command("export", "run", "--last", "--layout", "mixtape", "-o", "weights.h5")
        self.run_command("import", "weights.h5", "-o", "back.h5")
        with h5py.File(self.checkpoint) as a, h5py.File(self.path("back.h5")) as b:
            self.assertEqual(list(a["model"]), list(b["model"]))
            for name in a["model"]:
                self.assertTrue(numpy.array_equal(a["model"][name][()], b["model"][name][()]))

    def foreign(self, layout, change):
        """Imports exported weights without our attributes, and changed; the weights that came
        in."""
        self.run_command("export", "run", "--last", "--layout", layout, "-o", "weights.h5")
        with h5py.File(self.path("weights.h5"), "r+") as file:
            for name in list(file.attrs):
                del file.attrs[name]
            change(file)
        self.run_command("import", "weights.h5", "-o", "back.h5")
        with h5py.File(self.path("back.h5")) as file:
            return {name: array[()] for name, array in file["model"].items()}

    def test_what_a_whole_model_has_beside_its_decoder_is_not_read(self):
        def add(file):
            file["encoder.norm.num_batches_tracked"] = numpy.int64(3)
            file["encoder.conv.weight"] = numpy.zeros((1, 1, 1, 1, 2))
            file["encoder.name"] = "text"
            file.create_group("frontend")

        found = self.foreign("espnet-model", add)
        with h5py.File(self.checkpoint) as file:
            for name in found:
                numpy.testing.assert_array_equal(found[name], file["model"][name][()])

    def test_floats_of_16_bits_are_widened(self):
        bfloat16 = h5py.h5t.IEEE_F32LE.copy()
        bfloat16.set_fields(15, 7, 8, 0, 7)
        bfloat16.set_size(2)
        for half in h5py.h5t.IEEE_F16LE, bfloat16:
            narrowed = {}

            def narrow(file):
                for name in list(file):
                    values = file[name][()]
                    del file[name]
                    made = h5py.h5d.create(file.id, name.encode(), half,
                                           h5py.h5s.create_simple(values.shape))
                    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
                    narrowed[name] = file[name].astype("f4")[()]

            found = self.foreign("mixtape", narrow)
            self.assertEqual(sorted(found), sorted(narrowed))
            for name in found:
                numpy.testing.assert_array_equal(found[name], narrowed[name])

    def test_every_layout_gives_the_same_bits_back(self):
        self.train("--steps", "1", "--no-bias", "--norm-eps", "1e-5", "--out", "bare")
        for layout in ("mixtape", "rwkv-lm", "hf"):
            for suffix in ("h5", "safetensors"):
                with self.subTest(layout=layout, suffix=suffix):
                    one, other = f"one.{suffix}", f"other.{suffix}"
                    self.run_command("export", "bare", "--last", "--layout", layout, "-o", one)
                    self.assertIn("layout " + layout, self.run_command("info", one).stdout.decode())
                    self.run_command("import", one, "-o", "back.h5")
                    self.run_command("export", "back.h5", "--layout", layout, "-o", other)
                    self.assertEqual(read(self.path(one), mode="rb"),
                                     read(self.path(other), mode="rb"))

    def hugging_face_folder(self, **fields):
        self.train("--steps", "1", "--no-bias", "--norm-eps", "1e-5", "--out", "bare")
        self.run_command("export", "bare", "--last", "--layout", "hf", "-o", "all.safetensors")
        os.mkdir(self.path("folder"))
        os.rename(self.path("all.safetensors"), self.path("folder", "model.safetensors"))
        if fields:
            self.write("folder/config.json", json.dumps({"model_type": "rwkv", **fields}))

    def test_a_folder_of_hugging_faces_stands_for_a_model(self):
        self.hugging_face_folder(context_length=512, layer_norm_epsilon=1e-5)
        for name in "folder", "folder/":
            self.assertEqual(self.run_command("info", name).stderr, b"")
        self.run_command("import", "folder", "-o", "model.h5")
        self.refuse("import", "folder", "-o", "new.safetensors", status=2,
                    says=["new.safetensors: ", "HDF5", "export` writes .safetensors"])
        self.assertIn("context_size 512", self.run_command("info", "model.h5").stdout.decode())
        self.train("--init", "folder", "--steps", "1", "--out", "tuned")
        self.run_command("export", "folder", "--layout", "mixtape", "-o", "again.h5")
        self.refuse("import", "folder/config.json", "-o", "other.h5", status=1,
                    says=["config.json", "JSON", "name the folder"])

    def test_a_token_list_that_a_file_has_no_place_for_is_said(self):
        small = "--style", "hf", "--size", "16", "--blocks", "1", "--steps", "1"
        self.write("text.txt", "the quick brown fox\n" * 50)
        self.run_command("train", "text", "--data", "text.txt", "--length", "8", *small, "--out",
                         "text")
        self.run_command("train", "copy", *small, "--out", "copy")
        for run in "text", "copy":
            for name in "folder", "a.safetensors", "a.h5":
                to = run + "-" + name
                told = run == "text" and name != "a.h5"
                done = self.run_command("export", run, "--layout", "hf", "-o", to)
                self.assertEqual(done.stderr.decode(), f"{to} has no token list: what its 17 "
                                 "labels stand for is in text\n" if told else "")
        done = self.run_command("export", "text-folder", "--layout", "hf", "-o", "again")
        self.assertEqual(done.stderr, b"")  # it had none

    def test_an_eps_that_transformers_has_but_in_its_last_norm_is_said(self):
        self.hugging_face_folder(context_length=512, layer_norm_epsilon=1e-6)
        for verb, name in ((["import", "folder", "-o", "model.h5"], "folder"),
                           (["export", "model.h5", "--layout", "hf", "-o", "again"], "again")):
            self.assertEqual(self.run_command(*verb).stderr.decode(),
                             f"{name}: its norms have eps 1e-06, but the last one, ln_out, 1e-05 "
                             "in transformers, whose results differ by that\n")
        self.assertIn("eps 1e-06", self.run_command("info", "again").stdout.decode())
        for layout, cure in ("hf", "(name a folder, whose config.json tells"), ("rwkv-lm", "eps"):
            self.refuse("export", "model.h5", "--layout", layout, "-o", "a.safetensors", status=2,
                        says=[f"layout {layout}: ", "the model's 1e-06", cure])

    def rescale_every(self, folder):
        with open(self.path(folder, "config.json")) as file:
            return json.load(file)["rescale_every"]

    def test_rescale_every_is_kept(self):
        self.hugging_face_folder(context_length=512, layer_norm_epsilon=1e-5, rescale_every=2)
        imported = self.run_command("import", "folder", "-o", "model.h5")
        self.assertEqual(imported.stderr, b"")
        self.run_command("export", "model.h5", "--layout", "hf", "-o", "again")
        self.run_command("export", "again", "--layout", "hf", "--dtype", "f16", "-o", "halved")
        self.train("--init", "halved", "--steps", "1", "--out", "tuned")
        self.run_command("export", "tuned", "--layout", "hf", "-o", "of-tuned")
        for folder in "again", "halved", "of-tuned":
            self.assertEqual(self.rescale_every(folder), 2)
        self.assertIn("rescale_every 2", self.run_command("info", "model.h5").stdout.decode())

    def test_a_rescale_every_of_any_size_is_read(self):
        self.hugging_face_folder(context_length=512, layer_norm_epsilon=1e-5, rescale_every=-1)
        for told, kept in (-1, -1), (-9, -1), (17000000, 17000000), (2**40, 2**31 - 1):
            self.write("folder/config.json",
                       json.dumps({"model_type": "rwkv", "context_length": 512,
                                   "rescale_every": told}))
            again = f"again{told}"
            self.run_command("export", "folder", "--layout", "hf", "--dtype", "f16", "-o", again)
            self.assertEqual(self.rescale_every(again), kept)

    def test_without_a_rescale_every_float16_alone_has_one(self):
        self.hugging_face_folder(context_length=512, layer_norm_epsilon=1e-5, rescale_every=0)
        for dtype, expected in ("f32", 0), ("f16", 6), ("bf16", 0):
            self.run_command("export", "folder", "--layout", "hf", "--dtype", dtype, "-o", dtype)
            self.assertEqual(self.rescale_every(dtype), expected)
        self.assertNotIn("rescale_every", self.run_command("info", "folder").stdout.decode())

    def test_what_a_model_from_elsewhere_does_not_tell_is_said(self):
        self.hugging_face_folder()
        self.forget_model("folder", "model.safetensors")
        for verb in (["info", "folder"], ["import", "folder", "-o", "model.h5"],
                     ["info", "folder/model.safetensors"]):
            told = self.run_command(*verb).stderr.decode()
            self.assertIn("assumed: eps 1e-05, context_size 1024", told)
        self.assertEqual(self.run_command("info", "model.h5").stderr, b"")

    def test_a_model_in_safetensors_is_told_whole(self):
        self.train("--norm", "rms_norm", "--norm-eps", "0.3", "--norm-partial", "0.25", "--dropout",
                   "0.25", "--context-size", "77", "--steps", "1", "--out", "rms")
        self.run_command("export", "rms", "--layout", "mixtape", "-o", "rms.safetensors")
        imported = self.run_command("import", "rms.safetensors", "-o", "again.h5")
        self.assertEqual(imported.stderr, b"")
        with h5py.File(self.path("in.h5"), "w") as file:
            file["labels"] = numpy.arange(10).reshape(2, 5) % 4
        found = []
        for model in "rms", "rms.safetensors", "again.h5":
            self.assertEqual(self.run_command("info", model).stderr, b"")
            self.run_command("forward", model, "--input", "in.h5", "--output", "out.h5")
            with h5py.File(self.path("out.h5")) as file:
                found.append(file["logits"][()].tobytes())
        self.assertEqual(len(set(found)), 1)
        with h5py.File(self.path("again.h5")) as again, \
                h5py.File(self.path("rms", "best.h5")) as run:
            self.assertEqual(dict(again["model"].attrs), dict(run["model"].attrs))

    def test_a_best_model_that_is_a_link_to_nothing_is_not_passed_over(self):
        self.train("--steps", "1", "--out", "linked")
        os.remove(self.path("linked", "best.h5"))
        os.symlink("nothing", self.path("linked", "best.h5"))
        for verb in ["info"], ["eval"], ["export", "--layout", "mixtape", "-o", "new.h5"]:
            self.refuse(verb[0], "linked", *verb[1:], status=1, says="linked/best.h5: ")
        self.assertFalse(os.path.exists(self.path("new.h5")))
        self.run_command("export", "linked", "--last", "--layout", "mixtape", "-o", "new.h5")

    def test_used_up_processor_time_ends_an_export_and_leaves_nothing(self):
        self.train("--size", "768", "--batch", "1", "--steps", "1", "--out", "large")
        before = sorted(os.listdir(self.folder.name))
        process = subprocess.Popen([MIXTAPE, "export", "large", "--layout", "mixtape", "-o", "new"],
                                   cwd=self.folder.name, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        while process.poll() is None and not self.catches(process.pid, signal.SIGXCPU):
            time.sleep(0.001)
        process.send_signal(signal.SIGXCPU)
        said = process.communicate(timeout=60)[1].decode()
        self.assertEqual(process.returncode, 128 + signal.SIGXCPU, said)
        self.assertEqual(said, "mixtape: new: the processor time is used up (ulimit -t)\n")
        self.assertEqual(sorted(os.listdir(self.folder.name)), before)

    def catches(self, process, number):
        status = read(f"/proc/{process}/status")
        return int(status.split("SigCgt:")[1].split()[0], 16) >> (number - 1) & 1

    def test_a_style_makes_a_model_that_can_be_exported(self):
        for style in "espnet", "rwkv-lm", "hf":
            told = self.train("--steps", "1", "--style", style, "--out", style).stderr.decode()
            self.assertRegex(told, rf"exported to the layouts [^;]*\b{style}\b")
            self.run_command("export", style, "--layout", style, "-o", style + ".safetensors")
        tokens = self.write("tokens.txt", "<blank>\n<unk>\na\nb\n<sos/eos>\n")
        text = self.write("text", "".join(f"u{i} a b\n" for i in range(20)))
        self.run_command("train", "tokens", "--data", text, "--token-list", tokens, *SHAPE,
                         "--steps", "1", "--style", "hf", "--out", "labels")
        self.assertIn("embed_pad -1", self.run_command("info", "labels").stdout.decode())
        self.run_command("export", "labels", "--layout", "hf", "-o", "folder")

    def test_what_contradicts_a_style_is_refused(self):
        for options, says in ((["--norm-eps", "1e-3"], ["--norm-eps 1e-05", "0.001"]),
                              (["--no-bias=false"], ["--no-bias true", "has false"]),
                              (["--norm", "rms_norm"], ["--norm layer_norm", "rms_norm"]),
                              (["--init", "run"], ["--norm-eps 1e-05", "1e-12", "--init"])):
            self.refuse("train", "copy", *SMALL, "--style", "hf", *options, "--out", "styled",
                        status=2, says=says)
        self.refuse("train", "copy", "--style", "gpt", status=2, says=["'gpt'", "rwkv-lm"])
        self.refuse("train", "adding", "--style", "hf", status=2, says=["real-valued", "adding"])
        self.refuse("train", "--resume", "run", "--style", "hf", status=2, says="--style")
        self.assertFalse(os.path.exists(self.path("styled")))

    def test_a_run_tells_at_its_start_what_it_can_be_exported_to(self):
        told = self.train("--steps", "1", "--out", "told").stderr.decode()
        self.assertIn("layouts espnet, espnet-model, mixtape; not to rwkv-lm, hf (--style", told)
        told = self.train("--steps", "1", "--no-bias", "--out", "other-eps").stderr.decode()
        self.assertIn("espnet-model, mixtape, hf (a folder); not to rwkv-lm (--style", told)
        self.refuse("export", "other-eps", "--layout", "hf", "-o", "a.safetensors", status=2,
                    says="name a folder")
        self.run_command("export", "other-eps", "--layout", "hf", "-o", "folder")

    def test_an_exported_folder_is_whole_and_in_the_type_that_was_asked_for(self):
        self.train("--steps", "1", "--no-bias", "--norm-eps", "1e-5", "--out", "bare")
        sizes = {}
        for dtype in "own", "f32", "f16", "bf16":
            self.run_command("export", "bare", "--layout", "hf", "--dtype", dtype, "-o", dtype)
            self.assertEqual(sorted(os.listdir(self.path(dtype))),
                             ["config.json", "model.safetensors"])
            sizes[dtype] = os.path.getsize(self.path(dtype, "model.safetensors"))
        self.assertEqual(read(self.path("own", "model.safetensors"), mode="rb"),
                         read(self.path("f32", "model.safetensors"), mode="rb"))
        self.assertEqual(json.loads(read(self.path("f16", "config.json")))["torch_dtype"],
                         "float16")
        self.assertLess(sizes["f16"], 0.7 * sizes["f32"])
        self.refuse("export", "bare", "--layout", "hf", "-o", "f16", status=1,
                    says=["f16", "not empty"])
        self.run_command("export", "bare", "--layout", "rwkv-lm", "--dtype", "bf16", "-o",
                         "half.safetensors")
        self.refuse("export", "bare", "--dtype", "f16", "-o", "a.h5", status=2,
                    says=["a.h5", "HDF5"])
        self.refuse("export", "bare", "--dtype", "int8", "-o", "a.h5", status=2, says="int8")
        self.refuse("export", "bare", "--part", "rwkv_blocks.0.att", "--dtype", "f16", "-o",
                    "a.safetensors", status=2, says="--dtype")
        self.refuse("export", "bare", "--layout", "hf", "-o", "model.bin", status=2,
                    says=["model.bin", "mixtape-to-pth"])

    def test_parts_are_exchanged(self):
        self.run_command("export", "run", "--part", "rwkv_blocks.0.att", "-o", "att.h5")
        self.run_command("import", "att.h5", "--into", "run", "--part", "rwkv_blocks.0.att", "-o",
                         "same.h5")
        self.refuse("info", "att.h5", status=1, says=["att.h5", "a part of a model"])
        self.refuse("export", "run", "--part", "rwkv_blocks.9.att", "-o", "out.h5", status=2,
                    says=["rwkv_blocks.9.att"])
        self.refuse("import", "att.h5", "--into", "run", "--part", "rwkv_blocks.0.ffn", "-o",
                    "out.h5", status=1, says=["att.h5", "no parameter of this part"])
        self.refuse("import", "att.h5", "--into", "run", "-o", "out.h5", status=2, says=["--part"])
        self.refuse("import", "att.h5", "-o", "out.h5", status=1, says=["att.h5", "no layout"])
        self.assertFalse(os.path.exists(self.path("out.h5")))

    def test_a_layout_without_biases_refuses_them(self):
        self.train("--steps", "2", "--norm-eps", "1e-5", "--out", "biased")
        self.refuse("export", "biased", "--last", "--layout", "hf", "-o", "out.safetensors",
                    status=2, says=["hf", "bias", "not zero", "--no-bias"])
        self.assertFalse(os.path.exists(self.path("out.safetensors")))

    def test_a_layout_that_cannot_hold_the_model_is_refused(self):
        self.run_command("train", "adding", *SHAPE, "--length", "8", "--steps", "1", "--out",
                         "adding")
        self.refuse("export", "adding", "-o", "out.h5", status=2, says=["espnet", "real-valued"])
        self.refuse("export", "run", "-o", "out.h5", "--layout", "pytorch", status=2,
                    says=["'pytorch'", "espnet"])
        self.assertFalse(os.path.exists(self.path("out.h5")))

    def test_what_a_model_overflows_to_is_not_shown_as_a_result(self):
        with h5py.File(self.path("run", "best.h5"), "r+") as file:
            file["model/embed.weight"][...] = 3e38
            file["model/head.weight"][...] = 3e38
        with h5py.File(self.path("in.h5"), "w") as file:
            file["labels"] = numpy.ones((1, 3), dtype="int32")
        self.refuse("eval", "run", status=1, says=["held-out", "nan"])
        self.refuse("forward", "run", "--input", "in.h5", "--output", "out.h5", status=1,
                    says=["logits", "element"])
        self.assertFalse(os.path.exists(self.path("out.h5")))

    def test_forward_takes_sequences_beyond_the_context_when_told(self):
        with h5py.File(self.path("in.h5"), "w") as file:
            file["labels"] = numpy.ones((1, 1100), dtype="int32")
        arguments = ["forward", "run", "--input", "in.h5", "--output", "out.h5"]
        self.refuse(*arguments, status=2, says=["1100", "--context-size"])
        self.run_command(*arguments, "--context-size", "1100")

    def test_forward_refuses_labels_beyond_the_vocabulary(self):
        with h5py.File(self.path("in.h5"), "w") as file:
            file["labels"] = numpy.array([[1, 2, 77]])
        self.refuse("forward", "run", "--input", "in.h5", "--output", "out.h5", status=1,
                    says=["in.h5", "labels", "77 in row 0"])
        self.assertFalse(os.path.exists(self.path("out.h5")))

    def test_a_full_disk_leaves_the_old_checkpoint(self):
        small = self.path("small")
        os.mkdir(small)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small],
                                 capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("no permission to mount a small tmpfs: " +
                          mounted.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", small], check=True)
        run = os.path.join(small, "run")
        self.train("--steps", "2", "--size", "32", "--out", run)
        before = read(run, "checkpoint.h5", mode="rb")
        with self.assertRaises(OSError), open(os.path.join(small, "ballast"), "wb",
                                              buffering=0) as file:
            while file.write(b"x" * 4096) == 4096:
                pass
            raise OSError
        self.refuse("train", "--resume", run, "--steps", "4", status=1, says=["No space left"])
        self.assertEqual(read(run, "checkpoint.h5", mode="rb"), before)
        self.assertEqual([name for name in os.listdir(run) if "." in name and name.count(".") > 1],
                         [])


class OutputTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.train("--steps", "2", "--no-bias", "--out", "run")

    def test_what_a_terminal_would_obey_is_told_instead(self):
        name = "x\x1b]0;title\a\u009b31m\u202ey\nz"
        told = r"x\x1B]0;title\x07\u009B31m\u202Ey\x0Az"
        os.rename(self.path("run"), self.path(name))
        shown = self.run_command("info", name).stdout + self.run_command(
            "export", name, "-o", name + ".h5").stdout + self.run_command(
                "train", "copy", *SMALL, "--steps", "1", "--out", name + "2").stderr
        self.assertEqual(shown.decode().count(told), 3)
        for arguments in ([name], ["gradcheck", name], ["train", name], ["--" + name],
                          ["info", "--" + name], ["info", "--" + name + "=1"],
                          ["info", "none" + name], ["train", "copy", "--lr", name],
                          ["train", "copy", "--" + name], ["train", "copy", name]):
            error = subprocess.run([MIXTAPE, *arguments], capture_output=True,
                                   cwd=self.folder.name, timeout=60).stderr.decode()
            self.assertEqual(error.count("\n"), 1, error)
            self.assertIn(told[1:], error)
        said = read(self.path(name + "2", "train.log"))
        self.assertIn(told, said)
        self.assertNotIn("\x1b", said)

    def generate_on_terminal(self, *arguments):
        ours, theirs = os.openpty()
        process = subprocess.Popen([MIXTAPE, "generate", *arguments], cwd=self.folder.name,
                                   stdout=theirs)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError: # the terminal's other side is closed
            pass
        os.close(ours)
        self.assertEqual(process.wait(60), 0)
        return shown.decode().replace("\r\n", "\n")

    def test_generated_text_is_bytes_to_a_pipe_and_text_on_a_terminal(self):
        self.write("text", "\x1b[31m\tä\n\u202e漢" * 40)
        for unit in ("char", "byte"):
            self.run_command("train", "text", "--data", "text", "--unit", unit, *SHAPE, "--length",
                             "8", "--steps", "1", "--out", unit)
            prompt = [unit, "--length", "1", "--top-k", "1", "--prompt", "ä\t\x1b\n\u202e漢"]
            self.assertTrue(
                self.run_command("generate", *prompt).stdout.startswith(
                    "ä\t\x1b\n\u202e漢".encode()))
            self.assertTrue(
                self.generate_on_terminal(*prompt).startswith("ä\t\\x1B\n\\u202E漢"))

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_output_that_cannot_be_written_is_a_failure(self):
        self.train("--steps", "1", "--no-bias", "--out", "other")
        for arguments in (["info", "run"], ["eval", "run"], ["export", "run", "-o", "out.h5"],
                          ["diff", "run", "run"], ["diff", "run", "other"],
                          ["--help"], ["--version"], ["train", "--help"], ["info", "--usage"]):
            with self.subTest(arguments), open("/dev/full", "w") as full:
                result = subprocess.run([MIXTAPE, *arguments], stdout=full, stderr=subprocess.PIPE,
                                        cwd=self.folder.name, timeout=60)
                # Of diff, 1 says that models differ.
                self.assertEqual(result.returncode, 2 if "diff" in arguments else 1)
                self.assertIn("standard output: No space left",
                              result.stderr.decode().splitlines()[-1])

    def test_only_regular_files_are_replaced(self):
        os.mkfifo(self.path("pipe"))
        os.mkdir(self.path("folder"))
        self.refuse("export", "run", "-o", "pipe", status=1, says=["pipe", "not a regular file"])
        self.refuse("export", "run", "-o", "folder", status=1, says=["folder", "directory"])
        self.write("real.h5", b"\x89HDF\r\n\x1a\nold")
        os.symlink("real.h5", self.path("link.h5"))
        self.run_command("export", "run", "-o", "link.h5")
        self.assertTrue(os.path.islink(self.path("link.h5")))
        self.assertGreater(os.path.getsize(self.path("real.h5")), 1000)

    def test_hdf5_under_the_name_of_safetensors_is_refused(self):
        self.refuse("import", "run", "-o", "a.safetensors", status=2,
                    says=["a.safetensors", "HDF5"])
        self.assertFalse(os.path.exists(self.path("a.safetensors")))

    def test_a_layout_with_an_eps_of_its_own_refuses_another(self):
        self.refuse("export", "run", "--layout", "hf", "-o", "a.safetensors", status=2,
                    says=["hf", "1e-12", "--norm-eps 1e-05 --no-bias"])

    def test_a_part_has_no_layout(self):
        self.refuse("export", "run", "--part", "rwkv_blocks.0.att", "--layout", "hf", "-o", "a.h5",
                    status=2, says="--layout")

    def test_resuming_refuses_what_is_for_new_runs_and_writes_the_configuration(self):
        self.refuse("train", "--resume", "run", "--out", "elsewhere", status=2, says="--out")
        self.refuse("train", "--resume", "run", "--init", "run", status=2, says="--init")
        self.run_command("train", "--resume", "run", "--steps", "3")
        self.assertIn("steps: 3\n", read(self.path("run", "config.yaml")))
        self.refuse("train", "--resume", "run", "--size", "32", status=2, says=["--size 32", "16"])
        self.refuse("train", "--resume", "run", "--norm-eps", "0.5", status=2,
                    says=["--norm-eps 0.5", "keeps it"])
        self.run_command("train", "--resume", "run", "--size", "16", "--recompute", "--steps", "4")
        self.assertIn("recompute: true\n", read(self.path("run", "config.yaml")))
        self.run_command("train", "--resume", "run", "--recompute=false", "--steps", "5")
        self.assertIn("recompute: false\n", read(self.path("run", "config.yaml")))

    def test_a_run_goes_on_with_another_clip_and_decay_where_they_are_named(self):
        self.run_command("train", "--resume", "run", "--clip", "0.5", "--weight-decay", "0.25",
                         "--steps", "3")
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            adam = file["optimizer"].attrs
            self.assertEqual((adam["clip"], adam["weight_decay"]), (0.5, 0.25))

    def test_a_run_that_never_began_does_not_take_its_name(self):
        os.mkdir(self.path("new"))
        self.write(os.path.join("new", "config.yaml"), "task: copy\n")
        self.train("--steps", "2", "--out", "new")
        self.assertTrue(os.path.exists(self.path("new", "checkpoint.h5")))

    def test_a_model_without_a_run_is_named(self):
        self.run_command("export", "run", "-o", "weights.h5")
        self.refuse("eval", "weights.h5", status=2, says=["weights.h5", "no run's configuration"])
        self.refuse("generate", "weights.h5", status=2, says=["weights.h5", "no head"])


class OtherVerbsTest(CommandTest):
    def test_gradients_are_right(self):
        result = self.run_command("gradcheck", "--device", "cpu")
        self.assertIn("wkv", result.stdout.decode())
        self.assertNotIn("WRONG", result.stdout.decode())


if __name__ == "__main__":
    unittest.main()
