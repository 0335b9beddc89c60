"""Signs of life of a piece of work."""

import anyio

from labelmirror.daemon.pulse import Pulse
from support.virtual_loop import VirtualClock, run_virtual


def test_work_that_asks_for_the_time_or_waits_is_alive_and_work_that_does_neither_is_not() -> None:
    async def main() -> None:
        clock = VirtualClock()
        pulse = Pulse(clock)
        await clock.sleep(100)
        assert pulse.silent_s() == 100
        pulse.now_s()
        assert pulse.silent_s() == 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pulse.sleep, 50.0)
            await clock.sleep(40)
            assert pulse.silent_s() == 0
            await clock.sleep(40)
            assert pulse.silent_s() == 30
        pulse.monotonic_s()
        assert pulse.silent_s() == 0

    run_virtual(main())
