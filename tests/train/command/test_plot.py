"""Pictures of runs, by the real gnuplot."""

import os
import re
import signal
import subprocess
import time
import unittest
import xml.etree.ElementTree

from test_command import COPY, MIXTAPE, CommandTest, read

GNUPLOT = os.environ.get("GNUPLOT")
HEADER = ("step,loss,accuracy,val_loss,val_accuracy,lr,grad_norm,tokens_per_s,seconds,spikes,"
          "skipped\n")
SHAPE = ["--size", "8", "--blocks", "1", "--threads", "1", "--eval-batches", "1", "--eval-every",
         "2", *COPY]


def setUpModule():
    if not GNUPLOT:
        if os.environ.get("MIXTAPE_REQUIRE_ALL"):
            raise AssertionError("no gnuplot")
        raise unittest.SkipTest("no gnuplot")


class PicturesTest(CommandTest):
    def plot(self, *arguments, gnuplot=GNUPLOT, **more):
        return self.run_command("plot", *arguments,
                                environment={**os.environ, "MIXTAPE_GNUPLOT": gnuplot}, **more)

    def texts(self, name):
        """What an SVG file shows as text."""
        tree = xml.etree.ElementTree.parse(self.path(name))
        self.assertTrue(tree.getroot().tag.endswith("}svg"))
        return ["".join(text.itertext()).strip() for text in tree.iter()
                if text.tag.endswith("}text")]

    def write_rows(self, name, count):
        rows = [f"{i},{2 + i % 7},0.5,{1.5 if i % 2 == 0 else ''},,0.01,1.25,100,3.5,0,0\n"
                for i in range(1, count + 1)]
        self.write(name, HEADER + "".join(rows))


class PlotTest(PicturesTest):
    def test_any_number_of_points(self):
        for count in 0, 1, 2, 39, 100000:
            self.write_rows("rows.csv", count)
            self.plot("rows.csv", "-o", "rows.svg")
            texts = self.texts("rows.svg")
            for title in "loss", "learning rate", "norm of the gradient":
                self.assertIn(title, texts)
            self.assertEqual(texts.count("nothing yet"), 3 if count == 0 else 0)
            self.assertEqual("training" in texts, count > 0)
            self.assertEqual("validation" in texts, count > 1)
            self.assertLess(os.path.getsize(self.path("rows.svg")), 200000)

    def test_png_is_told_by_the_name(self):
        self.write_rows("rows.csv", 5)
        self.plot("rows.csv", "-o", "rows.png")
        self.assertEqual(read(self.path("rows.png"), mode="rb")[:8], b"\x89PNG\r\n\x1a\n")

    def test_runs_are_named(self):
        names = ["a_b.csv", "it's.csv", "<x> & y.csv", b"b\xff\xfe.csv".decode(
            errors="surrogateescape")]
        for name in names:
            self.write_rows(name, 9)
        self.assertEqual(self.plot(*names).stdout.decode(), "loss.svg\n")
        texts = self.texts("loss.svg")
        for name in names[:-1]:
            self.assertIn(name, texts)
        self.assertIn("b\\xFF\\xFE.csv", texts)

    def test_rows_that_are_being_written(self):
        self.write_rows("rows.csv", 3)
        with open(self.path("rows.csv"), "a") as file:
            file.write("4,2.5,0.")
        self.plot("rows.csv", "-o", "rows.svg")

    def test_what_is_no_picture(self):
        self.write_rows("rows.csv", 3)
        self.write("notes", "mine\n")
        for arguments, status, says in ((["nowhere"], 1, "nowhere"), (["notes"], 1, "notes"),
                                        (["rows.csv", "-o", "no/a.svg"], 1, "no/a.svg"),
                                        ([], 2, "run"), (["rows.csv"] * 17, 2, "16")):
            error = self.plot(*arguments, status=status).stderr.decode()
            self.assertEqual(error.count("\n"), 1, error)
            self.assertIn(says, error)
        for gnuplot, says in (("/no/gnuplot", "/no/gnuplot: No such file"),
                              ("/bin/false", "gnuplot failed")):
            error = self.plot("rows.csv", "-o", "a.svg", gnuplot=gnuplot, status=1).stderr.decode()
            self.assertIn(says, error)
        self.assertFalse(os.path.exists(self.path("a.svg")))


class OthersTest(PicturesTest):
    """Programs in gnuplot's place."""

    def script(self, text):
        self.write("gnuplot", "#!/bin/sh\n" + text)
        os.chmod(self.path("gnuplot"), 0o755)
        return self.path("gnuplot")

    def test_what_is_drawn_has_to_be_a_picture(self):
        self.write_rows("rows.csv", 3)
        for text, says in (("cat\n", "no picture"), ("exit 3\n", "status 3"),
                           ("kill -9 $$\n", "signal 9"), ("exit 0\n", "it drew nothing"),
                           ("echo one >&2; echo two >&2; exit 1\n", "gnuplot failed: two"),
                           ("head -c 100000000 /dev/zero\n", "gnuplot failed"),
                           ("printf '<?xml'; head -c 20000000 /dev/zero; exit 0\n", "no picture"),
                           ("head -c 20000000 /dev/zero >&2; exit 1\n", "gnuplot failed")):
            error = self.plot("rows.csv", "-o", "a.svg", gnuplot=self.script(text), status=1)
            self.assertIn(says, error.stderr.decode())
            self.assertFalse(os.path.exists(self.path("a.svg")))

    def test_a_run_that_is_ended_does_not_wait_for_one_that_hangs(self):
        process = subprocess.Popen(
            [MIXTAPE, "train", "copy", *SHAPE, "--steps", "1000000", "--out", "run"],
            cwd=self.folder.name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "MIXTAPE_GNUPLOT": self.script("echo $$ > pid; exec sleep 600\n")})
        self.addCleanup(process.kill)
        while not os.path.exists(self.path("pid")) or not read(self.path("pid")):
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        process.terminate()
        process.wait(timeout=60)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(read(self.path("pid"))), 0)

    def test_users_settings_are_not_read(self):
        self.write_rows("rows.csv", 3)
        self.write(".gnuplot", 'set datafile separator ","\n')
        self.run_command("plot", "rows.csv", "-o", "a.svg",
                         environment={**os.environ, "MIXTAPE_GNUPLOT": GNUPLOT,
                                      "HOME": self.folder.name})

    def test_children_that_nobody_waits_for(self):
        self.write_rows("rows.csv", 3)
        subprocess.run([MIXTAPE, "plot", "rows.csv", "-o", "a.svg"], cwd=self.folder.name,
                       check=True, stdout=subprocess.DEVNULL, restore_signals=False,
                       env={**os.environ, "MIXTAPE_GNUPLOT": GNUPLOT},
                       preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))


class RunTest(PicturesTest):
    def train(self, gnuplot, *options):
        return self.run_command("train", "copy", *SHAPE, "--steps", "6", "--out", "run", *options,
                                environment={**os.environ, "MIXTAPE_GNUPLOT": gnuplot})

    def test_a_run_draws_itself(self):
        self.train(GNUPLOT)
        self.assertIn("validation", self.texts("run/loss.svg"))
        self.assertFalse([name for name in os.listdir(self.path("run")) if "part" in name])

    def test_without_gnuplot_there_is_none(self):
        for gnuplot, options in ("", []), ("/no/gnuplot", []), (GNUPLOT, ["--plot=false"]):
            said = self.train(gnuplot, *options).stderr.decode()
            self.assertNotIn("picture", said)
            self.assertFalse(os.path.exists(self.path("run", "loss.svg")))
            for name in "checkpoint.h5", "best.h5":
                os.remove(self.path("run", name))

    def test_a_picture_that_fails_ends_no_run(self):
        said = self.train("/bin/false").stderr.decode()
        self.assertEqual(len(re.findall("no picture: .*gnuplot failed", said)), 1, said)
        self.assertIn("done after step 6", said)


if __name__ == "__main__":
    unittest.main()
