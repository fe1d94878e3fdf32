"""The checks of the servers: database, its clock and the queue in it, broker and storage."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from cli.doctor.finding import Finding, failed, fine, one_line, unchecked
from cli.doctor.partial_settings import PartialSettings
from ledger import database, notify, queue_metrics, schema, workers
from ledger.s3_client import credentials_source
from ledger.storage import PROJECTS, NoSuchObject, Storage, StorageError

MAX_CLOCK_DIFFERENCE = timedelta(seconds=60)
"""Receivers refuse webhooks that are more than 5 minutes off, and storage servers refuse such requests after 15."""
S3_SETTINGS = ("s3_endpoint_url", "s3_access_key_id", "s3_secret_access_key")
NO_CREDENTIALS = (
    "there are no credentials: set LIPE_S3_ACCESS_KEY_ID and LIPE_S3_SECRET_ACCESS_KEY, or give this program a role "
    "(boto3 looks in its environment, in AWS files, and at the addresses of container and machine)"
)
CONTENT = b"lipe doctor"


def check_database(partial: PartialSettings) -> Finding:
    """Whether the database answers and has the newest schema."""
    if lacking := partial.lacking("database_url"):
        return unchecked("database", f"set {lacking}")
    engine = database.make_engine(partial.settings.database_url, pool_size=1)
    try:
        present, newest = schema.schema_revisions(engine)
    except database.UNAVAILABLE as error:
        return failed("database", f"it does not answer: start it or correct LIPE_DATABASE_URL ({_reason(error)})")
    finally:
        engine.dispose()
    if present is None:
        return failed("database", "it answers, but has no tables: run `lipe migrate`")
    if present > newest:
        return failed("database", f"its schema {present} is newer than this version's {newest}: install a newer LIPE")
    if present < newest:
        return failed("database", f"its schema is {present}, this version has {newest}: run `lipe migrate`")
    return fine("database", f"it answers, with the newest schema {newest}")


def check_clock(partial: PartialSettings) -> Finding:
    """Whether this machine's clock and the database's agree."""
    if lacking := partial.lacking("database_url"):
        return unchecked("clock", f"set {lacking}")
    engine = database.make_engine(partial.settings.database_url, pool_size=1)
    try:
        seconds = _clock_difference(engine).total_seconds()
    except database.UNAVAILABLE:
        return unchecked("clock", "the database does not answer")
    finally:
        engine.dispose()
    if abs(seconds) > MAX_CLOCK_DIFFERENCE.total_seconds():
        side = "ahead of" if seconds > 0 else "behind"
        advice = "synchronize both machines by NTP"
        return failed("clock", f"this machine is {abs(seconds):.0f} s {side} the database: {advice}")
    return fine("clock", f"{abs(seconds):.1f} s between this machine and the database")


def _clock_difference(engine: Engine) -> timedelta:
    """This machine's time less the database's, compared at the middle of the round trip."""
    with database.unit_of_work(engine)() as session:
        before = datetime.now(UTC)
        theirs = database.now(session)
        after = datetime.now(UTC)
    return before + (after - before) / 2 - theirs


def check_queue(partial: PartialSettings) -> Finding:
    """Whether live workers leave queued jobs that none of them can do."""
    if lacking := partial.lacking("database_url"):
        return unchecked("queue", f"set {lacking}")
    engine = database.make_engine(partial.settings.database_url, pool_size=1)
    try:
        with database.unit_of_work(engine)() as session:
            served, waiting = workers.served_models(session), queue_metrics.unserved(session)
    except database.UNAVAILABLE:
        return unchecked("queue", "the database does not answer")
    except ProgrammingError:
        return unchecked("queue", "the database has not the newest schema")
    finally:
        engine.dispose()
    if not served:
        return fine("queue", f"no worker is live; {sum(row.depth for row in waiting)} jobs wait")
    live = ", ".join(f"{model.workers} of {model.description.get('name')}" for model in served)
    if not waiting:
        return fine("queue", f"live workers: {live}; they can do all that waits")
    jobs = ", ".join(f"{row.kind} with {row.base_model or 'any base model'}: {row.depth}" for row in waiting)
    advice = "start a worker of that kind and base model, or cancel the jobs"
    return failed("queue", f"live workers: {live}; they cannot do jobs that wait ({jobs}): {advice}")


def check_broker(partial: PartialSettings) -> Finding:
    """Whether the broker answers."""
    if lacking := partial.lacking("broker_url"):
        return unchecked("broker", f"set {lacking}")
    try:
        answers = notify.is_ready(partial.settings)
    except ValueError:
        advice = "write redis://:password@host:6379/0 or sentinel://:password@host:26379,host:26379/0?primary=mymaster"
        return failed("broker", f"LIPE_BROKER_URL is no Redis URL: {advice}")
    if not answers:
        return failed("broker", "it does not answer: start it or correct LIPE_BROKER_URL")
    return fine("broker", "it answers")


def check_storage(partial: PartialSettings) -> Finding:
    """Whether an object can be put, read and deleted."""
    if lacking := partial.lacking(*S3_SETTINGS):
        return unchecked("storage", f"set {lacking}")
    source = credentials_source(partial.settings)
    if source is None:
        return failed("storage", NO_CREDENTIALS)
    try:
        return _round_trip(Storage(partial.settings), source)
    except (StorageError, NoSuchObject) as error:
        advice = "start it, correct the LIPE_S3_... settings, or run `lipe migrate`, which makes the bucket"
        return failed("storage", f"{advice} ({one_line(error)})")
    except ValueError:  # boto3, as soon as it makes the client
        return failed("storage", "LIPE_S3_ENDPOINT_URL is no URL: write http://host:port or https://host")


def _round_trip(storage: Storage, source: str) -> Finding:
    # A prefix of its own: a check that is killed between the steps leaves an object that no project contains.
    stored = storage.put(f"{PROJECTS}doctor/{uuid4().hex}/", "check", CONTENT, "text/plain")
    try:
        storage.get(stored.key, stored.sha256)
    finally:
        storage.delete(stored.key)
    if storage.verify(stored):
        return failed("storage", "it keeps objects after their deletion: turn off its versioning or object lock")
    keys = "the keys of the settings" if source == "settings" else f"credentials found by boto3 ({source})"
    return fine("storage", f"put, get and delete work in the bucket {storage.settings.s3_bucket}, with {keys}")


def _reason(error: BaseException) -> str:
    return one_line(getattr(error, "orig", None) or error)
