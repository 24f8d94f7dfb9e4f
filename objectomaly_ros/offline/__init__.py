"""Whole recordings at full quality: every frame scored, masks carried both ways in time."""
