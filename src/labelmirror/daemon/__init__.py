"""The daemon: when each mirror has its turn, edits as they are made, and the socket by which it is steered.

What is due is decided by pure functions (`calendar`, `schedule`, `settling`); `roster` holds the facts that they are asked
with, `service` is the loop around them. May import app and what is below it.
"""
