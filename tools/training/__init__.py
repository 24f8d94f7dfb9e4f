"""How the embedded detector's weights are made and judged."""
