"""Print the fleet for one problem, to compare what processes find."""

from services.optimizer.domain.columns.solve import solve_fleet
from tests.unit.optimizer.columns.problems import crowded

if __name__ == "__main__":
    solution = solve_fleet(crowded())
    fleet = [(node.offer, node.counts.tolist()) for node in solution.nodes]
    print(fleet, solution.micro_usd, solution.lower_bound_micro_usd)  # noqa: T201
