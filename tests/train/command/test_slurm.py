"""Runs that Slurm's srun starts, of a real Slurm, which has this machine alone."""

import os
import subprocess
import unittest

import slurm
import test_reliability
from launchers import OF_OPEN_MPI, free_ports
from test_command import MIXTAPE
from test_ranks import SHAPE

OPTIONS = ["train", "copy", *SHAPE, "--steps", "20", "--dropout", "0.1"]


def setUpModule():
    missing = slurm.missing()
    if missing and "MIXTAPE_REQUIRE_ALL" not in os.environ:
        raise unittest.SkipTest(f"no {missing[0]} (Debian: slurm-wlm)")


class SlurmTest(test_reliability.RunTest):
    @classmethod
    def setUpClass(cls):
        cls.slurm = slurm.Slurm()
        cls.addClassCleanup(cls.slurm.close)

    def begin(self, *arguments):
        process = subprocess.Popen(["srun", *arguments], cwd=self.folder.name, text=True,
                                   env={**os.environ, **OF_OPEN_MPI, **self.slurm.environment},
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, process)
        return process

    def srun(self, *arguments, status=0):
        process = self.begin(*arguments)
        output, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, status, errors)
        return output, errors

    def test_by_mpi_and_by_tcp_the_same_bits(self):
        _, errors = self.srun("--mpi=pmix", "-n", "4", MIXTAPE, *OPTIONS, "--out", "mpi")
        self.assertIn("4 processes of 1 thread", errors)
        (port,) = free_ports(1)
        _, errors = self.srun("-n", "4", MIXTAPE, *OPTIONS, "--address", f"localhost:{port}",
                              "--out", "tcp")
        self.assertIn("4 processes of 1 thread", errors)
        self.assertEqual(self.content("tcp"), self.content("mpi"))

    def test_without_what_connects_them_it_is_told(self):
        _, errors = self.srun("-n", "2", MIXTAPE, *OPTIONS, "--out", "run", status=1)
        self.assertIn("SLURM_STEP_NUM_TASKS tells of 2 processes, but srun was not told to connect "
                      "them (by MPI: srun --mpi=pmix; ", errors)
        self.assertFalse(os.path.exists(self.path("run")))

    def test_a_job_that_is_cancelled_is_saved(self):
        process = self.begin("--mpi=pmix", "-n", "2", "--job-name", "long", MIXTAPE, "train",
                             "copy", *SHAPE, "--steps", "1000000", "--log-every", "1",
                             "--out", "run")
        self.wait_until(lambda: len(self.rows()) >= 3, process)
        self.assertEqual(self.slurm.run("scancel", "--name", "long").returncode, 0)
        _, errors = process.communicate(timeout=120)
        self.assertIn("saved", errors)
        steps = self.saved_step()
        _, errors = self.srun("--mpi=pmix", "-n", "2", MIXTAPE, "train", "--resume", "run",
                              "--steps", str(steps + 2))
        self.assertIn(f"step {steps + 2}", errors)


if __name__ == "__main__":
    unittest.main()
