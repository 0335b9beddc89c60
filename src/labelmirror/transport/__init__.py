"""How requests travel: when one may be sent, how many at once, and what an answer's headers say.

May import `model`, `ports`, `errors`, aiohttp, aiolimiter and anyio.
"""
