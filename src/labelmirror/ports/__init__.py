"""What the engine needs from the outside, one module for each port.

May import `model` and `errors`. Adapters implement these protocols; nothing here knows any of them.
"""
