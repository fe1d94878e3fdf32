"""Shapes are checked in every test: the hook must be in place before anything of lipe_core is imported."""

from jaxtyping import install_import_hook

install_import_hook("lipe_core", "beartype.beartype")
