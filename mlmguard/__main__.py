"""``python -m mlmguard`` and the ``mlmguard`` script."""

from mlmguard.cli import main

if __name__ == "__main__":
    main()
