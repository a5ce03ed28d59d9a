#!/usr/bin/python3
"""A poller as one writes it with aiohttp: asks, reads, parses, looks at the state; nothing is kept.

Usage and output as peer_floor's.
"""

import asyncio
import json
import resource
import ssl
import sys
import time

import aiohttp

PREFIX, FIRST, N_IDS, IN_FLIGHT, WARM_MS, MEASURED_MS = sys.argv[1], *map(int, sys.argv[2:7])
HEADERS = {"Authorization": "Zoho-oauthtoken 1000.0123456789abcdef0123456789abcdef."
                            "fedcba9876543210fedcba9876543210", "Accept": "application/json"}
n_requests = 0


def cpu_us():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e6)


async def poll(session, first):
    global n_requests
    i = first
    while True:
        async with session.get(PREFIX + str(FIRST + i % N_IDS), headers=HEADERS) as reply:
            assert reply.status == 200
            assert json.loads(await reply.read())["data"][0]["state"]
        n_requests += 1
        i += IN_FLIGHT


async def main():
    context = ssl.create_default_context(cafile=sys.argv[7])
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        tasks = [asyncio.create_task(poll(session, i)) for i in range(IN_FLIGHT)]
        await asyncio.sleep(WARM_MS / 1000)
        n, cpu, wall = n_requests, cpu_us(), time.monotonic_ns()
        await asyncio.sleep(MEASURED_MS / 1000)
        print(n_requests - n, cpu_us() - cpu, (time.monotonic_ns() - wall) // 1000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


asyncio.run(main())
