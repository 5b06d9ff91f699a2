"""Runs that are interrupted, killed, or out of room on the disk."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time
import unittest

import h5py

import test_command
from test_command import MIXTAPE, SMALL, read

KILLS = int(os.environ.get("MIXTAPE_KILLS", "12"))


class RunTest(test_command.CommandTest):
    def start(self, *arguments, log=None, **options):
        """A run in the folder `run`, which goes on until it is told to end."""
        arguments = arguments or ["copy", *SMALL]
        if "--resume" not in arguments:
            arguments = [*arguments, "--out", "run"]
        process = subprocess.Popen(
            [MIXTAPE, "train", "--steps", "1000000", "--log-every", "1", *arguments],
            cwd=self.folder.name, stderr=log or subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            **options)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()

    def wait_until(self, holds, process):
        """A run that hangs fails by CTest's timeout."""
        while not holds():
            self.assertIsNone(process.poll())
            time.sleep(0.005)

    def rows(self):
        path = self.path("run", "metrics.csv")
        return read(path).splitlines()[1:] if os.path.exists(path) else []

    def log(self):
        path = self.path("run", "train.log")
        return read(path) if os.path.exists(path) else ""

    def saved_step(self):
        """The step of the checkpoint, which is whole whenever it is read; 0: there is none."""
        path = self.path("run", "checkpoint.h5")
        if not os.path.exists(path):
            return 0
        with h5py.File(path, locking=False) as file:
            return int(file["train"].attrs["step"])

    def content(self, name):
        """The values of a checkpoint and its progress, and the rows, without what a clock
        measures."""
        found = {}
        with h5py.File(self.path(name, "checkpoint.h5")) as file:
            file.visititems(lambda path, item: found.update({path: item[()].tobytes()})
                            if isinstance(item, h5py.Dataset) else None)
            found.update({key: value for key, value in file["train"].attrs.items()
                          if key not in ("seconds", "config")})
        rows = [row.split(",") for row in read(self.path(name, "metrics.csv")).splitlines()]
        return found, [row[:7] + row[9:] for row in rows]


class SignalTest(RunTest):
    def test_sigusr1_saves_and_the_run_goes_on(self):
        process = self.start("copy", *SMALL, "--save-every", "0")
        self.wait_until(lambda: len(self.rows()) >= 3, process)
        for saves in (1, 2):
            process.send_signal(signal.SIGUSR1)
            self.wait_until(lambda: self.log().count("saved after step") == saves, process)
            step = self.saved_step()
            self.assertIn(f"saved after step {step}\n", self.log())
            self.wait_until(lambda: len(self.rows()) >= step + 3, process)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)
        self.assertGreater(self.saved_step(), step)

    def test_a_validation_is_interrupted_and_made_up_for(self):
        options = ["copy", *SMALL, "--steps", "3", "--eval-every", "0", "--log-every", "1"]
        self.run_command("train", *options, "--eval-batches", "2", "--out", "whole")
        process = self.start(*options, "--eval-batches", "1000000000")
        self.wait_until(lambda: "step 3/3" in self.log(), process)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)
        self.assertEqual(self.saved_step(), 3)
        self.assertIn("interrupted after step 3", self.log())
        self.run_command("train", "--resume", "run", "--eval-batches", "2")
        self.assertEqual(self.content("run"), self.content("whole"))


class StreamsTest(RunTest):
    def test_no_file_takes_the_place_of_a_closed_stream(self):
        for streams in ((2,), (0, 2), (1, 2), (0, 1, 2)):
            with self.subTest(streams):
                shutil.rmtree(self.path("run"), ignore_errors=True)
                subprocess.run(
                    [MIXTAPE, "train", "copy", *SMALL, "--steps", "5", "--log-every", "1", "--out",
                     "run"], cwd=self.folder.name, check=False, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, preexec_fn=lambda: list(map(os.close, streams)))
                self.assertEqual([row.split(",")[0] for row in self.rows()], [*"12345"])
                self.assertIn("step 5/5", self.log())


class AddressSpaceTest(test_command.CommandTest):
    """OpenBLAS asks for its buffers again and again where it gets none."""

    TRAIN = ["train", "copy", *SMALL, "--size", "64", "--steps", "1", "--threads", "8"]

    def limited(self, limit, mebibytes, *verb, **variables):
        """The status and standard error of a verb; one that hangs fails by CTest's timeout."""
        process = subprocess.run(
            [MIXTAPE, *verb], cwd=self.folder.name, text=True, capture_output=True,
            env={**os.environ, **variables},
            preexec_fn=lambda: resource.setrlimit(limit, (mebibytes << 20, mebibytes << 20)))
        return process.returncode, process.stderr

    def test_verbs_work_or_fail_with_a_message_whatever_room_they_have(self):
        self.run_command(*self.TRAIN, "--out", "run")
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            for mebibytes in (200, 350, 450, 500, 600, 800):
                for verb in ([*self.TRAIN, "--out", f"run-{limit}-{mebibytes}"], ["info", "run"],
                             ["export", "run", "-o", "run.safetensors"]):
                    status, message = self.limited(limit, mebibytes, *verb)
                    self.assertIn(status, (0, 1), (mebibytes, verb, message))
                    if status == 1:
                        self.assertRegex(message, "mixtape: .*(address space|memory)")

    def test_fewer_threads_of_openblas_need_less_and_none_of_its_variables_makes_it_hang(self):
        self.run_command(*self.TRAIN, "--out", "run")
        for name in "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS":
            for mebibytes in (200, 250, 300, 330, 350, 450):
                status, message = self.limited(resource.RLIMIT_AS, mebibytes, "info", "run",
                                               **{name: "1"})
                if status != 0:
                    self.assertRegex(message, "no address space for OpenBLAS: [0-9]+ buffers? of ")
        self.assertEqual(status, 0, message)

    def test_a_stack_is_large_enough_or_its_size_is_told(self):
        self.run_command(*self.TRAIN, "--out", "run")
        for verb in ([*self.TRAIN, "--out", "new"], ["info", "run"], ["gradcheck"],
                     ["export", "run", "-o", "run.safetensors"], ["import", "run", "-o", "a.h5"]):
            with self.subTest(verb):
                for kibibytes in 64, 128:
                    process = subprocess.run(["sh", "-c", f'ulimit -s {kibibytes}; exec "$@"', "sh",
                                              MIXTAPE, *verb], cwd=self.folder.name,
                                             capture_output=True, text=True)
                    self.assertEqual((process.returncode, process.stderr), (
                        1, f"mixtape: a stack of {kibibytes} KiB is too small (ulimit -s 1024)\n"))
                status, message = self.limited(resource.RLIMIT_STACK, 1, *verb)
                self.assertEqual(status, 0, message)

    def test_openblas_that_could_not_start_is_told(self):
        status, message = self.limited(resource.RLIMIT_DATA, 100, "info", "run")
        self.assertEqual(status, 1)
        self.assertRegex(message, r"^mixtape: no address space for OpenBLAS: \d+ buffers? of ")


class FewFilesAndProcessesTest(RunTest):
    """Limits that leave too little for a child process, or for the files of a run."""

    TRAIN = ["train", "copy", *SMALL, "--steps", "2", "--threads", "8"]

    def setUp(self):
        super().setUp()
        os.chmod(self.folder.name, 0o777) # for another user
        shutil.copy(MIXTAPE, self.path("mixtape"))
        self.run_command(*self.TRAIN, "--out", "run")
        os.chmod(self.path("run"), 0o755)

    def limited(self, limit, most, *verb):
        """The status and standard error of a verb. The system bounds no processes of root."""
        def restrict():
            resource.setrlimit(limit, (most, most))
            if limit == resource.RLIMIT_NPROC and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(64999)
                os.setuid(64999)
        process = subprocess.run([self.path("mixtape"), *verb], cwd=self.folder.name, text=True,
                                 capture_output=True, preexec_fn=restrict)
        return process.returncode, process.stderr

    def test_without_a_file_more_verbs_work_or_say_so(self):
        told = 0
        for most in (4, 5, 6, 7, 8, 16):
            for verb in ([*self.TRAIN, "--out", f"run{most}"], ["info", "run"], ["eval", "run"],
                         ["export", "run", "-o", "run.safetensors"]):
                with self.subTest(most=most, verb=verb[0]):
                    status, message = self.limited(resource.RLIMIT_NOFILE, most, *verb)
                    self.assertIn(status, (0, 1), message)
                    if status == 1:
                        self.assertRegex(message, r"mixtape: .*: Too many open files( \(|\n)")
                        told += 1
        self.assertGreater(told, 0)
        self.assertEqual(self.limited(resource.RLIMIT_NOFILE, 16, "info", "run")[0], 0)

    def test_without_a_process_more_a_run_is_saved_and_says_that_it_was_not_read_back(self):
        status, message = self.limited(resource.RLIMIT_NPROC, 1, *self.TRAIN, "--out", "new")
        self.assertEqual(status, 1, message)
        self.assertRegex(message, r"mixtape: new/checkpoint.h5: no process to read it in: .* \(it "
                         r"was written after step 2, but not read back\)\n")
        with h5py.File(self.path("new", "checkpoint.h5")) as file:
            self.assertEqual(file["train"].attrs["step"], 2)
        for verb in (["info", "run"], ["export", "run", "-o", "run.safetensors"]):
            status, message = self.limited(resource.RLIMIT_NPROC, 1, *verb)
            self.assertEqual(status, 1, message)
            self.assertRegex(message, "^mixtape: run/best.h5: no process to read it in: ")


class DataTest(RunTest):
    """A run that goes on with data that it did not begin with."""

    EASY, HARD = "abcd" * 200, "".join(random.Random(5).choices("abcd", k=900))

    def setUp(self):
        super().setUp()
        self.write("easy.txt", self.EASY)
        self.write("hard.txt", self.HARD)
        self.run_command("train", "text", "--data", "easy.txt", "--size", "8", "--blocks", "1",
                         "--batch", "2", "--length", "8", "--threads", "1", "--lr", "0.05",
                         "--steps", "60", "--eval-every", "20", "--out", "run")

    def go_on(self, steps, *arguments):
        """What a run says that goes on, and the step of its best model."""
        result = self.run_command("train", "--resume", "run", "--steps", str(steps), *arguments)
        with h5py.File(self.path("run", "best.h5")) as file:
            return result.stderr.decode(), int(file["train"].attrs["step"])

    def test_the_best_loss_begins_anew_with_other_held_out_data(self):
        for i, arguments in enumerate((["--data", "hard.txt"], ["--valid-data", "easy.txt"],
                                       ["--length", "7"])):
            said, best = self.go_on(80 + 20 * i, *arguments)
            self.assertIn("the best loss and patience begin anew", said)
            self.assertEqual(best, 80 + 20 * i)

    def test_a_run_that_has_no_step_left_says_so(self):
        said, best = self.go_on(60, "--length", "7")
        self.assertRegex(said, r"done after step 60 and [\d.]+ s; no step was left\n")
        self.assertLessEqual(best, 60)

    def test_the_best_loss_stays_with_the_same_held_out_data(self):
        said, best = self.go_on(80, "--valid-data", "hard.txt", "--lr", "1e-9")
        self.assertEqual(best, 80)
        os.rename(self.path("easy.txt"), self.path("moved.txt"))
        self.write("copy.txt", self.HARD)
        for arguments in (["--data", "moved.txt"], ["--valid-data", "copy.txt"], ["--batch", "3"],
                          ["--eval-batches", "900"]):
            said, _ = self.go_on(90, *arguments)
            self.assertNotIn("other data", said)
        said, _ = self.go_on(91, "--data", "copy.txt")
        self.assertIn("other data to train on\n", said)

    def test_data_that_changed_under_their_name_are_refused_until_named_again(self):
        before = read(self.path("run", "checkpoint.h5"), mode="rb")
        for changed, sizes in ((self.EASY[::-1], "still 800 bytes, but not the same;"),
                               (self.EASY + "X", "800 bytes then, 801 now;"),
                               ("ab", "800 bytes then, 2 now;"),
                               (self.EASY + "a", "800 bytes then, 801 now;")):
            self.write("easy.txt", changed)
            self.refuse("train", "--resume", "run", "--steps", "80", status=2,
                        says=["easy.txt", "changed", sizes, "--data"])
            self.assertEqual(read(self.path("run", "checkpoint.h5"), mode="rb"), before)
        said, best = self.go_on(80, "--data", "easy.txt")
        self.assertIn("other data to train on; other data to validate on", said)
        self.assertEqual(best, 80)
        self.go_on(81)


class BadStepTest(RunTest):
    """A symbol that the data have three times, and whose embedding overflows the norm behind it."""

    def setUp(self):
        super().setUp()
        letters = random.Random(1).choices("abcd", k=4000)
        letters[100] = letters[1500] = letters[2500] = "z"
        self.write("text.txt", "".join(letters))
        self.options = [
            "--size", "8", "--blocks", "1", "--batch", "2", "--length", "8", "--threads", "1",
            "--eval-every", "0", "--save-every", "10", "--log-every", "1"
        ]
        self.run_command("train", "text", "--data", "text.txt", *self.options, "--steps", "1",
                         "--out", "base")
        with h5py.File(self.path("base", "checkpoint.h5"), "r+") as file:
            file["model/embed.weight"][4] = [3e38, -3e38] * 4

    def go(self, *arguments, status=0, out="run"):
        return self.run_command("train", "text", "--data", "text.txt", "--init",
                                "base/checkpoint.h5", *self.options, "--steps", "120", "--out",
                                out, *arguments, status=status).stderr.decode()

    def test_a_bad_step_ends_the_run_and_is_repeated(self):
        said = self.go(status=1).splitlines()[-1]
        self.assertRegex(said, r"mixtape: step \d+: the loss is nan; forward: element \d+ of the "
                         r"output of layer_norm \(2, 8, 8\) is nan \(layer embed_norm\); "
                         r"kept for mixtape replay in run/bad_step.h5 \(lower --lr, or a wider "
                         r"--dtype\) \(saved after step \d+\)$")
        step = int(re.search(r"step (\d+)", said)[1])
        self.assertEqual(self.saved_step(), step - 1)
        self.assertIn(f"(saved after step {step - 1})", said)
        found = re.search("forward: .*embed_norm\\)", said)[0]
        os.remove(self.path("text.txt"))
        for run in ("run", "run/bad_step.h5"):
            self.assertEqual(self.run_command("replay", run).stdout.decode().splitlines(),
                             [f"step {step}, batch {step - 1}, on cpu", "loss nan", found])

    def test_a_run_that_a_bad_step_ended_goes_on_to_the_same_bits(self):
        self.go("--on-bad-step", "skip", out="whole")
        said = self.go("--save-every", "0", status=1)
        step = int(re.search(r"saved after step (\d+)\)$", said.splitlines()[-1])[1])
        self.assertEqual(len(self.rows()), step)
        self.run_command("train", "--resume", "run", "--on-bad-step", "skip")
        self.assertEqual(self.content("run"), self.content("whole"))

    def test_bad_steps_are_skipped_and_counted(self):
        said = self.go("--on-bad-step", "skip")
        skipped = re.findall(r"step (\d+): the loss is nan.*skipped, (\d+) of at most 10\n", said)
        self.assertGreater(len(skipped), 1)
        rows = [row.split(",") for row in self.rows()]
        self.assertEqual([row[0] for row in rows], [str(step) for step in range(1, 121)])
        self.assertEqual([row[0] for row in rows if row[1] == ""], [step for step, _ in skipped])
        self.assertEqual([row[10] for row in rows],
                         [str(sum(int(step) <= i for step, _ in skipped)) for i in range(1, 121)])
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            self.assertEqual(file["train"].attrs["skipped"], len(skipped))
            self.assertEqual(file["optimizer"].attrs["step"], 120 - len(skipped))

    def test_a_run_with_too_many_bad_steps_ends_and_goes_on_when_more_may_be(self):
        said = self.go("--on-bad-step", "skip", "--bad-steps", "1", status=1)
        self.assertIn("; 1 step was skipped before, as many as may", said.splitlines()[-1])
        self.run_command("train", "--resume", "run", "--bad-steps", "100")
        self.assertEqual(self.saved_step(), 120)

    def test_a_validation_that_is_not_finite_ends_a_run_that_is_saved(self):
        self.write("text.txt", "abcd" * 40)
        self.write("valid.txt", "abzd" * 8)
        options = ("--valid-data", "valid.txt", "--eval-every", "40", "--save-every", "0")
        self.go(*options, "--on-bad-step", "skip", out="whole")
        said = self.go(*options, status=1).splitlines()[-1]
        self.assertRegex(said, r"mixtape: validation after step 40: the loss on held-out data is "
                         r"nan \(--on-bad-step skip goes on\) \(saved after step 40\)$")
        self.assertEqual(self.saved_step(), 40)
        said = self.run_command("train", "--resume", "run", "--on-bad-step", "skip")
        self.assertEqual(said.stderr.decode().count("the run goes on"), 3)
        self.assertEqual(self.content("run"), self.content("whole"))
        self.assertEqual([row.split(",")[3] for row in self.rows() if row.split(",")[3]],
                         ["inf"] * 3)
        said = self.run_command("train", "--resume", "run", "--steps", "200", "--patience", "4")
        self.assertIn("no better validation any more: after step 160 and ", said.stderr.decode())
        self.assertIn("; no validation loss was finite\n", said.stderr.decode())

    def test_a_run_without_a_bad_step_has_nothing_to_repeat(self):
        self.refuse("replay", "base", status=1, says=["base", "no step was bad"])
        self.refuse("replay", "base/checkpoint.h5", status=2, says=["checkpoint.h5", "no batch"])


class FullDiskTest(RunTest):
    """A limit on the size of files stands in for the disk: train.log stays below it, checkpoints do
    not, and metrics.csv reaches it."""

    ROOM = 20000

    def limit(self, process, size):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def test_a_run_goes_on_while_there_is_no_room_and_saves_once_there_is(self):
        process = self.start("copy", *SMALL, "--save-every", "500", "--eval-every", "0")
        self.wait_until(lambda: self.saved_step() > 0, process)
        self.limit(process, self.ROOM)
        self.wait_until(lambda: "not saved: run/metrics.csv" in self.log(), process)
        step = self.saved_step()
        self.assertRegex(self.log(), r"step \d+: not saved: run/.*: File too large .*goes on")
        steps = re.findall(r"step (\d+): not saved: run/checkpoint.h5", self.log())
        self.assertEqual([step for step in steps if int(step) % 500 != 0], [])
        self.run_command("info", "run/checkpoint.h5")
        saves = self.log().count("not saved")
        self.wait_until(lambda: self.log().count("not saved") >= saves + 3, process)
        self.assertEqual(self.saved_step(), step)
        self.limit(process, resource.RLIM_INFINITY)
        self.wait_until(lambda: self.saved_step() > step, process)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(), 128 + signal.SIGINT)
        self.assertEqual([int(row.split(",")[0]) for row in self.rows()],
                         list(range(1, self.saved_step() + 1)))

    def test_a_best_model_that_could_not_be_saved_is_not_the_best(self):
        process = self.start("copy", *SMALL, "--save-every", "0", "--eval-every", "100")
        self.wait_until(lambda: os.path.exists(self.path("run", "best.h5")), process)
        self.limit(process, self.ROOM)
        self.wait_until(lambda: self.log().count("not saved: run/best.h5") >= 2, process)
        best = read(self.path("run", "best.h5"), mode="rb")
        self.limit(process, resource.RLIM_INFINITY)
        self.wait_until(lambda: read(self.path("run", "best.h5"), mode="rb") != best, process)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(), 128 + signal.SIGINT)
        with h5py.File(self.path("run", "checkpoint.h5")) as last, \
                h5py.File(self.path("run", "best.h5")) as file:
            self.assertEqual(file["train"].attrs["step"], last["train"].attrs["best_step"])

    def test_a_last_save_without_room_fails_the_run(self):
        process = self.start("copy", *SMALL, "--save-every", "500")
        self.wait_until(lambda: self.saved_step() > 0, process)
        self.limit(process, self.ROOM)
        self.wait_until(lambda: "not saved" in self.log(), process)
        step = self.saved_step()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(), 1)
        self.assertIn("File too large", self.log().splitlines()[-1])
        self.assertEqual(self.saved_step(), step)


class PowerTest(RunTest):
    """The order in which a run's files reach the disk (docs/reliability.md, a loss of power)."""

    CALL = re.compile(r'(\d+) +(\w+)\((?:\d+<([^>]*)>|"([^"]*)"(?:, "([^"]*)")?)')

    @classmethod
    def setUpClass(cls):
        if not shutil.which("strace") and not os.environ.get("MIXTAPE_REQUIRE_ALL"):
            raise unittest.SkipTest("strace cannot be found")

    def calls(self):
        """(thread, call, path, new path) of a run that saves each of its three steps, in order."""
        self.folder_path = os.path.realpath(self.folder.name)
        subprocess.run([
            "strace", "-f", "-y", "-e", "trace=mkdir,write,pwrite64,fsync,rename", "-o", "trace",
            MIXTAPE, "train", "copy", *SMALL, "--threads", "1", "--steps", "3", "--save-every", "1",
            "--log-every", "1", "--eval-every", "2", "--out",
            os.path.join(self.folder_path, "new", "run")
        ], cwd=self.folder.name, check=True, capture_output=True)
        found = [self.CALL.match(line) for line in read(self.path("trace")).splitlines()]
        return [(call[1], call[2], call[3] or call[4], call[5]) for call in found
                if call and self.folder_path in call[0]]

    def test_a_file_is_flushed_before_its_name_and_the_name_before_what_follows(self):
        calls = self.calls()
        names = []
        for i, (thread, call, part, name) in enumerate(calls):
            if call == "rename":
                names.append(os.path.basename(name))
                before = [call for call in calls[:i] if call[0] == thread]
                after = [call for call in calls[i + 1:] if call[0] == thread]
                flush = (thread, "fsync", part, None)
                self.assertEqual(before[-1], flush)
                self.assertEqual(after[0], (thread, "fsync", os.path.dirname(name), None))
                self.assertEqual([call for call in calls[calls.index(flush):]
                                  if "write" in call[1] and call[2] == part], [])
        self.assertEqual(names, [
            "metrics.csv", "config.yaml", "checkpoint.h5", "best.h5", "checkpoint.h5", "best.h5",
            "checkpoint.h5"
        ])

    def test_rows_are_flushed_before_the_checkpoint_of_their_step_is_begun(self):
        calls = [(call, os.path.basename(path), os.path.basename(name or ""))
                 for _, call, path, name in self.calls()]
        row, flushed = ("write", "metrics.csv", ""), ("fsync", "metrics.csv", "")
        parts = [path for call, path, name in calls if name == "checkpoint.h5"]
        saves = [[path for _, path, _ in calls].index(part) for part in parts] # its first write
        self.assertEqual(len(saves), 3)
        for save, before in zip(saves, [0, *saves]):
            self.assertEqual([call for call in calls[before:save] if call in (row, flushed)],
                             [row, flushed])

    def test_new_folders_are_flushed_in_the_one_that_they_are_in(self):
        calls = self.calls()
        made = [i for i, call in enumerate(calls)
                if call[1] == "mkdir" and "tensorboard" not in call[2]]
        new = os.path.join(self.folder_path, "new")
        self.assertEqual([calls[i][2] for i in made][-2:], [new, os.path.join(new, "run")])
        for i in made[-2:]:
            thread, _, path, _ = calls[i]
            self.assertEqual(calls[i + 1], (thread, "fsync", os.path.dirname(path), None))


class UnsavedTest(RunTest):
    def test_a_run_that_has_saved_nothing_is_told_as_such(self):
        self.run_command("train", "copy", *SMALL, "--steps", "1", "--out", "run")
        for name in "best.h5", "checkpoint.h5":
            os.remove(self.path("run", name))
        self.refuse("train", "--resume", "run", status=1, says=["run/checkpoint.h5: this run has "
                                                                "saved nothing yet"])
        for verb in "eval", "generate":
            self.refuse(verb, "run", status=1, says=["run: a run that has saved no model yet"])


class EditedConfigTest(RunTest):
    def setUp(self):
        super().setUp()
        self.run_command("train", "copy", *SMALL, "--steps", "3", "--out", "run")
        shutil.copytree(self.path("run"), self.path("other"))

    def edit(self, old, new):
        text = read(self.path("run", "config.yaml"))
        self.assertIn(old, text)
        self.write("run/config.yaml", text.replace(old, new))

    def test_options_of_the_file_are_as_if_they_were_given(self):
        self.edit("lr: 0.003\n", "lr: 0.01\n")
        self.edit("steps: 3\n", "steps: 9\n")
        result = self.run_command("train", "--resume", "run", "--steps", "5")
        self.assertIn("config.yaml has lr 0.01, the checkpoint 0.003 (taken: config.yaml's,",
                      result.stderr.decode())
        self.run_command("train", "--resume", "other", "--steps", "5", "--lr", "0.01")
        self.assertEqual(self.content("run"), self.content("other"))
        self.assertEqual(read(self.path("run", "config.yaml")),
                         read(self.path("other", "config.yaml")).replace('"other"', '"run"'))

    def test_what_says_nothing_else_stays_as_somebody_wrote_it(self):
        lines = read(self.path("run", "config.yaml")).splitlines()
        text = "# why\n" + "\n".join(reversed(lines)) + "\n"
        self.write("run/config.yaml", text)
        self.run_command("train", "--resume", "run")
        self.assertEqual(read(self.path("run", "config.yaml")), text)
        self.run_command("train", "--resume", "run", "--steps", "4")
        self.assertIn("steps: 4\n", read(self.path("run", "config.yaml")))

    def test_what_is_told_of_the_run_is_not_taken_from_the_file(self):
        """Where it is, and the sums of its data, which a run that was killed may have noted."""
        self.edit('out: "run"\n', 'out: "elsewhere"\n')
        said = self.run_command("train", "--resume", "run", "--steps", "4").stderr.decode()
        self.assertIn("config.yaml has out elsewhere, the checkpoint run (taken: run)\n", said)
        self.assertFalse(os.path.exists(self.path("elsewhere")))
        self.assertIn('out: "run"\n', read(self.path("run", "config.yaml")))
        self.write("text", "abc" * 100)
        self.run_command("train", "text", "--size", "8", "--blocks", "1", "--data", "text",
                         "--length", "8", "--steps", "1", "--out", "text-run")
        text = read(self.path("text-run", "config.yaml"))
        digest = text.split("data-digest: ")[1].split()[0]
        self.write("text-run/config.yaml", text.replace(digest, "5-0"))
        said = self.run_command("train", "--resume", "text-run", "--steps", "2").stderr.decode()
        self.assertIn(f"has data-digest 5-0, the checkpoint {digest} (taken: the checkpoint's)",
                      said)

    def test_what_a_run_keeps_is_refused_and_stays_as_it_was(self):
        for old, new, status, says in (
            ("seed: 1\n", "seed: 2\n", 2, ["--seed 2", "began with 1"]),
            ("task: copy\n", "task: echo\n", 2, ["task echo"]),
            ('init: ""\n', 'init: "other"\n', 2, ["--init other", "began with none"]),
            ('nlsyms: ""\n', 'nlsyms: "<a>"\n', 2, ["nlsyms <a>", "began with none"]),
            ("lr: 0.003\n", "rate: 1\n", 1, ["no option 'rate'"]),
            ("lr: 0.003\n", "lr: much\n", 1, ["much"]),
            ("lr: 0.003\n", "lr: {\n", 1, []),
            ("lr: 0.003\n", "lr: 0.003\nlr: 0.01\n", 1, ["line", "twice"]),
            ("lr: 0.003\n", "lr: 0.003\n---\nlr: 0.01\n", 1, ["documents behind the first"])):
            with self.subTest(new):
                self.edit(old, new)
                before = self.files("run")
                self.refuse("train", "--resume", "run", status=status,
                            says=["run/config.yaml", *says])
                self.assertEqual(self.files("run"), before)
                self.edit(new, old)


class KillTest(RunTest):
    """MIXTAPE_KILLS says how many."""

    STEPS = 400

    def train(self, name, *arguments):
        options = [
            "copy", *SMALL, "--save-every", "1", "--eval-every", "7", "--log-every", "1",
            "--dropout", "0.1", "--steps", str(self.STEPS)
        ]
        command = ["train", *options, "--out", name]
        if os.path.exists(self.path(name, "checkpoint.h5")):
            command = ["train", "--resume", name]
        return subprocess.Popen([MIXTAPE, *command], cwd=self.folder.name,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def test_killed_at_any_moment_a_run_goes_on_to_the_same_bits(self):
        whole = self.train("whole")
        self.assertEqual(whole.wait(), 0, whole.communicate()[1])
        moments = random.Random(7)
        kills = 0
        while kills < KILLS:
            process = self.train("run")
            time.sleep(0.02 + 0.1 * moments.random())
            if process.poll() is not None: # it has come to its end: once more from the start
                self.assertEqual(process.returncode, 0, process.communicate()[1])
                self.assertEqual(self.content("run"), self.content("whole"))
                subprocess.run(["rm", "-r", self.path("run")], check=True)
                continue
            process.send_signal(moments.choice((signal.SIGKILL, signal.SIGTERM)))
            process.communicate()
            kills += 1
        last = self.train("run")
        self.assertEqual(last.wait(), 0, last.communicate()[1])
        self.assertEqual(self.content("run"), self.content("whole"))
        self.assertEqual(*(sorted(os.listdir(self.path(name))) for name in ("run", "whole")))


if __name__ == "__main__":
    unittest.main()
