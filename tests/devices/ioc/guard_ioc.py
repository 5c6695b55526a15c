"""A stand-in for the guard: its PVs, settable from the test."""

from __future__ import annotations

import os
import sys


def main() -> None:
    from devices.channel_access import server_variables

    os.environ.update(server_variables(int(sys.argv[2])))
    from softioc import asyncio_dispatcher, builder, softioc

    from devices.ioc.permit import GUARDED, guard_pv

    for instrument in GUARDED:
        builder.longOut(guard_pv(sys.argv[1], instrument, "PERMIT"), initial_value=1)
        builder.longStringOut(guard_pv(sys.argv[1], instrument, "REASON"), length=256, initial_value="")
        for what, value in (("LOW", -1e300), ("HIGH", 1e300), ("RATE_HIGH", 1e300)):
            builder.aOut(guard_pv(sys.argv[1], instrument, what), initial_value=value)
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(), enable_pva=False)
    print("guard ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
