"""`python -m maskfit`: the command, where its script is not on the path."""

from maskfit.cli import main

main()
