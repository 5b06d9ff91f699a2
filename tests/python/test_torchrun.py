"""PyTorch's own torchrun starts processes that train together."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import support

MIXTAPE = os.environ["MIXTAPE"]
TORCHRUN = os.path.join(os.path.dirname(sys.executable), "torchrun")
TRAIN = [MIXTAPE, "train", "copy", "--size", "16", "--blocks", "1", "--batch", "8", "--steps", "20",
         "--out", "run"]


@unittest.skipUnless(os.path.exists(TORCHRUN) and support.torchrun_starts(),
                     "no torchrun of PyTorch 2 beside this Python")
class TorchrunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def torchrun(self, *arguments):
        return subprocess.run([TORCHRUN, *arguments], cwd=self.folder, capture_output=True,
                              text=True, timeout=300)

    def test_torchrun_starts_two_processes(self):
        for options in ([], ["--standalone"], ["--master-addr", "127.0.0.1", "--master-port",
                                               "29655"]):
            shutil.rmtree(os.path.join(self.folder, "run"), ignore_errors=True)
            result = self.torchrun(*options, "--no-python", "--nproc-per-node", "2", *TRAIN)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("2 processes of 1 thread", result.stderr)
            self.assertEqual(result.stderr.count("done after step 20"), 1, result.stderr)

    def test_a_process_that_fails_ends_all(self):
        failing = ["sh", "-c", '[ "$RANK" = 0 ] || exit 3; exec "$@"', "sh", *TRAIN]
        result = self.torchrun("--no-python", "--nproc-per-node", "2", *failing)
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r"exitcode\s*: 3")
        self.assertFalse(re.search("done after", result.stderr))


if __name__ == "__main__":
    unittest.main()
