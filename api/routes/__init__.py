"""One module for each resource: its routes, and the bodies of their requests and answers."""
