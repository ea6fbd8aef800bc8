"""`spotopt plan`: a plan from files, without any server."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli import plan_output
from deploy.cli.output import Form, fail
from shared.kernel.capacity import AmiFamily

if TYPE_CHECKING:
    from deploy.planfiles.markets import MarketFiles

BAD_INPUT = 2
SOME_UNPLACED = 3

EXAMPLES = """
Examples:

\b
  kubectl get no,po,deploy,rs,sts,ds,jobs,pdb,pvc,pv,sc,csinodes,ns \\
    -A -o json > cluster.json
  spotopt plan --cluster cluster.json

\b
  aws ec2 describe-spot-price-history --product-descriptions Linux/UNIX \\
    --region us-east-1 --start-time "$(date -u +%FT%TZ)" > spot.json
  spotopt plan --cluster cluster.json --spot-prices spot.json -o json

\b
  spotopt plan --cluster pods.json --greenfield --region eu-west-1 \\
    --policy policy.yaml

\b
  spotopt plan --cluster cluster.json \\
    --explain shop/web-7d9f-x2x4 --explain ip-10-0-1-7

New nodes are taken to have the labels of their type and zone, node pool "default", a disk of 20 GiB, and no label
or taint of your own; karpenter.k8s.aws/instance-* labels where today's nodes have such. --node-template FILE says
otherwise, as {node_pool: batch, labels: {team: a}, taints: [{key: team, value: a, effect: NoSchedule}], disk_gib: 100}.

Exit status: 0 a plan, or the reason why there is nothing to do; 3 some pods find no place; 2 bad input.
"""


def plan(
    cluster: Annotated[
        list[Path],
        typer.Option(help="kubectl's JSON: a file, a folder of files, or - for standard input; repeatable."),
    ],
    region: Annotated[
        str | None, typer.Option(help="AWS region, such as us-east-1; default: that of the nodes.")
    ] = None,
    zones: Annotated[
        list[str] | None,
        typer.Option(
            help="Zones to launch in, separated by commas; default: those of the policy, else those of today's nodes"
            " and volumes, else all."
        ),
    ] = None,
    instance_types: Annotated[
        Path | None, typer.Option(help="Output of `aws ec2 describe-instance-types`.")
    ] = None,
    on_demand_prices: Annotated[
        Path | None,
        typer.Option(help="Output of `aws pricing get-products`, or CSV: region,instance_type,usd_per_hour."),
    ] = None,
    spot_prices: Annotated[
        Path | None,
        typer.Option(
            help="Output of `aws ec2 describe-spot-price-history`, or CSV: region,instance_type,zone,usd_per_hour."
        ),
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy as JSON or YAML.")] = None,
    commitments: Annotated[
        Path | None,
        typer.Option(help="Reserved Instances and Savings Plans, as JSON or YAML: docs/policy.md."),
    ] = None,
    greenfield: Annotated[
        bool, typer.Option("--greenfield", help="Plan a new fleet for the pods, as if there were no node.")
    ] = False,
    explain: Annotated[
        list[str] | None,
        typer.Option(
            help="A pod (namespace/name) or a node: why is it here, and why not cheaper; repeatable.",
            metavar="POD|NODE",
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(help="Seconds after which the best plan found until then is taken.", min=0),
    ] = None,
    ami_family: Annotated[
        AmiFamily, typer.Option(help="What new nodes run: it decides how much memory their kubelets keep.")
    ] = AmiFamily.AL2023,
    prefix_delegation: Annotated[
        bool,
        typer.Option("--prefix-delegation", help="The VPC CNI gives interfaces prefixes: more pods a node."),
    ] = False,
    max_pods: Annotated[
        int | None,
        typer.Option(
            help="What kubelets are told to take; default: what the interfaces allow.", min=1, max=1000
        ),
    ] = None,
    node_template: Annotated[
        Path | None,
        typer.Option(help="What else new nodes have, as JSON or YAML: docs/policy.md, The node template."),
    ] = None,
    output: Annotated[Form, typer.Option("-o", "--output", help="How to print the plan.")] = Form.TABLE,
) -> None:
    """Plan a cluster from files: kubectl's output, AWS CLI's output, price lists."""
    # Nothing above needs these, so that --help and a wrong option answer at once.
    from rich.console import Console

    from deploy.planfiles.markets import MarketFiles
    from shared.kernel.errors import PermanentError

    names = tuple(name.strip() for given in zones or () for name in given.split(",") if name.strip())
    files = partial(
        MarketFiles,
        zones=names,
        instance_types=instance_types,
        on_demand_prices=on_demand_prices,
        spot_prices=spot_prices,
        ami_family=ami_family,
        prefix_delegation=prefix_delegation,
        max_pods=max_pods,
        node_template=node_template,
    )
    try:
        with Console(stderr=True).status("planning; the first time, its kernels are compiled"):
            result = _solve(
                cluster,
                region,
                files,
                (policy, commitments),
                greenfield=greenfield,
                subjects=explain or (),
                time_limit=time_limit,
            )
    except PermanentError as error:
        fail(str(error), code=BAD_INPUT)
    plan_output.show(result, output)
    if result["unplaced"]:
        raise typer.Exit(SOME_UNPLACED)


plan.__doc__ = f"{plan.__doc__}\n{EXAMPLES}"


def _solve(
    cluster: list[Path],
    region: str | None,
    files: Callable[[str], "MarketFiles"],
    policy: tuple[Path | None, Path | None],
    *,
    greenfield: bool,
    subjects: Sequence[str],
    time_limit: float | None,
) -> dict[str, Any]:
    from deploy.planfiles.clusters import read_cluster
    from deploy.planfiles.documents import PlanFileError
    from deploy.planfiles.gaps import gaps
    from deploy.planfiles.markets import read_market
    from deploy.planfiles.names import check_names, known_names
    from deploy.planfiles.node_templates import advice
    from deploy.planfiles.places import region_for
    from deploy.planfiles.policies import read_rules
    from services.optimizer.domain import explain, planning
    from shared.runtime.clock import SystemClock

    rules = read_rules(*policy)
    objects = read_cluster(cluster)
    if not objects.nodes and not greenfield:
        raise PlanFileError(
            "The input has no node: add `nodes` to kubectl get, or plan a new fleet with --greenfield."
        )
    where, notes = region_for(region, objects.nodes, is_new=greenfield)
    read = read_market(files(where), objects.nodes, objects.volumes, policy_names_zones=bool(rules.zones))
    known = known_names(where, read.market, read.template)
    check_names(rules, known, policy=policy[0], commitments=policy[1])
    mode = planning.PlanMode.GREENFIELD if greenfield else planning.PlanMode.SAVE
    start = time.perf_counter()
    study = planning.study(
        replace(objects, nodes=read.nodes),
        # The prices are taken to hold now, so that nodes are as old as they are now.
        replace(read.market, as_of=SystemClock().now()),
        rules,
        read.template,
        mode=mode,
        should_stop=lambda: time_limit is not None and time.perf_counter() - start >= time_limit,
    )
    seconds = time.perf_counter() - start
    try:
        answers = [explain.explain(study, name) for name in subjects]
    except explain.UnknownSubjectError as error:
        raise PlanFileError(str(error)) from error
    lost = {unplaced.pod for unplaced in study.draft.unplaced}
    advised = advice([pod for pod in objects.pods if pod.key in lost], study.packer.shelf.nodes)
    told = (*notes, *advised, *read.notes, *gaps(objects))
    return plan_output.as_document(study.draft, told, answers, solve_seconds=seconds)
