"""The bucket's CORS rule. The embedded storage accepts none, so most cases check the requests to S3."""

import os
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from ledger.bucket_cors import CorsUnsupported, allow_origins
from ledger.s3_client import make_client
from ledger.settings import Settings
from ledger.storage import Storage

APP = "https://app.example.com"
OTHER = {"ID": "other", "AllowedOrigins": ["https://cdn.example.com"], "AllowedMethods": ["GET"]}
OWN = {
    "ID": "lipe",
    "AllowedOrigins": [APP],
    "AllowedMethods": ["GET", "HEAD", "PUT"],
    "AllowedHeaders": ["*"],
    "ExposeHeaders": ["Content-Disposition", "Content-Length", "Content-Range", "ETag"],
    "MaxAgeSeconds": 600,
}
OLD = OWN | {"AllowedOrigins": ["https://old.example.com"]}
BUCKET = {"Bucket": "lipe"}


@pytest.mark.parametrize(
    ("present", "origins", "written"),
    [
        ([], [APP], [OWN]),
        ([OTHER, OLD], [APP], [OTHER, OWN]),
        ([OTHER, OLD], [], [OTHER]),
        ([OLD], [], None),
    ],
)
def test_only_the_services_own_rule_changes(
    settings: Settings, present: list[Any], origins: list[str], written: list[Any] | None
) -> None:
    client = make_client(settings, settings.s3_endpoint_url)
    with Stubber(client) as stub:
        if present:
            stub.add_response("get_bucket_cors", {"CORSRules": present}, BUCKET)
        else:
            stub.add_client_error("get_bucket_cors", "NoSuchCORSConfiguration")
        if written is None:
            stub.add_response("delete_bucket_cors", {}, BUCKET)
        else:
            stub.add_response("put_bucket_cors", {}, {**BUCKET, "CORSConfiguration": {"CORSRules": written}})
        if origins:
            stub.add_response("get_bucket_cors", {"CORSRules": written or []}, BUCKET)
        allow_origins(client, "lipe", origins)
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(("present", "origins"), [([OTHER, OWN], [APP]), ([OTHER], []), ([], [])])
def test_a_bucket_that_has_the_rule_is_left_as_it_is(
    settings: Settings, present: list[Any], origins: list[str]
) -> None:
    client = make_client(settings, settings.s3_endpoint_url)
    with Stubber(client) as stub:
        stub.add_response("get_bucket_cors", {"CORSRules": present}, BUCKET)
        allow_origins(client, "lipe", origins)


def test_a_storage_that_forgets_the_rule_does_not_support_it(settings: Settings) -> None:
    client = make_client(settings, settings.s3_endpoint_url)
    with Stubber(client) as stub:
        stub.add_response("get_bucket_cors", {}, BUCKET)
        stub.add_response("put_bucket_cors", {})
        stub.add_response("get_bucket_cors", {}, BUCKET)
        with pytest.raises(CorsUnsupported, match="does not keep it"):
            allow_origins(client, "lipe", [APP])


def test_the_storage_in_use_keeps_the_rule_or_refuses_it(settings: Settings) -> None:
    """The embedded storage refuses it; the Ceph of `make test-servers` keeps it."""
    Storage(settings).allow_origins()  # no origins: nothing to refuse
    storage = Storage(settings.model_copy(update={"cors_origins": APP}))
    if os.environ.get("LIPE_TEST_S3_ENDPOINT_URL"):
        client = make_client(settings, settings.s3_endpoint_url)
        storage.allow_origins()
        (rule,) = client.get_bucket_cors(Bucket=settings.s3_bucket)["CORSRules"]
        assert rule["ID"] == "lipe"
        assert rule["AllowedOrigins"] == [APP]
        Storage(settings).allow_origins()
        with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
            client.get_bucket_cors(Bucket=settings.s3_bucket)
    else:
        with pytest.raises(CorsUnsupported, match="PutBucketCors"):
            storage.allow_origins()
    Storage(settings.model_copy(update={"cors_origins": APP, "public_url": "http://lipe.example.com"})).allow_origins()
