"""The sandbox's AWS, started and stopped as one thing.

World time runs `clock_factor` times as fast as the wall clock, so that a two-minute notice or a boot takes
seconds. The timestamps that callers see stay on the wall clock.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from deploy.sandbox.aws import moto_host
from deploy.sandbox.aws.faults import Capacity, Faults, PoolFault
from deploy.sandbox.aws.launches import Launches, LaunchRefusedError, Pool
from deploy.sandbox.aws.market_opening import open_market
from deploy.sandbox.aws.moto_client import EC2_VERSION, MotoClient
from deploy.sandbox.aws.notices import Notices
from deploy.sandbox.aws.proxy import Proxy
from deploy.sandbox.aws.query_protocol import Form
from deploy.sandbox.aws.records import (
    ON_DEMAND,
    RUNNING,
    SPOT,
    Call,
    Instance,
    InstanceTypeFacts,
    PlatformCredentials,
    Seed,
    facts_from,
)
from deploy.sandbox.aws.registry import Registry, Subscriber
from deploy.sandbox.aws.seeding import IMAGE_ID, Accounts, seed
from deploy.sandbox.market.market import Market

__all__ = ["AwsConfig", "AwsWorld", "Call", "Instance", "InstanceTypeFacts", "PlatformCredentials", "Seed"]

NOTICE_SECONDS = 120.0
"""World seconds between an interruption notice and the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsConfig:
    """What kind of world to make."""

    state_dir: Path
    """For files that the world may need to keep; today it keeps none."""
    region: str = "us-east-1"
    port: int = 0
    """0 takes a free one."""
    prices_file: Path | None = None
    """Recorded spot prices; None simulates them."""
    on_demand_file: Path | None = None
    """None takes those of the sparecores-data wheel."""
    clock_factor: float = 30.0
    """World seconds per real second."""
    market_moves: bool = True
    """Whether prices change while the world runs."""
    seed: int = 0


STANDSTILL = 1e-6
"""World seconds per real second at which no price changes within a year."""


class AwsWorld:
    """Make one with `start`; one a process at a time, since moto's state belongs to the process."""

    def __init__(
        self,
        *,
        config: AwsConfig,
        url: str,
        market: Market,
        registry: Registry,
        faults: Faults,
        launches: Launches,
        notices: Notices,
        moto: MotoClient,
        accounts: Accounts,
        facts: Mapping[str, InstanceTypeFacts],
        seed: Seed,
        started: float,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.config = config
        self.url = url
        self.market = market
        self.seed = seed
        self._registry = registry
        self._faults = faults
        self._launches = launches
        self._notices = notices
        self._moto = moto
        self._accounts = accounts
        self._facts = facts
        self._started = started
        self._close = close
        self._endings: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, config: AwsConfig) -> "AwsWorld":
        """Start everything and seed both accounts.

        Raises:
            MarketDataError: a price file cannot be used.
            OSError: the port is taken.
        """
        zone_ids = moto_host.zones(config.region)
        facts = {name: facts_from(description) for name, description in moto_host.described_types().items()}
        wall_started = time.time()
        opening = open_market(
            region=config.region,
            prices_file=config.prices_file,
            on_demand_file=config.on_demand_file,
            zones=frozenset(zone_ids),
            described=moto_host.described_types(),
            moto_offered=moto_host.moto_offered(config.region),
            started_at=wall_started,
            clock_factor=config.clock_factor if config.market_moves else STANDSTILL,
            seed=config.seed,
        )
        market = opening.market
        moto_host.offer(config.region, market.offered, zone_ids)
        started = time.monotonic()

        def now() -> float:
            return (time.monotonic() - started) * config.clock_factor

        def price(instance_type: str, zone: str, capacity_type: str) -> float | None:
            if capacity_type == SPOT:
                return market.spot_price(instance_type, zone, at=time.time())
            return market.on_demand.get(instance_type)

        async with contextlib.AsyncExitStack() as stack:
            host = moto_host.MotoHost()
            moto_url = host.start()
            stack.callback(host.stop)
            http = await stack.enter_async_context(
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=60),
                    connector=aiohttp.TCPConnector(limit=256),
                    auto_decompress=False,
                )
            )
            moto = MotoClient(http, moto_url)
            registry, faults = Registry(now), Faults()
            launches = Launches(
                moto=moto,
                market=market,
                registry=registry,
                capacity=Capacity(faults, config.seed),
                facts=facts,
                zone_ids=zone_ids,
                now=now,
                price=price,
            )
            proxy = Proxy(
                moto=moto,
                launches=launches,
                registry=registry,
                faults=faults,
                facts=facts,
                now=now,
                wall_clock=time.time,
            )
            url = await stack.enter_async_context(_served(proxy.app(), config.port))
            seeded, accounts = await seed(
                moto,
                region=config.region,
                url=url,
                zone_ids=zone_ids,
                types_skipped=opening.types_skipped,
            )
            notices = Notices(moto=moto, platform=accounts.platform_queue, queue_url=seeded.queue_url)
            proxy.seed, proxy.notices = seeded, notices
            return cls(
                config=config,
                url=url,
                market=market,
                registry=registry,
                faults=faults,
                launches=launches,
                notices=notices,
                moto=moto,
                accounts=accounts,
                facts=facts,
                seed=seeded,
                started=started,
                close=stack.pop_all().aclose,
            )
        raise AssertionError("an exit stack swallows no exception")

    async def stop(self) -> None:
        """Stop serving; instances under notice are left as they are."""
        for ending in self._endings:
            ending.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)
        await self._close()

    @property
    def calls(self) -> list[Call]:
        """Every write that came in through the API, oldest first."""
        return self._registry.calls

    def now(self) -> float:
        """Give the world's seconds since the start."""
        return (time.monotonic() - self._started) * self.config.clock_factor

    def instances(self) -> list[Instance]:
        """Give every instance that ever ran, oldest first."""
        return self._registry.instances

    def subscribe(self, callback: Subscriber) -> None:
        """Call `callback` in the event loop at each `launched`, `terminating` and `terminated`."""
        self._registry.subscribe(callback)

    def facts(self, instance_type: str) -> InstanceTypeFacts | None:
        """Give what EC2 says about a type."""
        return self._facts.get(instance_type)

    def all_facts(self) -> Mapping[str, InstanceTypeFacts]:
        """Give what EC2 says about every type it describes, offered here or not."""
        return self._facts

    def price(self, instance_type: str, zone: str, capacity_type: str) -> float | None:
        """Give the USD per hour now; None where the market has no price."""
        return self._launches.price(Pool(instance_type, zone, capacity_type))

    async def launch(
        self,
        instance_type: str,
        zone: str,
        capacity_type: str = ON_DEMAND,
        tags: Mapping[str, str] | None = None,
    ) -> Instance:
        """Launch one instance in the customer account, outside the log; no pool refuses it.

        Raises:
            LaunchRefusedError: EC2 describes no such type, or there is no such zone.
        """
        subnet = next((subnet for subnet, name, _ in self.seed.subnets if name == zone), None)
        if subnet is None or instance_type not in self._facts:
            raise LaunchRefusedError("InvalidParameterValue", f"no {instance_type} in {zone}")
        values = {
            "Action": "RunInstances",
            "Version": EC2_VERSION,
            "ImageId": IMAGE_ID,
            "InstanceType": instance_type,
            "SubnetId": subnet,
        }
        if tags:
            values["TagSpecification.1.ResourceType"] = "instance"
            for number, (key, value) in enumerate(tags.items(), start=1):
                values[f"TagSpecification.1.Tag.{number}.Key"] = key
                values[f"TagSpecification.1.Tag.{number}.Value"] = value
        pool = Pool(instance_type, zone, capacity_type)
        outcome = await self._launches.launch(self._accounts.customer, Form(values), pool, count=1)
        launched = self._registry.get(outcome.instance_ids[0]) if outcome.instance_ids else None
        if launched is None:
            raise LaunchRefusedError(outcome.error, outcome.answer.body.decode(errors="replace")[:256])
        return launched

    async def interrupt(self, instance_id: str) -> None:
        """Send the two-minute notice now, and end the instance when the two world minutes are over."""
        await self._notices.interruption(self._running(instance_id))
        ending = asyncio.create_task(self._end(instance_id), name=f"end {instance_id}")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def rebalance(self, instance_id: str) -> None:
        """Send a rebalance recommendation."""
        await self._notices.rebalance(self._running(instance_id))

    def fault(
        self,
        kind: str,
        *,
        action: str = "",
        count: int = 1,
        instance_type: str = "",
        zone: str = "",
        capacity_type: str = "",
    ) -> None:
        """Make something go wrong from now on.

        `ice` empties the pools named (an empty field means any); `throttle` and `unavailable` refuse the next
        `count` calls of `action`; `clear` ends all faults.
        """
        match kind:
            case "ice":
                self._faults.pools.add(PoolFault(instance_type, zone, capacity_type))
            case "throttle":
                self._faults.throttled[action] = count
            case "unavailable":
                self._faults.unavailable[action] = count
            case "clear":
                self._faults.pools.clear()
                self._faults.throttled.clear()
                self._faults.unavailable.clear()
            case _:
                raise ValueError(f"unknown fault {kind!r}: ice, throttle, unavailable or clear")

    def _running(self, instance_id: str) -> Instance:
        instance = self._registry.get(instance_id)
        if instance is None or instance.state != RUNNING:
            raise ValueError(f"{instance_id} is not running")
        return instance

    async def _end(self, instance_id: str) -> None:
        await asyncio.sleep(NOTICE_SECONDS / self.config.clock_factor)
        instance = self._registry.get(instance_id)
        if instance is None or instance.state != RUNNING:
            return
        await self._moto.ec2(self._accounts.customer, "TerminateInstances", {"InstanceId.1": instance_id})
        gone = self._registry.gone(instance_id, by="interruption")
        if gone is not None:
            await self._notices.terminated(gone)


@contextlib.asynccontextmanager
async def _served(app: web.Application, port: int) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 and give the address."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            await runner.cleanup()
