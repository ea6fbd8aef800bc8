"""Why is this here, and why not cheaper."""

from dataclasses import replace

import pytest

from services.optimizer.domain import explain, planning
from services.optimizer.domain.planning import PlanMode
from services.optimizer.domain.rules import Consolidation, PlanRules, Strategy
from services.optimizer.domain.study import Study
from shared.kernel.workload import ClusterObjects
from tests.builders import make_pod
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload

RULES = PlanRules()


def studied(objects: ClusterObjects, rules: PlanRules = RULES, mode: PlanMode = PlanMode.SAVE) -> Study:
    return planning.study(objects, make_market(), rules, TEMPLATE, mode=mode)


def test_a_new_node_says_its_price_its_fullest_resource_and_the_runner_up() -> None:
    study = studied(make_cluster(make_workload("web", 12, cpu=900)))
    launch = study.draft.moves[0].launches[0]
    answer = explain.explain(study, launch.id)
    assert answer.kind == "node"
    assert launch.offers[0].pool.instance_type in answer.placement
    assert any("is fullest in" in line for line in answer.why)
    assert any("The runner-up is" in line or "has too little" in line for line in answer.why_not_cheaper)


def test_a_drained_node_says_by_which_move_and_where_its_pods_go() -> None:
    study = studied(make_cluster(make_workload("web", 12, cpu=900)))
    move = next(m for m in study.draft.moves if m.drains and m.disruption_pods)
    answer = explain.explain(study, move.drains[0])
    assert answer.placement.endswith(f"given up by {move.id}.")
    assert move.explanation in answer.why
    assert any("kube-scheduler decides" in line for line in answer.why)


def test_a_node_that_may_not_be_touched_says_what_keeps_it() -> None:
    objects = make_cluster(make_workload("web", 12, cpu=900))
    pinned = replace(objects.nodes[0], do_not_disrupt=True)
    study = studied(replace(objects, nodes=(pinned, *objects.nodes[1:])))
    answer = explain.explain(study, pinned.name)
    assert "stays" in answer.placement
    assert answer.why[0] == "It stays as it is: it is marked do-not-disrupt."


def test_a_node_that_stays_says_what_giving_it_up_would_come_to() -> None:
    # The best type for its pods already: nothing is cheaper.
    objects = make_cluster(make_workload("web", 7, cpu=1000, gib=4), per_node=7)
    rules = replace(RULES, strategy=Strategy.ON_DEMAND)
    study = studied(objects, rules)
    assert study.draft.moves == ()
    answer = explain.explain(study, "node-000")
    text = " ".join(answer.why_not_cheaper)
    assert "Its 7 pods would fit" in text
    assert "to pay for itself" in text


def test_a_pod_says_what_narrowed_its_choice_and_its_share_of_the_node() -> None:
    study = studied(make_cluster([*make_workload("web", 12, cpu=900), *make_workload("db", 1)]))
    answer = explain.explain(study, "shop/db-0")
    assert answer.kind == "pod"
    assert any("It may not run on spot, since it is the only replica" in line for line in answer.why)
    assert any("offers are known; the policy and the node template allow" in line for line in answer.why)
    assert any(line.startswith("Its share of") for line in answer.why_not_cheaper)


def test_a_short_pod_name_is_enough_where_only_one_pod_has_it() -> None:
    study = studied(make_cluster(make_workload("web", 2)))
    assert explain.explain(study, "web-1") == explain.explain(study, "shop/web-1")


def test_a_pod_that_fits_nowhere_says_the_plans_reasons() -> None:
    objects = make_cluster(make_workload("web", 2))
    (large,) = make_workload("large", 1, cpu=500_000)
    study = studied(replace(objects, pods=(*objects.pods, large)))
    answer = explain.explain(study, large.key)
    assert answer.placement == "No node of the plan takes it."
    assert any("larger than any allowed instance type" in line for line in answer.why)


def test_an_unknown_name_is_an_error_that_says_how_to_name_things() -> None:
    study = studied(make_cluster(make_workload("web", 2)))
    with pytest.raises(explain.UnknownSubjectError, match="namespace/name"):
        explain.explain(study, "nothing")


@pytest.mark.parametrize("typed", ["shop/web-O", "shp/web-0"])
def test_who_mistypes_a_name_is_told_the_one_that_is_near(typed: str) -> None:
    study = studied(make_cluster(make_workload("web", 1)))
    with pytest.raises(explain.UnknownSubjectError, match=r"did you mean shop/web-0\? Pods are named"):
        explain.explain(study, typed)


def test_a_name_that_two_pods_have_is_asked_back() -> None:
    objects = make_cluster([*make_workload("web", 2), *make_workload("web", 2, namespace="other")])
    with pytest.raises(explain.UnknownSubjectError, match="2 pods are called web-0"):
        explain.explain(studied(objects), "web-0")


def test_every_pod_and_node_of_every_mode_can_be_explained() -> None:
    objects = make_cluster([*make_workload("web", 9, cpu=900), *make_workload("db", 1)])
    for mode in PlanMode:
        study = studied(objects, mode=mode)
        names = {n.node.name for n in (*study.before.nodes, *study.after.nodes)}
        for name in sorted(names | {p.key for p in objects.pods}):
            assert explain.explain(study, name).placement


def test_a_pod_that_nobody_plans_for_says_why() -> None:
    gated, astray = make_pod("gated", scheduling_gated=True), make_pod("astray", node="gone")
    cluster = make_cluster(make_workload("web", 4))
    study = studied(replace(cluster, pods=(*cluster.pods, gated, astray)))
    assert "scheduling gates" in explain.explain(study, "shop/gated").why[0]
    assert "gone, which is not in the input" in explain.explain(study, "shop/astray").why[0]


def test_the_offers_that_are_out_add_up_to_those_that_are_not_allowed() -> None:
    rules = replace(
        RULES,
        instance_families=frozenset({"m5", "c5"}),
        instance_sizes=frozenset({"2xlarge", "xlarge"}),
        zones=frozenset({"us-east-1a", "us-east-1b"}),
        max_usd_per_hour=0.3,
        excluded_instance_types=frozenset({"c5.xlarge"}),
    )
    study = studied(make_cluster(make_workload("web", 4)), rules)
    known, *rest = explain.explain(study, "shop/web-0").why
    total, allowed = int(known.split()[0]), int(known.split()[-1].rstrip("."))
    out = [line for line in rest if "out since" in line or "more are out" in line]
    assert len(out) == 4
    assert "more are out for 2 other reasons." in out[-1]
    assert sum(int(line.split()[0]) for line in out) == total - allowed


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        pytest.param(
            PlanRules(min_nodes=4),
            "a rule forbids it: The policy asks for at least 4 nodes.",
            id="a rule of the policy",
        ),
        pytest.param(
            PlanRules(min_savings_ratio=0.99),
            "25.0% of today's cost, less than the 99.0% that the policy asks of a plan (min_savings_ratio).",
            id="what a plan must save",
        ),
        pytest.param(
            PlanRules(min_move_savings_usd_per_hour=10),
            "It would save 0.384 USD/h, less than the 10 that the policy asks of a move"
            " (min_move_savings_usd_per_hour).",
            id="what a move must save",
        ),
        pytest.param(
            PlanRules(consolidation=Consolidation.OFF),
            "The policy lets no node be given up (consolidation: off).",
            id="consolidation that is off",
        ),
    ],
)
def test_a_node_that_could_go_says_which_rule_holds_it(rules: PlanRules, why: str) -> None:
    objects = make_cluster(make_workload("web", 4), per_node=1)
    market = make_market(spot_ratio=None)
    market = replace(market, offers=tuple(o for o in market.offers if o.pool.instance_type == "m5.2xlarge"))
    study = planning.study(objects, market, rules, TEMPLATE)
    assert study.draft.moves == ()
    assert explain.explain(study, "node-000").why_not_cheaper[-1].endswith(why)


def test_delete_only_says_that_nothing_may_come_in_a_nodes_place() -> None:
    objects = make_cluster(make_workload("web", 2, cpu=3000), per_node=2)
    study = studied(objects, replace(RULES, consolidation=Consolidation.DELETE_ONLY))
    assert explain.explain(study, "node-000").why_not_cheaper[-1] == (
        "The policy lets nothing be launched in its place (consolidation: delete-only)."
    )
