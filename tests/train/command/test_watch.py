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
import unicodedata
import unittest

import h5py
import numpy
from test_command import COPY, MIXTAPE, CommandTest, read

HEADER = ("step,loss,accuracy,val_loss,val_accuracy,lr,grad_norm,tokens_per_s,seconds,spikes,"
          "skipped\n")
SHAPE = ["--size", "8", "--blocks", "1", "--threads", "1", "--eval-batches", "1", *COPY]
UTF8 = {"LC_ALL": "C.UTF-8"}


def columns_of(line):
    """The columns of a terminal that a line takes, whose colours take none."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", line)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


class WatchTest(CommandTest):
    def make_run(self, count, steps=100, name="run", scale=1.0):
        os.makedirs(self.path(name), exist_ok=True)
        rows = [f"{i},{scale * (9 - i * 8 / count)},0.5,{scale * 1.5 if i == count else ''},,0.01,"
                f"1.25,100,{i * 0.5},0,0\n" for i in range(1, count + 1)]
        self.write(f"{name}/metrics.csv", HEADER + "".join(rows))
        self.write(f"{name}/config.yaml", f"task: copy\nsteps: {steps}\n")
        self.write(f"{name}/train.log", "")

    def at_work(self, name):
        """Has the lock of a run at work until the test ends."""
        log = open(self.path(name, "train.log"))
        self.addCleanup(log.close)
        fcntl.flock(log, fcntl.LOCK_EX)

    def watch(self, *options, environment=UTF8):
        result = self.run_command("watch", "run", *options, environment=environment)
        return result.stdout.decode().splitlines()

    def on_terminal(self, columns, *arguments, rows=20):
        """What the command shows on a terminal that wide, until it ends."""
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen([MIXTAPE, *arguments], cwd=self.folder.name, stdin=child,
                                   stdout=child, stderr=child, env={**os.environ, **UTF8})
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
        self.assertEqual(len(lines), 2 + 19 + 1 + 1)
        self.assertTrue(all(len(line) <= 80 for line in lines))
        self.assertIn("8.8", lines[2])  # the first loss, above
        self.assertRegex(lines[-2], r"^ +0 +40$")
        self.assertEqual(lines[-1], "loss 1.0000  validation 1.5000 (o)  lr 0.01  gradient 1.25")

    def test_a_falling_loss_falls(self):
        self.make_run(2000, 2000)
        heights = {}
        for row, line in enumerate(self.watch()[2:-2]):
            for column, cell in enumerate(line[10:]):
                if cell not in " o":
                    self.assertTrue(0x2800 < ord(cell) < 0x2900)
                    heights.setdefault(column, []).append(row)
        self.assertEqual(len(heights), 70)
        middles = [sum(rows) / len(rows) for _, rows in sorted(heights.items())][:-1]
        self.assertEqual(middles, sorted(middles))
        self.assertEqual((middles[0], round(middles[-1])), (0, 18))

    def test_any_number_of_rows(self):
        for count in 0, 1, 2, 100000:
            self.make_run(max(count, 1), 100000)
            if count == 0:
                self.write("run/metrics.csv", HEADER)
            lines = self.watch()
            self.assertEqual("nothing yet" in lines, count == 0)
            self.assertIn("done" if count == 100000 else "stopped", lines[0])

    def test_small_losses_have_digits(self):
        self.make_run(40, scale=1e-5)
        lines = self.watch()
        self.assertEqual(lines[-1], "loss 1e-05  validation 1.5e-05 (o)  lr 0.01  gradient 1.25")
        self.assertTrue(all(len(line) <= 80 for line in lines))

    def test_a_row_lacks_what_it_lacks(self):
        """What stands in the next line is not its own."""
        self.make_run(1)
        for first in "1,2.5", "1,2.5,,,,0.01,1.25,7", "1,2.5,\t", "1,2.5\n \n,3":
            self.write("run/metrics.csv", HEADER + first + "\n2, \n\n")
            with self.subTest(first):
                self.assertEqual(self.watch()[0], "run: step 2 of 100, stopped")

    def test_losses_that_are_not_finite_are_told(self):
        self.make_run(1)
        self.write("run/metrics.csv", HEADER + "".join(
            f"{i},,0.5,inf,,0.01,1.25,100,{i},0,0\n" for i in range(1, 101)))
        lines = self.watch()
        self.assertIn("no loss is finite", lines)
        self.assertNotIn("nothing yet", lines)

    def test_curves_are_told_apart(self):
        self.make_run(40)
        cells = "".join(line[10:] for line in self.watch()[2:-2])
        self.assertEqual(cells.count("o"), 1)  # of its validation
        shown = self.on_terminal(80, "watch", "run")
        self.assertRegex(shown, "\x1b\\[34mloss 1.0000\x1b\\[0m  \x1b\\[33mvalidation 1.5000\x1b")
        self.assertRegex(shown, "\x1b\\[34m[\u2800-\u28ff]")
        self.assertRegex(shown, "\x1b\\[33m[\u2800-\u28ff]")

    def test_characters_are_those_of_the_locale(self):
        self.make_run(40)
        for locale, is_ascii in ("C", True), ("C.UTF-8", False), ("xx_XX.UTF-8", False):
            lines = self.watch(environment={"LC_ALL": locale})
            self.assertEqual("".join(lines).isascii(), is_ascii, locale)
            if is_ascii:
                self.assertEqual(set("".join(line[10:] for line in lines[2:-2])), set(" .':o"))

    def test_it_fits_any_terminal(self):
        for name in "long-" * 8 + "end", "\u9577\u3044" * 20:
            self.make_run(40, name=name)
            self.at_work(name)
            for columns, rows in (80, 24), (40, 24), (20, 24), (20, 8), (10, 5), (10, 4), (7, 3):
                shown = self.on_terminal(columns, "watch", name, "--once", rows=rows)
                lines = shown.splitlines()
                self.assertLess(len(lines), rows, shown)
                self.assertLessEqual(max(map(columns_of, lines)), columns, shown)
                self.assertTrue(re.search(r"\b40(/| of )100\b", shown), shown)
                self.assertIn("0:30 left" if columns > 7 else "0:30", shown)
                if rows > 3:
                    self.assertIn("1.0000", shown)
                self.assertEqual("gradient 1.25" in shown, rows == 24, shown)
                self.assertEqual("\u2026" in lines[0], rows > 5, shown)

    @unittest.skipUnless("HIDDEN_LOCKS" in os.environ, "sanitizers have such functions")
    def test_a_lock_that_the_system_hides_is_found(self):
        self.make_run(3)
        self.at_work("run")
        lines = self.watch(environment={**UTF8, "LD_PRELOAD": os.environ["HIDDEN_LOCKS"]})
        self.assertTrue(lines[0].endswith("at work"), lines[0])

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

    def test_a_run_is_told_before_it_has_saved(self):
        self.start()
        told = self.run_command("info", "run").stdout.decode()
        self.assertRegex(told, r"^run: a run, of which nothing is saved yet\n"
                               r"the run: step \d+ of 1000000, .*, [0-9:]+ left, at work\n$")
        told = json.loads(self.run_command("info", "run", "--json").stdout)
        run = told["run"]
        self.assertEqual((told["file"], told["model"], run["steps"], run["at_work"]),
                         (None, None, 1000000, True))
        self.assertGreater(run["seconds_left"], 0)
        self.refuse("info", "run", "--tokenizer", "a", status=2, says="nothing is saved")

    def live_lines(self, columns):
        shown = self.on_terminal(columns, "train", "copy", *SHAPE, "--steps", "3", "--eval-every",
                                 "0", "--out", f"run{columns}")
        lines = [line for line in re.findall(r"\r\x1b\[K([^\r\n]*)", shown)
                 if re.search(r"step|left", line) and "validation" not in line
                 and " after step " not in line]
        self.assertTrue(all(len(line) < columns for line in lines), lines)
        return lines

    def test_a_bar_where_there_is_room(self):
        figures = r"step \d/3  loss \d+\.\d{4}  accuracy \d+\.\d %  "
        for columns, line in ((150, r"\[[=> ]+\] " + figures + r"\d+ tokens/s  \d:\d\d left"),
                              (80, r"\[[=> ]{8,}\] " + figures + r"(\d+ tokens/s  )?\d:\d\d left"),
                              (60, figures + r"\d:\d\d left"),
                              (40, r"step \d/3  loss \d+\.\d{4}  \d:\d\d left"),
                              (20, r"(step )?\d/3  \d:\d\d left"), (10, r"\d:\d\d left")):
            lines = self.live_lines(columns)
            self.assertGreater(len(lines), 0)
            for shown in lines:
                self.assertRegex(shown, f"^{line}$")
        self.assertEqual(self.live_lines(1), [])
        self.assertIsNone(re.search(r"=\]", read(self.path("run150", "train.log"))))


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
