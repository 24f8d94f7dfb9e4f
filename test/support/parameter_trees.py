"""Parameter files as flat tables."""


def flat(tree, above=""):
    """Yield the dotted name and the value of each leaf."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
