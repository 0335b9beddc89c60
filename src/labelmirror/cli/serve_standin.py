"""`labelmirror serve-standin`."""

from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from labelmirror.cli.frame import Call, command
from labelmirror.cli.signals import Stop, run_stoppable
from labelmirror.errors import ExitCode, UsageError


@command
def serve_standin(
    call: Call,
    kind: Annotated[str, typer.Option(help="Kind of server.")] = "pictograph",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes a free one.")] = 0,
    generation: Annotated[str, typer.Option(help="Dialect of the server; for pictograph g0, g1, g1b or g2.")] = "g2",
    images: Annotated[int | None, typer.Option(min=0, help="Images in the sample dataset.", show_default=False)] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Requests per window and key.", show_default=False)] = None,
    window: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Length of the rate window.", show_default=False)
    ] = None,
    window_kind: Annotated[Literal["sliding", "fixed"], typer.Option(help="How a spent quota comes back.")] = "sliding",
    link_lifetime: Annotated[
        int | None, typer.Option(min=1, metavar="SECONDS", help="How long a link works.", show_default=False)
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of what shall go wrong.", show_default=False)
    ] = None,
) -> ExitCode:
    """Serve a stand-in for an annotation server on loopback, with a small sample dataset, until it is stopped."""
    from labelmirror.standin import StandinError, StandinOptions, WindowKind, load_faults, serve

    given: dict[str, Any] = {"images": images, "limit": limit, "window_s": window, "link_lifetime_s": link_lifetime}
    options = StandinOptions(kind=kind, port=port, generation=generation, window_kind=WindowKind(window_kind))
    options = replace(options, **{name: value for name, value in given.items() if value is not None})

    async def work(stop: Stop) -> ExitCode:
        async with AsyncExitStack() as stack:
            try:
                planned = replace(options, faults=load_faults(faults) if faults else ())
                standin = await stack.enter_async_context(serve(planned))
            except StandinError as error:
                raise UsageError(str(error)) from error
            except OSError as error:
                msg = f"port {port} cannot be served: {error.strerror}"
                raise UsageError(msg, hint="another program may use it; --port 0 takes a free one") from error
            access = asdict(standin.login) if standin.login else {"key": standin.key}
            spoken = ", ".join(f"{name} {value}" for name, value in access.items())
            call.answer(
                {"url": standin.url, "kind": kind, **access},
                lambda: f"{kind} stand-in at {standin.url} with {spoken}",
            )
            await stop.requested.wait()
        return ExitCode.DONE

    return run_stoppable(work)
