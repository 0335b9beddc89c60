"""The engine: asks three sides, lets `planning` decide, and carries it out. Async, with no I/O of its own.

May import `model`, `planning`, `ports`, `errors` and anyio; speaks to the world through ports only, so that a simulator
can hand in a world of its own. Begin reading at `cycle.py`.
"""
