"""`labelmirror datasets`."""

from typing import TYPE_CHECKING, Annotated

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.output import table
from labelmirror.cli.signals import run_cancellable
from labelmirror.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labelmirror.model.remote import Dataset
    from labelmirror.model.report import RunError


@command
def datasets(
    call: Call,
    server: Annotated[
        str | None, typer.Argument(metavar="SERVER", help="A server of the configuration; all if none is named.")
    ] = None,
) -> ExitCode:
    """List the datasets that servers hold."""
    from labelmirror.app import open_provider
    from labelmirror.cli import endings, shapes
    from labelmirror.cli.shop import attempt, open_shop

    async def work() -> ExitCode:
        found: dict[str, Sequence[Dataset]] = {}
        errors: dict[str, RunError | None] = {}
        with open_shop(call) as shop:
            known = sorted(shop.config.settings.servers)
            if server is not None and server not in known:
                msg = f"there is no server {server!r} in {shop.config.file}"
                raise UsageError(msg, hint=f"there is: {', '.join(known) or 'none'}")
            for name in known if server is None else [server]:
                found[name], errors[name] = (), None

                async def ask(name: str = name) -> None:
                    async with open_provider(shop, name) as provider:
                        found[name] = sorted(await provider.datasets(), key=lambda dataset: (dataset.name, dataset.id))

                def note(error: "RunError", name: str = name) -> None:
                    errors[name] = error

                await attempt(ask, note)
        code = endings.exit_code([endings.error_codes(error) for error in errors.values()])
        return call.answer(
            {
                "servers": [
                    {
                        "name": name,
                        "datasets": [shapes.dataset_shape(dataset) for dataset in held],
                        "error": shapes.error_shape(error) if (error := errors[name]) is not None else None,
                    }
                    for name, held in found.items()
                ],
                **shapes.speaking_shape(errors.values(), code),
            },
            lambda: table(
                ("server", "dataset", "id", "images", "annotations"),
                (
                    (name, dataset.name, dataset.id, dataset.images, dataset.annotations)
                    for name, held in found.items()
                    for dataset in held
                ),
            ),
            code,
            errors=errors.items(),
        )

    return run_cancellable(work)
