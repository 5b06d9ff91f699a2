"""What `mixtape eval --data` says of models, computed anew by NumPy, and scores of utterances."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import unittest

import h5py
import numpy

from test_command import MIXTAPE, CommandTest, TranscriptsTest, read

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "..", "reference"))
import rwkv_reference # noqa: E402


def model_of(path):
    """Weights by name, and the configuration, of an exchange file of the layout `mixtape`."""
    with h5py.File(path) as file:
        return ({name: file[name][()].astype("float64") for name in file}, {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in file.attrs.items()
        })


def log_probabilities(model, inputs):
    """Of every symbol at every step, (T, V)."""
    logits = rwkv_reference.decoder(*model, numpy.asarray([inputs]))[1][0]
    logits = logits - logits.max(-1, keepdims=True)
    return logits - numpy.log(numpy.exp(logits).sum(-1, keepdims=True))


def score(model, symbols, start=None):
    """The log-likelihood, the number and the hits of symbols, behind the first or a start."""
    symbols = list(symbols) if start is None else [start, *symbols]
    if len(symbols) < 2:
        return numpy.zeros(3)
    found = log_probabilities(model, symbols[:-1])
    target = numpy.array(symbols[1:])
    return numpy.array([
        found[numpy.arange(len(target)), target].sum(), len(target),
        (found.argmax(-1) == target).sum()
    ])


class EvalTest(CommandTest):
    def figures(self, *arguments):
        """The figures, which both forms of the output have alike."""
        plain = self.run_command("eval", *arguments).stdout.decode()
        found = json.loads(self.run_command("eval", *arguments, "--json").stdout)
        for line in plain.splitlines():
            name, value = line.split(" ", 1)
            self.assertAlmostEqual(found[name], float(value), delta=6e-5 + 1e-9 * abs(found[name]))
        self.assertEqual(len(plain.splitlines()), len(found) - 2) # beside the names
        return found

    def check(self, found, scores, **counts):
        """Figures by their definitions, from scores of documents."""
        total, counted, hits = sum(scores)
        expected = {
            "loss": -total / counted, "perplexity": numpy.exp(-total / counted),
            "accuracy": hits / counted, "counted": counted, "documents": len(scores)
        }
        if "words" in counts:
            expected["word_perplexity"] = numpy.exp(-total / counts["words"])
            expected["character_perplexity"] = numpy.exp(-total / counts["characters"])
        if "bytes" in counts:
            expected["bits_per_byte"] = -total / numpy.log(2) / counts["bytes"]
        self.assertEqual(set(expected) | set(counts) | {"model", "task"}, set(found))
        for name, value in {**expected, **counts}.items():
            self.assertAlmostEqual(found[name], value, delta=1e-5 * abs(value), msg=name)


class TextTest(EvalTest):
    def setUp(self):
        super().setUp()
        self.write("text.txt", "the quick brown fox jumps, wie schön.\n" * 40)
        self.texts = ["the wie\u00a0fox,\n\n jumps schön" * 3, "ö", "q", "fox jumps\n" * 20]
        self.write("text.txt", read(self.path("text.txt")) + "\u00a0")
        for i, text in enumerate(self.texts):
            self.write(f"{i}.txt", text)
        self.names = [f"{i}.txt" for i in range(len(self.texts))]
        self.train_text("run")

    def train_text(self, name, *options):
        self.run_command("train", "text", "--data", "text.txt", "--size", "16", "--blocks", "2",
                         "--batch", "4", "--length", "16", "--steps", "20", "--threads", "1",
                         "--out", name, *options)
        self.run_command("export", name, "--layout", "mixtape", "-o", name + ".h5")
        return name

    def symbols(self, model, text):
        tokens = [token.decode() for token in model[1]["token_list"]]
        return [tokens.index(character) for character in text]

    def test_figures_are_those_of_the_definitions(self):
        model = model_of(self.path("run.h5"))
        scores = [score(model, self.symbols(model, text)) for text in self.texts]
        counts = {
            "words": sum(len(text.split()) for text in self.texts),
            "characters": sum(len(text) - 1 for text in self.texts),
            "bytes": sum(len(text[1:].encode()) for text in self.texts)
        }
        for options in ([], ["--window", "1"], ["--window", "7", "--batch", "3"],
                        ["--window", "1000", "--batch", "64"], ["--task", "text", "--last"]):
            with self.subTest(options):
                self.check(self.figures("run", "--data", *self.names, *options), scores, **counts)
        for file in ("run.h5", "run/checkpoint.h5"): # a model alone tells as much
            self.check(self.figures(file, "--data", *self.names), scores, **counts)
        self.check(self.figures("run", "--data", self.names[0]), scores[:1],
                   words=len(self.texts[0].split()), characters=len(self.texts[0]) - 1,
                   bytes=len(self.texts[0][1:].encode()))

    def test_a_long_text_comes_in_pieces(self):
        text = self.texts[0] * (70000 // len(self.texts[0]))
        self.write("long.txt", text)
        model = model_of(self.path("run.h5"))
        numpy.save(self.path("long.npy"), self.symbols(model, text))
        found = self.figures("run", "--data", "long.txt", "1.txt")
        self.assertEqual((found["counted"], found["documents"], found["words"]),
                         (len(text) - 1, 2, len(text.split()) + 1))
        ids = self.figures("run", "--data", "long.npy", "--task", "ids")
        self.assertAlmostEqual(found["loss"], ids["loss"], delta=1e-9)
        whole = score(model, self.symbols(model, text[:2000]))
        self.assertAlmostEqual(found["loss"], -whole[0] / whole[1], delta=0.05)

    def test_a_symbol_may_stand_before_and_behind_each_document(self):
        model = model_of(self.path("run.h5"))
        newline, = self.symbols(model, "\n")
        scores = [
            score(model, [*self.symbols(model, text), newline], newline) for text in self.texts
        ]
        found = self.figures("run", "--data", *self.names, "--start", "\n", "--end", "\n")
        self.check(found, scores, words=sum(len(text.split()) for text in self.texts),
                   characters=sum(len(text) for text in self.texts),
                   bytes=sum(len(text.encode()) for text in self.texts))
        self.refuse("eval", "run", "--data", "0.txt", "--start", "fo", status=2,
                    says=["--start", "'fo' is 2 symbols"])
        self.refuse("eval", "run", "--data", "0.txt", "--end", "Ω", status=1,
                    says=["--end", "U+03A9"])

    def test_texts_come_from_anywhere(self):
        expected = self.figures("run", "--data", "0.txt")
        text = read(self.path("0.txt"), mode="rb")
        self.write("packed", gzip.compress(text))
        self.assertEqual(self.figures("run", "--data", "packed"), expected)
        os.mkdir(self.path("folder"))
        self.write("folder/a", text)
        self.assertEqual(self.figures("run", "--data", "folder"), expected)
        piped = self.run_command("eval", "run", "--data", "-", "--json", input=text).stdout
        self.assertEqual(json.loads(piped), expected)

    def test_bytes_that_are_no_text_have_no_characters(self):
        self.train_text("bytes", "--unit", "byte")
        data = b"fox \xff\xfe\x00 jumps"
        self.write("bytes.bin", data)
        model = model_of(self.path("bytes.h5"))
        self.check(self.figures("bytes", "--data", "bytes.bin"), [score(model, data)],
                   bytes=len(data) - 1)
        self.write("mark.txt", "\ufefffox")
        self.assertEqual(self.figures("bytes", "--data", "mark.txt")["bytes"], 5)
        self.assertEqual(self.figures("run", "--data", "mark.txt")["bytes"], 2)
        with self.subTest("a model of bytes that does not say so"):
            self.run_command("export", "bytes", "--layout", "mixtape", "-o", "b.safetensors")
            expected = self.figures("bytes", "--data", "0.txt")["loss"]
            found = self.figures("b.safetensors", "--data", "0.txt", "--unit", "byte")
            self.assertAlmostEqual(found["loss"], expected, delta=1e-6)

    def test_lines_are_scored_by_a_model_of_text(self):
        self.write("lines", "a  the\tfox \nb wie schön\n")
        model = model_of(self.path("run.h5"))
        lines = self.run_command("eval", "run", "--data", "lines", "--task", "tokens",
                                 "--per-utterance").stdout.decode().splitlines()
        for line, text in zip(lines, ("the fox", "wie schön"), strict=True):
            total, counted, _ = score(model, self.symbols(model, text))
            self.assertAlmostEqual(float(line.split()[1]), total, delta=1e-4)
            self.assertEqual(int(line.split()[2]), counted)

    def test_ids_are_measured_document_by_document(self):
        generator = numpy.random.default_rng(3)
        model = model_of(self.path("run.h5"))
        vocabulary = int(model[1]["vocab_size"])
        rows = generator.integers(0, vocabulary, size=(3, 40))
        numpy.save(self.path("rows.npy"), rows)
        rows[0].astype("uint16").tofile(self.path("row.bin"))
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.safetensors")
        for file in ("run", "run.safetensors"):
            self.check(self.figures(file, "--task", "ids", "--data", "rows.npy", "row.bin"),
                       [score(model, row) for row in (*rows, rows[0])])
        self.check(self.figures("run", "--task", "ids", "--start", "2", "--data", "row.bin"),
                   [score(model, rows[0], 2)])
        rows[0].astype("uint32").tofile(self.path("wide.bin"))
        self.check(self.figures("run", "--task", "ids", "--ids-type", "uint32", "--data",
                                "wide.bin"), [score(model, rows[0])])
        numpy.save(self.path("long.npy"), numpy.tile(rows[0], 1700)) # read in two pieces
        self.assertEqual(self.figures("run", "--task", "ids", "--end", "1", "--data",
                                      "long.npy")["counted"], 1700 * 40)
        numpy.save(self.path("wrong.npy"), rows + 1)
        rows[1, 4] = vocabulary
        numpy.save(self.path("wrong.npy"), rows)
        self.refuse("eval", "run", "--task", "ids", "--data", "wrong.npy", status=1,
                    says=["wrong.npy", str(vocabulary)])

    def test_info_tells_what_is_needed(self):
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.safetensors")
        self.run_command("export", "run", "--layout", "espnet", "-o", "decoder.h5")
        self.run_command("export", "run", "--layout", "espnet", "-o", "decoder.safetensors")
        self.train_text("bytes", "--unit", "byte")
        self.run_command("export", "bytes", "--layout", "mixtape", "-o", "bytes.safetensors")
        for file, says in (("run.h5", "\ntask text, unit char, as its tokens tell\n"),
                           ("bytes.h5", "\ntask text, unit byte, as its tokens tell\n"),
                           ("run", "\ntask text, unit char\n"),
                           ("run.safetensors", "\nfor eval and generate: it has "
                            "no token list to read text by (--tokenizer FILE, --token-list FILE; "
                            "--task ids, --ids"),
                           ("decoder.h5", "\nfor eval and generate: it has no head"),
                           ("decoder.safetensors", "\nfor eval and generate: it has no head"),
                           ("bytes.safetensors", "by (--unit byte, --tokenizer FILE, ")):
            with self.subTest(file):
                self.assertIn(says, self.run_command("info", file).stdout.decode())

    def test_what_a_model_does_not_tell_is_asked_for(self):
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.safetensors")
        for data, says in ((["--data", "0.txt"], ["--token-list", "--task ids"]),
                           ([], ["run.safetensors", "no run's configuration", "--data"])):
            result = self.run_command("eval", "run.safetensors", *data, status=2)
            complaint = result.stderr.decode().splitlines()[-1] # behind what was assumed of it
            for part in says:
                self.assertIn(part, complaint)
        self.run_command("export", "run", "--layout", "espnet", "-o", "decoder.h5")
        self.run_command("train", "copy", "--size", "16", "--blocks", "1", "--steps", "1", "--out",
                         "copy")
        self.write("invalid.txt", b"the \xff")
        for arguments, status, says in (
                (["decoder.h5", "--data", "0.txt"], 2, ["decoder.h5", "no head"]),
                (["copy", "--data", "0.txt"], 2, ["copy does not read it", "--task"]),
                (["run", "--data", "none.txt"], 1, ["none.txt", "No such file"]),
                (["run", "--data", ""], 2, ["--data: an empty value (it takes FILE...)"]),
                (["run", "--data", "invalid.txt"], 1, ["invalid.txt", "byte 4"]),
                (["run", "--data", "1.txt"], 2, ["1.txt: in 1 document there is no", "context"]),
                (["run", "--window", "3"], 2, ["--window is for files", "--data"]),
                (["run", "--unit", "char"], 2, ["--unit is for files", "--data"]),
                (["run", "--per-utterance"], 2, ["--per-utterance is for files", "--data"]),
                (["run", "--data", "0.txt", "--per-utterance"], 2, ["--per-utterance", "text"]),
                (["run", "--data", "0.txt", "--window", "0"], 2, ["--window 0"]),
                (["run", "--data", "0.txt", "--batch", "x"], 2, ["--batch x"]),
                (["run", "--data", "0.txt", "--task", "copy"], 2, ["--task copy", "tokens"]),
                (["run", "--data", "0.txt", "--ids-type", "int3"], 2, ["--ids-type int3"]),
                (["run", "--data", "0.txt", "--ids-type", "int32"], 2,
                 ["--ids-type int32: text does not read it (--task ids does)"]),
                (["run", "--data", "0.txt", "--unit", "word"], 2, ["--unit word", "char and byte"]),
                (["run", "--data", "0.txt", "--threads", "few"], 2, ["--threads few"]),
                (["run", "other", "--data", "0.txt"], 2, ["one model is enough"])):
            with self.subTest(arguments):
                self.refuse("eval", *arguments, status=status, says=says)


class TokenizerTest(EvalTest):
    """A model of ids whose tokenizer is a list of RWKV's World: the longest piece comes first."""

    def setUp(self):
        super().setUp()
        pieces = [bytes([byte]) for byte in range(256)] + [b"the ", "schön".encode(), b"fox", b" j"]
        self.ids = {piece: number + 1 for number, piece in enumerate(pieces)}
        lines = [f"{self.ids[piece]} {piece!r} {len(piece)}\n" for piece in pieces]
        self.write("list.txt", "".join(lines))
        numpy.save(self.path("ids.npy"), numpy.random.default_rng(1).integers(1, 261, size=900))
        self.run_command("train", "ids", "--data", "ids.npy", "--vocab-size", "264", "--size", "16",
                         "--blocks", "1", "--batch", "4", "--length", "8", "--steps", "5",
                         "--threads", "1", "--out", "run")
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.h5")
        self.model = model_of(self.path("run.h5"))

    def encode(self, text):
        ids, at = [], 0
        while at < len(text):
            length = next(n for n in range(6, 0, -1) if text[at:at + n] in self.ids)
            ids.append(self.ids[text[at:at + length]])
            at += length
        return ids

    def test_figures_are_of_the_text_that_ids_stand_for(self):
        text = "the fox jumps, wie schön! the end"
        self.write("text.txt", text)
        ids = self.encode(text.encode())
        self.assertLess(len(ids), len(text))
        self.check(self.figures("run", "--tokenizer", "list.txt", "--data", "text.txt"),
                   [score(self.model, ids)], words=7, characters=len(text) - 4,
                   bytes=len(text.encode()) - 4)
        self.write("lines", f"u1 {text}\nu2  {text} \n")
        lines = self.run_command("eval", "run", "--tokenizer", "list.txt", "--data", "lines",
                                 "--task", "tokens", "--per-utterance", "--start",
                                 "the ").stdout.decode().splitlines()
        expected = score(self.model, ids, self.ids[b"the "])
        for name, line in zip(("u1", "u2"), lines, strict=True):
            found, total, counted = line.split()
            self.assertEqual((found, int(counted)), (name, len(ids)))
            self.assertAlmostEqual(float(total), expected[0], delta=1e-3)

    def test_text_and_ids_are_not_mixed(self):
        self.write("text.txt", "the fox jumps")
        listed = ["run", "--tokenizer", "list.txt", "--data"]
        self.refuse("eval", *listed, "text.txt", "ids.npy", status=2,
                    says=["--data ids.npy: token ids, where text.txt is text", "--task"])
        self.refuse("eval", *listed, "ids.npy", "text.txt", status=2,
                    says=["--data text.txt: text, where ids.npy is token ids", "--task"])
        for names in (["none", "text.txt"], ["text.txt", "none"]):
            self.refuse("eval", *listed, *names, status=1, says=["none: No such file"])

    def test_a_symbol_that_looks_like_a_number_is_text_and_told(self):
        self.write("text.txt", "the fox jumps")
        ids = self.encode(b"the fox jumps")
        numpy.save(self.path("same.npy"), ids)
        digit = self.ids[b"7"]
        for options, fed, says in ((["--tokenizer", "list.txt", "--data", "text.txt"], digit,
                                    f"--start '7': the symbol with id {digit}\n"),
                                   (["--task", "ids", "--data", "same.npy"], 7, "")):
            result = self.run_command("eval", "run", *options, "--start", "7", "--json")
            total, counted, _ = score(self.model, ids, fed)
            self.assertAlmostEqual(json.loads(result.stdout)["loss"], -total / counted, delta=1e-4)
            self.assertEqual("--start" in result.stderr.decode(), says != "")
            self.assertIn(says, result.stderr.decode())


class TranscriptsEvalTest(EvalTest, TranscriptsTest):
    def setUp(self):
        super().setUp()
        self.train_tokens("--out", "run", "--threads", "1")
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.h5")
        self.model = model_of(self.path("run.h5"))
        self.tokens = [token.decode() for token in self.model[1]["token_list"]]

    def labels(self, text):
        spelt = ["<space>" if character == " " else character for character in text]
        return [self.tokens.index(token if token in self.tokens else "<unk>") for token in spelt]

    def per_utterance(self, file, *arguments):
        return self.run_command("eval", file, "--per-utterance", "--data",
                                *arguments).stdout.decode().splitlines()

    def test_scores_of_utterances_are_sums_in_the_order_of_the_file(self):
        texts = [("u2", "abc ab"), ("u1", "a"), ("u1", "b"), ("empty", ""), ("u1", "abx c"),
                 ("u3", "cab " * 50 + "a"), ("ü", "b  a".replace("  ", " "))] * 11
        self.write("nbest", "".join(f"{name} {text}\n" for name, text in texts))
        for options in ([], ["--window", "3"], ["--batch", "1"]):
            lines = self.per_utterance("run", "nbest", *options)
            for (name, text), line in zip(texts, lines, strict=True):
                found, total, counted = line.split()
                expected = score(self.model, self.labels(text), 0)
                self.assertEqual((found, int(counted)), (name, expected[1]))
                self.assertAlmostEqual(float(total), expected[0], delta=1e-4)
        objects = [json.loads(line) for line in self.per_utterance("run.h5", "nbest", "--json")]
        for (_, text), line, found in zip(texts, lines, objects, strict=True):
            name, total, counted = line.split()
            self.assertEqual(found["unknown"], text.count("x"))
            self.assertEqual((found["utterance"], found["tokens"]), (name, int(counted)))
            self.assertAlmostEqual(found["log_likelihood"], float(total), delta=1e-5)

    def test_unknown_symbols_are_told_beside_the_scores(self):
        self.write("some", "u1 abx xa\nu2 ab\nu3 xc\nu4 cab\n")
        told = "scored as <unk>: 3, in 2 of 4 utterances"
        result = self.run_command("eval", "run", "--per-utterance", "--data", "some")
        self.assertIn(told + " (--json", result.stderr.decode())
        self.assertEqual([len(line.split()) for line in result.stdout.splitlines()], [3] * 4)
        result = self.run_command("eval", "run", "--per-utterance", "--json", "--data", "some")
        self.assertIn(told + "\n", result.stderr.decode())
        self.assertEqual([json.loads(line)["unknown"] for line in result.stdout.splitlines()],
                         [2, 0, 1, 0])
        self.write("known", "u1 ab\n")
        result = self.run_command("eval", "run", "--per-utterance", "--data", "known")
        self.assertEqual(result.stderr, b"")

    def test_an_id_that_is_no_text_is_told_as_it_is(self):
        self.write("other", b"u\xff ab\n")
        printed = self.run_command("eval", "run", "--per-utterance", "--data", "other").stdout
        self.assertTrue(printed.startswith(b"u\xff -"))
        line, = self.per_utterance("run", "other", "--json")
        self.assertEqual((json.loads(line)["utterance"], json.loads(line)["tokens"]), (None, 2))

    def test_figures_are_those_of_the_definitions(self):
        texts = ["abc ab", "a", "abx  c b"]
        self.write("other", "".join(f"u{i}\u3000 {text}\u00a0\r\n" for i, text in enumerate(texts)))
        self.check(self.figures("run", "--data", "other"),
                   [score(self.model, self.labels(text), 0) for text in texts], words=6,
                   characters=15, bytes=15, unknown=1)
        end = self.tokens.index("<sos/eos>")
        found = self.figures("run", "--data", "other", "--end", "<sos/eos>")
        self.check(found, [score(self.model, [*self.labels(text), end], 0) for text in texts],
                   words=6, characters=15, bytes=15, unknown=1)

    def test_what_comes_before_an_utterance_can_be_chosen(self):
        space = self.tokens.index("<space>")
        self.write("other", "u1 abc ab\nu2 a\n")
        for start, options in ((None, ["--start", ""]), (space, ["--start", "<space>"]),
                               (0, ["--start", "<blank>"]), (0, [])):
            lines = self.per_utterance("run", "other", *options)
            for line, text in zip(lines, ("abc ab", "a"), strict=True):
                expected = score(self.model, self.labels(text), start)
                self.assertAlmostEqual(float(line.split()[1]), expected[0], delta=1e-4)
                self.assertEqual(int(line.split()[2]), expected[1])

    def test_a_list_without_a_blank_begins_behind_its_first(self):
        self.write("list.txt", "<s>\n<unk>\n<space>\na\nb\nc\n")
        self.run_command("train", "tokens", "--data", "text", "--token-list", "list.txt",
                         "--embed-pad", "-1", *self.options, "--out", "other")
        self.run_command("export", "other", "--layout", "mixtape", "-o", "other.h5")
        tokens = ["<s>", "<unk>", " ", "a", "b", "c"]
        self.write("some", "u1 abc ab\n")
        for file, options in (("other", []), ("other.h5", ["--task", "tokens"])):
            line, = self.per_utterance(file, "some", *options)
            expected = score(model_of(self.path("other.h5")), map(tokens.index, "abc ab"), 0)
            self.assertAlmostEqual(float(line.split()[1]), expected[0], delta=1e-4)

    def test_pieces_are_put_together_to_words(self):
        pieces = ["<blank>", "<unk>", "\u2581a", "b", "\u2581", "c", "\u2581cab", "<sos/eos>"]
        self.write("pieces.txt", "".join(piece + "\n" for piece in pieces))
        lines = ["\u2581a b \u2581cab", "\u2581 c b b", "\u2581cab c"]
        self.write("split", "".join(f"u{i} {line}\n" for i, line in enumerate(lines * 4)))
        self.run_command("train", "tokens", "--data", "split", "--token-list", "pieces.txt",
                         "--unit", "word", *self.options, "--out", "pieces")
        self.run_command("export", "pieces", "--layout", "mixtape", "-o", "pieces.h5")
        model = model_of(self.path("pieces.h5"))
        scores = [score(model, [pieces.index(piece) for piece in line.split()], 0)
                  for line in lines]
        text = ["ab cab", "cbb", "cabc"] # three, of four words
        self.assertIn("\ntask tokens, unit word, as its tokens tell\n",
                      self.run_command("info", "pieces.h5").stdout.decode())
        self.write("joined", "u1 abcabcabcabcx\n")
        self.refuse("eval", "pieces", "--data", "joined", "--unit", "char", status=2,
                    says=["% of the symbols are not in the token list"])
        for file in ("pieces", "pieces.h5"):
            self.write("some", "".join(f"u{i} {line}\n" for i, line in enumerate(lines)))
            self.check(self.figures(file, "--data", "some"), scores, words=4,
                       characters=sum(map(len, text)), bytes=sum(map(len, text)), unknown=0)

    def test_a_model_without_tokens_gets_them_by_an_option(self):
        self.run_command("export", "run", "--layout", "mixtape", "-o", "run.safetensors")
        self.assertEqual(
            self.per_utterance("run.safetensors", "text", "--token-list", "tokens.txt"),
            self.per_utterance("run", "text"))

    def test_wrong_transcripts_are_refused_with_the_line(self):
        for name, content, status, says in (
                ("space", "u1 a\n u2 b\n", 1, ["space: line 2", "no utterance id"]),
                ("gap", "u1 a\n\nu2 b\n", 1, ["gap: line 2", "no utterance id"]),
                ("zero", b"u1 a\nu2 \0b\n", 1, ["zero: a zero byte at 8"]),
                ("bytes", b"u1 a\nu2 \xff\n", 1, ["bytes: line 2"]),
                ("upper", "u1 XYZ\n", 2, ["upper: 100.0 % of the symbols", "--unit"]),
                ("nothing", "u1\nu2 \n", 2, ["nothing: in 2 documents there is no symbol"]),
                ("empty", "", 2, ["in 0 documents there is no symbol"])):
            with self.subTest(name):
                self.write(name, content)
                self.refuse("eval", "run", "--data", name, status=status, says=says)

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_scores_that_cannot_be_written_are_a_failure(self):
        import subprocess
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                [os.environ["MIXTAPE"], "eval", "run", "--data", "text", "--per-utterance"],
                stdout=full, stderr=subprocess.PIPE, cwd=self.folder.name, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn("standard output: No space left", result.stderr.decode())


class HeldOutTest(CommandTest):
    """A validation, whose batches are not those of training."""

    SIZES = ["--size", "32", "--blocks", "2", "--threads", "1", "--steps", "1", "--lr", "1e-12"]

    def figures(self, *arguments):
        """Of a model with its initial values, since the rate is as good as 0."""
        self.run_command("train", *arguments, *self.SIZES, "--out", "run")
        figures = json.loads(self.run_command("eval", "run", "--json").stdout)
        log = float(read(self.path("run", "metrics.csv")).splitlines()[-1].split(",")[3])
        self.assertEqual(round(log, 6), round(figures["loss"], 6))
        shutil.rmtree(self.path("run"))
        return figures

    def test_the_same_rows_are_measured_whatever_the_batch(self):
        self.write("train.txt", "to be or not to be " * 100)
        self.write("valid.txt", "or not to be to " * 1500)
        self.write("tokens.txt", "<blank>\n<unk>\na\nb\n<sos/eos>\n")
        self.write("text", "".join(f"u{i} {'ab' * (1 + i % 50)}\n" for i in range(90)))
        text = ["text", "--data", "train.txt", "--valid-data", "valid.txt", "--length"]
        tokens = ["tokens", "--data", "text", "--valid-data", "text", "--token-list", "tokens.txt"]
        numpy.save(self.path("ids.npy"), numpy.arange(30000, dtype="u2") % 50)
        ids = ["ids", "--data", "ids.npy", "--valid-share", "0.5", "--length", "40"]
        # First, batches that are put together and some that are left over; then batches of many
        # parts; and last, fewer rows than are asked for.
        for task, batches in (([*text, "16"], ((1, 96), (3, 32), (12, 8), (96, 1))),
                              ([*text, "200"], ((32, 3), (8, 12), (1, 96), (96, 1))),
                              (ids, ((1, 400), (5, 200), (64, 1000), (375, 1))),
                              (tokens, ((1, 100), (7, 100), (64, 2), (90, 1)))):
            measured = []
            for batch, count in batches:
                with self.subTest(task=task, batch=batch):
                    measured.append(self.figures(*task, "--batch", str(batch), "--eval-batches",
                                                 str(count)))
                    self.assertEqual(measured[-1]["counted"], measured[0]["counted"])
                    self.assertAlmostEqual(measured[-1]["loss"], measured[0]["loss"], delta=2e-6)
                    self.assertAlmostEqual(measured[-1]["accuracy"], measured[0]["accuracy"])

    def shown_on_a_terminal(self, *arguments):
        ours, theirs = os.openpty()
        shown = b""
        with subprocess.Popen([MIXTAPE, *arguments], cwd=self.folder.name, stdin=theirs,
                              stdout=subprocess.DEVNULL, stderr=theirs) as process:
            os.close(theirs)
            try:
                while part := os.read(ours, 4096):
                    shown += part
            except OSError: # as Linux tells that nobody writes any more
                pass
            self.assertEqual(process.wait(timeout=60), 0)
        os.close(ours)
        return shown.decode()

    def test_its_progress_is_shown_on_a_terminal_alone(self):
        self.write("text.txt", "to be or not to be " * 1000)
        train = ["train", "text", "--data", "text.txt", *self.SIZES, "--out", "run"]
        for arguments in (train, ["eval", "run"]):
            shown = self.shown_on_a_terminal(*arguments)
            self.assertIn("\r\x1b[Kvalidation 1/", shown)
            last = shown[shown.rindex("validation 1/"):]
            self.assertIn("\r\x1b[K", last) # it is taken away
        quiet = self.run_command("eval", "run")
        self.assertEqual(quiet.stderr, b"")
        self.assertNotIn("validation 1/", read(self.path("run", "train.log")))


if __name__ == "__main__":
    unittest.main()
