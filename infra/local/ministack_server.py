"""Serves MiniStack on one loopback port, in one process.

MiniStack's own command binds every interface, and hypercorn's command forks
workers that outlive a killed parent. This does neither. Its CloudWatch also has
alarms on metric math (metric_math.py).

    python ministack_server.py PORT

The other settings (account, region, writable folders) are environment
variables that xtask sets. Ends on SIGTERM and SIGINT.
"""

import asyncio
import signal
import sys

# Importing the module in this folder must not write compiled files to it.
sys.dont_write_bytecode = True

import metric_math
from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import app


async def main(port: int) -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_timeout = 75
    # Open long polls must not delay the stop.
    config.graceful_timeout = 0.5

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    evaluating = asyncio.create_task(metric_math.run())
    await serve(app, config, shutdown_trigger=stop.wait)
    evaluating.cancel()


if __name__ == "__main__":
    metric_math.install()
    asyncio.run(main(int(sys.argv[1])))
