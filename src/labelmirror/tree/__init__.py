"""The working directory of a mirror: files put in place whole, old versions kept, nothing followed out of it.

May import `model`, `ports`, `errors` and anyio. Everything below the root is reached from folder to folder by descriptors
that refuse symbolic links (`folders.py`), on worker threads, a batch at a time.
"""
