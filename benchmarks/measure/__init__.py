"""How the workloads are timed, and the machine that a figure belongs to."""
