"""The shared book of each (server, key), in one SQLite file for all processes of a user.

May import `model`, `ports`, `errors`, pydantic and anyio.
"""
