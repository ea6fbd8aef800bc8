"""The cheapest fleet for pods that hold no constraint between nodes, with a proof of how far it is from optimal.

Column generation: a column is one node with what it holds. A linear program chooses among the columns known,
an exact knapsack per offer finds those worth adding, and what the knapsacks prove is worth a lower bound.
"""
