"""The package as pip installs it, and where it finds the library."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import support

TREE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PYTHON = os.path.join(TREE, "python")


def setUpModule():
    support.need("numpy", "scikit_build_core")


class PackageTest(support.CommandTest):
    def copy_of_the_tree(self, name):
        path = os.path.join(TREE, name)
        if os.path.isdir(path) and name != "bundled":
            shutil.copytree(path, self.path("tree", name), symlinks=True,
                            ignore=shutil.ignore_patterns("__pycache__", "dist"))
        elif os.path.isfile(path):
            shutil.copy(path, self.path("tree", name))

    def built(self, hook, folder):
        subprocess.run([sys.executable, "-c", f"from scikit_build_core import build;"
                        f"build.{hook}({self.folder!r})"], cwd=folder, check=True,
                       capture_output=True, timeout=120)

    def library(self, **environment):
        """The library that the package finds without MIXTAPE_LIBRARY."""
        inherited = {name: value for name, value in os.environ.items()
                     if name != "MIXTAPE_LIBRARY"}
        found = subprocess.run(
            [sys.executable, "-c", "from mixtape import library; print(library.library()._name)"],
            capture_output=True, timeout=60, env={**inherited, **environment}, check=False,
            text=True)
        self.assertEqual(found.returncode, 0, found.stderr)
        return os.path.realpath(found.stdout.strip())

    def test_pip_installs_the_package_and_its_commands(self):
        shutil.copytree(PYTHON, self.path("package"), ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run([
            sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation",
            "--no-index", "--quiet", "--disable-pip-version-check", "--target",
            self.path("target"),
            self.path("package")
        ], check=True, capture_output=True, timeout=120)
        for command in ("mixtape-to-espnet", "mixtape-to-pth", "mixtape-from-pth"):
            result = subprocess.run([self.path("target", "bin", command), "--help"],
                                    capture_output=True, timeout=60,
                                    env={**os.environ, "PYTHONPATH": self.path("target")})
            self.assertEqual(result.returncode, 0, result.stderr.decode())
            self.assertIn(command, result.stdout.decode())

    def test_a_library_that_is_not_there_is_named(self):
        result = subprocess.run(
            [sys.executable, "-c", "from mixtape import library; library.library()"],
            capture_output=True, timeout=60,
            env={**os.environ, "MIXTAPE_LIBRARY": "/nowhere/libmixtape.so"})
        self.assertIn("/nowhere/libmixtape.so", result.stderr.decode())
        self.assertIn("set MIXTAPE_LIBRARY", result.stderr.decode())

    def test_a_source_distribution_holds_all_that_it_is_built_from(self):
        """Configuring it finds every source; the archives of other projects are only looked for."""
        os.mkdir(self.path("tree"))
        names = json.loads(subprocess.check_output(
            [sys.executable, "-c", "import json, tomllib; print(json.dumps(list(tomllib.load("
             "open('pyproject.toml', 'rb'))['tool']['scikit-build']['sdist']['force-include'])))"],
            cwd=PYTHON))
        for name in ["../python", *names]:
            self.copy_of_the_tree(os.path.basename(name))
        os.mkdir(self.path("tree", "bundled"))
        with open(os.path.join(TREE, "cmake", "bundled.tsv")) as table:
            for archive in re.findall(r"\S+\.orig\.tar\.\w+", table.read()):
                self.write(os.path.join("tree", "bundled", archive), "")
        self.built("build_sdist", self.path("tree", "python"))
        shutil.unpack_archive(*glob.glob(self.path("*.tar.gz")), self.path("unpacked"))
        (source,) = glob.glob(self.path("unpacked", "*"))
        subprocess.run(
            ["cmake", "-S", source, "-B", self.path("build"), "-DMIXTAPE_BUNDLED=ON",
             "-DMIXTAPE_CUDA=OFF", "-DMIXTAPE_TESTS=OFF", "-DMIXTAPE_BENCH=OFF"], check=True,
            capture_output=True, timeout=120)

    def test_the_library_in_the_package_is_found(self):
        """Where no variable and no command names another one."""
        shutil.copytree(os.path.join(PYTHON, "mixtape"), self.path("mixtape"))
        shutil.copy(os.environ["MIXTAPE_LIBRARY"], self.path("mixtape", "libmixtape.so"))
        for path, found in ((self.folder, self.path("mixtape", "libmixtape.so")),
                            (os.path.dirname(support.MIXTAPE), os.environ["MIXTAPE_LIBRARY"])):
            self.assertEqual(self.library(PYTHONPATH=self.folder, PATH=path),
                             os.path.realpath(found))

    def test_the_library_beside_the_command_is_found(self):
        """As it lies where it is built, and where it is installed."""
        for command, library in (("mixtape", "libmixtape.so"), ("bin/mixtape", "lib/libmixtape.so"),
                                 ("bin/mixtape", "lib/x86_64-linux-gnu/libmixtape.so")):
            with self.subTest(library), tempfile.TemporaryDirectory() as folder:
                for name, target in ((command, support.MIXTAPE),
                                     (library, os.environ["MIXTAPE_LIBRARY"])):
                    os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
                    shutil.copy(target, os.path.join(folder, name))
                self.assertEqual(
                    self.library(PATH=os.path.dirname(os.path.join(folder, command))),
                    os.path.realpath(os.path.join(folder, library)))

    def test_a_command_in_a_virtual_environment_starts_its_python(self):
        os.mkdir(self.path("bin"))
        shutil.copy(support.MIXTAPE, self.path("bin", "mixtape"))
        for name in ("python3", "another"):
            os.chmod(self.write(os.path.join("bin", name), f"#!/bin/sh\necho {name}\n"), 0o755)
        inherited = {name: value for name, value in os.environ.items() if name != "MIXTAPE_PYTHON"}

        def started(**environment):
            return subprocess.run(
                [self.path("bin", "mixtape"), "tokenize", "--version"], timeout=60,
                capture_output=True, env={**inherited, **environment}, check=False).stdout

        self.assertNotEqual(started(), b"python3\n")
        self.write("pyvenv.cfg", "")
        self.assertEqual(started(), b"python3\n")
        self.assertEqual(started(MIXTAPE_PYTHON=self.path("bin", "another")), b"another\n")


if __name__ == "__main__":
    unittest.main()
