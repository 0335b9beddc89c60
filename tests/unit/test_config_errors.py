"""Each mistake in a configuration gives one line with file, line, key and what is wrong."""

from pathlib import Path

import pytest

from labelmirror.config import load
from labelmirror.config.problems import one_of
from labelmirror.errors import ConfigError, ExitCode
from labelmirror.providers.registry import KINDS

HEAD = """\
state = "state"
[servers.acme]
kind = "pictograph"
key = { env = "K" }
"""
MIRROR = """\
[datasets.street]
server = "acme"
name = "Street"
path = "street"
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    """The lines of the error that this configuration gives, without the file's folder."""
    file = tmp_path / "labelmirror.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(ConfigError) as refused:
        load(file, {})
    assert refused.value.exit_code == ExitCode.USAGE
    return [line.removeprefix(f"{tmp_path}/") for line in refused.value.message.splitlines()]


def test_the_shortest_useful_file_loads(tmp_path: Path) -> None:
    file = tmp_path / "labelmirror.toml"
    file.write_text(HEAD + MIRROR)
    settings = load(file, {}).settings
    assert settings.datasets["street"].path == tmp_path / "street"
    assert settings.servers["acme"].url == "https://api.pictograph.io"
    assert settings.backup.path == tmp_path / "backups"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("reserv = 0.1", 'servers.acme.reserv: unknown key; did you mean "reserve"?'),
        ("colour = 1", "servers.acme.colour: unknown key"),
        ('"two words" = 1', 'servers.acme."two words": unknown key'),
        ('reserve = "0.1"', "servers.acme.reserve: must be a number"),
        ("reserve = true", "servers.acme.reserve: must be a number"),
        ("reserve = 1", "servers.acme.reserve: must be less than 1.0"),
        ("reserve = -0.1", "servers.acme.reserve: must be at least 0.0"),
        ("reserve = nan", "servers.acme.reserve: must be less than 1.0"),
        ("share = 0", "servers.acme.share: must be greater than 0.0"),
        ("connections = 2.5", "servers.acme.connections: must be a whole number"),
        ("connections = 0", "servers.acme.connections: must be at least 1"),
        ("connections = 257", "servers.acme.connections: must be at most 256"),
        ("requests_per_hour = 0", "servers.acme.requests_per_hour: must be at least 1"),
        ("others_per_hour = -1", "servers.acme.others_per_hour: must be at least 0"),
        ('bandwidth = "fast"', 'servers.acme.bandwidth: must be a size such as "50MiB", "1GB" or "4096"'),
        ("bandwidth = 0", "servers.acme.bandwidth: must be greater than 0"),
        ("bandwidth = true", "servers.acme.bandwidth: must be a whole number"),
        ('url = "ftp://x"', "servers.acme.url: must be an address such as https://host or https://host:8443"),
        ('url = "https://x/api"', "servers.acme.url: must end after host and port"),
        ("url = 3", "servers.acme.url: must be text"),
        ('generation = "G2"', 'servers.acme.generation: must be "auto", "g0", "g1", "g1b" or "g2"; did you mean "g2"?'),
        ("caps = 3", "servers.acme.caps: must be a table"),
        ("caps = { pagse = 1 }", 'servers.acme.caps.pagse: unknown key; did you mean "pages"?'),
        ('caps = { pages = "1" }', "servers.acme.caps.pages: must be a whole number"),
    ],
)
def test_a_mistake_in_a_server_is_named_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    [found] = problems(tmp_path, HEAD + line + "\n" + MIRROR)
    assert found == f"labelmirror.toml:5: {problem}"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("psuh = true", 'datasets.street.psuh: unknown key; did you mean "push"?'),
        ('push = "yes"', "datasets.street.push: must be true or false"),
        ("push = 1", "datasets.street.push: must be true or false"),
        (
            'content = "image"',
            'datasets.street.content: must be "all", "images" or "annotations"; did you mean "images"?',
        ),
        ("content = true", 'datasets.street.content: must be "all", "images" or "annotations"'),
        (
            'on_conflict = "remotely"',
            'datasets.street.on_conflict: must be "merge", "hold", "remote" or "local"; did you mean "remote"?',
        ),
        ('on_remote_delete = "delete"', 'datasets.street.on_remote_delete: must be "trash" or "keep"'),
        (
            'every = "15"',
            'datasets.street.every: must be a duration with its unit, such as "30s", "15m", "24h" or "90d"',
        ),
        ("every = 15", 'datasets.street.every: must be a duration with its unit, such as "30s", "15m", "24h" or "90d"'),
        ('every = "0s"', "datasets.street.every: must be longer than 0s"),
        ("every = 2026-01-01", 'datasets.street.every: must be a duration with its unit, such as "15m"'),
        (
            'calendar = "noon"',
            'datasets.street.calendar: must be a calendar such as "daily", "*-*-* 03:00" or "Mon..Fri 06:30"',
        ),
        ('id = "7"', "datasets.street.id: contradicts name: give one of them"),
        ('id = ""', "datasets.street.id: must not be empty"),
        ('every = "1h"\ncalendar = "daily"', "datasets.street.calendar: contradicts every: give one of them"),
        (
            'content = "images"\npush = true',
            'datasets.street.push: contradicts content = "images": there are no documents to push',
        ),
        ("select = { status = [] }", "datasets.street.select.status: must not be empty"),
        ('select = { status = "complete" }', "datasets.street.select.status: must be a list"),
        ("select = { status = [1] }", "datasets.street.select.status.0: must be text"),
        (
            'select = { status = ["completed"] }',
            'datasets.street.select.status: must list only "new", "annotate", "review" or "complete"; did you mean "complete"?',
        ),
        ('select = { state = ["new"] }', 'datasets.street.select.state: unknown key; did you mean "status"?'),
    ],
)
def test_a_mistake_in_a_mirror_is_named_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    [found] = problems(tmp_path, HEAD + MIRROR + line + "\n")
    assert found == f"labelmirror.toml:{9 + line.count(chr(10))}: {problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("versoin = 1", 'labelmirror.toml:1: versoin: unknown key; did you mean "version"?'),
        ("version = 2", "labelmirror.toml:1: version: must be 1"),
        ('version = "1"', "labelmirror.toml:1: version: must be 1"),
        ("state = 3", "labelmirror.toml:1: state: must be a path, as text"),
        ('state = ""', "labelmirror.toml:1: state: must be a path, as text"),
        ("servers = 3", "labelmirror.toml:1: servers: must be a table"),
        ("datasets = []", "labelmirror.toml:1: datasets: must be a table"),
        ("backup = 3", "labelmirror.toml:1: backup: must be a table"),
        ("daemon = true", "labelmirror.toml:1: daemon: must be a table"),
        ("servers.a = 3", "labelmirror.toml:1: servers.a: must be a table"),
        ("[servers.a]", 'labelmirror.toml:1: servers.a: needs kind, which is "pictograph"'),
        (
            '[servers.a]\nkind = "pictogrph"',
            f'labelmirror.toml:2: servers.a.kind: must be {one_of(KINDS)}; did you mean "pictograph"?',
        ),
        ("[servers.a]\nkind = 3", f"labelmirror.toml:2: servers.a.kind: must be {one_of(KINDS)}"),
        ('[servers.a]\nkind = "pictograph"', "labelmirror.toml:1: servers.a.key: is required"),
        (
            '[retention]\nhistory = "ever"',
            'labelmirror.toml:2: retention.history: must be a duration with its unit, such as "30s", "15m", "24h" or "90d"',
        ),
        ('[retention]\nhistroy = "1d"', 'labelmirror.toml:2: retention.histroy: unknown key; did you mean "history"?'),
        ('[backup]\npaht = "x"', 'labelmirror.toml:2: backup.paht: unknown key; did you mean "path"?'),
        (
            '[daemon]\nmetrics = "9464"',
            'labelmirror.toml:2: daemon.metrics: must be a host and a port, such as "127.0.0.1:9464"',
        ),
        ('[daemon]\non_change = "run me"', "labelmirror.toml:2: daemon.on_change: must be a list"),
        ("[daemon]\non_held = []", "labelmirror.toml:2: daemon.on_held: must not be empty"),
        ('[daemon]\nping_url = "x"', "labelmirror.toml:2: daemon.ping_url: must be an http or https address"),
        ("[daemon]\nsettle = 2", "labelmirror.toml:2: daemon.settle: must be a duration with its unit"),
        (
            'servers."a b" = { kind = "pictograph", key = { env = "K" } }',
            'labelmirror.toml:1: servers."a b": is no usable name',
        ),
    ],
)
def test_a_mistake_elsewhere_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    [found] = problems(tmp_path, text)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ('{ evn = "K" }', '.evn: unknown key; did you mean "env"?'),
        ("{}", ': must be { env = "NAME" }, { file = "PATH" }, { command = ["…"] } or { credential = "NAME" }'),
        ('{ env = "K", file = "k" }', ": must be { env ="),
        ('{ literal = "x" }', ": must be { env ="),
        ("3", ": must be { env ="),
        ('""', ": must be { env ="),
        ("{ env = 3 }", ".env: must be text"),
        ('{ env = "" }', ".env: must not be empty"),
        ('{ command = "pass show" }', ".command: must be a list"),
        ("{ command = [] }", ".command: must not be empty"),
        ('{ credential = "../x" }', ": must name a credential, not a path"),
        ("{ file = 1 }", ".file: must be a path, as text"),
    ],
)
def test_a_secret_has_one_of_four_forms(tmp_path: Path, key: str, problem: str) -> None:
    [found] = problems(tmp_path, f'[servers.a]\nkind = "pictograph"\nkey = {key}\n')
    assert found.startswith(f"labelmirror.toml:3: servers.a.key{problem}")


def test_a_mirror_needs_a_server_a_dataset_and_a_path(tmp_path: Path) -> None:
    assert problems(tmp_path, "[datasets.x]") == [
        "labelmirror.toml:1: datasets.x.server: is required",
        "labelmirror.toml:1: datasets.x.path: is required",
    ]
    assert problems(tmp_path, HEAD + '[datasets.x]\nserver = "acmee"\npath = "x"') == [
        "labelmirror.toml:5: datasets.x: needs name or id, to say which dataset of the server is meant",
        'labelmirror.toml:6: datasets.x.server: names no [servers.…] entry; did you mean "acme"?',
    ]


@pytest.mark.parametrize(
    ("path", "relation"),
    [
        ("street", "is the same folder as datasets.street.path"),
        ("./a/../street/", "is the same folder as datasets.street.path"),
        ("street/images", "is inside datasets.street.path"),
        (".", "is around datasets.street.path"),
        ("link", "is the same folder as datasets.street.path"),
        ("state", "is the same folder as state"),
        ("state/x", "is inside state"),
        ("backups/x", "is inside backup.path"),
    ],
)
def test_no_mirror_lies_inside_another_folder_of_the_program(tmp_path: Path, path: str, relation: str) -> None:
    (tmp_path / "link").symlink_to("street")
    text = HEAD + MIRROR + f'[datasets.other]\nserver = "acme"\nname = "Other"\npath = "{path}"\n'
    assert f"labelmirror.toml:12: datasets.other.path: {relation}" in problems(tmp_path, text)


def test_the_ledger_lies_outside_the_mirrors(tmp_path: Path) -> None:
    text = 'ledger = "street/ledger.db"\n' + HEAD + MIRROR
    assert problems(tmp_path, text) == ["labelmirror.toml:1: ledger: is inside datasets.street.path"]


def test_all_mistakes_are_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = HEAD + "connections = 0\nreserv = 1\n" + MIRROR + "push = 3\n"
    keys = [line.split(": ")[1] for line in problems(tmp_path, text)]
    assert keys == ["servers.acme.connections", "servers.acme.reserv", "datasets.street.push"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"version = 1\nstate = \n", ":2:9: not TOML: Invalid value"),
        (b"[a]\nb = 1\n[a]\n", ":3:3: not TOML: Cannot declare ('a',) twice"),
        (b'a = "x', ":1: not TOML: Unterminated string"),
        (b"a = 1\nb = '\xff'\n", ":2: not UTF-8"),
        (b"a = " + b"[" * 5000, ": not TOML that this program reads: lists or tables are nested too deep"),
    ],
)
def test_what_is_not_toml_is_named_with_line_and_column(tmp_path: Path, data: bytes, problem: str) -> None:
    file = tmp_path / "labelmirror.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as refused:
        load(file, {})
    assert refused.value.message == f"{file}{problem}"


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


def test_a_file_that_cannot_be_a_configuration_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "labelmirror.toml"
    file.write_bytes(b"#" * (5 * 2**20))
    with pytest.raises(ConfigError, match="larger than"):
        load(file, {})


@pytest.mark.parametrize("url", ["http://example.org", "http://10.0.0.1:8000"])
def test_plain_http_to_another_machine_gives_a_warning(tmp_path: Path, url: str) -> None:
    file = tmp_path / "labelmirror.toml"
    file.write_text(HEAD + f'url = "{url}"\n')
    [warning] = load(file, {}).warnings
    assert warning.startswith(f"{file}:5: servers.acme.url: is plain http")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:1", "https://example.org"])
def test_http_to_this_machine_and_https_give_none(tmp_path: Path, url: str) -> None:
    file = tmp_path / "labelmirror.toml"
    file.write_text(HEAD + f'url = "{url}"\n')
    assert load(file, {}).warnings == ()


KEYS = (
    *("version", "state", "ledger", "servers", "datasets", "backup", "retention", "daemon"),
    *("servers.acme", "servers.acme.kind", "servers.acme.url", "servers.acme.key", "servers.acme.key.env"),
    *("servers.acme.reserve", "servers.acme.caps", "servers.acme.caps.pages", "servers.acme.bandwidth"),
    *("datasets.street", "datasets.street.server", "datasets.street.name", "datasets.street.path"),
    *("datasets.street.every", "datasets.street.calendar", "datasets.street.select", "datasets.street.select.status"),
    *("backup.path", "retention.trash", "daemon.metrics", "daemon.socket", "daemon.on_change", "daemon.ping_url"),
)
VALUES = (
    *(
        "0",
        "-1",
        "1.5",
        "nan",
        "inf",
        "1e400",
        "true",
        '""',
        '"x"',
        '"\\u0000"',
        '"://["',
        '"http://[::1"',
        '"1:2:3"',
        "[]",
    ),
    *("[[]]", "[1]", '["x"]', '[""]', "{}", "{ x = 1 }", '{ env = "K" }', "{ file = 1 }", "2026-01-01", "12:00:00"),
    *("9999999999999999999999", '"~nobody-here/x"', '"\\ud7ff"', '"9999999999999999999999d"', '"٣:٠٠"', '"1²"'),
)


@pytest.mark.parametrize("key", KEYS)
def test_no_value_anywhere_breaks_the_reader(tmp_path: Path, key: str) -> None:
    file = tmp_path / "labelmirror.toml"
    variable = "LABELMIRROR__" + key.replace(".", "__")
    for value in VALUES:
        print(f"{key} = {value}")
        for text, environ in ((f"{key} = {value}\n", {}), (HEAD + MIRROR, {variable: value.strip('"')})):
            file.write_text(text)
            message = ""
            try:
                load(file, environ)
            except ConfigError as refused:
                message = refused.message
            assert all(": " in line for line in message.splitlines())
