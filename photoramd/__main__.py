"""``python -m photoramd``."""

from photoramd.cli import main

main()
