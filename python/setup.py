"""The package's version is the library's, which one header says."""

import pathlib
import re

import setuptools

header = pathlib.Path(__file__).resolve().parent.parent / "include" / "mixtape" / "version.h"
numbers = re.findall(r"MT_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header.read_text())
setuptools.setup(version=".".join(numbers))
