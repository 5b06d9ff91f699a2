"""A run whose last checkpoint is not on the disk as it was written."""

import os
import unittest

import test_command
from test_command import SMALL


class ReadBackTest(test_command.CommandTest):
    def test_a_run_whose_last_save_is_spoilt_fails(self):
        result = self.run_command("train", "copy", *SMALL, "--steps", "2", "--out", "run", status=1,
                                  environment={"LD_PRELOAD": os.environ["MIXTAPE_SPOIL"]})
        self.assertRegex(result.stderr.decode().splitlines()[-1], r"^mixtape: run/checkpoint.h5: .*"
                         r"\(it was written after step 2, but not read back\)$")


if __name__ == "__main__":
    unittest.main()
