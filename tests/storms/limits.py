"""How long things may take. A busy machine is not that slow."""

HANG = 40.0
"""Seconds after which a thread that has taken no step hangs."""

PATIENCE = 20.0
"""Seconds to wait for what must happen: less, so that the storm can say what did not."""

CHILD_LIMIT = 30
"""Seconds after which a child process hangs."""
