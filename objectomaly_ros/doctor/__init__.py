"""Rules of `objectomaly doctor`: from plain facts on an installation or a graph to findings."""
