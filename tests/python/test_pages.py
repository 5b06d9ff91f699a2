"""Every command that README and docs/ show is run by a test, or stands in its list with the reason
why not; and what their text says of verbs and options is so."""

import filecmp
import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

import pages
import support
import test_documentation
import test_documentation_programs

KINDS = [kind for module in (test_documentation, test_documentation_programs)
         for kind in vars(module).values() if getattr(kind, "page", None)]


class EveryPageTest(unittest.TestCase):
    """That nothing is left out, and no reason outlives its command."""

    def test_every_page_with_commands_is_run(self):
        run = [kind.page for kind in KINDS]
        shown = [page for page in pages.names()
                 if any(language for language, _ in pages.blocks_of(pages.text_of(page)))]
        self.assertEqual(sorted(run), sorted(shown))

    def test_each_reason_is_of_one_command(self):
        for kind in KINDS:
            shown = pages.code_of(kind.page)
            for begin in kind.listed:
                with self.subTest(kind.page, begin=begin):
                    found = [code for code in shown if code.startswith(begin)]
                    self.assertEqual(len(found), 1, found)

    def test_every_page_is_in_the_menu_of_the_site(self):
        menu = re.findall(r": ([\w/-]+\.md)$", pages.text_of("cmake/mkdocs.yml.in"), re.MULTILINE)
        self.assertEqual(sorted(set(menu) - {"CONTRIBUTING.md", "CHANGELOG.md"}),
                         sorted(pages.names()))

    def test_figures_are_what_their_script_draws(self):
        figures = os.path.join(pages.TREE, "docs", "figures")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, os.path.join(figures, "draw.py"), folder], check=True)
            drawn = os.listdir(folder)
            self.assertEqual(sorted(drawn), sorted(set(os.listdir(figures)) - {"draw.py"}))
            self.assertEqual(filecmp.cmpfiles(folder, figures, drawn, shallow=False)[1:], ([], []))

    def test_commands_are_seen_however_they_are_shown(self):
        shown = """
    a = b - c[t]

    VARIABLE=1 mixtape eval run \\
        --json

```sh
# said of it
cat >file <<'END'
mixtape
END
for i in 1 2; do
    echo $i
done
```

```
scripts/test
```
"""
        blocks = list(pages.blocks_of(shown))
        self.assertEqual([language for language, _ in blocks], ["", "sh", "sh", "sh"])
        self.assertEqual([pages.commands_of(code) for _, code in blocks[1:]],
                         [["VARIABLE=1 mixtape eval run \\\n    --json"],
                          ["cat >file <<'END'\nmixtape\nEND",
                           "for i in 1 2; do\n    echo $i\ndone"],
                          ["scripts/test"]])

    def test_training_is_short(self):
        self.assertEqual(pages.small("mixtape train copy --steps 600 --out run  # a run"),
                         "mixtape train copy --blocks 1 --size 16 --steps 2 --out run  # a run")
        self.assertEqual(pages.small("mixtape train text --init model --length 64"),
                         "mixtape train text --steps 2 --init model --length 8")
        self.assertEqual(pages.small("mixtape train --resume run"), "mixtape train --resume run")


class InlineTest(unittest.TestCase):
    """What text says of the command, and of files."""

    def test_files_and_tests_exist(self):
        folders = {name for name in os.listdir(pages.TREE) if name.islower()
                   and os.path.isdir(os.path.join(pages.TREE, name))}
        for page in pages.names():
            for path in re.findall(r"`([a-z]\w*/[a-z][\w./*-]*)[^`]*`", pages.text_of(page)):
                if path.split("/")[0] in folders and not re.search("[A-Z]{2}|^build", path):
                    with self.subTest(page, path=path):
                        places = [os.path.join(pages.TREE, folder, path + ending)
                                  for folder in ("", "tests") for ending in ("", ".*")]
                        self.assertTrue(any(map(glob.glob, places)))

    def test_verbs_and_options_exist(self):
        helps = {}
        for page in pages.names():
            for code in re.findall(r"`mixtape ([a-z]+\b[^`]*)`", pages.text_of(page)):
                verb, options = code.split()[0], re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
                with self.subTest(page, code=code):
                    if verb not in helps:
                        helps[verb] = subprocess.run(
                            [support.MIXTAPE, verb, "--help"], capture_output=True, timeout=60,
                            text=True, env={**os.environ, "MIXTAPE_PYTHON": sys.executable}).stdout
                    for option in options:
                        self.assertRegex(helps[verb], fr"{option}\b")


if __name__ == "__main__":
    unittest.main()
