"""A world to try the product in: AWS, a Kubernetes cluster and a market.

What judges shares no code with what is judged: nothing here imports the services, the agent or the
scheduling rules of the kernel.
"""
