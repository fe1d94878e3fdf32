"""The service's resources as methods. Every refusal is a `Problem`; what may be sent again, is."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from client.events import follow
from client.models import Artefact, Endpoint, Image, Job, Method, Prior, Progress, Result, Subject
from client.problems import JobFailed, Problem, raise_for_problem

RETRIES = 4
FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0


class Client:
    """One project's view of a LIPE service. Safe to use from several threads; close it, or use it in `with`."""

    def __init__(self, base_url: str, api_key: str, *, timeout: float = 60.0) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(timeout, connect=10),
        )
        self._downloads = httpx.Client(timeout=timeout)  # a signed URL is its own permission: the key stays here

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._downloads.close()

    def upload_image(self, picture: Path | str | bytes) -> Image:
        """Send a JPEG, PNG or WebP file."""
        content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        kind = {"Content-Type": "application/octet-stream"}
        return Image.model_validate(self._create("/v1/images", content=content, headers=kind))

    def image(self, image_id: str) -> Image:
        """One picture, with a URL of its file."""
        return Image.model_validate(self._get(f"/v1/images/{image_id}"))

    def delete_image(self, image_id: str) -> None:
        """Delete a picture that nothing uses."""
        self._send("DELETE", f"/v1/images/{image_id}")

    def create_subject(
        self,
        *,
        name: str,
        class_noun: str,
        references: Sequence[Image | str],
        captions: Sequence[str | None] | None = None,
        token: str = "sks",  # noqa: S107
        category: str | None = None,
        consent: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Subject:
        """Name a subject and its 3 to 5 reference pictures; a person needs `consent`."""
        asked = {
            "name": name,
            "class_noun": class_noun,
            "references": [_id(reference) for reference in references],
            "captions": list(captions) if captions is not None else None,
            "token": token,
            "category": category,
            "consent": consent,
            "metadata": metadata,
        }
        return Subject.model_validate(self._create("/v1/subjects", json=_given(asked)))

    def subject(self, subject_id: str) -> Subject:
        """One subject."""
        return Subject.model_validate(self._get(f"/v1/subjects/{subject_id}"))

    def delete_subject(self, subject: Subject | str) -> None:
        """Erase a subject and everything derived from it."""
        self._send("DELETE", f"/v1/subjects/{_id(subject)}")

    def train_prior(
        self,
        subject: Subject | str,
        *,
        parameters: Mapping[str, Any] | None = None,
        regularization: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
    ) -> Job:
        """Learn the subject. Settings that are left out are the base model's own."""
        asked = {
            "parameters": parameters,
            "regularization": regularization,
            "metadata": metadata,
            "webhook_url": webhook_url,
        }
        return Job.model_validate(self._create(f"/v1/subjects/{_id(subject)}/priors", json=_given(asked)))

    def prior(self, prior_id: str) -> Prior:
        """One prior, with URLs of its files once it is ready."""
        return Prior.model_validate(self._get(f"/v1/priors/{prior_id}"))

    def edit(
        self,
        *,
        image: Image | str,
        prompt: str | None = None,
        prompts: Sequence[str] | None = None,
        subject: Subject | str | None = None,
        prior: Prior | str | None = None,
        source_prompt: str | None = None,
        method: Method | None = None,
        use_prior: bool | None = None,
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        seeds: Sequence[int] | None = None,
        n: int | None = None,
        mask: Image | str | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
    ) -> Job:
        """Edit a picture with a subject's newest prior (or the one given), once for each prompt and seed.

        `use_prior` False leaves the prior out: the base model alone, told the `subject`.
        """
        asked = {
            "subject_id": _id(subject) if subject is not None else None,
            "prior_id": _id(prior) if prior is not None else None,
            "image_id": _id(image),
            "mask_image_id": _id(mask) if mask is not None else None,
            "prompt": prompt,
            "prompts": list(prompts) if prompts is not None else None,
            "source_prompt": source_prompt,
            "method": method,
            "use_prior": use_prior,
            "parameters": parameters,
            "seed": seed,
            "seeds": list(seeds) if seeds is not None else None,
            "n": n,
            "metadata": metadata,
            "webhook_url": webhook_url,
        }
        return Job.model_validate(self._create("/v1/edits", json=_given(asked)))

    def results(self, edit: Job | str) -> list[Result]:
        """The pictures of an edit, prompts outermost; none before its job succeeded."""
        edit_id = edit.edit_id if isinstance(edit, Job) else edit
        return [Result.model_validate(result) for result in self._get(f"/v1/edits/{edit_id}")["results"]]

    def job(self, job: Job | str) -> Job:
        """The job as it stands now."""
        return Job.model_validate(self._get(f"/v1/jobs/{_id(job)}"))

    def cancel(self, job: Job | str) -> Job:
        """Stop a job: at once if it waits, at its next step if it runs."""
        return Job.model_validate(self._send("POST", f"/v1/jobs/{_id(job)}/cancel").json())

    def retry(self, job: Job | str) -> Job:
        """A new job with the parameters of one that did not succeed."""
        return Job.model_validate(self._create(f"/v1/jobs/{_id(job)}/retry"))

    def progress(self, job: Job | str, *, after: int = 0) -> Iterator[Progress]:
        """The job's events as they happen, to its end; a connection that breaks is made again."""
        return follow(self._http, f"/v1/jobs/{_id(job)}/events", after)

    def wait(self, job: Job | str, *, on_progress: Callable[[Progress], None] = lambda progress: None) -> Job:
        """Follow a job to its end. Raises JobFailed unless it succeeded."""
        for progress in self.progress(job):
            on_progress(progress)
        ended = self.job(job)
        if ended.status != "succeeded":
            raise JobFailed(ended)
        return ended

    def download(self, file: Artefact | Image | str, path: Path | str) -> Path:
        """Fetch a file whole or not at all; an artefact's is checked by its hash."""
        url = file if isinstance(file, str) else file.url
        if url is None:
            raise ValueError("this answer has no URL: ask for the image by its id")
        answer = self._downloads.get(url)
        raise_for_problem(answer)
        if not isinstance(file, str) and hashlib.sha256(answer.content).hexdigest() != file.sha256:
            raise OSError(f"{url} did not give the bytes that the service promised")
        path = Path(path)
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(answer.content)
        return unfinished.replace(path)

    def webhook_secret(self) -> str:
        """The newest secret that signs what goes to a request's own `webhook_url`."""
        return str(self._get("/v1/webhook-secret")["secrets"][0])

    def create_webhook_endpoint(self, url: str, events: Sequence[str] = ()) -> Endpoint:
        """Have events sent to a URL (all of them unless named); the answer holds the secret."""
        return Endpoint.model_validate(self._create("/v1/webhook-endpoints", json={"url": url, "events": list(events)}))

    def delete_webhook_endpoint(self, endpoint: Endpoint | str) -> None:
        """Send nothing there any more."""
        self._send("DELETE", f"/v1/webhook-endpoints/{_id(endpoint)}")

    def _get(self, path: str) -> Any:
        return self._send("GET", path).json()

    def _create(self, path: str, **request: Any) -> Any:
        """A POST under a key of its own: sent twice, it still creates once."""
        headers = {**request.pop("headers", {}), "Idempotency-Key": uuid4().hex}
        return self._send("POST", path, headers=headers, **request).json()

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send, and again while the service is away or says that it may help."""
        for attempt in range(RETRIES + 1):
            wait = FIRST_RETRY_SECONDS * 2**attempt
            try:
                answer = self._http.request(method, path, **request)
                raise_for_problem(answer)
                return answer
            except Problem as problem:
                if not problem.retryable or attempt == RETRIES:
                    raise
                wait = max(wait, problem.retry_after)
            except httpx.TransportError:
                if attempt == RETRIES:
                    raise
            time.sleep(min(wait, LONGEST_RETRY_SECONDS))
        raise AssertionError("the last attempt returns or raises")


def _id(thing: Any) -> str:
    return thing if isinstance(thing, str) else str(thing.id)


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if value is not None}
