"""What refinement is worth, on labelled frames."""
