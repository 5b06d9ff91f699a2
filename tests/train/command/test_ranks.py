"""Runs of several processes, by Open MPI's mpirun on this machine."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import numpy

import test_reliability
from launchers import HAS_MPI, MPIRUN, OF_OPEN_MPI
from test_command import COPY, MIXTAPE, read

SIZES = ["--size", "16", "--blocks", "1", "--batch", "8", "--threads", "1", "--eval-batches", "3"]
SHAPE = [*SIZES, *COPY]


def setUpModule():
    if not HAS_MPI:
        if os.environ.get("MIXTAPE_REQUIRE_ALL"):
            raise AssertionError("no mpirun, or mixtape was built without MPI")
        raise unittest.SkipTest("no mpirun, or mixtape was built without MPI")


class RanksTest(test_reliability.RunTest):
    def setUp(self):
        super().setUp()
        # Sockets have short names.
        self.session = tempfile.TemporaryDirectory(prefix="mpi", dir="/tmp")
        self.addCleanup(self.session.cleanup)

    def environment(self):
        return {**os.environ, **OF_OPEN_MPI, "TMPDIR": self.session.name}

    def ranks(self, count, *arguments, status=0, program=(MIXTAPE,)):
        """What `mpirun -n COUNT mixtape ARGUMENTS` said on standard error; with other programs,
        ":" starts those of the next ranks."""
        result = subprocess.run([MPIRUN, "-n", str(count), *program, *arguments],
                                capture_output=True, cwd=self.folder.name, timeout=120,
                                env=self.environment())
        errors = result.stderr.decode()
        self.assertEqual(result.returncode, status, errors)
        return errors

    def complaints(self, errors):
        return [line for line in errors.splitlines() if line.startswith("mixtape: ")]

    def start_ranks(self, count, *arguments):
        process = subprocess.Popen(
            [MPIRUN, "-n", str(count), MIXTAPE, "train", "--steps", "1000000", "--log-every", "1",
             "--out", "run", *arguments],
            cwd=self.folder.name, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env=self.environment())
        self.addCleanup(process.stderr.close)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.terminate() # mpirun then ends its ranks
        process.wait()

    def processes(self, mpirun):
        """The ranks that it started, in their order."""
        found = {}
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
                if parent == mpirun.pid:
                    with open(f"/proc/{name}/environ") as file:
                        rank = re.search(r"OMPI_COMM_WORLD_RANK=(\d+)", file.read())
                    found[int(rank[1])] = int(name)
            except (OSError, ValueError, TypeError):
                pass
        return [found[rank] for rank in sorted(found)]

    def wait_for_end(self, processes):
        """Nothing of them runs any more, whoever is left to ask for their status."""
        begun = time.monotonic()
        for process in processes:
            while self.state(process) not in ("Z", "X", None):
                self.assertLess(time.monotonic() - begun, 20)
                time.sleep(0.05)

    def state(self, process):
        try:
            with open(f"/proc/{process}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            return None

    def losses(self, name, column="loss"):
        rows = [row.split(",") for row in read(self.path(name, "metrics.csv")).splitlines()]
        at = rows[0].index(column)
        return [float(row[at]) for row in rows[1:] if row[at]]


class TrainTest(RanksTest):
    def test_any_number_of_processes_has_the_same_curve(self):
        options = ["train", "copy", *SHAPE, "--steps", "20", "--log-every", "1", "--eval-every",
                   "10", "--dropout", "0.1", "--clip", "0.5"]
        self.run_command(*options, "--out", "1")
        for count in (2, 4):
            errors = self.ranks(count, *options, "--out", str(count))
            self.assertEqual(errors.count("done after step 20"), 1, errors)
            self.assertIn(f"{count} processes of 1 thread", errors)
            for column in ("loss", "val_loss", "grad_norm"):
                numpy.testing.assert_allclose(self.losses(str(count), column),
                                              self.losses("1", column), rtol=2e-4)
        self.ranks(2, *options, "--out", "again")
        self.assertEqual(self.content("again"), self.content("2"))

    def test_an_adapter_has_the_same_curve(self):
        self.run_command("train", "copy", *SHAPE, "--steps", "5", "--out", "model")
        for kind in ("state", "lora"):
            options = ["train", "copy", *COPY, "--batch", "16", "--init", "model", "--tune", kind,
                       "--steps", "10", "--log-every", "1", "--eval-every", "5", "--lr", "0.01"]
            self.run_command(*options, "--schedule", "constant", "--out", kind)
            self.ranks(2, *options, "--split-optimizer", "--steps", "5", "--schedule", "constant",
                       "--out", f"{kind}-2")
            self.ranks(2, "train", "--resume", f"{kind}-2", "--steps", "10")
            for column in ("loss", "val_loss", "grad_norm"):
                numpy.testing.assert_allclose(self.losses(f"{kind}-2", column),
                                              self.losses(kind, column), rtol=2e-4)

    def test_a_run_goes_on_with_another_number(self):
        self.go_on_with_another_number("copy", *COPY)

    def test_what_each_carries_is_shared_anew(self):
        self.write("text", "".join(str(i * i % 97) for i in range(1500)))
        self.go_on_with_another_number("text", "--data", "text", "--length", "5",
                                       "--carry-gradient", "2", "--eval-every", "7")

    def go_on_with_another_number(self, *task):
        options = ["train", *task, *SIZES, "--log-every", "1"]
        self.run_command(*options, "--steps", "20", "--schedule", "constant", "--out", "whole")
        self.ranks(2, *options, "--steps", "8", "--schedule", "constant", "--out", "run")
        self.ranks(4, "train", "--resume", "run", "--steps", "14")
        self.run_command("train", "--resume", "run", "--steps", "20")
        numpy.testing.assert_allclose(self.losses("run"), self.losses("whole"), rtol=2e-4)

    def test_patience_and_time_end_all(self):
        options = ["train", "copy", *SHAPE, "--steps", "100000000", "--eval-every", "1"]
        said = self.ranks(2, *options, "--patience", "2", "--lr", "1e-12", "--out", "run")
        self.assertIn("no better validation any more", said)
        said = self.ranks(2, *options, "--max-time", "0.002", "--out", "late")
        self.assertIn("out of time after step", said)

    def test_moments_that_are_split_change_no_bit(self):
        options = ["train", "copy", *SHAPE, "--log-every", "1", "--save-every", "3",
                   "--eval-every", "2", "--dtype", "bf16", "--schedule", "constant"]
        split = "--split-optimizer"
        self.ranks(4, *options, "--steps", "8", "--out", "whole")
        self.ranks(4, *options, "--steps", "4", split, "--out", "run")
        self.ranks(4, "train", "--resume", "run", "--steps", "6", split)
        self.ranks(4, "train", "--resume", "run", "--steps", "8", split + "=false")
        self.assertEqual(self.content("run"), self.content("whole"))

    def test_transcripts_share_batches_with_empty_rows(self):
        self.write("text", "".join(f"u{i} {'ab' * (i % 4 + 1)}\n" for i in range(9)))
        self.write("tokens", "<blank>\n<unk>\na\nb\n<sos/eos>\n")
        options = ["train", "tokens", "--data", "text", "--valid-data", "text", "--token-list",
                   "tokens", "--size", "16", "--blocks", "1", "--batch", "8", "--threads", "1",
                   "--steps", "6", "--log-every", "1"]
        self.run_command(*options, "--out", "1")
        self.ranks(4, *options, "--out", "4")
        numpy.testing.assert_allclose(self.losses("4"), self.losses("1"), rtol=2e-4)
        numpy.testing.assert_allclose(self.losses("4", "val_loss"), self.losses("1", "val_loss"),
                                      rtol=2e-4)


class SignalTest(RanksTest):
    def test_a_signal_to_any_rank_saves_and_ends_all(self):
        process = self.start_ranks(2, "copy", *SHAPE, "--save-every", "0")
        self.wait_until(lambda: len(self.rows()) >= 3, process)
        os.kill(self.processes(process)[1], signal.SIGUSR1)
        self.wait_until(lambda: "saved after step" in self.log(), process)
        os.kill(self.processes(process)[1], signal.SIGTERM)
        errors = process.communicate(timeout=60)[1].decode()
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
        step = int(re.search(r"interrupted after step (\d+), saved", self.log())[1])
        self.assertEqual(self.saved_step(), step)

    def test_a_killed_rank_ends_all_and_leaves_a_whole_checkpoint(self):
        for rank in (0, 1):
            shutil.rmtree(self.path("run"), ignore_errors=True)
            process = self.start_ranks(2, "copy", *SHAPE, "--save-every", "2")
            self.wait_until(lambda: self.saved_step() >= 4, process)
            ranks = self.processes(process)
            os.kill(ranks[rank], signal.SIGKILL)
            begun = time.monotonic()
            errors = process.communicate(timeout=60)[1].decode()
            self.assertLess(time.monotonic() - begun, 20)
            self.assertNotEqual(process.returncode, 0)
            self.assertIn(f"process rank {rank} ", errors)
            self.wait_for_end(ranks)
            self.assertGreaterEqual(self.saved_step(), 4)
            self.run_command("train", "--resume", "run", "--steps", str(self.saved_step() + 2),
                             "--schedule", "constant")


class MemoryTest(RanksTest):
    TRIES = 6

    def train(self, fail_at, *others):
        """A short run whose rank 0 has one allocation fail. Returns what mpirun said, its status,
        and how many allocations there were."""
        options = [MIXTAPE, "train", "copy", *SHAPE, "--steps", "4", "--save-every", "2",
                   "--eval-every", "1", "--out", f"run{fail_at}", *others]
        self.write("count", b"\0" * 8)
        fail = ["env", "LD_PRELOAD=" + os.environ["FAILING_CALLS"], "FAIL_CALLS=memory",
                f"FAIL_AT={fail_at}", "FAIL_COUNT=" + self.path("count")]
        result = subprocess.run([MPIRUN, "-n", "1", *fail, *options, ":", "-n", "1", *options],
                                capture_output=True, cwd=self.folder.name, timeout=120,
                                env=self.environment())
        return result.stderr.decode(), result.returncode, int(numpy.fromfile(self.path("count"),
                                                                             numpy.int64)[0])

    def test_where_rank_0_has_no_memory_none_waits_for_ever(self):
        """The first half of all allocations are mostly those by which MPI starts, which does not
        always survive."""
        _, status, count = self.train(1 << 60)
        self.assertEqual(status, 0)
        told = 0
        for i in range(self.TRIES):
            others = ["--split-optimizer"] if i % 2 == 1 else []
            errors, status, _ = self.train(count // 2 + i * count // (2 * self.TRIES), *others)
            self.assertIn(status, (0, 1), errors)
            self.assertEqual(len(self.complaints(errors)), status, errors)
            told += status
        self.assertGreaterEqual(told, self.TRIES // 2)


class RefusalTest(RanksTest):
    def test_ranks_with_other_options(self):
        options = ["train", "copy", *SHAPE, "--steps", "2", "--out", "run"]
        errors = self.ranks(1, *options, ":", "-n", "1", MIXTAPE, *options, "--lr", "0.5",
                            status=2)
        self.assertEqual(self.complaints(errors),
                         ["mixtape: rank 1: --lr is 0.5, and on rank 0 0.003"])
        self.assertFalse(os.path.exists(self.path("run")))

    def test_ranks_with_other_files(self):
        for name in ("a", "b", "c"):
            self.write(name, "abcdefgh" * 100)
        for first, second, told in ((["a"], ["b"], ("b", "a")), (["a", "b"], ["a"], None),
                                    (["a", "b", "c"], ["a", "c", "b"], ("c", "b"))):
            options = ["train", "text", "--size", "16", "--blocks", "1", "--batch", "4",
                       "--steps", "2", "--out", "run", "--data"]
            errors = self.ranks(1, *options, *first, ":", "-n", "1", MIXTAPE, *options, *second,
                                status=2)
            complaint, = self.complaints(errors)
            self.assertTrue(complaint.startswith("mixtape: rank 1: --data is "), complaint)
            if told:
                self.assertEqual(complaint, 'mixtape: rank 1: --data is "{}", and on rank 0 "{}"'
                                 .format(*map(self.path, told)))

    def test_what_may_differ(self):
        options = ["train", "copy", *SHAPE, "--steps", "2", "--out", "run"]
        self.ranks(1, *options, ":", "-n", "1", MIXTAPE, *options, "--threads", "2")

    IN_FOLDER = ("sh", "-c", 'cd "$1" && shift && exec "$@"', "sh")

    def refused(self, first, second, told):
        """Two ranks, each a folder and arguments, end with this one line, whichever is first."""
        for one, other in (first, second), (second, first):
            errors = self.ranks(1, one[0], MIXTAPE, *one[1:], ":", "-n", "1", *self.IN_FOLDER,
                                other[0], MIXTAPE, *other[1:], status=2, program=self.IN_FOLDER)
            complaint, = self.complaints(errors)
            self.assertRegex(complaint, told)

    def test_ranks_beside_other_models(self):
        for name, seed in (("a", "1"), ("b", "2")):
            os.mkdir(self.path(name))
            self.run_command("train", "copy", *SHAPE, "--steps", "1", "--seed", seed, "--out",
                             os.path.join(name, "model"))
        options = [MIXTAPE, "train", "copy", *COPY, "--batch", "16", "--init", "model", "--tune",
                   "lora", "--steps", "2", "--out", "run"]
        errors = self.ranks(1, self.path("a"), *options, ":", "-n", "1", *self.IN_FOLDER,
                            self.path("b"), *options, program=self.IN_FOLDER, status=2)
        complaint, = self.complaints(errors)
        self.assertIn("it has other weights than on rank 0", complaint)
        self.assertFalse(os.path.exists(self.path("a", "run")))

    def test_ranks_of_other_kinds_of_runs(self):
        new = ["train", "copy", *SHAPE, "--steps", "4", "--schedule", "constant", "--out", "run"]
        for folder, steps in ("x", 2), ("y", 4):
            os.makedirs(self.path(folder))
            self.ranks(1, folder, MIXTAPE, *new, "--steps", str(steps), program=self.IN_FOLDER)
        self.refused([".", *new], [".", *new, "--dry-run"],
                     r"--dry-run: it is of one process, and there are 2")
        self.refused([".", *new], ["x", "train", "--resume", "run"],
                     r"rank 1: --resume is (not )?given, and on rank 0 it is ")
        for steps, told in ("3", r"--steps 3: the run has made 4"), \
                           ("9", r"rank 1: the run is at step \d, and on rank 0 at \d"):
            resume = ["train", "--resume", "run", "--steps", steps]
            self.refused(["x", *resume], ["y", *resume], told)
        self.assertFalse(os.path.exists(self.path("run")))

    def test_devices_are_of_one_kind(self):
        program = shutil.copy(os.environ["MIXTAPE_CUDA_ON_CPU"], self.path("mixtape"))
        shutil.copy(os.path.join(os.path.dirname(MIXTAPE), "libmixtape_mpi.so"), self.folder.name)
        options = [program, "train", "copy", *SHAPE, "--steps", "2", "--out", "run", "--device"]
        errors = self.ranks(1, "cpu", ":", "-n", "1", *options, "cuda", program=options, status=2)
        self.assertEqual(self.complaints(errors),
                         ["mixtape: rank 1: the device is cuda, and on rank 0 cpu"])
        self.ranks(2, "cuda", program=options)

    def mount(self, file, name):
        """A command that has `file` in the place of `name`."""
        command = ["unshare", "-m", "sh", "-c", f'mount --bind {file} {name} && exec "$@"', "sh"]
        if subprocess.run([*command, "true"], cwd=self.folder.name,
                          capture_output=True).returncode:
            self.skipTest("no name space of one's own can be had")
        return command

    def test_times_of_data_may_differ(self):
        """Of files that are too long to be read whole, each process may have a copy."""
        ids = numpy.arange(17 << 20, dtype=numpy.uint32) % 50
        for name, when in ("ids.bin", 1000), ("copy", 2000):
            ids.tofile(self.path(name))
            os.utime(self.path(name), (when, when))
        options = ["train", "ids", "--data", "ids.bin", "--ids-type", "uint32", "--vocab-size",
                   "50", "--size", "16", "--blocks", "1", "--batch", "4", "--length", "8",
                   "--steps", "2", "--eval-batches", "1", "--out", "run"]
        self.ranks(1, *options, ":", "-n", "1", *self.mount("copy", "ids.bin"), MIXTAPE, *options)

    def test_ranks_with_other_data(self):
        """Rank 1 sees another file by the same name."""
        self.write("text", "abcdefgh" * 100)
        self.write("other", "hgfedcba" * 100)
        mount = self.mount("other", "text")
        options = ["train", "text", "--data", "text", "--size", "16", "--blocks", "1", "--batch",
                   "4", "--length", "8", "--steps", "2", "--out", "run"]
        errors = self.ranks(1, *options, ":", "-n", "1", *mount, MIXTAPE, *options, status=2)
        self.assertEqual(self.complaints(errors),
                         [f"mixtape: rank 1: --data {self.path('text')}: not what rank 0 reads "
                          "there"])

    def test_ranks_with_other_labels(self):
        """Tokens or a tokenizer of the same name and number, by which the same text is others'."""
        self.write("text", "".join(f"u{i} abc cab\n" for i in range(20)))
        self.write("tokens", "<blank>\n<unk>\na\nb\nc\n<sos/eos>\n")
        self.write("other-tokens", "<blank>\n<unk>\nc\nb\na\n<sos/eos>\n")
        for name, characters in (("world", "abc u0123456789\n"),
                                 ("other-world", "cba u0123456789\n")):
            self.write(name, "".join(f"{i + 1} {c!r} 1\n" for i, c in enumerate(characters)))
        small = ["--size", "16", "--blocks", "1", "--batch", "4", "--steps", "2", "--out", "run"]
        for name, options in (
                ("tokens", ["tokens", "--data", "text", "--valid-data", "text", "--token-list",
                            "tokens"]),
                ("world", ["text", "--data", "text", "--tokenizer", "world", "--length", "8"])):
            mount = self.mount("other-" + name, name)
            command = ["train", *options, *small]
            errors = self.ranks(1, *command, ":", "-n", "1", *mount, MIXTAPE, *command, status=2)
            self.assertEqual(self.complaints(errors), [
                "mixtape: rank 1: the tokens, or the tokenizer, are not those of rank 0"])
            self.ranks(2, *command[:-1], "with-" + name)

    def test_a_batch_that_cannot_be_shared(self):
        errors = self.ranks(2, "train", "copy", *SHAPE, "--batch", "5", "--out", "run", status=2)
        self.assertEqual(self.complaints(errors), [
            "mixtape: --batch 5: no multiple of the 2 processes that share it"])

    def test_a_failure_of_all_is_told_once(self):
        self.run_command("train", "copy", *SHAPE, "--steps", "2", "--out", "run")
        errors = self.ranks(2, "train", "copy", *SHAPE, "--out", "run", status=2)
        self.assertEqual(len(self.complaints(errors)), 1, errors)
        self.assertIn("there is a run already", self.complaints(errors)[0])
        errors = self.ranks(2, "train", "--resume", "nowhere", status=1)
        self.assertEqual(len(self.complaints(errors)), 1, errors)

    def test_a_failure_of_one_names_it(self):
        options = ["train", "copy", *SHAPE, "--steps", "2", "--out", "run"]
        errors = self.ranks(1, *options, ":", "-n", "1", MIXTAPE, *options, "--device", "cuda:99",
                            status=1)
        complaint, = self.complaints(errors)
        self.assertTrue(complaint.startswith("mixtape: rank 1: "), complaint)
        self.assertFalse(os.path.exists(self.path("run")))

    def test_a_build_without_mpi(self):
        alone = shutil.copy(MIXTAPE, self.path("alone"))
        result = subprocess.run([alone, "train", "copy", *SHAPE], capture_output=True,
                                env={**os.environ, "PMI_SIZE": "2"}, cwd=self.folder.name)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr.decode(),
                         r"\Amixtape: PMI_SIZE tells of 2 processes, but there is no MPI here: no "
                         r"libmixtape_mpi.so in /.*/ \(built with MIXTAPE_MPI=ON; without PMI_SIZE "
                         r"it trains alone\)\n\Z")

    def test_processes_that_mpi_does_not_connect(self):
        for variable, told in (("PMI_SIZE", b"but MPI connects 1"),
                               ("SLURM_STEP_NUM_TASKS", b"but srun was not told to connect them")):
            result = subprocess.run([MIXTAPE, "train", "copy", *SHAPE], capture_output=True,
                                    env={**self.environment(), variable: "3"},
                                    cwd=self.folder.name)
            self.assertEqual(result.returncode, 1)
            self.assertIn(variable.encode() + b" tells of 3 processes, " + told, result.stderr)
            self.assertFalse(os.path.exists(self.path("runs")))


if __name__ == "__main__":
    unittest.main()
