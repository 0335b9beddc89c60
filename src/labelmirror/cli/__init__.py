"""The command line: one module for each command, `main` puts them together, `frame` gives all of them what they share.

Commands print and never decide. What a command alone needs is imported inside it, so that `--help` stays quick.
"""
