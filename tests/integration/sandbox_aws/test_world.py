"""The sandbox's AWS, through the client that the product uses."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aioboto3
import aiohttp
import pytest
import pytest_asyncio
from botocore.config import Config
from botocore.exceptions import ClientError

from deploy.sandbox.aws.world import AwsConfig, AwsWorld, Instance

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="module")]

NO_RETRIES = Config(retries={"total_max_attempts": 1, "mode": "standard"})

REGION = "us-east-1"

PRICES = """Timestamp,AvailabilityZone,InstanceType,ProductDescription,SpotPrice
2021-03-01T00:00:00+00:00,us-east-1a,m5.large,Linux/UNIX,0.030000
2021-03-02T12:00:00+00:00,us-east-1a,m5.large,Linux/UNIX,0.031000
2021-03-02T18:00:00+00:00,us-east-1a,m5.large,Linux/UNIX,0.032000
2021-03-02T12:00:00+00:00,us-east-1a,m5.large,Windows,0.900000
2021-03-01T01:00:00+00:00,us-east-1b,m5.large,Linux/UNIX,0.020000
2021-03-01T01:00:00+00:00,us-east-1b,c5.large,Linux/UNIX,0.025000
2021-03-01T01:00:00+00:00,us-east-1b,zz9.large,Linux/UNIX,0.010000
2021-03-09T00:00:00+00:00,us-east-1b,c5.large,Linux/UNIX,0.026000
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AwsWorld]:
    folder: Path = tmp_path_factory.mktemp("world")
    prices = folder / "prices.csv"
    prices.write_text(PRICES)
    started = await AwsWorld.start(AwsConfig(state_dir=folder, prices_file=prices, clock_factor=1200.0))
    yield started
    await started.stop()


@pytest.fixture(autouse=True)
def no_faults_left(world: AwsWorld) -> None:
    world.fault("clear")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def platform(world: AwsWorld) -> AsyncIterator["Clients"]:
    key = world.seed.platform_credentials
    session = aioboto3.Session(
        aws_access_key_id=key.access_key_id, aws_secret_access_key=key.secret_access_key, region_name=REGION
    )
    yield Clients(session, world.url)


class Clients:
    def __init__(self, session: aioboto3.Session, url: str) -> None:
        self.session = session
        self.url = url

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.url, config=NO_RETRIES)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ec2(world: AwsWorld, platform: Clients) -> AsyncIterator[Any]:
    async with platform.client("sts") as sts:
        answer = await sts.assume_role(
            RoleArn=world.seed.role_arn, RoleSessionName="test", ExternalId=world.seed.external_id
        )
    lent = answer["Credentials"]
    session = aioboto3.Session(
        aws_access_key_id=lent["AccessKeyId"],
        aws_secret_access_key=lent["SecretAccessKey"],
        aws_session_token=lent["SessionToken"],
        region_name=REGION,
    )
    async with Clients(session, world.url).client("ec2") as client:
        yield client


def subnet(world: AwsWorld, zone: str) -> str:
    return next(subnet for subnet, name, _ in world.seed.subnets if name == zone)


def run_request(world: AwsWorld, **changes: Any) -> dict[str, Any]:
    return {
        "LaunchTemplate": {"LaunchTemplateId": world.seed.launch_template_id},
        "InstanceType": "m5.large",
        "SubnetId": subnet(world, "us-east-1a"),
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "spot-optimizer/step", "Value": "s1"}]}
        ],
        **changes,
    }


def fleet_request(world: AwsWorld, overrides: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "Type": "instant",
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": world.seed.launch_template_id,
                    "Version": "$Default",
                },
                "Overrides": overrides,
            }
        ],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        "SpotOptions": {"AllocationStrategy": "lowest-price"},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "spot-optimizer/step", "Value": "s2"}]}
        ],
        **changes,
    }


def override(world: AwsWorld, instance_type: str, zone: str, **more: Any) -> dict[str, Any]:
    return {"InstanceType": instance_type, "SubnetId": subnet(world, zone), **more}


async def test_the_same_client_token_launches_once(world: AwsWorld, ec2: Any) -> None:
    request = run_request(world, ClientToken="token-1")
    before = len(world.instances())
    first, second = await asyncio.gather(ec2.run_instances(**request), ec2.run_instances(**request))
    assert first["Instances"][0]["InstanceId"] == second["Instances"][0]["InstanceId"]
    assert len(world.instances()) == before + 1
    calls = [call for call in world.calls if call.client_token == "token-1"]
    assert [call.repeated for call in calls] == [False, True]
    assert calls[0].instance_ids == calls[1].instance_ids


async def test_the_same_client_token_with_other_parameters_is_refused(world: AwsWorld, ec2: Any) -> None:
    await ec2.run_instances(**run_request(world, ClientToken="token-2"))
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        await ec2.run_instances(**run_request(world, ClientToken="token-2", MaxCount=2))


async def test_up_to_max_count_instances_are_launched(world: AwsWorld, ec2: Any) -> None:
    answer = await ec2.run_instances(**run_request(world, MaxCount=3))
    assert len(answer["Instances"]) == 3


async def test_an_empty_pool_refuses_until_it_is_cleared(world: AwsWorld, ec2: Any) -> None:
    world.fault("ice", instance_type="m5.large", zone="us-east-1a", capacity_type="on-demand")
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity"):
        await ec2.run_instances(**run_request(world, ClientToken="token-3"))
    world.fault("clear")
    answer = await ec2.run_instances(**run_request(world, ClientToken="token-3"))
    assert len(answer["Instances"]) == 1


@pytest.mark.parametrize(
    ("instance_type", "code"), [("m5.enormous", "InvalidInstanceType"), ("c5.large", "Unsupported")]
)
async def test_a_type_that_is_not_offered_there_is_refused(
    world: AwsWorld, ec2: Any, instance_type: str, code: str
) -> None:
    with pytest.raises(ClientError, match=code):
        await ec2.run_instances(**run_request(world, InstanceType=instance_type))


async def test_a_fleet_takes_the_next_pool_and_reports_the_empty_one(world: AwsWorld, ec2: Any) -> None:
    world.fault("ice", instance_type="m5.large", zone="us-east-1b", capacity_type="spot")
    request = fleet_request(
        world,
        [override(world, "m5.large", "us-east-1a"), override(world, "m5.large", "us-east-1b")],
        ClientToken="token-4",
    )
    answer = await ec2.create_fleet(**request)
    again = await ec2.create_fleet(**request)
    assert [(e["ErrorCode"], e["Lifecycle"]) for e in answer["Errors"]] == [
        ("InsufficientInstanceCapacity", "spot")
    ]
    failed = answer["Errors"][0]["LaunchTemplateAndOverrides"]["Overrides"]
    assert failed["SubnetId"] == subnet(world, "us-east-1b")
    (launched,) = answer["Instances"]
    assert launched["LaunchTemplateAndOverrides"]["Overrides"]["SubnetId"] == subnet(world, "us-east-1a")
    assert again["Instances"] == answer["Instances"]

    described = await ec2.describe_instances(
        Filters=[
            {"Name": "instance-lifecycle", "Values": ["spot"]},
            {"Name": "tag:spot-optimizer/step", "Values": ["s2"]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )
    found = {i["InstanceId"]: i for r in described["Reservations"] for i in r["Instances"]}
    (instance_id,) = launched["InstanceIds"]
    assert found[instance_id]["InstanceLifecycle"] == "spot"
    assert found[instance_id]["Placement"]["AvailabilityZone"] == "us-east-1a"
    ours = next(i for i in world.instances() if i.id == instance_id)
    assert (ours.capacity_type, ours.zone_id, ours.tags) == (
        "spot",
        "use1-az1",
        {"spot-optimizer/step": "s2"},
    )
    assert ours.usd_per_hour == 0.032


async def test_a_fleet_without_capacity_anywhere_has_errors_only(world: AwsWorld, ec2: Any) -> None:
    world.fault("ice", capacity_type="spot")
    answer = await ec2.create_fleet(**fleet_request(world, [override(world, "m5.large", "us-east-1a")]))
    assert answer["Instances"] == []
    assert len(answer["Errors"]) == 1


async def test_a_prioritized_fleet_follows_priorities(world: AwsWorld, ec2: Any) -> None:
    answer = await ec2.create_fleet(
        **fleet_request(
            world,
            [
                override(world, "c5.large", "us-east-1b", Priority=2.0),
                override(world, "m5.large", "us-east-1b", Priority=1.0),
            ],
            TargetCapacitySpecification={
                "TotalTargetCapacity": 2,
                "DefaultTargetCapacityType": "on-demand",
            },
            OnDemandOptions={"AllocationStrategy": "prioritized"},
        )
    )
    assert [(i["InstanceType"], i["Lifecycle"], len(i["InstanceIds"])) for i in answer["Instances"]] == [
        ("m5.large", "on-demand", 2)
    ]


async def test_a_pool_holds_a_finite_number_of_spot_instances(world: AwsWorld, ec2: Any) -> None:
    answer = await ec2.create_fleet(
        **fleet_request(
            world,
            [override(world, "m5.large", "us-east-1b")],
            TargetCapacitySpecification={"TotalTargetCapacity": 9000, "DefaultTargetCapacityType": "spot"},
            SpotOptions={"AllocationStrategy": "lowest-price", "MinTargetCapacity": 9000},
        )
    )
    assert answer["Instances"] == []
    assert answer["Errors"][0]["ErrorCode"] == "InsufficientInstanceCapacity"


async def test_spot_history_has_the_point_in_force_and_pages(world: AwsWorld, ec2: Any) -> None:
    now = datetime.now(UTC)
    pages = [
        page["SpotPriceHistory"]
        async for page in ec2.get_paginator("describe_spot_price_history").paginate(
            StartTime=now - timedelta(hours=10),
            EndTime=now,
            InstanceTypes=["m5.large"],
            ProductDescriptions=["Linux/UNIX"],
            PaginationConfig={"PageSize": 2},
        )
    ]
    assert [len(page) for page in pages] == [2, 1]
    rows = [row for page in pages for row in page]
    assert [(r["AvailabilityZone"], r["SpotPrice"]) for r in rows] == [
        ("us-east-1a", "0.032000"),  # 6 h before the market opens
        ("us-east-1a", "0.031000"),  # in force at the start
        ("us-east-1b", "0.020000"),
    ]
    assert timedelta(hours=6) <= now - rows[0]["Timestamp"] < timedelta(hours=6, minutes=5)
    assert all(row["Timestamp"] <= now for row in rows)


async def test_spot_history_of_one_zone_and_of_another_product(world: AwsWorld, ec2: Any) -> None:
    start = datetime.now(UTC)
    one = await ec2.describe_spot_price_history(StartTime=start, AvailabilityZone="us-east-1b")
    assert {r["InstanceType"] for r in one["SpotPriceHistory"]} == {"m5.large", "c5.large"}
    windows = await ec2.describe_spot_price_history(StartTime=start, ProductDescriptions=["Windows"])
    assert windows["SpotPriceHistory"] == []


async def test_the_price_list_answers_by_filter(world: AwsWorld, platform: Clients) -> None:
    def matching(**terms: str) -> list[dict[str, str]]:
        return [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in terms.items()]

    wanted = matching(
        regionCode=REGION,
        operatingSystem="Linux",
        tenancy="Shared",
        preInstalledSw="NA",
        capacitystatus="Used",
        licenseModel="No License required",
    )
    async with platform.client("pricing") as pricing:
        products = [
            json.loads(text)
            async for page in pricing.get_paginator("get_products").paginate(
                ServiceCode="AmazonEC2", Filters=wanted, PaginationConfig={"PageSize": 100}
            )
            for text in page["PriceList"]
        ]
        one = await pricing.get_products(
            ServiceCode="AmazonEC2", Filters=[*wanted, *matching(instanceType="m5.large")]
        )
        none = await pricing.get_products(ServiceCode="AmazonEC2", Filters=matching(operatingSystem="SUSE"))
    names = [p["product"]["attributes"]["instanceType"] for p in products]
    assert len(names) == len(set(names)) > 600
    (term,) = json.loads(one["PriceList"][0])["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    assert (dimension["unit"], float(dimension["pricePerUnit"]["USD"])) == ("Hrs", 0.096)
    assert none["PriceList"] == []


async def test_a_wrong_external_id_is_refused(world: AwsWorld, platform: Clients) -> None:
    async with platform.client("sts") as sts:
        with pytest.raises(ClientError, match="AccessDenied"):
            await sts.assume_role(RoleArn=world.seed.role_arn, RoleSessionName="test", ExternalId="guessed")


async def test_accounts_do_not_see_each_other(world: AwsWorld, platform: Clients, ec2: Any) -> None:
    launched = await world.launch("m5.large", "us-east-1a", "on-demand", {"k": "v"})
    async with platform.client("ec2") as own:
        assert (await own.describe_instances())["Reservations"] == []
    found = await ec2.describe_instances(InstanceIds=[launched.id])
    (instance,) = found["Reservations"][0]["Instances"]
    assert instance["PrivateIpAddress"] == launched.private_ip
    assert instance["Tags"] == [{"Key": "k", "Value": "v"}]


async def test_zones_have_one_fixed_mapping(world: AwsWorld, ec2: Any) -> None:
    zones = await ec2.describe_availability_zones(
        Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}]
    )
    mapping = {z["ZoneName"]: z["ZoneId"] for z in zones["AvailabilityZones"]}
    assert mapping == {f"us-east-1{letter}": f"use1-az{i}" for i, letter in enumerate("abcdef", start=1)}
    subnets = await ec2.describe_subnets(SubnetIds=[s for s, _, _ in world.seed.subnets])
    assert {s["AvailabilityZone"]: s["AvailabilityZoneId"] for s in subnets["Subnets"]} == mapping


async def test_offerings_are_what_the_market_prices(world: AwsWorld, ec2: Any) -> None:
    answer = await ec2.describe_instance_type_offerings(LocationType="availability-zone")
    assert {(o["InstanceType"], o["Location"]) for o in answer["InstanceTypeOfferings"]} == {
        ("m5.large", "us-east-1a"),
        ("m5.large", "us-east-1b"),
        ("c5.large", "us-east-1b"),
    }
    assert world.seed.types_skipped == 1


async def test_spot_advisor_rates_what_is_offered(world: AwsWorld) -> None:
    async with aiohttp.ClientSession() as http, http.get(world.seed.advisor_url) as answer:
        data = await answer.json()
    linux = data["spot_advisor"][REGION]["Linux"]
    assert set(linux) == {"m5.large", "c5.large"}
    assert all(0 <= rating["r"] <= 4 for rating in linux.values())
    assert linux["m5.large"]["s"] == 79


async def test_an_interruption_is_announced_and_then_happens(
    world: AwsWorld, platform: Clients, ec2: Any
) -> None:
    events: list[tuple[str, str]] = []
    ended = asyncio.Event()

    def note(instance: Instance, event: str) -> None:
        events.append((instance.id, event))
        if event == "terminated":
            ended.set()

    async with platform.client("sqs") as sqs:
        await sqs.purge_queue(QueueUrl=world.seed.queue_url)
        launched = await world.launch("m5.large", "us-east-1a", "spot")
        world.subscribe(note)
        await world.rebalance(launched.id)
        await world.interrupt(launched.id)
        await asyncio.wait_for(ended.wait(), 5)
        messages: list[dict[str, Any]] = []
        while len(messages) < 3:
            received = await sqs.receive_message(
                QueueUrl=world.seed.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            messages += [json.loads(m["Body"]) for m in received.get("Messages", ())]
    assert [(m["detail-type"], m["detail"]["instance-id"]) for m in messages] == [
        ("EC2 Instance Rebalance Recommendation", launched.id),
        ("EC2 Spot Instance Interruption Warning", launched.id),
        ("EC2 Instance State-change Notification", launched.id),
    ]
    assert {m["account"] for m in messages} == {world.seed.customer_account}
    assert events == [(launched.id, "terminating"), (launched.id, "terminated")]
    gone = next(i for i in world.instances() if i.id == launched.id)
    assert (gone.state, gone.terminated_by) == ("terminated", "interruption")
    described = await ec2.describe_instances(InstanceIds=[launched.id])
    assert described["Reservations"][0]["Instances"][0]["State"]["Name"] == "terminated"
    assert not [c for c in world.calls if c.action == "TerminateInstances" and launched.id in c.instance_ids]


async def test_the_products_own_termination_is_logged(world: AwsWorld, ec2: Any) -> None:
    launched = await world.launch("m5.large", "us-east-1a")
    await ec2.terminate_instances(InstanceIds=[launched.id])
    assert (world.calls[-1].action, world.calls[-1].instance_ids) == ("TerminateInstances", (launched.id,))
    gone = next(i for i in world.instances() if i.id == launched.id)
    assert (gone.state, gone.terminated_by) == ("terminated", "product")


@pytest.mark.parametrize(
    ("kind", "code"), [("throttle", "RequestLimitExceeded"), ("unavailable", "Unavailable")]
)
async def test_calls_fail_as_often_as_asked(world: AwsWorld, ec2: Any, kind: str, code: str) -> None:
    world.fault(kind, action="DescribeSubnets", count=2)
    for _ in range(2):
        with pytest.raises(ClientError, match=code):
            await ec2.describe_subnets()
    await ec2.describe_subnets()


async def test_tags_set_later_are_known(world: AwsWorld, ec2: Any) -> None:
    launched = await world.launch("m5.large", "us-east-1a")
    await ec2.create_tags(Resources=[launched.id], Tags=[{"Key": "late", "Value": "yes"}])
    assert next(i for i in world.instances() if i.id == launched.id).tags == {"late": "yes"}
