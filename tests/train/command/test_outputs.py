"""What a verb that writes a file does not write over: a run's files, and what it reads."""

import os
import unittest

import h5py
from test_command import CommandTest


class OutputsTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.train("--steps", "4", "--eval-every", "2", "--keep-best", "2", "--out", "run")
        self.run_command("export", "run", "-o", "part.h5", "--part", "rwkv_blocks.0.att")
        with h5py.File(self.path("labels.h5"), "w") as file:
            file["labels"] = [[1, 2, 3]]
        os.symlink("run/metrics.csv", self.path("link"))
        self.kept = next(name for name in os.listdir(self.path("run")) if name.startswith("best-"))

    def test_a_run_and_what_is_read_stay_as_they_are(self):
        self.write("ids", "\0\1\2\3")
        os.rename(self.path("run", "best.h5"), self.path("run", "best.h5.away"))
        self.refuse("average", "run/" + self.kept, "run/checkpoint.h5", "-o", "run/best.h5",
                    status=2, says="run/best.h5: ") # which is the run's, once it is there
        os.rename(self.path("run", "best.h5.away"), self.path("run", "best.h5"))
        before = self.files(".")
        part = ["--into", "run", "--part", "rwkv_blocks.0.att"]
        cases = [(["forward", "run", "--input", "labels.h5", "--output"],
                  ["run/checkpoint.h5", "run/best.h5", "labels.h5", "link", f"run/{self.kept}"]),
                 (["bench", "--wkv", "1,1,1", "--json"], ["run/best.h5", "link", "labels.h5",
                                                               "ids"]),
                 (["export", "run", "-o"], [f"run/{self.kept}", "link"]),
                 (["import", "part.h5", *part, "-o"], ["part.h5", "run/best.h5"]),
                 (["average", "run", "-o"], [f"run/{self.kept}", "run/checkpoint.h5"]),
                 (["info", "run", "--tokenizer"], ["run/checkpoint.h5", "link", "run/best.h5"])]
        for command, outputs in cases:
            for output in outputs:
                with self.subTest(command=command, output=output):
                    self.refuse(*command, output, status=2, says=f" {output}: ")
        self.assertEqual(self.files("."), before)


if __name__ == "__main__":
    unittest.main()
