"""Where things are when nobody says: the configuration file, the state, the ledger, the control socket.

Under systemd, $STATE_DIRECTORY and $RUNTIME_DIRECTORY may list several folders; the first is meant.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import platformdirs

from labelmirror.errors import ConfigError

FILE_NAME: Final = "labelmirror.toml"
_APP: Final = "labelmirror"


def config_file(flag: Path | None, environ: Mapping[str, str]) -> Path:
    """The file to read: `--config`, else $LABELMIRROR_CONFIG, else ./labelmirror.toml, else the XDG file.

    Raises ConfigError when there is none; a file that was named is not looked for elsewhere.
    """
    if named := flag or environ.get("LABELMIRROR_CONFIG"):
        path = Path(named)
        source = "--config" if flag else "LABELMIRROR_CONFIG"
        try:
            path.stat()  # perhaps a pipe: --config <(program)
        except FileNotFoundError as error:
            msg = f"{path}: no such file ({source} names it)"
            raise ConfigError(msg, hint="write a first one with: labelmirror init") from error
        except OSError as error:
            msg = f"{path}: cannot be read: {error.strerror} ({source} names it)"
            raise ConfigError(msg) from error
        return path
    tried = (Path(FILE_NAME), platformdirs.user_config_path(_APP) / FILE_NAME)
    for path in tried:
        if os.path.isfile(path):  # noqa: PTH113 - False where this user may not look, too
            return path
    msg = f"no configuration: neither ./{tried[0]} nor {tried[1]} is there"
    raise ConfigError(msg, hint="write a first one with: labelmirror init, or name one with --config FILE")


def state_home(environ: Mapping[str, str]) -> Path:
    """The folder for what all configurations of this user share: $STATE_DIRECTORY, else the XDG state folder."""
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given) if given else platformdirs.user_state_path(_APP)


def default_socket(state: Path, environ: Mapping[str, str]) -> Path:
    """The control socket of the daemon that works on this state, in the runtime folder if there is one, else beside the state.

    The name depends on the state, so that two daemons of one user do not meet.
    """
    if of_unit := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        return Path(of_unit) / "control.sock"
    if of_user := environ.get("XDG_RUNTIME_DIR"):
        mark = hashlib.sha256(str(state).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return Path(of_user) / _APP / f"control-{mark}.sock"
    return state / "control.sock"
