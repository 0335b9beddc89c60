"""The settings in force: what `labelmirror.toml` may say, apart from what belongs to one kind of server.

Paths are absolute once loaded. Defaults stand here, those that depend on the machine in `config.places`; config.example.toml
repeats each with its reason.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, InstanceOf

from labelmirror.providers.forms import (
    Argv,
    Calendar,
    Duration,
    FilePath,
    Listen,
    PingUrl,
    PositiveDuration,
    Table,
    Text,
    TextList,
)
from labelmirror.providers.settings import ServerSettings


class SelectSettings(Table):
    """One filter for pull, push, verify and backup; an image outside it is left alone, never deleted."""

    #: Stages of an image, in the server's words; None: all.
    status: TextList | None = None


class DatasetSettings(Table):
    """One `[datasets.NAME]` entry: a mirror. Exactly one of `name` and `id` names the dataset on its server."""

    server: Text
    name: Text | None = None
    id: Text | None = None
    path: FilePath
    content: Literal["all", "images", "annotations"] = "all"
    #: Whether local edits are carried to the server.
    push: bool = False
    #: What happens to a document that changed on both sides and does not merge cleanly.
    on_conflict: Literal["merge", "hold", "remote", "local"] = "merge"
    on_remote_delete: Literal["trash", "keep"] = "trash"
    #: How often the daemon syncs; `calendar` takes its place where it is set.
    every: PositiveDuration = timedelta(minutes=15)
    calendar: Calendar | None = None
    #: How long an edit that listings cannot show may stay unseen.
    full_check_every: PositiveDuration = timedelta(hours=24)
    #: How long a batch of saves may wait between the re-read of its first document and its sending.
    push_window: PositiveDuration = timedelta(seconds=10)
    select: SelectSettings = SelectSettings()


class BackupSettings(Table):
    """`[backup]`: where snapshots lie."""

    path: FilePath


class RetentionSettings(Table):
    """`[retention]`: how long old versions stay. One that an open record or a hold needs stays longer."""

    history: Duration = timedelta(days=90)
    trash: Duration = timedelta(days=90)


class DaemonSettings(Table):
    """`[daemon]`: what concerns `labelmirror run` only. A hook is a program and its arguments, never a shell line."""

    #: Host and port of the metrics page; None: off.
    metrics: Listen | None = None
    #: File that gets the metrics for node_exporter's textfile collector; None: off.
    textfile: FilePath | None = None
    #: How long a local file must be quiet, complete and valid before its edit is pushed.
    settle: Duration = timedelta(seconds=2)
    #: The control socket.
    socket: FilePath
    on_change: Argv | None = None
    on_held: Argv | None = None
    on_failure: Argv | None = None
    #: Address that is called after each successful cycle; None: off.
    ping_url: PingUrl | None = None


class Settings(Table):
    """Everything that a configuration decides. `state` is a folder, `ledger` a file."""

    version: Literal[1] = 1
    state: FilePath
    ledger: FilePath
    servers: Annotated[Mapping[str, InstanceOf[ServerSettings]], Field(default_factory=dict)]
    datasets: Annotated[Mapping[str, DatasetSettings], Field(default_factory=dict)]
    backup: BackupSettings
    retention: RetentionSettings = RetentionSettings()
    daemon: DaemonSettings
