"""What `spotopt demo` is made of: workloads, a starting cluster, the run, and what it proves."""
