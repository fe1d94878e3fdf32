"""The defences of docs/attacks.md, each with the change that removes it: ``python -m tests.defences``."""
