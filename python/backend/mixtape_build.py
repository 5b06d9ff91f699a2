"""The build backend: scikit-build-core's, after fetching what a source distribution bundles."""

import os
import subprocess

from scikit_build_core import build
from scikit_build_core.build import *  # pylint: disable=wildcard-import,unused-wildcard-import

BUNDLED_SOURCES = os.path.join("..", "scripts", "bundled-sources")  # none in a distribution itself


def build_sdist(sdist_directory, config_settings=None):
    if os.path.exists(BUNDLED_SOURCES):
        subprocess.run([BUNDLED_SOURCES, os.path.join("..", "bundled")], check=True)
    return build.build_sdist(sdist_directory, config_settings)
