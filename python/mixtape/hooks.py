"""What brings ESPnet's imports to Mixtape, in this process and in those that it starts, without a
change to ESPnet's files. Every Python process of a recipe may pass here, so nothing large is
imported before ESPnet imports it."""

import importlib.abc
import importlib.util
import os
import sys

_ATTENTION = "espnet2.asr_transducer.decoder.modules.rwkv.attention"
_LOSS = "warprnnt_pytorch"
_HERE = os.path.dirname(os.path.abspath(__file__))
_STARTUP = os.path.join(_HERE, "startup")


class _PatchingLoader(importlib.abc.Loader):
    """Loads ESPnet's attention, and puts Mixtape's kernel into it."""

    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        from mixtape import espnet

        espnet.patch(module)


class _AttentionFinder(importlib.abc.MetaPathFinder):
    """Stands before all others, of which one finds the module."""

    def find_spec(self, name, path, target=None):
        if name != _ATTENTION:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _PatchingLoader(spec.loader)
                return spec
        return None


class _LossFinder(importlib.abc.MetaPathFinder):
    """Stands behind all others: asked for what is not installed."""

    def find_spec(self, name, path, target=None):
        if name != _LOSS:
            return None
        return importlib.util.spec_from_file_location(name, os.path.join(_HERE, f"{_LOSS}.py"))


def reach_children():
    """Python processes that inherit this one's environment will hook themselves: by the module
    sitecustomize, which each imports when it starts."""
    before = os.environ.get("PYTHONPATH")
    others = [place for place in before.split(os.pathsep) if place != _STARTUP] if before else []
    os.environ["PYTHONPATH"] = os.pathsep.join([_STARTUP, *others])


def hook():
    """In this process and its children; once, however often it is called."""
    if not any(isinstance(finder, _LossFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AttentionFinder())
        sys.meta_path.append(_LossFinder())
    reach_children()
