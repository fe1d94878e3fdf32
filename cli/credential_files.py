"""The two files of a signer of Content Credentials: its chain and its private key."""

import os
from dataclasses import dataclass
from pathlib import Path

from provenance.certificates import create_local


@dataclass(frozen=True)
class CredentialFiles:
    """PEM files of one folder. The private key is readable by its owner only."""

    folder: Path

    @property
    def chain(self) -> Path:
        """The signer's certificate and its authority's."""
        return self.folder / "chain.pem"

    @property
    def key(self) -> Path:
        """The signer's private key."""
        return self.folder / "key.pem"

    def create(self, organization: str) -> None:
        """Write a new local authority's chain and key. Raises FileExistsError: no key is overwritten."""
        created = create_local(organization)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.key, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(created.key)
        self.chain.write_text(created.chain)
