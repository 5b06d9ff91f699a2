"""Transcripts that a model of SentencePiece splits: the labels are those of ESPnet's own tokenizer,
and generate and eval put the pieces together again."""

import os
import random
import subprocess
import sys
import unittest

import support
import tokenizers_of_tests as made


def setUpModule():
    support.need("numpy", "h5py", "sentencepiece", "espnet2.text.sentencepiece_tokenizer")
    global h5py, numpy, read_2columns_text, SentencepiecesTokenizer, TokenIDConverter
    import h5py
    import numpy
    from espnet2.fileio.read_text import read_2columns_text
    from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer
    from espnet2.text.token_id_converter import TokenIDConverter


# Unknown to the models, blanks of all kinds, other forms of characters, marks of pieces, nothing.
HARD = ["fox 漢字 dog", "  two  blanks\t\u3000wide ", "", "ﬁne Å \u00c5 e\u0301", "a\u200bb\u00a0c",
        "▁quick▁fox", "<unk> <blank> <sos/eos> </s>", "🎵🎵", "x" * 300, "QUICK", "\u2028 fox"]
# As stage 5 of ESPnet's recipes makes it, of the vocabulary beside a model.
TOKEN_LIST = """(echo '<blank>'; echo '<unk>'
    awk '{ if( NR != 1 && NR != 2 && NR != 3 ){ print $1; } }' <tokenizer.vocab
    echo '<sos/eos>') >tokens.txt"""
KINDS = ({"model_type": "bpe"}, {"model_type": "unigram"}, {"model_type": "bpe", "byte_fallback":
         True, "vocab_size": 340}, {"normalization_rule_name": "identity",
         "remove_extra_whitespaces": False}, {"user_defined_symbols": "<noise>,▁quick▁fox"})


class BpeModelTest(support.CommandTest):
    TRAINING = ("--size", "16", "--blocks", "1", "--batch", "4", "--steps", "2",
                "--most-unknown", "1")

    def setUp(self):
        super().setUp()
        os.environ["MIXTAPE_PYTHON"] = sys.executable
        chance = random.Random(1)
        words = made.TEXT.split()
        lines = [" ".join(chance.choices(words, k=chance.randint(1, 9))) for _ in range(40)]
        self.write("text", "".join(f"u{i} {line}\n" for i, line in enumerate(lines + HARD)))

    def model(self, **options):
        """The path of a model; the token list is that of ESPnet's recipe. A tab is a piece to
        sentencepiece 0.2.3, which that recipe's awk does not see: there are none."""
        path = made.sentencepiece(self.folder, made.TEXT.replace("\t", " "), **{
            "vocab_size": 70, "byte_fallback": False, "character_coverage": 1.0, **options})
        subprocess.run(TOKEN_LIST, shell=True, cwd=self.folder, check=True)
        return path

    def train(self, *options, **more):
        return self.run_command("train", "tokens", "--data", "text", *self.TRAINING, *options,
                                **more)

    def labels(self, path):
        """What ESPnet makes of the transcripts: {utterance: (tokens, labels)}."""
        tokenizer = SentencepiecesTokenizer(path)
        converter = TokenIDConverter(self.path("tokens.txt"))
        found = {}
        for utterance, text in read_2columns_text(self.path("text")).items():
            tokens = tokenizer.text2tokens(text)
            found[utterance] = tokens, converter.tokens2ids(tokens)
        return found

    def split(self, path):
        """Splits the transcripts, as ESPnet has their labels."""
        converter = TokenIDConverter(self.path("tokens.txt"))
        self.write("text", "".join(
            " ".join((utterance, *converter.ids2tokens(labels))) + "\n"
            for utterance, (_, labels) in self.labels(path).items()))

    def text(self):
        with open(self.path("text")) as file:
            return file.read()

    def arrays(self, run):
        with h5py.File(self.path(run, "checkpoint.h5")) as file:
            return {name: file["model"][name][()].tobytes() for name in file["model"]}

    def text_of(self, *arguments, **more):
        result = subprocess.run([support.MIXTAPE, *arguments], cwd=self.folder, timeout=300,
                                capture_output=True, **more)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode()


class LabelsTest(BpeModelTest):
    def test_they_are_those_of_espnets_tokenizer(self):
        """The scores of transcripts, counted symbol by symbol, are those of ESPnet's labels."""
        for options in KINDS:
            with self.subTest(options):
                path = self.model(**options)
                self.train("--bpemodel", path, "--token-list", "tokens.txt", "--out", "run")
                expected = [labels for _, labels in self.labels(path).values()]
                found = self.run_command("eval", "run", "--data", "text", "--per-utterance")
                found = [line.split()[1:] for line in found.splitlines()]
                self.assertEqual([int(count) for _, count in found], list(map(len, expected)))
                numpy.testing.assert_allclose([float(score) for score, _ in found],
                                              self.scores(expected), rtol=1e-4, atol=1e-4)
                self.clear("run")

    def scores(self, sequences):
        """The log-likelihoods of labels, by the logits behind all that come before each."""
        inputs = numpy.zeros((len(sequences), max(map(len, sequences)) + 1), int)
        for row, labels in zip(inputs, sequences):
            row[1:len(labels) + 1] = labels
        logits = self.forward("run", inputs)[1].astype(float)
        chances = logits - numpy.log(numpy.exp(logits).sum(axis=2, keepdims=True))
        return [sum(row[t, label] for t, label in enumerate(labels))
                for row, labels in zip(chances, sequences)]

    def clear(self, run):
        subprocess.run(["rm", "-r", self.path(run)], check=True)

    def test_training_gives_the_bits_of_transcripts_that_were_split_before(self):
        path = self.model()
        self.train("--bpemodel", path, "--token-list", "tokens.txt", "--out", "run")
        self.split(path)
        self.train("--unit", "word", "--token-list", "tokens.txt", "--out", "split")
        self.assertEqual(self.arrays("run"), self.arrays("split"))

    def test_without_a_list_it_is_the_one_that_espnets_recipe_makes(self):
        for options in KINDS:
            with self.subTest(options):
                path = self.model(**options)
                self.train("--tokenizer", path, "--out", "run")
                with h5py.File(self.path("run", "best.h5")) as file:
                    found = [token.decode() for token in file.attrs["token_list"]]
                self.assertEqual(found, TokenIDConverter(self.path("tokens.txt")).token_list)
                self.clear("run")

    def test_transcripts_that_are_not_split_are_refused_with_the_cure(self):
        self.model()
        said = self.run_command("train", "tokens", "--data", "text", "--token-list", "tokens.txt",
                                "--out", "run", status=2)
        self.assertIn("(--bpemodel)", said)

    def test_wrong_tokenizers_and_lists_are_refused(self):
        path = self.model()
        with open(self.path("tokens.txt")) as file:
            tokens = file.read().splitlines()
        self.write("other.txt", "\n".join([*tokens, "other"]) + "\n")
        self.write("cut.txt", "\n".join(["<blank>", "<unk>", *tokens[5:30]]) + "\n")
        json = made.huggingface(self.folder)
        for options, says in (
                (("--bpemodel", json, "--token-list", "tokens.txt"), "no model of SentencePiece"),
                (("--bpemodel", path, "--token-list", "other.txt"),
                 f"token {len(tokens)}, 'other', is no piece of it"),
                (("--bpemodel", path, "--token-list", "cut.txt"),
                 f" of its {len(tokens)} pieces"),
                (("--bpemodel", path, "--unit", "word"), "--unit word"),
                (("--bpemodel", path, "--unit", "char"), "--unit char"),
                (("--bpemodel", path, "--nlsyms", "tokens.txt"), "--user_defined_symbols"),
                ((), "--bpemodel")):
            with self.subTest(options):
                said = self.train(*options, "--out", "new", status=2)
                self.assertIn(says, said)
                self.assertEqual(said.count("\n"), 1)
        self.write("known.txt", "\n".join(token for token in tokens if token != "<unk>") + "\n")
        said = self.train("--bpemodel", path, "--token-list", "known.txt", "--out", "new", status=1)
        self.assertIn("text: line 41: utterance u40: the piece '漢字' is not in the token list", said)
        self.assertFalse(os.path.exists(self.path("new")))


    def test_a_list_that_lacks_pieces_is_refused_with_their_names(self):
        path = self.model()
        with open(self.path("tokens.txt")) as file:
            tokens = [token for token in file.read().splitlines() if token not in ("o", "▁")]
        self.write("lacking.txt", "\n".join(tokens) + "\n")
        self.write("text", "".join(f"u{i} the fo go\n" for i in range(20)))
        given = ("train", "tokens", "--data", "text", *self.TRAINING[:-2], "--bpemodel", path)
        said = self.run_command(*given, "--token-list", "lacking.txt", "--out", "new", status=2)
        self.assertRegex(said, r"text: [0-9.]+ % of its pieces are not in .*lacking.txt, as .*'o'")
        self.assertIn("without --token-list", said)
        self.assertNotIn("--unit", said)
        self.assertFalse(os.path.exists(self.path("new")))
        done = subprocess.run([support.MIXTAPE, *given, "--token-list", "lacking.txt",
                               "--most-unknown", "1"], cwd=self.folder, timeout=300,
                              capture_output=True, check=True)
        said = done.stderr.decode()
        self.assertIn("are the token list and --bpemodel those of the transcripts?", said)
        self.run_command(*given, "--out", "own")
        self.write("text", "".join(f"u{i} 漢字\n" for i in range(20)))
        said = self.run_command(*given, "--out", "new", status=2)
        self.assertIn("of its pieces are not in the list of the model, as '漢字'", said)
        self.assertNotIn("--token-list", said)

    def test_transcripts_that_are_split_already_are_not_split_again(self):
        path = self.model()
        self.train("--bpemodel", path, "--token-list", "tokens.txt", "--out", "run")
        self.split(path)
        for arguments in (("train", "tokens", "--data", "text", *self.TRAINING, "--bpemodel", path,
                           "--out", "new"), ("eval", "run", "--data", "text")):
            with self.subTest(arguments):
                said = self.run_command(*arguments, status=2)
                self.assertRegex(said, "text: [0-9]+ of [0-9]+ transcripts have '▁'")
                self.assertIn("--unit word", said)
        self.run_command("eval", "run", "--data", "text", "--unit", "word")


class RunTest(BpeModelTest):
    """What has learnt by a model of SentencePiece speaks text."""

    def setUp(self):
        super().setUp()
        self.model_path = self.model()
        self.train("--bpemodel", self.model_path, "--out", "run")

    def test_the_model_goes_with_the_weights(self):
        with open(self.model_path, "rb") as file:
            expected = file.read()
        os.unlink(self.model_path)
        self.run_command("train", "--resume", "run", "--steps", "3")
        self.train("--init", "run", "--out", "next")
        self.run_command("export", "next", "--layout", "espnet-model", "-o", "out.h5")
        self.run_command("import", "out.h5", "-o", "in.h5")
        shown = set()
        for model in ("next", "out.h5", "in.h5"):
            self.run_command("info", model, "--tokenizer", "back")
            with open(self.path("back"), "rb") as file:
                self.assertEqual(file.read(), expected)
            shown.add(self.text_of("generate", model, "--prompt", "the fox", "--length", "20"))
            shown.add(self.text_of("generate", model, "--prompt", "  the fox ", "--length", "20"))
        self.assertEqual(len(shown), 1, shown)
        self.assertTrue(shown.pop().startswith("the fox"))
        self.run_command("eval", "next")
        self.assertTrue(self.text_of("info", "next").splitlines()[1].endswith("task tokens"))

    def test_pieces_are_put_together(self):
        text = "the lazy dog jumps over"
        tokens, labels = self.pieces(text)
        numbers = self.text_of("generate", "run", "--ids", "--length", "30", "--prompt",
                               " ".join(map(str, labels)))
        written = TokenIDConverter(self.path("tokens.txt")).ids2tokens(map(int, numbers.split()))
        self.assertEqual(self.text_of("generate", "run", "--length", "30", "--prompt", text),
                         SentencepiecesTokenizer(self.model_path).tokens2text(written) + "\n")
        self.assertGreater(len(tokens), 5)

    def pieces(self, text):
        tokens = SentencepiecesTokenizer(self.model_path).text2tokens(text)
        return tokens, TokenIDConverter(self.path("tokens.txt")).tokens2ids(tokens)

    def test_the_blank_is_not_chosen_and_symbols_are_spelt_as_in_the_list(self):
        tokens = TokenIDConverter(self.path("tokens.txt")).token_list
        only = [option for token in tokens if token not in ("<blank>", "▁fox", "fox", "▁", "f")
                for option in ("--without", token)]
        found = self.text_of("generate", "run", "--length", "60", "--temperature", "100", *only)
        self.assertFalse(set(found) - set("fox \n"), found)

    def test_a_list_of_a_split_run_takes_the_model_too(self):
        before = self.text()
        self.split(self.model_path)
        self.train("--unit", "word", "--token-list", "tokens.txt", "--out",
                   "of-split")
        self.write("text", before)
        self.assertIn("(name its model of SentencePiece, --bpemodel", self.run_command(
            "eval", "of-split", "--unit", "char", "--data", "text", status=2))
        asked = ("of-split", "--bpemodel", self.model_path)
        self.assertEqual(self.text_of("generate", *asked, "--prompt", "the fox"),
                         self.text_of("generate", "run", "--prompt", "the fox"))
        scores = self.run_command("eval", *asked, "--data", "text", "--per-utterance")
        self.assertEqual(scores, self.run_command("eval", "run", "--data", "text",
                                                  "--per-utterance"))

    def test_what_was_split_before_goes_on_with_words(self):
        self.split(self.model_path)
        self.train("--init", "run", "--unit", "word", "--out", "next")
        self.run_command("train", "--resume", "next", "--steps", "3")
        self.assertTrue(self.text_of("generate", "next", "--tokenizer", self.model_path, "--prompt",
                                     "the fox").startswith("the fox"))
        self.run_command("info", "next", "--tokenizer", "back")

    def test_a_configuration_of_other_tokens_is_passed_over(self):
        for kind in ("char", "word"):
            self.write("conf.yaml", f"decoder: rwkv\ndecoder_conf: {{block_size: 16, "
                       f"num_blocks: 1}}\ntoken_type: {kind}\ntoken_list: tokens.txt\n")
            result = subprocess.run(
                [support.MIXTAPE, "train", "tokens", "--data", "text", "--espnet-config",
                 "conf.yaml", "--init", "run", "--batch", "4", "--steps", "1", "--most-unknown",
                 "1", "--out", kind], cwd=self.folder, capture_output=True, timeout=300)
            said = result.stderr.decode()
            self.assertEqual(result.returncode, 0, said)
            self.assertIn(f"token_type {kind} is passed over: --init has a tokenizer", said)
            self.assertTrue(self.text_of("generate", kind, "--prompt", "the fox"))


if __name__ == "__main__":
    unittest.main()
