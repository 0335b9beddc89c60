"""Every decision of the program, as pure functions of values: no async, no clock, no logger, no I/O.

May import `model` only.
"""
