"""Subcommands of `maskfit data`."""
