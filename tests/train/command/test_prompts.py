"""Prompts of a file, many at once: each is answered as it would be alone."""

import gzip
import json
import os
import random
import re
import signal
import subprocess
import unittest

import h5py
import numpy
from test_command import MIXTAPE, CommandTest, TranscriptsTest, memory

SMALL = ["--size", "16", "--blocks", "2", "--batch", "4", "--length", "16", "--threads", "1",
         "--eval-batches", "2"]
TEXT = "the quick brown fox jumps over the lazy dog, wie schön.\n" * 60


class PromptsTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("text.txt", TEXT)

    def train(self, *options):
        self.run_command("train", "text", "--data", "text.txt", *SMALL, "--steps", "30", "--out",
                         "run", *options)

    def write_prompts(self, count):
        """Lines of different lengths, some of them empty."""
        numbers = random.Random(1)
        lines = []
        for _ in range(count):
            start = numbers.randrange(len(TEXT) - 30)
            lines.append(TEXT[start:start + numbers.randrange(20)].split("\n")[0])
        self.write("prompts.txt", "".join(line + "\n" for line in lines))
        return lines

    def answers(self, *options, run="run", prompts="prompts.txt", **more):
        """The records of the lines: what `generate` would have written of each."""
        result = self.run_command("generate", run, "--prompts", prompts, *options, **more)
        records = [json.loads(line) for line in result.stdout.decode().splitlines()]
        self.assertEqual([record["line"] for record in records], [*range(1, len(records) + 1)])
        return [record["prompt"] is not None and record["prompt"] + record["answer"] + "\n"
                for record in records]

    def alone(self, lines, *options, run="run", seed=1):
        return [
            self.run_command("generate", run, *(["--prompt", line] if line else []), "--seed",
                             str(seed + i), *options).stdout.decode(errors="replace")
            for i, line in enumerate(lines)
        ]


class AnswersTest(PromptsTest):
    def test_each_line_is_answered_as_if_it_were_alone(self):
        self.train()
        lines = self.write_prompts(23)
        for options in (["--length", "40"], ["--length", "60", "--stop", "o"],
                        ["--length", "20", "--temperature", "0"], ["--length", "1"],
                        ["--length", "0"], ["--length", "30", "--without", "e", "--top-k", "5"]):
            expected = self.alone(lines, *options, seed=7)
            for batch in ("1", "3", "8", "64"):
                with self.subTest(options, batch=batch):
                    self.assertEqual(
                        self.answers(*options, "--seed", "7", "--batch", batch), expected)
            self.assertEqual(self.answers(*options, "--seed", "7"), expected)
            threads = ["--threads", "3", "--batch", "4"]
            self.assertEqual(self.answers(*options, "--seed", "7", *threads), expected)

    def test_a_prompt_and_its_answer_stand_apart(self):
        self.train()
        self.write("prompts.txt", "the quick \n")
        record = json.loads(
            self.run_command("generate", "run", "--prompts", "prompts.txt", "--length",
                             "9").stdout)
        self.assertEqual([*record], ["line", "prompt", "answer"])
        self.assertEqual(record["prompt"], "the quick ")
        self.assertEqual(len(record["answer"]), 9)

    def test_answers_wait_for_the_lines_before_them(self):
        self.train()
        lines = [TEXT[:2000].replace("\n", "e"), *self.write_prompts(99)]
        self.write("prompts.txt", "\n".join(lines))
        self.assertEqual(self.answers("--length", "1", "--batch", "2"),
                         self.alone(lines, "--length", "1"))

    def test_standard_input_a_pipe_and_windows_lines_are_read(self):
        self.train()
        lines = ["the ", "", "quick"]
        expected = self.alone(lines, "--length", "9")
        for content in ("the \n\nquick\n", "the \n\nquick", "the \r\n\r\nquick\r\n",
                        "\ufeffthe \n\nquick\n"):
            self.assertEqual(
                self.answers("--length", "9", prompts="-", input=content.encode()), expected)
        ours, theirs = os.pipe()
        os.write(theirs, b"the \n\nquick\n")
        os.close(theirs)
        result = subprocess.run([MIXTAPE, "generate", "run", "--length", "9", "--prompts",
                                 f"/dev/fd/{ours}"], cwd=self.folder.name, pass_fds=[ours],
                                capture_output=True)
        os.close(ours)
        self.assertEqual((result.returncode, result.stdout.count(b"\n")), (0, 3))
        self.assertEqual(self.answers(prompts="-", input=b""), [])

    def test_numbers_and_bytes(self):
        self.train()
        self.write("prompts.txt", "3 1 2\n\n7\n")
        self.assertEqual(self.answers("--ids", "--length", "9"),
                         self.alone(["3 1 2", "", "7"], "--ids", "--length", "9"))
        self.train("--unit", "byte", "--out", "bytes")
        lines = self.write_prompts(9)
        joined = lambda texts: [re.sub("\ufffd+", "\ufffd", text) for text in texts]
        for options in ([], ["--temperature", "100"]): # of which all bytes are as likely
            self.assertEqual(joined(self.answers(*options, "--length", "40", run="bytes")),
                             joined(self.alone(lines, *options, "--length", "40", run="bytes")))

    def test_a_model_of_which_one_row_cannot_stream_answers_several(self):
        self.train("--size", "48")
        self.write_prompts(5)
        self.refuse("generate", "run", status=2, says="48")
        answers = self.answers("--length", "9")
        self.assertEqual(answers, self.answers("--length", "9", "--batch", "1"))
        self.assertEqual(len(answers), 5)

    def test_memory_does_not_grow_with_the_lines(self):
        self.train()
        # The address sanitizer keeps what was freed, unless it is told not to.
        environment = {**os.environ, "ASAN_OPTIONS": ":".join(
            filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=0"]))}
        peaks = []
        for count in (1000, 40000):
            self.write("prompts.txt", "the quick brown fox\n" * count)
            command = [MIXTAPE, "generate", "run", "--prompts", "prompts.txt", "--length", "2",
                       "--threads", "1"]
            peak, _, answers = memory.run(command, self.folder.name, environment)
            self.assertEqual(answers.count("\n"), count)
            peaks.append(peak)
        self.assertLess(peaks[1], peaks[0] + (3 << 20))


class WrongPromptsTest(PromptsTest):
    def setUp(self):
        super().setUp()
        self.train()

    def test_wrong_lines_are_told_and_the_others_answered(self):
        good = self.alone(["the ", "", "", "q"], "--length", "9")
        content = b"the \n\xce\xa9\n\n\xff\nb\0\nq\nwith \xce\xa9"
        result = self.run_command("generate", "run", "--prompts", "-", "--length", "9",
                                  input=content, status=1)
        records = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([record["answer"] is None for record in records],
                         [False, True, False, True, True, False, True])
        self.assertEqual(records[0]["prompt"] + records[0]["answer"] + "\n", good[0])
        self.assertEqual(records[1], {"line": 2, "prompt": None, "answer": None})
        for line, (number, says) in zip(result.stderr.decode().splitlines(),
                                        ((2, "U+03A9"), (4, "not UTF-8"), (5, "zero byte at 1"),
                                         (7, "U+03A9")), strict=True):
            self.assertIn(f"mixtape: standard input: line {number}: ", line)
            self.assertIn(says, line)

    def test_only_wrong_lines_are_a_failure(self):
        self.write("prompts.txt", "\u03a9\n" * 1000)
        result = self.run_command("generate", "run", "--prompts", "prompts.txt", "--batch", "1",
                                  status=1)
        self.assertEqual(result.stdout.count(b"null"), 2000)
        self.assertEqual(result.stderr.count(b"prompts.txt: line "), 1000)

    def test_what_contradicts_is_refused(self):
        self.write("prompts.txt", "the\n")
        for options in (["--prompt", "a"], ["--prompt-file", "prompts.txt"], ["--interactive"],
                        ["--state", "a.h5"], ["--save-state", "a.h5"], ["--samples", "2"]):
            with self.subTest(options):
                self.refuse("generate", "run", "--prompts", "prompts.txt", *options, status=2,
                            says=["--prompts prompts.txt", options[0]])
        self.refuse("generate", "run", "--batch", "4", status=2, says=["--batch 4", "--prompts"])
        self.refuse("generate", "run", "--prompts", "prompts.txt", "--batch", "0", status=2,
                    says="--batch 0")

    def test_files_that_hold_no_lines_are_refused(self):
        os.mkdir(self.path("folder"))
        self.write("packed", gzip.compress(b"the\n"))
        self.write("wide", "the\n".encode("utf-16"))
        self.write("table", b"PAR1" + bytes(100))
        for name, says in (("none", "No such file"), ("folder", "directory"),
                           ("packed", "gzip -dc"), ("wide", "UTF-16"), ("table", "Parquet")):
            with self.subTest(name):
                result = self.run_command("generate", "run", "--prompts", name, status=1)
                self.assertEqual((result.stdout, result.stderr.count(b"\n")), (b"", 1))
                self.assertIn(name, result.stderr.decode())
                self.assertIn(says, result.stderr.decode())

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_answers_that_cannot_be_written_are_a_failure(self):
        self.write("prompts.txt", "the\n" * 100)
        with open("/dev/full", "w") as full:
            result = subprocess.run([MIXTAPE, "generate", "run", "--prompts", "prompts.txt"],
                                    stdout=full, stderr=subprocess.PIPE, cwd=self.folder.name)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, b"mixtape: standard output: No space left on device\n")

    def overflow_at(self, channel):
        """Lets the last feed-forward layer overflow where a channel is positive."""
        with h5py.File(self.path("run", "best.h5"), "r+") as file:
            weight = file["model/rwkv_blocks.1.ffn.proj_key.weight"]
            weight[0] = numpy.eye(weight.shape[1])[channel] * 3e38

    def fails_at(self, prompt):
        result = subprocess.run([MIXTAPE, "generate", "run", "--prompt", prompt, "--length", "1"],
                                cwd=self.folder.name, capture_output=True)
        return b"is nan" in result.stderr

    def test_a_line_that_the_model_fails_at_ends_the_run_behind_those_before_it(self):
        for channel in range(16):
            self.overflow_at(channel)
            if self.fails_at("laz") and not self.fails_at("the"):
                break
        else:
            self.fail("no channel is positive for the second line alone")
        self.write("prompts.txt", "the\nlaz\nthe\n")
        result = self.run_command("generate", "run", "--prompts", "prompts.txt", "--length", "1",
                                  status=1)
        self.assertEqual([json.loads(line)["line"] for line in result.stdout.splitlines()], [1])
        self.assertEqual(result.stderr.decode(), "mixtape: prompts.txt: line 2: the model: the "
                         "logit of symbol 0 is nan\n")

    def test_a_signal_leaves_whole_lines(self):
        self.write("prompts.txt", "the\n" * 1000000)
        endless = [MIXTAPE, "generate", "run", "--prompts", "prompts.txt", "--length", "20"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            with self.subTest(number):
                process = subprocess.Popen(endless, cwd=self.folder.name, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE)
                shown = process.stdout.readline()
                if number != signal.SIGPIPE:
                    process.send_signal(number)
                    shown += process.stdout.read()
                process.stdout.close() # for SIGPIPE, who reads goes away
                self.assertEqual(process.stderr.read(), b"")
                self.assertEqual(process.wait(60),
                                 -number if number == signal.SIGPIPE else 128 + number)
                process.stderr.close()
                self.assertTrue(shown.endswith(b"}\n"))
                for i, line in enumerate(shown.splitlines(), 1):
                    self.assertEqual(json.loads(line)["line"], i)

    def test_a_signal_ends_the_wait_for_a_line(self):
        process = subprocess.Popen([MIXTAPE, "generate", "run", "--prompts", "-", "--batch", "1"],
                                   cwd=self.folder.name, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"the\n")
        process.stdin.flush()
        self.assertEqual(json.loads(process.stdout.readline())["line"], 1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 128 + signal.SIGTERM)
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


class TranscriptPromptsTest(TranscriptsTest):
    def test_each_transcript_begins_with_the_blank(self):
        self.train_tokens("--out", "run")
        lines = ["", "a b", "c"]
        self.write("prompts.txt", "\n".join(lines) + "\n")
        records = self.run_command("generate", "run", "--prompts", "prompts.txt", "--length",
                                   "9").stdout.splitlines()
        for i, line in enumerate(lines):
            prompt = ["--prompt", line] if line else []
            alone = self.run_command("generate", "run", *prompt, "--length", "9", "--seed",
                                     str(1 + i)).stdout.decode()
            record = json.loads(records[i])
            self.assertEqual(record["prompt"] + record["answer"] + "\n", alone)


if __name__ == "__main__":
    unittest.main()
