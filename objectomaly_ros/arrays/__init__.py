"""Images, score maps and masks as arrays: checks and conversions, without the method."""
