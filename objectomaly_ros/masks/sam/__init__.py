"""Masks of Segment Anything (SAM), equal to those of its own automatic generator and sooner.

Source: Kirillov et al., "Segment Anything", arXiv 2304.02643, and its package `segment-anything`.
"""
