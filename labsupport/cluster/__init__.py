"""kubectl's verbs in Python: acting on objects, waiting for states, watching what happens."""
