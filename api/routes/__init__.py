"""One module a resource, its request and answer bodies beside its routes."""
