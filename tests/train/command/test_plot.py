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


def numbers(colour):
    """The red, green and blue of "#3b82c4" or "rgb( 59, 130, 196)"."""
    if colour.startswith("#"):
        return [int(colour[i:i + 2], 16) for i in (1, 3, 5)]
    return [int(number) for number in re.findall(r"\d+", colour)]


def contrast(*colours):
    """As WCAG 2 has it, of 1 to 21."""
    lights = []
    for colour in colours:
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055)**2.4
                  for x in (number / 255 for number in numbers(colour))]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


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
        names = ["a_b.csv", "it's.csv", "'a''b'", "`$(x)`", "<x> & y.csv", b"b\xff\xfe.csv".decode(
            errors="surrogateescape")]
        for name in names:
            self.write_rows(name, 9)
        self.assertEqual(self.plot(*names).stdout.decode(), "loss.svg\n")
        texts = self.texts("loss.svg")
        for name in names[:-1]:
            self.assertIn(name.replace("'", "\u2019"), texts)
        self.assertIn("b\\xFF\\xFE.csv", texts)

    def test_another_terminal_of_the_environment_is_none_of_ours(self):
        self.write_rows("rows.csv", 5)
        self.run_command("plot", "rows.csv", environment={
            **os.environ, "MIXTAPE_GNUPLOT": GNUPLOT, "GNUTERM": "x11"})

    def test_the_ending_of_a_name_is_the_kind(self):
        self.write_rows("rows.csv", 5)
        for name, begins in (("a.PNG", b"\x89PNG"), ("b.Svg", b"<?xml")):
            self.plot("rows.csv", "-o", name)
            self.assertTrue(read(self.path(name), mode="rb").startswith(begins))
        for name in "a.pdf", "a", "png", "a.svg.gz":
            error = self.plot("rows.csv", "-o", name, status=2).stderr.decode()
            self.assertIn(f"-o {name}: its name ends neither in .svg nor in .png", error)
            self.assertFalse(os.path.exists(self.path(name)))

    def test_a_picture_on_standard_output(self):
        self.write_rows("rows.csv", 5)
        self.write("-", "mine\n")
        shown = self.plot("rows.csv", "-o", "-").stdout
        self.plot("rows.csv", "-o", "a.svg")
        self.assertEqual(shown, read(self.path("a.svg"), mode="rb"))
        self.assertEqual(read(self.path("-")), "mine\n")

    def test_what_is_no_picture_is_not_written_over(self):
        self.write_rows("rows.svg", 5)
        self.write("notes.svg", "mine\n")
        os.makedirs(self.path("run"))
        for name in "config.yaml", "checkpoint.h5":
            self.write("run/" + name, "a: b\n")
        self.write_rows("run/metrics.csv", 5)
        os.symlink("run/checkpoint.h5", self.path("link.svg"))
        os.symlink("run/metrics.csv", self.path("metrics.svg"))
        before = self.files(".")
        for run, name in (("rows.svg", "rows.svg"), ("run", "notes.svg"), ("run", "link.svg"),
                          ("run", "metrics.svg")):
            error = self.plot(run, "-o", name, status=2).stderr.decode()
            self.assertIn(f"-o {name}: it is ", error)
        for name in "run/checkpoint.h5", "run/metrics.csv":
            self.plot("run", "-o", name, status=2)
        self.assertEqual(self.files("."), before)
        self.plot("run", "-o", "a.svg")
        self.plot("run", "-o", "a.svg")

    def test_text_and_curves_can_be_told_from_their_ground(self):
        names = [f"m{i}.csv" for i in range(16)]
        for name in names:
            self.write_rows(name, 50)
        self.plot(*names)
        tree = xml.etree.ElementTree.parse(self.path("loss.svg"))
        elements = [(item.tag.split("}")[1], item) for item in tree.iter()]
        ground = next(item.get("fill") for tag, item in elements if tag == "rect")
        texts = {item.get("fill") for tag, item in elements
                 if tag == "g" and any(child.tag.endswith("}text") for child in item)}
        curves = {item.get("stroke") for tag, item in elements
                  if tag == "path" and item.get("stroke", "").startswith("rgb(")}
        self.assertEqual(ground, "#ffffff")
        self.assertGreater(len(texts), 0)
        self.assertTrue(all(contrast(text, ground) >= 4.5 for text in texts), texts)
        strokes = {curve for curve in curves if len(set(numbers(curve))) > 1}  # no grey: of axes
        self.assertEqual(len(strokes), 8)
        self.assertTrue(all(contrast(curve, page) >= 3.0 for curve in strokes
                            for page in (ground, "#1e1e1e")), strokes)
        fonts = {item.get("font-family") for _, item in elements} - {None}
        self.assertEqual(fonts, {"sans-serif"})

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


class ScriptTest(PicturesTest):
    """What gnuplot is told, by a program in its place that keeps it."""

    def script_of(self, *arguments):
        self.write("gnuplot", f"#!/bin/sh\ncat >script\nexec {GNUPLOT} -d script\n")
        os.chmod(self.path("gnuplot"), 0o755)
        self.plot(*arguments, "-o", "a.svg", gnuplot=self.path("gnuplot"))
        return read(self.path("script"))

    def write_losses(self, name, losses):
        self.write(name, HEADER + "".join(
            f"{i + 1},{loss},0.5,,,0.01,1.25,100,3.5,0,0\n" for i, loss in enumerate(losses)))

    def test_extremes_of_many_rows_are_kept(self):
        losses = [2 + i % 3 for i in range(100000)]
        losses[40404], losses[70707] = 17.5, 0.25
        self.write_losses("rows.csv", losses)
        script = self.script_of("rows.csv")
        points = [line.split() for line in
                  script.split("$d0_0 << EOD\n")[1].split("EOD")[0].splitlines()]
        self.assertLess(len(points), 1000)
        self.assertEqual(max(float(point[3]) for point in points), 17.5)
        self.assertEqual(min(float(point[2]) for point in points), 0.25)
        self.assertRegex(script, r"\$d0_0 using 1:3:4 with filledcurves")

    def test_a_few_losses_do_not_flatten_the_others(self):
        cases = ([10 - i / 20 for i in range(100)] + [1e9] + [5.0] * 99, 1), ([3, 2, 1e9, 2], 1), \
            ([10.0] + [1e-5] * 1000, 0), ([2.0, 2.1], 0), ([2.0] * 50 + [1e9] * 50, 0), \
            ([2.0, 1e300, 2.0], 1)
        for losses, above in cases:
            self.write_losses("rows.csv", losses)
            script = self.script_of("rows.csv")
            title = re.search(r"set title '(loss.*)' textcolor", script)[1]
            top = re.search(r"set yrange \[\*:(.*)\]", script)[1]
            if above:
                self.assertEqual(title, f"loss; 1 value above, up to {max(losses):.3g}")
                self.assertIn(title, self.texts("a.svg"))
                rest = sorted(losses)[-2]
                self.assertTrue(rest <= float(top) <= 2 * rest, top)
            else:
                self.assertEqual((title, top), ("loss", "*"))

    def test_a_logarithmic_axis(self):
        self.write_losses("rows.csv", [100, 10, 1, 0, -1, 1e-5])
        script = self.script_of("rows.csv", "--log")
        self.assertEqual(script.count("\nset logscale y"), 1)
        self.assertIn("1e-05", self.texts("a.svg"))
        self.assertEqual(script.split("$d0_0 << EOD\n")[1].split("EOD")[0].count("\n"), 4)
        self.write_losses("rows.csv", [0, -1])
        self.script_of("rows.csv", "--log")
        self.assertIn("no loss is above zero", self.texts("a.svg"))

    def test_losses_that_are_not_finite_are_told(self):
        self.write_losses("rows.csv", [""] * 100)
        self.script_of("rows.csv")
        self.assertIn("no loss is finite", self.texts("a.svg"))
        self.assertNotIn("nothing yet", self.texts("a.svg"))

    def test_each_of_many_runs_has_a_stroke_and_an_entry(self):
        names = [f"m{i}.csv" for i in range(14)] + ["empty.csv", "long-" * 19 + "end.csv"]
        for name in names[:-2] + names[-1:]:
            self.write_rows(name, 9)
        self.write("empty.csv", HEADER)
        script = self.script_of(*names)
        entries = re.findall(r"NaN with lines (linecolor .*?) title '(.*?)'", script)
        self.assertEqual(len({stroke for stroke, _ in entries}), 16)
        shown = [name for _, name in entries]
        self.assertEqual(shown[:-2], names[:-2])
        self.assertEqual(shown[-2], "empty.csv: nothing yet")
        self.assertRegex(shown[-1], r"^long-.*(\u2026|\.\.\.).*-end\.csv$")
        self.assertLessEqual(len(shown[-1]), 32)
        self.assertIn("set key outside", script)
        texts = self.texts("a.svg")
        self.assertIn("loss (thin: training, thick: validation)", texts)
        self.assertTrue(set(shown) <= set(texts), texts)


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
