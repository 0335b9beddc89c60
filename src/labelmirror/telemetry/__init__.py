"""Where facts go: logs, and later progress, metrics and hooks. May import model, ports, errors and what each needs."""
