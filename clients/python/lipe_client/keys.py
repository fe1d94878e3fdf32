"""Operations on API keys: the client's own one with any key, those of the project with an `admin` key."""

from datetime import datetime

from lipe_client.call import Call, Listing, filters, no_content, path_of, without_none
from lipe_client.models import ApiKey, NewApiKey, OwnKey, ProjectScope, Usage
from lipe_client.operations import list_operation, operation


class Keys:
    """The operations on the project's API keys."""

    @operation
    def key(self) -> Call[OwnKey]:
        """The key of this client: its name, what it may do, its project and its expiry."""
        return Call("GET", path_of("key"), OwnKey.model_validate_json)

    @operation
    def usage(self) -> Call[Usage]:
        """The project's active jobs, and how much of each quota is left."""
        return Call("GET", path_of("usage"), Usage.model_validate_json)

    @operation
    def create_api_key(
        self, name: str, *, scope: ProjectScope = "write", expires_at: datetime | None = None
    ) -> Call[NewApiKey]:
        """Create a key. Only this response has the key itself, as `api_key`.

        `expires_at` needs a time zone; None means never. If the response is lost, the retry creates another key.
        """
        body = {"name": name, "scope": scope, "expires_at": expires_at.isoformat() if expires_at else None}
        return Call("POST", path_of("keys"), NewApiKey.model_validate_json, {"json": without_none(body)})

    @list_operation
    def api_keys(
        self, *, created_after: datetime | None = None, created_before: datetime | None = None
    ) -> Listing[ApiKey]:
        """All keys, newest first, with those that expired or were revoked."""
        return Listing(path_of("keys"), ApiKey, filters(created_after=created_after, created_before=created_before))

    @operation
    def revoke_api_key(self, key: ApiKey | str) -> Call[None]:
        """Revoke a key. It stops working within a second."""
        return Call("DELETE", path_of("keys", key), no_content)
