"""Find out which generation a server speaks: two requests, once; the provider remembers the result."""

from labelmirror.errors import NotFound, ProtocolError, Rejected
from labelmirror.model.document import JsonValue
from labelmirror.providers import answers
from labelmirror.providers.pictograph import wire
from labelmirror.providers.pictograph.dialect import API, Dialect, Generation
from labelmirror.transport.api import Api

_WHERE = f"GET {API}/datasets/"


async def find_generation(api: Api) -> Generation:
    """Ask the server. Raises ProtocolError for an answer that no generation gives.

    A key that sees no dataset leaves two generations possible; the newer is taken, and being wrong about it shows at the
    first dataset.
    """
    answer = await api.get(f"{API}/datasets/", {"limit": "1"})
    candidates = _candidates(answer)
    if len(candidates) == 1:
        return candidates[0]
    newer, older = candidates
    rows = Dialect(newer).rows(answer, "datasets", where=_WHERE)
    if not rows:
        return newer
    request = Dialect(newer).dataset(answers.read(wire.DatasetRow, rows[0], where=_WHERE).name)
    if request is None:
        return newer
    try:
        await api.get(request.path, request.query)
    except (NotFound, Rejected):
        return older
    return newer


def _candidates(answer: JsonValue) -> tuple[Generation, ...]:
    """The generations whose list of datasets looks like this, the newest first."""
    if isinstance(answer, list):
        return (Generation.G0,)
    held = answers.table(answer, where=_WHERE)
    if "data" in held and "pagination" in held:
        return (Generation.G2, Generation.G1B)
    if "datasets" in held:
        return (Generation.G1, Generation.G0)
    raise ProtocolError(
        f"{_WHERE} answered with no list of datasets", hint="Is this a Pictograph server, and is its url right?"
    )
