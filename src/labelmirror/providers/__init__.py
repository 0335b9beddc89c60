"""Annotation servers, one folder for each kind; `registry` is the table of them.

A provider's folder may import model, ports, errors, transport, pydantic and the modules beside it here (`settings`,
`secrets`, `forms`, `documents`, `places`, `answers`), and never another provider's folder.
"""
