"""Metrics of edits: feature extractors (image -> features), and pure functions of features and of pixels.

No metric is sufficient alone. A copy of the source has the highest identity and the best background, but is no edit.
Whole-image similarities rise for free if a method pastes the background back.
"""
