"""The data that tasks read: several files, folders of them, and what a run keeps of that."""

import gzip
import lzma
import os
import re
import unittest

import h5py
import numpy

from test_command import TranscriptsTest, read

SMALL = ["--size", "16", "--blocks", "1", "--batch", "4", "--threads", "1", "--eval-every", "0"]


class SeveralFilesTest(TranscriptsTest):
    def setUp(self):
        super().setUp()
        for name, letters in (("one", "ab"), ("two", "cd"), ("three", "efé")):
            self.write(name, letters * 200)

    def train_text(self, *arguments, **options):
        return self.run_command("train", "text", *SMALL, "--length", "8", "--steps", "3",
                                *arguments, **options)

    def data_of(self, run, option="data"):
        """What config.yaml has for an option of files."""
        lines = read(self.path(run, "config.yaml")).splitlines()
        at = lines.index(next(line for line in lines if line.startswith(option + ":")))
        count = next(i for i, line in enumerate(lines[at + 1:]) if not line.startswith("- "))
        names = lines[at + 1:at + 1 + count] or [lines[at].split(" ", 1)[1]]
        return [os.path.basename(name.strip('- "')) for name in names]

    def test_options_of_files_take_all_that_is_given(self):
        ways = [["--data", "one", "two", "three"], ["--data", "one", "--data", "two", "three"],
                ["--data=one", "two", "--seed", "1", "--data", "three"],
                ["--data", "one", "two", "three", "--valid-data", "two", "one"]]
        for i, way in enumerate(ways):
            said = self.train_text(*way, "--out", f"run{i}").stderr.decode()
            self.assertEqual(self.data_of(f"run{i}"), ["one", "two", "three"])
            self.assertIn("7 different", said)
        self.assertEqual(self.data_of("run3", "valid-data"), ["two", "one"])
        self.assertIn("1400 symbols to train on, 800 to validate on", said)
        same = [read(self.path(f"run{i}", "metrics.csv")).split(",")[:14] for i in range(3)]
        self.assertTrue(same[0] == same[1] == same[2])

    def test_a_file_that_stands_twice_is_told(self):
        """By whatever path or link; data to validate on, too."""
        os.symlink("one", self.path("symbolic"))
        os.link(self.path("one"), self.path("hard"))
        twice = "named more than once, and counted each time"
        for i, (names, says) in enumerate((
                (["one", "two"], []), (["one", "one"], [f"one: {twice}"]),
                (["two", "one", "symbolic"], [f"one: {twice}"]),
                (["one", "hard", "one"], [f"hard (and 1 more): {twice}"]),
                (["one", "two", "--valid-data", "two", "hard"],
                 ["two (and 1 more): trained on, and validated on"]))):
            with self.subTest(names):
                said = self.train_text("--data", *names, "--out", f"run{i}").stderr.decode()
                told = [line.split("/")[-1] for line in said.splitlines()
                        if "counted each" in line or "validated on" in line]
                self.assertEqual(told, says)
        os.mkdir(self.path("folder"))
        os.link(self.path("one"), self.path("folder", "a"))
        said = self.run_command("eval", "run0", "--data", "folder", "one").stderr.decode()
        self.assertEqual(said, f"one: {twice}\n")
        self.assertEqual(self.run_command("eval", "run0", "--data", "folder").stderr, b"")

    def check_change_is_told(self, name, *changes):
        """What `eval run` says of a file of held-out data once it has another text."""
        self.assertNotIn("changed", self.run_command("eval", "run").stderr.decode())
        for text, how in changes:
            self.write(name, text)
            measured = self.run_command("eval", "run")
            self.assertIn(b"loss", measured.stdout)
            self.assertEqual(measured.stderr.decode(),
                             f"{self.path(name)}: it changed since the run was saved, and is "
                             f"measured as it is: {how}\n")

    def test_held_out_text_that_changed_is_measured_and_told(self):
        self.train_text("--data", "one", "--out", "run")
        self.check_change_is_told("one", ("ba" * 200, "still 400 bytes, but not the same"),
                                  ("ab" * 300, "400 bytes then, 600 now"))
        os.rename(self.path("run"), self.path("share"))
        self.write("two", "fe" * 200)
        self.train_text("--data", "three", "--valid-data", "two", "--out", "run")
        self.write("three", "e" * 400)  # which is not measured
        self.check_change_is_told("two", ("ef" * 200, "still 400 bytes, but not the same"))

    def test_held_out_transcripts_that_changed_are_measured_and_told(self):
        transcripts = read(self.path("text"))
        size = len(transcripts)
        self.write("held", transcripts)
        self.run_command("train", "tokens", *SMALL, "--steps", "3", "--data", "text",
                         "--valid-data", "held", "--token-list", "tokens.txt", "--out", "run")
        first, *others = transcripts.splitlines(True)
        self.check_change_is_told(
            "held", ("".join([*others, first]), f"still {size} bytes, but not the same"),
            ("".join(others), f"{size} bytes then, {size - len(first)} now"))

    def test_lines_of_json_are_told(self):
        self.write("texts.jsonl", '{"text": "abc"}\n' * 20)
        said = self.train_text("--data", "texts.jsonl", "--out", "run").stderr.decode()
        self.assertIn("texts.jsonl: JSON lines", said)
        self.assertIn("`mixtape tokenize`", said)

    def test_arrays_and_tables_are_no_text(self):
        self.train_text("--data", "one", "--out", "run")
        numpy.save(self.path("a.npy"), numpy.arange(100))
        with h5py.File(self.path("a.h5"), "w") as file:
            file["ids"] = numpy.arange(100)
        self.write("a.arrow", b"\xff\xff\xff\xff" + bytes(100))
        self.write("a.parquet", b"PAR1" + bytes(100))
        for name, says in (("a.npy", ["an array of NumPy's", "task ids"]),
                           ("a.h5", ["an HDF5 file", "task ids"]),
                           ("a.arrow", ["an Arrow file"]), ("a.parquet", ["a Parquet file"])):
            with self.subTest(name):
                self.refuse("train", "text", "--data", name, status=1, says=[name + ": ", *says])
                self.refuse("eval", "run", "--data", name, status=1, says=[name + ": ", *says])

    def test_what_streams_is_named_once(self):
        self.train_text("--data", "one", "--out", "run")
        os.mkfifo(self.path("pipe"))
        for names in (["-", "-"], ["pipe", "two", "pipe"]):
            with self.subTest(names):
                says = [f"{'standard input' if names[-1] == '-' else names[-1]}: named twice"]
                self.refuse("train", "text", "--data", *names, status=2, says=says)
                self.refuse("train", "text", "--data", names[0], "--valid-data", names[-1],
                            status=2, says=says)
                self.refuse("eval", "run", "--data", *names, status=2, says=says)

    def test_one_file_is_kept_as_it_was(self):
        self.train_text("--data", "one", "--out", "run")
        self.assertIn(f'\ndata: "{self.path("one")}"\n', read(self.path("run", "config.yaml")))

    def test_a_task_may_stand_behind_its_files(self):
        said = self.run_command("train", *SMALL, "--length", "8", "--steps", "1", "--data", "one",
                                "two", "text", "--out", "run").stderr.decode()
        self.assertIn("training text", said)
        self.assertEqual(self.data_of("run"), ["one", "two"])
        self.refuse("train", "text", "one", status=2, says=["one task", "text", "one"])
        self.refuse("train", "text", "--data", "one", "--steps", "1", "two", status=2,
                    says=["one task", "two"])

    def test_folders_are_walked_in_order_without_hidden_files(self):
        for name in ("b", "a/z", "a/b", ".hidden", "a/.also", ".folder/in"):
            os.makedirs(os.path.dirname(self.path("texts", name)), exist_ok=True)
            hidden = "." in name
            self.write(os.path.join("texts", name), ("?" if hidden else name[-1]) * 20)
        os.mkfifo(self.path("texts", "pipe"))
        said = self.train_text("--data", "texts", "--valid-data", "texts/a", "--out",
                               "run").stderr.decode()
        self.assertIn("60 symbols to train on, 40 to validate on, 2 different", said)
        self.assertEqual(self.data_of("run"), ["texts"])
        self.write("texts/c", "b" * 20)
        self.refuse("train", "--resume", "run", "--steps", "4", status=2,
                    says=["texts: it changed", "60 bytes then, 80 now", "--data"])
        os.makedirs(self.path("none", "in"))
        self.refuse("train", "text", "--data", "one", "none", status=2, says="none: no file")
        os.symlink("away", self.path("none", "link"))
        self.refuse("train", "text", "--data", "none", status=1, says="none/link: a link")
        os.remove(self.path("none", "link"))
        os.symlink("..", self.path("none", "in", "up"))
        self.refuse("train", "text", "--data", "none", status=1, says="none/in/up: a link")

    def test_a_list_that_is_given_to_a_run_that_goes_on_is_all_of_it(self):
        self.train_text("--data", "one", "two", "three", "--out", "run")
        self.run_command("train", "--resume", "run", "--steps", "4")
        self.assertEqual(self.data_of("run"), ["one", "two", "three"])
        said = self.run_command("train", "--resume", "run", "--steps", "5", "--data", "two",
                                "one").stderr.decode()
        self.assertIn("other data to train on", said)
        self.assertEqual(self.data_of("run"), ["two", "one"])
        said = self.run_command("train", "--resume", "run", "--steps", "6", "--data", "two",
                                "--data", "one").stderr.decode()
        self.assertNotIn("other data", said)

    def test_where_one_file_ends_and_the_next_begins_is_noticed(self):
        self.train_text("--data", "one", "two", "--out", "run")
        whole = read(self.path("one")) + read(self.path("two"))
        self.write("one", whole[:300])
        self.write("two", whole[300:])
        self.refuse("train", "--resume", "run", "--steps", "4", status=2,
                    says=["one, ...: it changed", "still 800 bytes, but not the same"])

    def test_no_window_reaches_into_another_file(self):
        """Of two files of one letter each, what comes next is certain but for the first symbol."""
        self.write("a", "a" * 500)
        self.write("b", "b" * 500)
        self.train_text("--data", "a", "b", "--valid-data", "a", "b", "--steps", "150", "--lr",
                        "0.03", "--out", "run")
        loss = float(self.run_command("eval", "run").stdout.decode().split("loss ")[1].split()[0])
        self.assertLess(loss, 0.01)

    def test_files_shorter_than_a_window_are_trained_on(self):
        os.mkdir(self.path("poems"))
        for i in range(20):
            self.write(f"poems/{i}", "xyz")
        self.write("poems/0", "")
        self.write("poems/1", "b")
        self.write("poems/long", "w" * 20)
        self.train_text("--data", "poems", "--valid-data", "poems", "--out", "run")
        counted = self.run_command("eval", "run").stdout.decode()
        self.assertIn("counted 52\n", counted) # 18 of 3 symbols, 2 windows of 8
        self.write("few", "xyz")
        self.refuse("train", "text", "--data", "few", "few", *SMALL, "--length", "8", status=2,
                    says=["few: ", "too few for --length 8"])

    def test_a_thousand_files_are_kept_with_the_run(self):
        os.mkdir(self.path("many"))
        names = [f"many/{'n' * 90}{i}" for i in range(1000)]
        for name in names:
            self.write(name, "abc" * 10)
        self.train_text("--data", *names, "--out", "run")
        self.run_command("train", "--resume", "run", "--steps", "4")
        self.assertEqual(self.data_of("run"), [os.path.basename(name) for name in names])

    def test_transcripts_of_several_files_are_one(self):
        lines = read(self.path("text")).splitlines(keepends=True)
        self.write("first", "".join(lines[:25]))
        self.write("second", "".join(lines[25:]))
        tokens = ["train", "tokens", "--token-list", "tokens.txt", *self.options]
        self.run_command(*tokens, "--data", "text", "--out", "whole")
        self.run_command(*tokens, "--data", "first", "second", "--out", "parts")
        evaluated = [self.run_command("eval", run).stdout for run in ("whole", "parts")]
        self.assertEqual(*evaluated)
        self.refuse(*tokens, "--data", "first", "second", "first", status=1,
                    says=["first and 2 more: the utterance 'utt", "twice"])
        self.write("empty", "")
        self.refuse(*tokens, "--data", "first", "empty", status=1, says="empty: no transcript")

    def test_a_name_that_no_file_of_a_run_could_say_is_refused(self):
        self.refuse("train", "text", *SMALL, "--data", b"\xff", status=2,
                    says=["--data \\xFF", "not UTF-8"])


class StreamsTest(TranscriptsTest):
    """Standard input, pipes and gzip's files are read as files are."""

    def setUp(self):
        super().setUp()
        self.text = "the quick brown fox jumps over the lazy dog\n" * 40
        self.write("plain", self.text)
        self.write("packed", gzip.compress(self.text.encode()))
        self.options = [*SMALL, "--length", "8", "--steps", "3"]
        self.run_command("train", "text", "--data", "plain", *self.options, "--out", "plain-run")

    def evaluated(self, run):
        return self.run_command("eval", run, "--data", "plain").stdout

    def test_what_streams_trains_as_the_file_does(self):
        text, packed = self.text.encode(), read(self.path("packed"), mode="rb")
        expected = self.evaluated("plain-run")
        for i, (name, given) in enumerate([("-", text), ("/dev/stdin", text), ("-", packed),
                                           ("packed", None)]):
            self.run_command("train", "text", "--data", name, *self.options, "--out", f"run{i}",
                             input=given)
            self.assertEqual(self.evaluated(f"run{i}"), expected, name)
        measured = self.run_command("eval", "plain-run", "--data", "-", input=packed).stdout
        self.assertEqual(measured, expected)

    def test_a_run_that_goes_on_wants_its_stream_again(self):
        self.run_command("train", "text", "--data", "-", *self.options, "--out", "run",
                         input=self.text.encode())
        self.assertIn('\ndata: "(pipe)"\n', read(self.path("run", "config.yaml")))
        resume = ["train", "--resume", "run", "--steps", "4"]
        self.refuse(*resume, status=2, says=["pipe", "gone", "--data"])
        self.refuse("eval", "run", status=2, says=["pipe", "gone", "--data"])
        said = self.run_command(*resume, "--data", "packed").stderr.decode()
        self.assertNotIn("other data", said) # its text is the same
        said = self.run_command("train", "--resume", "run", "--steps", "5", "--data", "-",
                                input=self.text.encode() * 2).stderr.decode()
        self.assertIn("other data to train on", said)

    def test_transcripts_stream_too(self):
        options = ["--size", "16", "--blocks", "1", "--batch", "4", "--steps", "2"]
        lines = read(self.path("text")).encode()
        self.write("text.gz", gzip.compress(lines))
        for i, (name, given) in enumerate([("text", None), ("-", lines), ("text.gz", None)]):
            self.run_command("train", "tokens", "--data", name, "--token-list", "tokens.txt",
                             *options, "--out", f"run{i}", input=given)
        same = [self.run_command("eval", f"run{i}", "--data", "text").stdout for i in range(3)]
        self.assertTrue(same[0] == same[1] == same[2])

    def test_what_is_no_text_is_refused_with_the_cure(self):
        packed = read(self.path("packed"), mode="rb")
        wrong = {"cut": (packed[:-9], ["cut: cut off at byte", "unpacked"]),
                 "xz": (lzma.compress(b"abc"), ["xz: compressed by xz", "xz -dc"]),
                 "utf16": ("abc".encode("utf-16"), ["utf16: UTF-16", "iconv"]),
                 "empty": (gzip.compress(b""), "empty: the file is empty")}
        for name, (content, says) in wrong.items():
            self.write(name, content)
            self.refuse("train", "text", "--data", name, *self.options, status=1, says=says)
        for name in ("utf16", "cut"):
            self.refuse("train", "tokens", "--data", name, "--token-list", "tokens.txt", status=1,
                        says=wrong[name][1])
        self.refuse("train", "tokens", "--data", "text", "--token-list", "utf16", status=1,
                    says=wrong["utf16"][1])
        self.refuse("train", "text", "--valid-data", "plain", *self.options, status=2,
                    says="--data")


class GrowingVocabularyTest(TranscriptsTest):
    """Weights that a run begins with may have fewer labels than its data."""

    options_of_init = ["--batch", "4", "--steps", "1", "--lr", "1e-9", "--init", "first"]

    def setUp(self):
        super().setUp()
        self.write("known", "abcabc cab\n" * 40)
        self.write("new", "abcé cab\u0007\n" * 40)

    def weights(self, run):
        with h5py.File(self.path(run, "checkpoint.h5")) as file:
            return {name: file["model"][name][()] for name in file["model"]}, [
                token.decode() for token in file.attrs["token_list"]]

    def claim_grown(self, before, after, padding=None):
        old, old_tokens = before
        new, new_tokens = after
        self.assertEqual(new_tokens[:len(old_tokens)], old_tokens)
        for name, values in old.items():
            numpy.testing.assert_allclose(new[name][:len(values)], values, atol=1e-6, err_msg=name)
        for name in ("embed.weight", "head.weight", "head.bias"):
            rows = old[name]
            if name == "embed.weight" and padding is not None:
                rows = numpy.delete(rows, padding, axis=0)
            for row in new[name][len(old_tokens):]:
                numpy.testing.assert_allclose(row, rows.mean(axis=0), atol=1e-6, err_msg=name)

    def test_new_characters_begin_as_the_mean_of_the_others(self):
        self.run_command("train", "text", "--data", "known", *SMALL, "--length", "8", "--steps",
                         "9", "--out", "first")
        said = self.run_command("train", "text", "--data", "new", "known", *self.options_of_init,
                                "--length", "8", "--out", "second").stderr.decode()
        self.assertIn(f"2 tokens are new to {self.path('first')}, and begin as the mean of its 5: "
                      "'\\x07', 'é'\n", said)
        self.claim_grown(self.weights("first"), self.weights("second"))
        self.run_command("train", "--resume", "second", "--steps", "2")
        self.refuse("train", "--resume", "first", "--steps", "10", "--data", "new", status=1,
                    says=["new: ", "U+00E9"])
        self.refuse("eval", "first", "--data", "new", status=1, says=["new: ", "U+00E9"])
        said = self.run_command("train", "text", "--data", "known", *self.options_of_init,
                                "--length", "8").stderr.decode()
        self.assertNotIn("new to", said)

    def test_characters_are_not_added_to_bytes(self):
        self.run_command("train", "text", "--data", "known", *SMALL, "--length", "8", "--steps",
                         "1", "--unit", "byte", "--out", "first")
        self.refuse("train", "text", "--data", "new", *self.options_of_init, "--length", "8",
                    status=2, says=["--init " + self.path("first"), "--unit byte"])
        self.run_command("train", "text", "--data", "new", *self.options_of_init, "--length", "8",
                         "--unit", "byte")

    def test_a_longer_token_list_goes_on_from_a_shorter_one(self):
        self.train_tokens("--out", "first")
        tokens = read(self.path("tokens.txt"))
        self.write("longer.txt", tokens + "d\ne\n")
        more = "".join(f"more{i} dead bee\n" for i in range(9))
        self.write("text", read(self.path("text")) + more)
        grown = ["train", "tokens", "--data", "text", "--token-list"]
        said = self.run_command(*grown, "longer.txt", *self.options_of_init, "--out",
                                "second").stderr.decode()
        self.assertIn(f"2 tokens are new to {self.path('first')}, and begin as the mean of its 7: "
                      "'d', 'e'\n", said)
        self.claim_grown(self.weights("first"), self.weights("second"), padding=0)
        self.write("other.txt", "d\n".join(tokens.split("a\n")) + "a\n")
        self.refuse(*grown, "other.txt", *self.options_of_init, status=2,
                    says=["other.txt", "token 3 is 'd', there 'a'"])
        self.write("cut.txt", tokens[:-len("<sos/eos>\n")])
        self.refuse(*grown, "cut.txt", *self.options_of_init, status=2,
                    says=["cut.txt", "6 tokens, there 7"])
        self.write("tokens.txt", tokens + "d\n")
        self.refuse("train", "--resume", "first", "--steps", "40", status=2,
                    says=["text: it changed since the run began"])
        self.refuse("train", "--resume", "first", "--steps", "40", "--data", "text", status=2,
                    says=["tokens.txt", "8 tokens, there 7"])


class TokenListTest(TranscriptsTest):
    """Token lists of other programs."""

    def setUp(self):
        super().setUp()
        self.write("bpe.txt", "<blank>\n<unk>\n▁\n▁a\nb\nc\na\n▁b\n▁c\n<sos/eos>\n")
        self.train = ["train", "tokens", "--data", "text", *self.options, "--token-list"]

    def test_transcripts_that_are_not_split_into_subwords_are_refused(self):
        self.refuse(*self.train, "bpe.txt", status=2,
                    says=["text: ", "% of its labels", "bpe.txt", "sub-words", "--bpemodel",
                          "--unit word", "--most-unknown"])
        said = self.run_command(*self.train, "bpe.txt", "--most-unknown", "0.5", "--out",
                                "run").stderr.decode()
        self.assertIn("% of them <unk>", said)
        self.run_command("train", "--resume", "run", "--steps", "31")
        lines = [line.split() for line in read(self.path("text")).splitlines()]
        self.write("text", "".join(
            f"{line[0]} {' '.join('▁' + word[0] + ' ' + ' '.join(word[1:]) for word in line[1:])}\n"
            for line in lines))
        said = self.run_command(*self.train, "bpe.txt", "--unit", "word").stderr.decode()
        self.assertIn("0.00 % of them <unk>", said)
        self.write("rare.txt", "<blank>\n<unk>\n<space>\na\nb\n<sos/eos>\n")
        self.refuse(*self.train, "rare.txt", "--most-unknown", "0.1", status=2, says="rare.txt")

    def test_named_symbols_are_kept_whole_and_with_the_run(self):
        self.write("symbols.txt", "<noise>\n\n@@ \n")
        self.write("marked.txt", "<blank>\n<unk>\n<space>\na\nb\nc\n<noise>\n@@\n<sos/eos>\n")
        lines = read(self.path("text")).replace("a", "a<noise>@@", 20)
        self.write("text", lines)
        said = self.run_command(*self.train, "marked.txt").stderr.decode()
        self.assertIn("; of several characters: '<noise>', '@@' (kept whole in brackets", said)
        self.assertNotIn(" 0.00 % of them <unk>", said)
        said = self.run_command(*self.train, "marked.txt", "--nlsyms", "symbols.txt", "--out",
                                "run").stderr.decode()
        self.assertIn(" 0.00 % of them <unk>\n", said)
        config = self.path("run", "config.yaml")
        self.assertIn('\nnlsyms:\n- "<noise>"\n- "@@"\n', read(config))
        os.remove(self.path("symbols.txt"))
        text = self.run_command("generate", "run", "--prompt", "@@a<noise>", "--length", "1").stdout
        self.assertTrue(text.startswith(b"@@a<noise>"))
        labels = re.search("([0-9]+) labels", said).group(1)
        measured = self.run_command("eval", "run", "--data", "text").stdout.decode()
        self.assertIn(f"\ncounted {labels}\n", measured)
        said = self.run_command("train", "--resume", "run", "--steps", "31").stderr.decode()
        self.assertIn(" 0.00 % of them <unk>\n", said)
        self.write("symbols.txt", "a\n")
        self.refuse("train", "--resume", "run", "--steps", "32", "--nlsyms", "symbols.txt",
                    status=2, says=["--nlsyms", "new run"])
        self.write("run/config.yaml", read(config).replace("@@", "@"))
        self.refuse("train", "--resume", "run", "--steps", "32", status=2,
                    says=["nlsyms @: the run began with @@"])
        for name, content, status, says in (("none", None, 1, "No such file"),
                                            ("empty", "\n \n", 1, "empty"),
                                            ("binary", b"\xff\n", 1, "line 1 is not UTF-8")):
            if content is not None:
                self.write(name, content)
            self.refuse(*self.train, "marked.txt", "--nlsyms", name, status=status,
                        says=[name, says])
        self.refuse(*self.train, "marked.txt", "--nlsyms", "symbols.txt", "--unit", "word",
                    status=2, says="--nlsyms")

    def test_a_list_without_a_blank_is_used_as_it_is(self):
        self.write("plain.txt", "<s>\n<unk>\n<space>\na\nb\nc\n")
        self.refuse(*self.train, "plain.txt", status=2,
                    says=["plain.txt", "'<s>', not <blank>", "--embed-pad -1"])
        said = self.run_command(*self.train, "plain.txt", "--embed-pad", "-1", "--out",
                                "run").stderr.decode()
        self.assertIn("for want of <blank>, each begins behind label 0, '<s>'\n", said)
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            self.assertTrue(numpy.all(file["model/embed.weight"][0] != 0.0))
        self.run_command("generate", "run", "--length", "5")
        self.run_command("eval", "run", "--data", "text")


if __name__ == "__main__":
    unittest.main()
