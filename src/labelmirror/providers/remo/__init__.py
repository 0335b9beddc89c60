"""Remo: datasets of a self-hosted server, with a user's name and password."""
