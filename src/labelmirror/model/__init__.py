"""Frozen values that every layer speaks in: keys, documents, digests, rows, plans, events.

May import the standard library only.
"""
