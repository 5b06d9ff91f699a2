"""The manual pages and the completions of shells: they have what --help has, and shells take
them."""

import os
import re
import shutil
import subprocess
import sys
import unittest

from test_command import CommandTest, read

MANUAL = os.environ["MIXTAPE_MANUAL"]
TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
PYTHON = {"PYTHONPATH": os.path.join(TREE, "python"), "MIXTAPE_PYTHON": sys.executable}
BASH = """
source "$0"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_mixtape
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; fpath=(${(q)1} \\$fpath); autoload -Uz compinit; compinit -u -D; stty cols 200"
zpty -w shell 'echo beg''in'
zpty -r -m shell text '*begin*'
zpty -n -w shell "$2"$'\\t'
zpty -r -m shell text "*$3*"
"""


def need(program):
    """Without it the test is skipped, but where all have to run."""
    return unittest.skipUnless(shutil.which(program) or "MIXTAPE_REQUIRE_ALL" in os.environ,
                               "no " + program)


def unrolled(page):
    """A page's source as text."""
    text = re.sub(r"\\f[BIR]|\\&", "", page)
    return text.replace("\\-", "-").replace("\\(aq", "'").replace("\\(ga", "`").replace("\\e", "\\")


class ManualTest(CommandTest):
    def verbs(self):
        listed = self.run_command("--help").stdout.decode()
        return re.findall(r"^  (\w+) ", listed, re.M)

    def help(self, verb):
        return self.run_command(verb, "--help", environment=PYTHON).stdout.decode()

    def options(self, verb):
        """The names that --help lists, with dashes."""
        tags = re.findall(r"^ +(-.*?)(?:  |$)", self.help(verb), re.M)
        return {name for tag in tags for name in re.findall(r"(?<![\w-])--[\w-]+", tag)}

    def bash(self, *words):
        result = subprocess.run(["bash", "--norc", "-c", BASH, MANUAL + "/mixtape.bash", "mixtape",
                                 *words], capture_output=True, cwd=self.folder.name, check=True)
        self.assertEqual(result.stderr, b"")
        return set(result.stdout.decode().split())

    def fish(self, line):
        code = "source " + MANUAL + "/mixtape.fish; complete -C '" + line + "'"
        result = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True,
                                cwd=self.folder.name, check=True,
                                env={**os.environ, "HOME": self.folder.name})
        self.assertEqual(result.stderr, b"")
        return {row.split("\t")[0] for row in result.stdout.decode().splitlines()}

    def make_files(self):
        os.makedirs(self.path("runs", "copy-1"))
        for name in "a.txt", "b.h5":
            self.write(name, "")

    def test_each_option_is_on_its_page_and_no_other(self):
        for verb in self.verbs():
            page = unrolled(read(MANUAL, "mixtape-" + verb + ".1"))
            tags = re.findall(r"^\.TP\n(.*)", page, re.M)
            named = {name for tag in tags for name in re.findall(r"(--[\w-]+)", tag)}
            self.assertEqual(named, self.options(verb), verb)

    def test_a_page_says_what_the_help_says(self):
        for verb in self.verbs():
            page = " ".join(unrolled(read(MANUAL, "mixtape-" + verb + ".1")).split())
            for said in re.split(r"\n\n|\n +(?:-[\w?], )?--\S+ *", self.help(verb))[1:]:
                words = " ".join(said.split()).rstrip(":") # of a heading
                if verb != "tokenize" and re.match("(?!Mandatory)[A-Z][a-z]", words):
                    self.assertIn(words, page, verb)
        page = read(MANUAL, "mixtape.1")
        for verb in self.verbs():
            self.assertIn(".B " + verb + "\n", page)

    def test_variables_of_the_environment_are_told(self):
        """Those that the sources ask for, but for the tests'."""
        found = set()
        for folder in "kernels", "io", "train":
            for where, _, names in os.walk(os.path.join(TREE, folder)):
                for name in names:
                    found |= set(re.findall(r'getenv\("(MIXTAPE_\w+)"\)', read(where, name)))
        told = set(re.findall(r"MIXTAPE_\w+", read(MANUAL, "mixtape.1")))
        self.assertEqual(told, found - {"MIXTAPE_POISON"})
        self.assertLessEqual(told, set(re.findall(r"`(MIXTAPE_\w+)` \|",
                                                  read(TREE, "docs", "command.md"))))

    @need("mandoc")
    def test_pages_are_well_formed(self):
        pages = [os.path.join(MANUAL, name) for name in os.listdir(MANUAL) if name.endswith(".1")]
        self.assertEqual(len(pages), 1 + len(self.verbs()))
        result = subprocess.run(["mandoc", "-Tlint", *pages], capture_output=True)
        self.assertEqual((result.stdout, result.returncode), (b"", 0))

    def test_bash_completes_all_options(self):
        self.assertEqual(self.bash(""), {*self.verbs(), "--help", "--version"})
        for verb in self.verbs():
            self.assertEqual(self.bash(verb, "-"), self.options(verb), verb)
        self.assertEqual(self.bash("train", "--no"),
                         {"--norm", "--norm-eps", "--norm-partial", "--no-bias"})

    def test_bash_completes_values(self):
        self.make_files()
        for words, found in (
                (["train", "re"], {"reverse", "recall"}),
                (["train", "copy", "--norm", ""],
                 {"layer_norm", "rms_norm", "scale_norm", "basic_norm"}),
                (["train", "copy", "--norm", "=", "s"], {"scale_norm"}),
                (["train", "copy", "--norm", "="],
                 {"layer_norm", "rms_norm", "scale_norm", "basic_norm"}),
                (["train", "copy", "--tf32", "="], {"false", "true"}),
                (["train", "copy", "--tf32", "--siz"], {"--size"}),
                (["train", "copy", "--lr", ""], set()),
                (["train", "--resume", ""], {"runs", "b.h5"}),
                (["train", "--out", ""], {"runs"}),
                (["train", "text", "--data", "a"], {"a.txt"}),
                (["train", "text", "--data", "b.h5", "a.t"], {"a.txt"}),
                (["export", "run", "--layout", ""],
                 {"espnet", "espnet-model", "mixtape", "rwkv-lm", "hf"}),
                (["export", "run", "-o", "a"], {"a.txt"}),
                (["eval", "--device", ""], {"auto", "cpu", "cuda"}),
                (["replay", ""], {"runs", "b.h5"}),
                (["info", ""], {"runs", "a.txt", "b.h5"}),
                (["bench", ""], set()),
                (["nothing", ""], set())):
            self.assertEqual(self.bash(*words), found, words)

    @need("zsh")
    def test_zsh_completes(self):
        script = read(MANUAL, "_mixtape")
        for verb in self.verbs():
            row = script[script.index("\n    " + verb + ")\n"):].split(";;")[0]
            named = set(re.findall(r'^ +"\*?(--[\w-]+)', row, re.M))
            self.assertEqual(named, self.options(verb), verb)
        for line, completed in (("mixtape grad", "gradcheck"),
                                ("mixtape train copy --schedule=cos", "--schedule=cosine"),
                                ("mixtape eval --per", "--per-utterance")):
            subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", MANUAL, line, completed], check=True,
                           timeout=60, env={**os.environ, "TERM": "dumb"}) # returns once it is seen

    @need("fish")
    def test_fish_completes(self):
        self.make_files()
        for verb in self.verbs():
            named = {name.split("=")[0] for name in self.fish("mixtape " + verb + " --")}
            self.assertEqual(named, self.options(verb), verb)
        for line, found in (
                ("mixtape export run --dtype ", {"own", "f32", "f16", "bf16"}),
                ("mixtape replay ", {"runs/", "b.h5"}),
                ("mixtape train --resume ", {"runs/", "b.h5"}),
                ("mixtape train copy --lr ", set())):
            self.assertEqual(self.fish(line), found, line)


if __name__ == "__main__":
    unittest.main()
