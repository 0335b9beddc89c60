"""`labelmirror init`: a first configuration, from flags and, on a terminal, a few questions."""

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.errors import ConfigError, DiskError, ExitCode, UsageError, command_line

if TYPE_CHECKING:
    from labelmirror.providers.settings import ServerSettings


#: What a variable may be called.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What looks rather like a key: long, with small letters and digits.
_KEY = re.compile(r"(?=.*[a-z])(?=.*[0-9]).{20,}")
#: A table of TOML: texts, and inline tables of texts.
_Written = dict[str, str | dict[str, str]]


@command
def init(
    call: Call,
    kind: Annotated[str | None, typer.Option(help="Kind of server.", show_default=False)] = None,
    url: Annotated[str | None, typer.Option(help="Scheme and host of the server.", show_default=False)] = None,
    key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the API key.", show_default=False)
    ] = None,
    user: Annotated[str | None, typer.Option(help="User name, where the server has users.", show_default=False)] = None,
    password_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the password.", show_default=False)
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the dataset on the server.", show_default=False)] = None,
    path: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of the mirror, from that of the file.", show_default=False)
    ] = None,
) -> ExitCode:
    """Write a first configuration; asks on a terminal for what is missing, never overwrites a file."""
    from labelmirror.config.document import parse
    from labelmirror.config.load import settle
    from labelmirror.config.problems import nearest, one_of
    from labelmirror.providers.registry import KINDS

    if call.assignments:
        msg = "--set: init writes a file and overrides nothing"
        raise UsageError(msg, hint="add the setting to the file afterwards")
    file = call.config or Path(os.environ.get("LABELMIRROR_CONFIG") or "labelmirror.toml")
    if file.exists():  # before the questions; the writing itself refuses again
        raise _taken(file)
    kind = _given(kind, "--kind", f"Kind of server ({one_of(KINDS)})", next(iter(KINDS)))
    if kind not in KINDS:
        msg = f"--kind: must be {one_of(KINDS)}{nearest(kind, KINDS)}"
        raise UsageError(msg)
    model = KINDS[kind].settings
    server: _Written = {"kind": kind, "url": _given(url, "--url", "Address of the server", model.default_url)}
    server |= _credentials(kind, model, key_env, user, password_env)
    dataset = _given(dataset, "--dataset", "Name of the dataset on the server", None)
    path = _given(path, "--path", "Folder of the mirror", _slug(dataset))

    mirror = _slug(Path(path).name)
    text = _written(kind, server, mirror, {"server": kind, "name": dataset, "path": path})
    config = settle(parse(file, text.encode(), open_to_others=False), {})
    _create(file, text)
    told = f"{file}: written, with the mirror {mirror}\nnext: {command_line('doctor', '--config', str(file))}, then plan, then sync"
    return call.answer({"config": str(config.file)}, lambda: told)


def _given(flag: str | None, name: str, question: str, default: str | None) -> str:
    """The flag; without it a person's answer; without a terminal the default, where there is one."""
    if flag is not None:
        return flag
    if sys.stdin.isatty():
        answer: str = typer.prompt(question, default=default, err=True)
        return answer
    if default is not None:
        return default
    msg = f"{name} is missing, and there is no terminal to ask at"
    raise UsageError(msg, hint=f"add {name}")


def _credentials(
    kind: str, model: "type[ServerSettings]", key_env: str | None, user: str | None, password_env: str | None
) -> _Written:
    fields = model.model_fields
    for flag, value, field in (
        ("--key-env", key_env, "key"),
        ("--user", user, "user"),
        ("--password-env", password_env, "password"),
    ):
        if value is not None and field not in fields:
            msg = f"{flag}: a {kind} server has no {field}"
            raise UsageError(msg)
    for flag, value in (("--key-env", key_env), ("--password-env", password_env)):
        if value is not None and (not _VARIABLE.fullmatch(value) or _KEY.fullmatch(value)):
            msg = f"{flag}: this is no name of an environment variable; is it the secret itself?"
            raise UsageError(msg, hint=f"put the secret into a variable, and give its name: {flag} ACME_SECRET")
    given: _Written = {}
    variable = re.sub(r"\W", "_", kind).upper()
    if "key" in fields:
        given["key"] = {"env": _given(key_env, "--key-env", "Variable with the API key", f"{variable}_API_KEY")}
    if "user" in fields:
        given["user"] = _given(user, "--user", "User name", None)
    if "password" in fields:
        given["password"] = {
            "env": _given(password_env, "--password-env", "Variable with the password", f"{variable}_PASSWORD")
        }
    return given


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "dataset"


def _written(kind: str, server: _Written, mirror: str, dataset: dict[str, str]) -> str:
    lines = [
        "# Written by labelmirror init; config.example.toml of the project explains every setting.",
        "version = 1",
        # Beside the file: two configurations whose mirrors have one name must not share one memory by accident.
        'state = "state"',
        "",
        f"[servers.{kind}]",
        *(f"{name} = {_toml(value)}" for name, value in server.items()),
        "",
        f"[datasets.{mirror}]",
        *(f"{name} = {_toml(value)}" for name, value in dataset.items()),
        "push = false",
    ]
    return "\n".join(lines) + "\n"


def _toml(value: str | dict[str, str]) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _create(file: Path, text: str) -> None:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise _taken(file) from None
    except FileNotFoundError:
        msg = f"{file}: there is no such folder"
        raise ConfigError(msg) from None
    except OSError as error:
        msg = f"{file}: cannot be written: {error.strerror}"
        raise DiskError(msg) from error


def _taken(file: Path) -> UsageError:
    return UsageError(
        f"{file}: is there already and is left as it is", hint="name another file with --config FILE, or edit this one"
    )
