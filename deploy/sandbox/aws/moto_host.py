"""moto server on a thread of this process.

moto keeps its state in module globals: one world a process at a time, and starting one forgets the former.
Being in the same process lets the layer look up a subnet's zone or a key's account without a call, and fix
the zone ids and the offerings where moto keeps them.
"""

import threading
from collections.abc import Mapping
from typing import Any

from moto.core.base_backend import BackendDict
from moto.ec2.models import ec2_backends
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.iam.models import get_account_id_from
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from deploy.sandbox.market.history import Pool

MOTO_OFFERINGS: Mapping[str, list[dict[str, str]]] = {
    region: list(offerings) for region, offerings in INSTANCE_TYPE_OFFERINGS["availability-zone"].items()
}
"""As shipped, before a world narrows them."""


class QuietHandler(MotoRequestHandler):
    """Writes no access log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


class MotoHost:
    """The server and its thread."""

    def __init__(self) -> None:
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Forget every former state and listen on a free port; give the address."""
        BackendDict.reset()
        server = make_server(
            "127.0.0.1",
            0,
            DomainDispatcherApplication(create_backend_app),
            threaded=True,
            request_handler=QuietHandler,
        )
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="moto", daemon=True
        )
        self._thread.start()
        return f"http://127.0.0.1:{server.port}"

    def stop(self) -> None:
        """Stop listening; a long poll under way is left to die with the process."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None


def account_of(access_key_id: str) -> str:
    """Give the account that a key belongs to; an unknown key is the platform's."""
    return str(get_account_id_from(access_key_id))


def described_types() -> Mapping[str, Mapping[str, Any]]:
    """Give every type that DescribeInstanceTypes describes."""
    types: Mapping[str, Mapping[str, Any]] = INSTANCE_TYPES
    return types


def zones(region: str) -> dict[str, str]:
    """Give zone ids by zone name, in order, after fixing those of us-east-1.

    moto maps us-east-1a to use1-az6 and so on; here a to f are az1 to az6, which people can read.
    """
    found = RegionsAndZonesBackend.zones.get(region, [])
    ordered = sorted(found, key=lambda zone: str(zone.name))
    if region == "us-east-1":
        for number, zone in enumerate(ordered, start=1):
            zone.zone_id = f"use1-az{number}"
    return {str(zone.name): str(zone.zone_id) for zone in ordered}


def offer(region: str, pools: frozenset[Pool], zone_ids: Mapping[str, str]) -> None:
    """Make DescribeInstanceTypeOfferings name exactly `pools`."""

    def rows(location_type: str, pairs: set[tuple[str, str]]) -> list[dict[str, str]]:
        return [
            {"InstanceType": name, "Location": place, "LocationType": location_type}
            for name, place in sorted(pairs)
        ]

    by_place = {
        "availability-zone": {(name, zone) for name, zone in pools},
        "availability-zone-id": {(name, zone_ids[zone]) for name, zone in pools},
        "region": {(name, region) for name, _ in pools},
    }
    for location_type, pairs in by_place.items():
        INSTANCE_TYPE_OFFERINGS[location_type][region] = rows(location_type, pairs)


def subnet_zone(account: str, region: str, subnet_id: str) -> str | None:
    """Give a subnet's zone name, or None for an unknown subnet."""
    for subnets in ec2_backends[account][region].subnets.values():
        if subnet_id in subnets:
            return str(subnets[subnet_id].availability_zone)
    return None


def template_data(
    account: str, region: str, *, template_id: str, name: str, version: str
) -> Mapping[str, Any] | None:
    """Give a launch template's data, or None when there is no such template or version."""
    backend = ec2_backends[account][region]
    key = template_id or backend.launch_template_name_to_ids.get(name, "")
    template = backend.launch_templates.get(key)
    if template is None:
        return None
    wanted = version.lower() or "$default"
    if wanted == "$default":
        number = int(template.default_version_number)
    elif wanted == "$latest":
        number = len(template.versions)
    else:
        number = int(wanted) if wanted.isdigit() else 0
    if not 1 <= number <= len(template.versions):
        return None
    data: Mapping[str, Any] = template.versions[number - 1].data
    return data


def moto_offered(region: str) -> frozenset[Pool]:
    """Give the (type, zone) pairs that moto offers as shipped."""
    known = described_types()
    return frozenset(
        (o["InstanceType"], o["Location"])
        for o in MOTO_OFFERINGS.get(region, ())
        if o["InstanceType"] in known
    )
