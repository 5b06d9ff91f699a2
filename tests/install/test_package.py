"""Debian packages of this build: what they are called, depend on and hold. scripts/deb-test
installs them."""

import glob
import gzip
import os
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["MIXTAPE_BUILD"]
HEADERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "include")
PRESETS = os.path.join(HEADERS, "..", "train", "presets")
FIELDS = ("Package", "Version", "Depends", "Section", "Source", "Maintainer", "Description")


def run(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


@unittest.skipUnless(shutil.which("dpkg-shlibdeps") or "MIXTAPE_REQUIRE_ALL" in os.environ,
                     "no dpkg-shlibdeps (Debian: apt-get install dpkg-dev)")
class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = os.path.join(folder.name, "root")
        run("cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", folder.name,
            "-D", "CPACK_OUTPUT_FILE_PREFIX=", "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip")
        cls.files, cls.fields = {}, {}
        for file in glob.glob(os.path.join(folder.name, "*.deb")):
            name = os.path.basename(file).split("_")[0]
            listed = run("dpkg-deb", "--contents", file).splitlines()
            cls.files[name] = {re.split(r" \./", line, maxsplit=1)[1].split(" -> ")[0]
                               for line in listed if not line.startswith("d")}
            cls.fields[name] = {field: run("dpkg-deb", "--field", file, field).strip()
                                for field in FIELDS}
            run("dpkg-deb", "--extract", file, cls.root)
        run("cmake", "--install", BUILD, "--prefix", os.path.join(folder.name, "whole"))
        os.remove(os.path.join(BUILD, "install_manifest.txt"))
        cls.whole = os.path.join(folder.name, "whole")

    def library(self):
        return next(name for name in self.files if re.match(r"libmixtape\d", name))

    def test_there_is_one_of_each(self):
        expected = {"mixtape", self.library(), "libmixtape-dev"}
        if os.path.exists(os.path.join(BUILD, "libmixtape_mpi.so")):
            expected.add("mixtape-mpi")
        self.assertEqual(set(self.files), expected)
        soname = re.search(r"SONAME +libmixtape\.so\.(\S+)",
                           run("objdump", "-p", os.path.join(BUILD, "libmixtape.so"))).group(1)
        self.assertEqual(self.library(), "libmixtape" + soname)

    def test_fields(self):
        version = run(os.path.join(BUILD, "mixtape"), "--version").split()[1] + "-1"
        for name, fields in self.fields.items():
            self.assertEqual(fields["Version"], version, name)
            self.assertEqual(fields["Source"], "mixtape", name)
            self.assertRegex(fields["Maintainer"], r".+ <\S+@\S+>")
            summary, *description = fields["Description"].splitlines()
            self.assertLess(len(summary), 80)
            self.assertTrue(description, name)
        self.assertEqual(self.fields["libmixtape-dev"]["Depends"],
                         self.library() + " (= " + version + ")")
        for name in "mixtape", self.library():
            for needed in "libc6", "libhdf5", "libopenblas", "libjansson", "libutf8proc":
                self.assertIn(needed, self.fields[name]["Depends"])
        self.assertNotIn("libmixtape", self.fields["mixtape"]["Depends"])

    def test_they_hold_what_is_installed_each_file_once(self):
        packed = [file for files in self.files.values() for file in files]
        self.assertEqual(len(packed), len(set(packed)))
        added = ("changelog.gz", "changelog.Debian.gz", "copyright")
        kept = {file for file in packed if not file.startswith("usr/share/doc/lib") and
                os.path.basename(file) not in added}
        installed = {os.path.relpath(os.path.join(folder, file), self.whole)
                     for folder, _, files in os.walk(self.whole) for file in files}
        installed = {file for file in installed if not file.endswith("libmixtape_nccl.so")}
        self.assertEqual(kept, {os.path.join("usr", file) for file in installed})

    def test_the_command_has_its_pages_and_completions(self):
        listed = run(os.path.join(BUILD, "mixtape"), "--help")
        pages = {"mixtape-" + verb for verb in re.findall(r"^  (\w+) ", listed, re.M)}
        files = {file for file in self.files["mixtape"] if "/doc/" not in file}
        self.assertEqual(files, {
            "usr/bin/mixtape", "usr/share/bash-completion/completions/mixtape",
            "usr/share/fish/vendor_completions.d/mixtape.fish",
            "usr/share/zsh/vendor-completions/_mixtape",
            *(os.path.join("usr/share/mixtape/presets", name)
              for name in os.listdir(PRESETS)),
            *("usr/share/man/man1/" + page + ".1.gz" for page in {"mixtape", *pages})})
        for page in pages:
            with gzip.open(os.path.join(self.root, "usr/share/man/man1", page + ".1.gz")) as file:
                self.assertIn(b".SH SYNOPSIS", file.read())

    def test_the_library_and_its_headers(self):
        names = {os.path.basename(file) for file in self.files[self.library()]
                 if "/doc/" not in file}
        self.assertEqual(len(names), 2)
        self.assertTrue(all(name.startswith("libmixtape.so.") for name in names), names)
        headers = {file for file in self.files["libmixtape-dev"] if file.endswith(".h")}
        self.assertEqual(headers, {
            os.path.join("usr/include", os.path.relpath(os.path.join(folder, file), HEADERS))
            for folder, _, files in os.walk(HEADERS) for file in files})

    def test_each_says_whose_it_is_and_what_changed(self):
        for name, fields in self.fields.items():
            folder = os.path.join(self.root, "usr/share/doc", name)
            with open(os.path.join(folder, "copyright")) as file:
                self.assertIn("Apache-2.0", file.read())
            with gzip.open(os.path.join(folder, "changelog.gz"), "rt") as file:
                self.assertTrue(file.read().startswith("# Changes"))
            with gzip.open(os.path.join(folder, "changelog.Debian.gz"), "rt") as file:
                self.assertTrue(file.read().startswith("mixtape (" + fields["Version"] + ")"))

    def test_the_command_runs(self):
        self.assertTrue(run(os.path.join(self.root, "usr/bin/mixtape"), "--version"))


if __name__ == "__main__":
    unittest.main()
