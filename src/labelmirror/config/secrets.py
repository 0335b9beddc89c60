"""Fetching a secret from where the settings say it is kept. Done when a server is opened, never before."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from labelmirror.errors import ConfigError
from labelmirror.providers.secrets import Secret, SecretSource

_COMMAND_TIMEOUT_S: Final = 60
_SIZE_MAX_BYTES: Final = 64 * 2**10


def resolve(source: SecretSource, name: str, environ: Mapping[str, str]) -> Secret:
    """The secret that `source` points to; `name` is its key in the settings, such as `servers.acme.key`.

    Reads a file or runs a program, so it blocks; a program may ask at the terminal. Raises ConfigError, with what to do
    in the hint; neither repeats any part of the secret.
    """
    if source.literal is not None:
        return source.literal
    if source.env is not None:
        return _from_environment(source.env, name, environ)
    if source.file is not None:
        return _single_line(_read(source.file, name, "file"), name, f"file {source.file}")
    if source.credential is not None:
        return _from_credential(source.credential, name, environ)
    return _from_command(source.command or (), name)


def _from_environment(variable: str, name: str, environ: Mapping[str, str]) -> Secret:
    if not environ.get(variable):
        msg = f"{name}: the environment variable {variable} is not set"
        raise ConfigError(msg, hint=f"set it for this shell: read -rs {variable}; export {variable}")
    return _single_line(environ[variable].encode("utf-8", "surrogateescape"), name, f"environment variable {variable}")


def _from_credential(credential: str, name: str, environ: Mapping[str, str]) -> Secret:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        msg = f"{name}: the credential {credential} is not there, because CREDENTIALS_DIRECTORY is not set"
        raise ConfigError(msg, hint=f"start it under systemd with LoadCredential={credential}:PATH")
    return _single_line(_read(Path(folder) / credential, name, "credential"), name, f"credential {credential}")


def _read(path: Path, name: str, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_SIZE_MAX_BYTES + 1)
    except OSError as error:
        msg = f"{name}: the {what} {path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from None


def _from_command(argv: tuple[str, ...], name: str) -> Secret:
    described = f"command {argv[0]}"
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=_COMMAND_TIMEOUT_S, check=False)  # noqa: S603 - argv of the owner's own settings
    except OSError as error:
        msg = f"{name}: the {described} cannot be started: {error.strerror}"
        raise ConfigError(msg) from None
    except subprocess.TimeoutExpired:
        msg = f"{name}: the {described} did not end within {_COMMAND_TIMEOUT_S} s"
        raise ConfigError(msg) from None
    if done.returncode != 0:
        msg = f"{name}: the {described} ended with exit code {done.returncode}"
        raise ConfigError(msg)
    return _single_line(done.stdout, name, described)


def _single_line(data: bytes, name: str, source: str) -> Secret:
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = "\0"
    problem = ""
    if not text.strip():
        problem = "is empty"
    elif len(data) > _SIZE_MAX_BYTES or not text.isprintable():
        # It goes into a header, where a line break would begin another header.
        problem = "must hold a single line of printable UTF-8 text, as a key is"
    if problem:
        msg = f"{name}: the {source} {problem}"
        raise ConfigError(msg)
    return Secret(text)
