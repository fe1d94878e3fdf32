"""Objects in memory belong to one job: the running one or the expected one."""

from concurrent.futures import Future
from threading import Thread

import pytest

from worker.prefetched import Files, Needed, Prefetched

IMAGE, PRIOR = Needed("projects/p/images/1/a.png", "aa"), Needed("projects/p/jobs/1/1/b", "bb")


def deliver(files: Files) -> None:
    """Fetch all."""
    for needed, file in files.items():
        assert file.set_running_or_notify_cancel()
        file.set_result(needed.sha256.encode())


@pytest.fixture
def prefetched() -> Prefetched:
    """The first job runs, and image and prior of the second one are fetched."""
    made = Prefetched()
    made.begin("first")
    made.loaded()
    deliver(made.expect("first", "second", [IMAGE, PRIOR]))
    assert made.size == 4
    return made


def test_the_expected_job_takes_each_object_once(prefetched: Prefetched) -> None:
    prefetched.end()
    prefetched.begin("second")
    assert prefetched.take(*IMAGE) == b"aa"
    assert prefetched.take(*IMAGE) is None
    assert prefetched.size == 2
    prefetched.loaded()
    assert prefetched.size == 0  # it had its prior


@pytest.mark.parametrize("job_id", ["third", ""])
def test_another_job_gets_nothing_and_drops_all(prefetched: Prefetched, job_id: str) -> None:
    prefetched.begin(job_id)
    assert prefetched.size == 0
    assert prefetched.take(*IMAGE) is None


def test_the_running_job_gets_nothing_of_the_expected_one(prefetched: Prefetched) -> None:
    assert prefetched.take(*IMAGE) is None
    assert prefetched.size == 4


def test_an_object_with_another_hash_is_not_taken(prefetched: Prefetched) -> None:
    prefetched.begin("second")
    assert prefetched.take(IMAGE.key, "cc") is None


def test_another_expectation_drops_the_objects(prefetched: Prefetched) -> None:
    assert prefetched.expect("first", "second", [IMAGE]) == {}  # they are fetched already
    assert prefetched.size == 4
    files = prefetched.expect("first", "third", [IMAGE])
    assert prefetched.size == 0
    prefetched.expect("first", "", [])
    assert files[IMAGE].cancelled()


def test_an_answer_about_a_job_that_ended_meanwhile_is_ignored(prefetched: Prefetched) -> None:
    prefetched.end()
    assert prefetched.expect("first", "third", [IMAGE]) == {}
    assert prefetched.size == 4
    prefetched.begin("second")
    assert prefetched.expect("first", "third", [IMAGE]) == {}
    assert prefetched.expect("second", "third", [IMAGE]) == {}  # it has not loaded its own
    assert prefetched.take(*IMAGE) == b"aa"


def test_a_job_waits_for_an_object_that_is_being_fetched() -> None:
    prefetched, taken = Prefetched(), list[bytes | None]()
    prefetched.begin("first")
    prefetched.loaded()
    file: Future[bytes] = prefetched.expect("first", "second", [IMAGE])[IMAGE]
    assert file.set_running_or_notify_cancel()
    prefetched.begin("second")
    thread = Thread(target=lambda: taken.append(prefetched.take(*IMAGE)))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    file.set_result(b"aa")
    thread.join(60)
    assert taken == [b"aa"]


def test_a_job_fetches_what_is_not_begun_or_has_failed() -> None:
    prefetched = Prefetched()
    prefetched.begin("first")
    prefetched.loaded()
    files = prefetched.expect("first", "second", [IMAGE, PRIOR])
    files[IMAGE].set_running_or_notify_cancel()
    files[IMAGE].set_exception(OSError())
    prefetched.begin("second")
    assert prefetched.take(*IMAGE) is None
    assert prefetched.take(*PRIOR) is None
    assert not files[PRIOR].set_running_or_notify_cancel()  # nothing fetches it a second time
