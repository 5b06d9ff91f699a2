"""The package's version is the library's, which one header says."""

import pathlib
import re

import setuptools

header = pathlib.Path(__file__).resolve().parent.parent / "include" / "mixtape" / "version.h"
setuptools.setup(version=re.search('MT_VERSION +"(.+)"', header.read_text()).group(1))
