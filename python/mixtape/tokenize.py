"""mixtape tokenize: text to token ids, which `mixtape train ids` trains on (mixtape.tokenizing).

This module takes signals before it imports the others, which a person may be too impatient for.
"""

import sys

from mixtape import ending


def main(arguments=None):
    """The status of the command."""
    ending.at_once()
    from mixtape.tokenizing import run

    ending.cleanly()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
