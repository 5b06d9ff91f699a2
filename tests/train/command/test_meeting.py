"""Runs of several processes that no MPI connects: started by hand, or as torchrun starts them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest

import test_reliability
from launchers import HAS_MPI, MPIRUN, OF_OPEN_MPI, free_ports
from test_command import MIXTAPE
from test_ranks import SHAPE

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE")


def free_port():
    return free_ports(1)[0]


class MeetingTest(test_reliability.RunTest):
    def begin(self, rank, *arguments, program=MIXTAPE, **variables):
        environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        process = subprocess.Popen([program, "train", *arguments], cwd=self.folder.name, text=True,
                                   stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   env={**environment, **variables})
        self.addCleanup(process.stderr.close)
        self.addCleanup(self.end, process)
        return process

    def begin_all(self, count, *arguments, host="127.0.0.1"):
        """Processes that are told of one another by options."""
        address = f"{host}:{free_port()}"
        return [self.begin(rank, *arguments, "--address", address, "--rank", str(rank),
                           "--world-size", str(count)) for rank in range(count)]

    def finish(self, processes, status=0, seconds=60):
        """What each said on standard error."""
        errors = [process.communicate(timeout=seconds)[1] for process in processes]
        for process, said in zip(processes, errors):
            self.assertEqual(process.returncode, status, said)
        return errors

    def go_on(self, *processes):
        self.wait_until(lambda: len(self.rows()) >= 3, processes[0])


class TrainTest(MeetingTest):
    OPTIONS = ["copy", *SHAPE, "--steps", "20", "--log-every", "1", "--dropout", "0.1"]

    def test_any_way_of_starting_has_the_same_bits(self):
        for name, host in ("four", "127.0.0.1"), ("names", "localhost"):
            errors = self.finish(self.begin_all(4, *self.OPTIONS, "--out", name, host=host))
            self.assertIn("4 processes of 1 thread", errors[0])
            self.assertEqual(errors[1:], ["", "", ""])
        self.assertEqual(self.content("names"), self.content("four"))
        port = free_port()
        with socket.socket() as launcher: # which listens at its port itself, as torchrun does
            launcher.bind(("", port))
            launcher.listen()
            self.finish([self.begin(rank, *self.OPTIONS, "--out", "torchrun", RANK=str(rank),
                                    WORLD_SIZE="4", MASTER_ADDR="localhost", MASTER_PORT=str(port),
                                    TORCHELASTIC_USE_AGENT_STORE="True") for rank in range(4)])
        self.assertEqual(self.content("torchrun"), self.content("four"))
        address = f"localhost:{free_port()}"
        self.finish([self.begin(rank, *self.OPTIONS, "--out", "srun", "--address", address,
                                SLURM_PROCID=str(rank), SLURM_STEP_NUM_TASKS="4")
                     for rank in range(4)])
        self.assertEqual(self.content("srun"), self.content("four"))

    @unittest.skipUnless(HAS_MPI, "no mpirun, or mixtape was built without MPI")
    def test_mpi_has_the_same_bits(self):
        self.finish(self.begin_all(3, *self.OPTIONS, "--batch", "6", "--out", "tcp"))
        subprocess.run([MPIRUN, "-n", "3", MIXTAPE, "train", *self.OPTIONS, "--batch",
                        "6", "--out", "mpi"], check=True, cwd=self.folder.name,
                       capture_output=True, env={**os.environ, **OF_OPEN_MPI})
        self.assertEqual(self.content("tcp"), self.content("mpi"))


class EndTest(MeetingTest):
    OPTIONS = ["copy", *SHAPE, "--steps", "1000000", "--log-every", "1", "--out", "run"]

    def test_a_signal_to_any_rank_saves_and_ends_all(self):
        processes = self.begin_all(2, *self.OPTIONS, "--save-every", "0")
        self.go_on(*processes)
        processes[1].send_signal(signal.SIGUSR1)
        self.wait_until(lambda: "saved after step" in self.log(), processes[0])
        processes[1].send_signal(signal.SIGTERM)
        self.finish(processes, status=128 + signal.SIGTERM)
        step = int(re.search(r"interrupted after step (\d+), saved", self.log())[1])
        self.assertEqual(self.saved_step(), step)

    def claim_one_tells(self, processes, killed):
        processes.pop(killed).kill()
        told = re.findall(r"^mixtape: .*", "".join(self.finish(processes, status=1)), re.M)
        self.assertEqual(len(told), 1, told)
        self.assertRegex(told[0], r"rank %d: (step \d+: )?communicator: rank %d has ended\Z"
                         % (1 if killed == 0 else 0, killed))

    def test_a_killed_rank_ends_all_and_leaves_a_whole_checkpoint(self):
        for killed in range(3):
            shutil.rmtree(self.path("run"), ignore_errors=True)
            processes = self.begin_all(3, *self.OPTIONS, "--batch", "6", "--save-every", "2")
            self.wait_until(lambda: self.saved_step() >= 4, processes[0])
            begun = time.monotonic()
            self.claim_one_tells(processes, killed)
            self.assertLess(time.monotonic() - begun, 20)
            self.assertGreaterEqual(self.saved_step(), 4)
            self.run_command("train", "--resume", "run", "--steps", str(self.saved_step() + 2),
                             "--schedule", "constant")

    def test_one_rank_tells_it_while_all_validate_and_save_too(self):
        """In a broadcast a rank waits for another than the one that was killed."""
        for killed in 1, 0, 2:
            for seconds in 0.0, 0.013:
                shutil.rmtree(self.path("run"), ignore_errors=True)
                processes = self.begin_all(3, *self.OPTIONS, "--batch", "6", "--save-every", "1",
                                           "--eval-every", "1")
                self.wait_until(lambda: self.saved_step() >= 4, processes[0])
                time.sleep(seconds)
                self.claim_one_tells(processes, killed)

    def test_a_rank_that_exchanges_nothing_is_told_by_another_thread(self):
        """Rank 0 reads data that do not come, and would wait for ever."""
        os.mkfifo(self.path("data"))
        processes = self.begin_all(2, "text", "--data", "data", "--out", "run")
        writers = []
        def is_read():
            try:
                writers.append(os.open(self.path("data"), os.O_WRONLY | os.O_NONBLOCK))
            except OSError: # nobody reads yet
                return False
            return True
        self.wait_until(is_read, processes[0])
        self.addCleanup(os.close, writers[0])
        self.claim_one_tells(processes, 1)

    def test_a_signal_before_all_have_come_is_answered_later(self):
        address = f"127.0.0.1:{free_port()}"
        options = [*self.OPTIONS, "--save-every", "0", "--address", address, "--world-size", "2"]
        first = self.begin(0, *options, "--rank", "0")
        self.wait_until(lambda: self.catches(first, signal.SIGUSR1), first)
        first.send_signal(signal.SIGUSR1)
        second = self.begin(1, *options, "--rank", "1")
        self.wait_until(lambda: "saved after step" in self.log(), first)
        first.terminate()
        self.finish([first, second], status=128 + signal.SIGTERM)

    def catches(self, process, number):
        with open(f"/proc/{process.pid}/status") as file:
            caught = int(re.search(r"SigCgt:\s*([0-9a-f]+)", file.read())[1], 16)
        return caught >> (number - 1) & 1

    def test_a_rank_that_lacks_something_is_named_by_itself_and_the_others(self):
        address = f"127.0.0.1:{free_port()}"
        options = ["copy", *SHAPE, "--steps", "2", "--out", "run", "--address", address,
                   "--world-size", "2", "--rank"]
        processes = [self.begin(0, *options, "0"),
                     self.begin(1, *options, "1", "--device", "cuda:99")]
        errors = self.finish(processes, status=1)
        self.assertRegex(errors[0], r"\Amixtape: rank 1: .*\n\Z")
        self.assertEqual(errors[1], "")


class NcclTest(MeetingTest):
    """On CUDA-on-CPU, with what stands in for NCCL."""

    OPTIONS = ["copy", *SHAPE, "--device", "cuda", "--log-every", "1", "--schedule", "constant"]

    def setUp(self):
        super().setUp()
        self.program = shutil.copy(os.environ["MIXTAPE_CUDA_ON_CPU"], self.path("mixtape"))
        shutil.copy(os.environ["NCCL_STAND_IN"], self.folder.name)

    def begin_two(self, *arguments, **variables):
        address = f"127.0.0.1:{free_port()}"
        return [self.begin(rank, *arguments, "--address", address, "--rank", str(rank),
                           "--world-size", "2", program=self.program, **variables)
                for rank in range(2)]

    def test_a_run_has_the_bits_of_one_through_the_host(self):
        for name, variables, says in (
                ("nccl", {}, "gradients are summed by NCCL 2.28.3\n"),
                ("host", {"MIXTAPE_NCCL": "0"}, "gradients are summed through the host's memory: "
                                                "MIXTAPE_NCCL is 0\n")):
            errors = self.finish(self.begin_two(*self.OPTIONS, "--steps", "10", "--out", name,
                                                **variables))
            self.assertIn(says, errors[0])
            self.assertEqual(errors[1], "")
        self.assertEqual(self.content("nccl"), self.content("host")) # the stand-in's order is ours

    def test_one_process_makes_the_calls_where_it_is_asked_to(self):
        process = self.begin(0, *self.OPTIONS, "--steps", "3", "--out", "run",
                             program=self.program, MIXTAPE_NCCL="1")
        self.assertIn("gradients are summed by NCCL 2.28.3\n", self.finish([process])[0])

    def test_sums_that_were_ended_are_not_saved(self):
        whole = self.begin_two(*self.OPTIONS, "--steps", "7", "--out", "whole")
        self.finish(whole)
        for fails, says in (("async 1 9", "communicator: NCCL: remote process exited"),
                            ("die 1 9", None)):
            shutil.rmtree(self.path("run"), ignore_errors=True)
            processes = self.begin_two(*self.OPTIONS, "--steps", "7", "--save-every", "1",
                                       "--out", "run", NCCL_FAILS=fails)
            begun = time.monotonic()
            errors = [process.communicate(timeout=60)[1] for process in processes]
            self.assertLess(time.monotonic() - begun, 30)
            self.assertEqual(processes[0].returncode, 1, errors)
            told = re.findall(r"^mixtape: .*", "".join(errors), re.MULTILINE)
            self.assertEqual(len(told), 1, told)
            self.assertRegex(told[0], "rank 1: .*" + says if says else
                             r"rank 0: .*communicator: rank 1 has ended\Z")
            self.assertEqual(self.saved_step(), 4) # two sums each
            self.finish(self.begin_two("--resume", "run"))
            self.assertEqual(self.content("run")[0], self.content("whole")[0])


class RefusalTest(MeetingTest):
    def refused(self, arguments, says, status=2, **variables):
        process = self.begin(0, "copy", *SHAPE, "--out", "run", *arguments, **variables)
        said, = self.finish([process], status=status)
        self.assertRegex(said, r"\Amixtape[^\n]*%s[^\n]*\n\Z" % says)
        self.assertFalse(os.path.exists(self.path("run")))

    def test_options_that_do_not_fit(self):
        address = ["--address", f"127.0.0.1:{free_port()}"]
        rank, size = ["--rank", "1"], ["--world-size", "2"]
        for arguments, says in (
                ([*address, *rank], "--rank and --world-size are given together"),
                ([*address, *size], "--rank and --world-size are given together"),
                ([*rank, *size], "--world-size is given with --address"),
                (["--wait", "3"], "--wait is given with --address"),
                ([*address, *size, "--rank", "2"], r"rank 2 of 2 processes: it is one of 0 \.\. 1"),
                ([*address, *size, "--rank", "x"], "--rank"),
                ([*address, *rank, "--world-size", "0"], "--world-size"),
                ([*address, *rank, *size, "--wait", "-1"], "--wait"),
                ([*rank, *size, "--address", "nowhere"], "address nowhere: not HOST:PORT"),
                (["--rank", "0", "--world-size", "1", "--address", "garbage"],
                 "address garbage: not HOST:PORT"),
                ([*address, *rank, *size, "--dry-run"],
                 "--dry-run: it is of one process, and --address is of several"),
                (address, r"neither it was told nor does the environment say \(RANK, WORLD_SIZE\)"),
        ):
            self.refused(arguments, says)

    def test_variables_that_do_not_fit(self):
        meet = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
        self.refused([], "WORLD_SIZE tells of 4 processes, but RANK is not set", WORLD_SIZE="4",
                     **meet)
        self.refused([], "rank 4 of 4 processes", WORLD_SIZE="4", RANK="4", **meet)

    def test_nobody_is_there_and_the_port_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            options = ["--address", f"127.0.0.1:{taken.getsockname()[1]}", "--world-size", "2",
                       "--wait", "0.5", "--rank"]
            self.refused([*options, "1"], r"rank 1: no rank 0 at 127\.0\.0\.1:\d+ within 0\.5 s: "
                                          "Connection refused", status=1)
            taken.listen()
            self.refused([*options, "0"], r"127\.0\.0\.1:\d+: nobody can connect to rank 0 there: "
                                          "Address already in use", status=1)


if __name__ == "__main__":
    unittest.main()
