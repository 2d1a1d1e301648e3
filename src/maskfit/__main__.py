"""`python -m maskfit`: the command, where its script is not on the path."""

from maskfit.cli import main

# Processes that Python spawns import this file once more.
if __name__ == "__main__":
    main()
