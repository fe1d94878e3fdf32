"""Captions of the references and prompts of the class."""
