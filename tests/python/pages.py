"""What README and the pages of docs/ show: their blocks of code and the commands in these, and how
a page's are run, scaled down. A page with commands has a Page in a test; its `listed` names the
commands that are not run, with the reason, and a command that is neither run nor listed is run."""

import os
import re
import subprocess
import sys

import support

TREE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.dirname(os.path.abspath(support.MIXTAPE))
RUN = ("sh", "python", "c", "cmake")  # the languages of code
PROGRAMS = """mixtape mixtape-[a-z-]+ python3? pip cmake ctest make ninja nvcc cc c[+]{2} mpicc
    mpirun torchrun srun git apt apt-get sudo sh bash cd export mkdir set for printf echo cat zcat
    gunzip sort jq tensorboard curl wget""".split()
# A line that calls a program: one of these, or a path, perhaps behind variables; or whatever takes
# an option.
COMMAND = re.compile(r"""\s*(?:[A-Z_]+=\S*[ ]+)*
    (?:(?:{})(?:[ ]|$) | [.\w-]*/[\w./-]+(?:[ ]|$) | \S+[ ].*(?<=[ ])--[a-z])"""
                     .format("|".join(PROGRAMS)), re.VERBOSE)
BLOCK = re.compile(r"""
    ^[ ]*```(?P<language>\w*)\n(?P<fenced>.*?)^[ ]*```$ | (?P<indented>(?:^[ ]{4}[^\n]*\n)+)""",
                   re.DOTALL | re.MULTILINE | re.VERBOSE)
# Where all is required, so are MPI, Slurm, and what PyPI has.
ALL = "MIXTAPE_REQUIRE_ALL" in os.environ
SMALL = {"steps": "2", "size": "16", "blocks": "1", "length": "8"}


def names():
    """Of all pages, from the top of the tree."""
    docs = sorted(name for name in os.listdir(os.path.join(TREE, "docs")) if name.endswith(".md"))
    return ["README.md"] + [os.path.join("docs", name) for name in docs]


def text_of(page):
    with open(os.path.join(TREE, page), encoding="utf-8") as file:
        return file.read()


def blocks_of(text):
    """(language, code) of each block of a page; what is only shown has the language ""."""
    for block in BLOCK.finditer(text):
        code = block["fenced"]
        if code is None:
            code = re.sub("^    ", "", block["indented"], flags=re.MULTILINE)
        if block["language"] in RUN:
            yield block["language"], code
        else:
            yield "sh" if any(map(COMMAND.match, code.splitlines())) else "", code


def commands_of(code):
    """The commands of a block of sh, each with all of its lines."""
    commands, open_until = [], None
    for line in code.splitlines():
        if open_until is None and (not line.strip() or line.startswith("#")):
            continue
        if open_until is None:
            commands.append(line)
        else:
            commands[-1] += "\n" + line
        document, loop = re.search(r"<<'?(\w+)", line), re.match("(for|while) ", line)
        if open_until is None or re.fullmatch(open_until, line):
            open_until = (document[1] if document else "done" if loop else
                          r".*[^\\]" if line.endswith("\\") else None)
    return commands


def code_of(page):
    """What is run of a page, or listed: each command of sh, each block of other languages."""
    return [code for language, block in blocks_of(text_of(page)) if language
            for code in (commands_of(block) if language == "sh" else [block])]


def small(command):
    """A command whose training is short, of a small model where it is not of a given one."""
    train = re.search(r"mixtape train(?! --resume\b)( \w+)?", command)
    if train is None:
        return command
    of_file = re.search(r'--(init|espnet-config)\b|"\$@"', command)
    for option, value in SMALL.items():
        command, found = re.subn(fr"(--{option}) \d+", fr"\1 {value}", command)
        if found == 0 and (option == "steps" or option != "length" and not of_file):
            command = command.replace(train[0], f"{train[0]} --{option} {value}", 1)
    return command


class Page(support.CommandTest):
    """The commands of a page, run in a folder of their own, in their order."""

    page = None
    needs = ()  # modules of Python
    listed = {}  # what a command that is not run begins with: the reason
    replaced = {}  # text of commands, and what stands for it
    program = support.MIXTAPE

    def setUp(self):
        support.need(*self.needs)
        super().setUp()
        os.mkdir(self.path("bin"))
        os.symlink(self.program, self.path("bin", "mixtape"))
        self.script("bin/python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        self.script("bin/torchrun",
                    f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n')
        for command in "to_espnet", "to_pth", "from_pth":
            self.script("bin/mixtape-" + command.replace("_", "-"),
                        f"#!{sys.executable}\nfrom mixtape import files\nfiles.{command}()\n")
        self.environment = {**os.environ, "MIXTAPE_PYTHON": sys.executable,
                            "PATH": self.path("bin") + os.pathsep + os.environ["PATH"]}

    def script(self, name, text):
        os.chmod(self.write(name, text), 0o755)

    def prepare(self):
        """Makes what the page takes as given."""

    def check(self, shown):
        """`shown` is what each block that was run printed."""

    def run_block(self, *command):
        result = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=300,
                                env=self.environment)
        self.assertEqual(result.returncode, 0, f"{command[-1]}\n{result.stderr.decode()}")
        return result.stdout.decode()

    def run_sh(self, code):
        commands = [small(command) for command in commands_of(code) if self.reason(command) is None]
        block = "\n".join(commands)
        for text, other in self.replaced.items():
            block = block.replace(text, other)
        return self.run_block("bash", "-euc", block + "\nwait") if commands else None

    def run_python(self, code):
        self.python = getattr(self, "python", "") + code  # a page's blocks are one program
        return self.run_block(sys.executable, "-c", self.python)

    def run_c(self, code):
        raise AssertionError(f"no test runs C of {self.page}:\n{code}")

    def compile_and_run(self, source):
        self.write("program.c", source)
        library = os.environ["MIXTAPE_LIBRARY"]
        self.run_block(os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Werror",
                       "-Wno-unused-function", "-I", os.path.join(TREE, "include"), "program.c",
                       "-o", "program", library, f"-Wl,-rpath,{os.path.dirname(library)}")
        return self.run_block("./program")

    def run_cmake(self, code):
        raise AssertionError(f"no test runs CMake of {self.page}:\n{code}")

    @classmethod
    def reason(cls, code):
        """Why this is not run, or None."""
        found = [reason for begin, reason in cls.listed.items() if code.startswith(begin)]
        return found[0] if found else None

    def test_what_the_page_shows(self):
        self.prepare()
        shown = []
        for language, code in blocks_of(text_of(self.page)):
            if language and (language == "sh" or self.reason(code) is None):
                shown.append(getattr(self, "run_" + language)(code))
        self.check([output for output in shown if output is not None])
