"""The trained part of a prior: low-rank or full attention weights, the token vectors, and the stored artefact."""
