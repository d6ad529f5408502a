"""Serves MiniStack on a free loopback port, in one process.

MiniStack's own command binds every interface, and hypercorn's command forks
workers that outlive a killed parent. This does neither. Its CloudWatch also has
alarms on metric math (metric_math.py).

    python ministack_server.py

The settings (account, region, writable folders) are environment variables that
xtask sets. Prints `listening 127.0.0.1:PORT` before it is ready. Ends on SIGTERM
and SIGINT.
"""

import asyncio
import os
import signal
import socket
import sys

# Importing the module in this folder must not write compiled files to it.
sys.dont_write_bytecode = True

import loopback

if __name__ == "__main__":
    # Before the slow imports, so that the parent has the address at once.
    BOUND = loopback.bind()
    # MiniStack reads its port, and the functions that it starts their endpoint, from these variables.
    os.environ["GATEWAY_PORT"] = str(BOUND.getsockname()[1])
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{BOUND.getsockname()[1]}"

import metric_math
from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import app


async def main(bound: socket.socket) -> None:
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
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
    asyncio.run(main(BOUND))
