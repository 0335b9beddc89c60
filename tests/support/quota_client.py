"""A process that sends requests through the shipped pacer: `python -m support.quota_client URL LEDGER JOBS WORKERS`.

Prints one JSON object: what it sent, how often it was refused, how long it waited.
"""

import json
import sys
from pathlib import Path

import aiohttp
import anyio

from labelmirror.ledger.sqlite import SqliteLedger
from labelmirror.model.pacing import Priority, QuotaRules
from labelmirror.telemetry.clock import SystemClock
from labelmirror.transport.pacer import Pacer


async def run(url: str, ledger_file: Path, jobs: int, workers: int) -> dict[str, float]:
    """Have `jobs` requests answered, with as many workers; a refused one is sent again."""
    clock = SystemClock()
    ledger = SqliteLedger(ledger_file, lambda message: print(message, file=sys.stderr))
    pacer = Pacer(await ledger.account(url, "key"), clock, host="loopback", rules=QuotaRules(reserve=0.0))
    todo = iter(range(jobs))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in todo:
            status = 429
            while status == 429:
                async with pacer.permit(Priority.PULL) as permit:
                    sent_s = clock.now_s()
                    async with session.get(f"{url}/item") as response:
                        status = response.status
                        permit.observe(status, response.headers, sent_s, clock.now_s())

    async with aiohttp.ClientSession() as session, anyio.create_task_group() as tasks:
        for _ in range(workers):
            tasks.start_soon(work, session)
    await pacer.aclose()
    await ledger.aclose()
    tally = pacer.tally()
    return {"requests": tally.requests, "limited": tally.limited, "waited_s": tally.waited_s}


if __name__ == "__main__":
    print(json.dumps(anyio.run(run, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
