"""How fast and how exact: against references in the same run."""
