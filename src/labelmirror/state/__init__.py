"""What the program remembers between runs: one SQLite database for all mirrors, and a lock for each of them.

May import `model`, `ports`, `errors` and anyio. Rules of the SQL files: a sentence above each statement; a change of the
schema is a new file in `migrations/` and the same change in `schema.sql`.
"""
