"""Configuration: from a TOML file, the environment and flags to frozen settings, each with its origin.

May import `errors` and, from `providers`, the registry and what settings are made of. Nothing here contacts a server.
"""

from labelmirror.config.load import Config, load
from labelmirror.config.settings import DatasetSettings, Settings

__all__ = ["Config", "DatasetSettings", "Settings", "load"]
