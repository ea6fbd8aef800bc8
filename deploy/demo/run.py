"""A demo from nothing: the sandbox, the stack, and the main job through the product's own doors."""

import secrets
from collections.abc import Awaitable, Callable

from rich.console import Console

from deploy.demo import workloads
from deploy.demo.filling import Filling
from deploy.demo.gateway import Gateway
from deploy.demo.main_job import Demo
from deploy.demo.options import Access, DemoOptions
from deploy.demo.progress import Progress
from deploy.demo.result import Result
from deploy.demo.waiting import Patience
from deploy.demo.world import World, WorldOptions
from deploy.local import stack
from deploy.local.home import Home

SERVICE_ENV = {
    "PRICING_REFRESH_PERIOD": "PT30S",
    "OPTIMIZER_PENDING_SETTLE": "PT3S",
    "REPORTING_SLICE": "PT3S",
    "REPORTING_SETTLE": "PT1S",
    "REPORTING_TICK_PERIOD": "PT1S",
}
"""A demo lasts minutes where a cluster lives for years: periods shrink, nothing else changes."""


async def run_demo(
    options: DemoOptions,
    *,
    home: Home,
    console: Console,
    until_stopped: Callable[[Access, Result], Awaitable[None]],
) -> Result:
    """Run a demo from nothing; with `keep`, hand over how to go on and wait.

    Raises:
        DemoError: it could not be carried through.
        StackError: the stack cannot run here.
    """
    workload = workloads.load(
        options.workload, pods=options.pods, cpu_only=options.cpu_only, seed=options.seed
    )
    home.open()
    progress, patience = Progress(console), Patience(home.logs)
    access = Access("", f"demo-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(18))
    world_options = WorldOptions(
        prices_file=options.prices,
        on_demand_file=options.on_demand,
        clock_factor=options.clock_factor,
        market_moves=not options.still_market,
        seed=options.seed,
    )
    progress.say("Starting the sandbox: AWS and a Kubernetes cluster, simulated behind their own protocols.")
    async with await World.start(
        home.path / "sandbox", world_options, log=home.logs / "sandbox.log"
    ) as world:
        env = {
            **world.aws_env(),
            **SERVICE_ENV,
            "PRICING_REGIONS": f'["{world.facts["region"]}"]',
            "PRICING_NOTICE_QUEUE_URL": world.facts["queue_url"],
            "PRICING_NOTICE_QUEUE_REGION": world.facts["region"],
            "PRICING_SPOT_ADVISOR_URL": world.facts["advisor_url"],
            "PRICING_PRICE_LIST_BULK_URL": "",  # a sandbox asks nobody outside
        }
        progress.say("Starting Postgres, nats-server and the five services.")
        running = await stack.start(home, stack.Options(env=env), _quietly)
        demo: Demo | None = None
        try:
            await running.wait_ready(_quietly)
            progress.say(f"The stack is ready; its API is at {running.gateway_url}.")
            async with Gateway(running.gateway_url) as gateway:
                demo = Demo(
                    options,
                    home,
                    world,
                    running,
                    gateway,
                    progress,
                    access,
                    workload,
                    Filling(world, progress, patience),
                    patience,
                )
                result = await demo.run()
                await progress.close()
            if options.keep:
                await until_stopped(Access(running.gateway_url, access.email, access.password), result)
            return result
        finally:
            await progress.close()
            if demo is not None and demo.agent is not None:
                await demo.agent.stop()
            await running.stop()


def _quietly(_name: str, _text: str) -> None:
    """Say nothing: logs hold it."""
