"""A policy server for LIPE to start from: a list of words for prompts, and a classifier for images."""
