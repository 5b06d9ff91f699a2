"""mixtape tokenize: text to token ids, which `mixtape train ids` trains on (mixtape.tokenizing).

This module takes signals before it imports the others, which a person may be too impatient for.
"""

import sys

from mixtape import ending


def main(arguments=None):
    """The status of the command."""
    ending.at_once()
    try:
        from mixtape.tokenizing import run
    except ImportError as error:
        print(f"mixtape: tokenizers are read by Mixtape's package for {sys.executable}: {error} "
              "(pip install './python[tokenizers]', in Mixtape's source)", file=sys.stderr)
        return 1
    ending.cleanly()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
