"""Snapshots in a folder: contents by digest, manifests that name them. May import model, ports, errors and tree's files."""
