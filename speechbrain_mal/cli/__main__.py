"""`python -m speechbrain_mal.cli`."""

import sys

from speechbrain_mal.cli import main

if __name__ == "__main__":
    sys.exit(main())
