"""Images, score maps and masks as arrays: checks and conversions, nothing of the method."""
