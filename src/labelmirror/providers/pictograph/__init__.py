"""Pictograph: datasets behind the Developer API, with an organisation's API key."""
