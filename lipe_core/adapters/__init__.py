"""The trained part of a prior: low-rank or full attention weights, token vectors, and the stored artefact."""
