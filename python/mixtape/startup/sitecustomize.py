"""Python imports this module when it starts, in processes that mixtape.espnet reaches: their
PYTHONPATH has this folder. It may be any Python, with or without Mixtape. A sitecustomize that this
one stands before is imported too."""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [place for place in sys.path if os.path.abspath(place) != _here]
_this = sys.modules.pop(__name__)
try:
    import sitecustomize  # noqa: F401, the next one
except ImportError:
    sys.modules[__name__] = _this

if sys.version_info >= (3, 9):
    try:
        from mixtape import hooks
    except ImportError:
        pass
    else:
        hooks.hook()
