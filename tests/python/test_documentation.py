"""What docs/espnet.md and docs/file-formats.md show is run, and the commands of
docs/tokenizers.md, docs/evaluation.md and docs/generating.md."""

import gzip
import json
import os
import re
import subprocess
import sys
import unittest

import support
import tokenizers_of_tests as made

DOCUMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")


def setUpModule():
    support.need("h5py")


def blocks_of(document):
    """(language, text) of each block of code."""
    with open(os.path.join(DOCUMENTS, document)) as file:
        return re.findall(r"```(sh|python)\n(.*?)```", file.read(), re.DOTALL)


def commands_of(document):
    """The lines that call the command, which stand apart."""
    with open(os.path.join(DOCUMENTS, document)) as file:
        return re.findall(r"^    (mixtape .*)$", file.read(), re.MULTILINE)


class FileFormatsTest(support.CommandTest):
    def test_the_token_list_is_read(self):
        (_, block), = blocks_of("file-formats.md")
        self.run_command("train", "tokens", *self.transcripts(), "--size", "16", "--blocks", "1",
                         "--steps", "1", "--out", "run")
        self.run_command("export", "run", "--layout", "espnet", "-o", "weights.h5")
        shown = subprocess.run([sys.executable, "-c", block + "print(layout, *tokens)"],
                               cwd=self.folder, capture_output=True, timeout=60)
        self.assertEqual(shown.stdout.decode().split(), ["espnet", *support.SYMBOLS],
                         shown.stderr.decode())


class ShellTest(support.CommandTest):
    """Tests with the programs in PATH."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("bin"))
        os.symlink(support.MIXTAPE, self.path("bin", "mixtape"))
        for command in ("to_espnet", "from_pth"):
            path = self.write(os.path.join("bin", "mixtape-" + command.replace("_", "-")),
                              f"#!{sys.executable}\nfrom mixtape import files\nfiles.{command}()\n")
            os.chmod(path, 0o755)

    def run_block(self, *command):
        result = subprocess.run(
            command, cwd=self.folder, capture_output=True, timeout=300,
            env={**os.environ, "MIXTAPE_PYTHON": sys.executable,
                 "PATH": self.path("bin") + os.pathsep + os.environ["PATH"]})
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode()


class CommandsTest(ShellTest):
    SMALL = "--size 16 --blocks 1 --steps 2"

    def small(self, command):
        return command.replace("RUN", "run").replace(" --out", f" {self.SMALL} --out")

    def run_commands(self, document):
        """What each prints."""
        return [self.run_block("bash", "-euc", self.small(command))
                for command in commands_of(document)]

    def test_prompts_of_a_file_are_answered(self):
        self.write("text.txt", "ROMEO: what light. " * 20)
        self.run_block("mixtape", "train", "text", "--data", "text.txt", *self.SMALL.split(),
                       "--length", "8", "--out", "run")
        self.write("prompts.txt", "ROMEO:\n\nlight\n")
        for printed in self.run_commands("generating.md"):
            records = [json.loads(line) for line in printed.splitlines()]
            self.assertEqual([record["line"] for record in records], [1, 2, 3])
            self.assertEqual({tuple(record) for record in records}, {("line", "prompt", "answer")})
            self.assertEqual({record["prompt"] for record in records}, {"ROMEO:", "", "light"})

    def test_text_goes_through_a_tokenizer(self):
        support.need("tokenizers")
        made.huggingface(self.folder)
        with gzip.open(self.path("corpus.jsonl.gz"), "wt") as file:
            file.writelines(json.dumps({"text": made.TEXT}) + "\n" for _ in range(40))
        self.write("other.txt", made.TEXT)
        tokenized, _, generated, evaluated = self.run_commands("tokenizers.md")
        self.assertIn("corpus.idx", tokenized)
        self.assertNotEqual(generated, "")
        self.assertIn("bits_per_byte", evaluated)

    def test_utterances_have_scores(self):
        self.run_command("train", "tokens", *self.transcripts(), *self.SMALL.split(), "--out",
                         "run")
        self.write("nbest", "one abc\none abd\ntwo\n")
        scores, = self.run_commands("evaluation.md")
        self.assertEqual([line.split()[::2] for line in scores.splitlines()],
                         [["one", "3"], ["one", "3"], ["two", "0"]])


class EspnetTest(ShellTest):
    @classmethod
    def setUpClass(cls):
        support.need("torch", "espnet2.asr_transducer.espnet_transducer_model")

    def test_a_transducer_starts_from_a_pretrained_decoder(self):
        program, output = "", ""  # Python's blocks are one program
        for language, block in blocks_of("espnet.md"):
            if language == "python":
                program += block
                output += self.run_block(sys.executable, "-c", program)
            else:
                output += self.run_block("bash", "-euc", block)
        losses = [float(loss) for loss in re.findall(r"transducer loss ([0-9.]+)", output)]
        self.assertEqual(len(losses), 10)
        self.assertLess(losses[4], losses[0])
        self.assertIn("layout espnet-model", output)


if __name__ == "__main__":
    unittest.main()
