"""watch and info: how far a run of another process is; and the bar of a run's own terminal."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
import unittest

import h5py
import numpy
from test_command import COPY, MIXTAPE, CommandTest, read

HEADER = ("step,loss,accuracy,val_loss,val_accuracy,lr,grad_norm,tokens_per_s,seconds,spikes,"
          "skipped\n")
SHAPE = ["--size", "8", "--blocks", "1", "--threads", "1", "--eval-batches", "1", *COPY]


class WatchTest(CommandTest):
    def make_run(self, count, steps=100):
        os.makedirs(self.path("run"), exist_ok=True)
        rows = [f"{i},{9 - i * 8 / count},0.5,{'1.5' if i == count else ''},,0.01,1.25,100,"
                f"{i * 0.5},0,0\n" for i in range(1, count + 1)]
        self.write("run/metrics.csv", HEADER + "".join(rows))
        self.write("run/config.yaml", f"task: copy\nsteps: {steps}\n")
        self.write("run/train.log", "")

    def watch(self, *options):
        return self.run_command("watch", "run", *options).stdout.decode().splitlines()

    def on_terminal(self, columns, *arguments):
        """What the command shows on a terminal that wide, until it ends."""
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
        process = subprocess.Popen([MIXTAPE, *arguments], cwd=self.folder.name, stdin=child,
                                   stdout=child, stderr=child)
        os.close(child)
        shown = b""
        while True:
            try:
                part = os.read(parent, 4096)
            except OSError: # the other side is closed
                break
            if not part:
                break
            shown += part
        os.close(parent)
        self.assertEqual(process.wait(), 0, shown)
        return shown.decode()

    def start(self):
        process = subprocess.Popen(
            [MIXTAPE, "train", "copy", *SHAPE, "--steps", "1000000", "--log-every", "1",
             "--eval-every", "0", "--save-every", "0", "--out", "run"], cwd=self.folder.name,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        metrics = self.path("run", "metrics.csv")
        while not os.path.exists(metrics) or read(metrics).count("\n") < 4:
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        return process


class FiguresTest(WatchTest):
    def test_what_is_shown(self):
        self.make_run(40)
        lines = self.watch()
        self.assertEqual(lines[0], "run: step 40 of 100, 100 tokens/s, stopped")
        self.assertEqual(lines[1], "[" + "=" * 31 + ">" + " " * 46 + "]")
        self.assertEqual(len(lines), 2 + 18 + 1 + 1)
        self.assertTrue(all(len(line) <= 80 for line in lines))
        self.assertIn("8.8", lines[2])  # the first loss, above
        self.assertRegex(lines[-2], r"^ +0 +40$")
        self.assertEqual(lines[-1], "loss 1.0000  validation 1.5000  lr 0.01  gradient 1.25")

    def test_a_falling_loss_falls(self):
        self.make_run(2000, 2000)
        heights = {}
        for row, line in enumerate(self.watch()[2:-2]):
            for column, cell in enumerate(line[10:]):
                if cell != " ":
                    self.assertTrue(0x2800 < ord(cell) < 0x2900)
                    heights.setdefault(column, []).append(row)
        self.assertEqual(len(heights), 70)
        middles = [sum(rows) / len(rows) for _, rows in sorted(heights.items())][:-1]
        self.assertEqual(middles, sorted(middles))
        self.assertEqual((middles[0], round(middles[-1])), (0, 17))

    def test_any_number_of_rows(self):
        for count in 0, 1, 2, 100000:
            self.make_run(max(count, 1), 100000)
            if count == 0:
                self.write("run/metrics.csv", HEADER)
            lines = self.watch()
            self.assertEqual("nothing yet" in lines, count == 0)
            self.assertIn("done" if count == 100000 else "stopped", lines[0])

    def test_what_is_no_run(self):
        self.refuse("watch", "nowhere", status=1, says="nowhere/metrics.csv")
        self.refuse("watch", status=2, says="run")
        self.make_run(3)
        self.write("run/metrics.csv", "mine\n")
        self.refuse("watch", "run", status=1, says="no rows")

    def test_a_run_without_its_configuration(self):
        self.make_run(3)
        os.remove(self.path("run", "config.yaml"))
        self.assertEqual(self.watch()[0], "run: step 3, 100 tokens/s, stopped")


class AtWorkTest(WatchTest):
    def test_a_run_at_work_is_shown_until_it_ends(self):
        process = self.start()
        first = self.watch()[0]
        self.assertRegex(first, r"step \d+ of 1000000, \d+ tokens/s, [0-9:]+ left, at work$")
        self.assertNotIn("best", first)
        os.kill(process.pid, signal.SIGTERM) # while it is watched, or before
        shown = self.on_terminal(80, "watch", "run")
        self.assertIn("stopped", shown)
        self.assertRegex(self.run_command("info", "run").stdout.decode(),
                         r"\nthe run: step \d+ of 1000000, \d+ tokens/s, stopped\n")

    def test_a_bar_where_there_is_room(self):
        options = ["train", "copy", *SHAPE, "--steps", "3", "--eval-every", "0"]
        wide = self.on_terminal(150, *options, "--out", "wide")
        self.assertRegex(wide, r"\r\x1b\[K\[=+\] step 3/3 ")
        for columns in 60, 20, 1:
            narrow = self.on_terminal(columns, *options, "--out", f"narrow{columns}")
            live = re.findall(r"\r\x1b\[K([^\r\n]*)", narrow)
            self.assertTrue(all(len(line) < columns for line in live[:-1]), live)
        self.assertIsNone(re.search(r"=\]", read(self.path("wide", "train.log"))))


class JsonTest(WatchTest):
    def json(self, *arguments):
        return json.loads(self.run_command(*arguments).stdout)

    def test_info_tells_programs_what_it_tells_people(self):
        self.run_command("train", "copy", *SHAPE, "--steps", "4", "--out", "run")
        told = self.json("info", "run/checkpoint.h5", "--json", "--all")
        self.assertEqual((told["file"], told["layout"], told["run"], told["has_optimizer"]),
                         ("run/checkpoint.h5", None, None, True))
        self.assertEqual((told["progress"]["step"], told["model"]["block_size"]), (4, 8))
        self.assertEqual(told["model"]["normalization_type"], "layer_norm")
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            self.assertEqual(told["values"], sum(item.size for item in file["model"].values()))
            for name, item in file["model"].items():
                parameter = told["parameters"][name]
                self.assertEqual(tuple(parameter["shape"]), item.shape)
                rms = numpy.sqrt(numpy.mean(numpy.square(item[()].astype("f8"))))
                numpy.testing.assert_allclose(parameter["rms"], rms)
        run = self.json("info", "run", "--json")["run"]
        self.assertEqual((run["step"], run["steps"], run["at_work"]), (4, 4, False))
        self.run_command("export", "run", "-o", "model.h5")
        told = self.json("info", "model.h5", "--json")
        self.assertEqual((told["layout"], told["progress"]), ("espnet", None))

    def test_gradients(self):
        rows = self.json("gradcheck", "--json")
        self.assertGreater(len(rows), 50)
        self.assertTrue(all(row["ok"] and row["error"] < 1e-6 for row in rows))
        self.assertEqual(rows[0]["shapes"][:1], "(")


if __name__ == "__main__":
    unittest.main()
