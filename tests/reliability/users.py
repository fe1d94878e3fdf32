"""A simulated user of the API with random actions, who repeats a request only under its idempotency key."""

import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

import httpx


class User:
    """Submits, lists, cancels, retries and erases; repeats requests without a response under the same key."""

    def __init__(self, url: str, key: str, subjects: list[str], image: str, chance: random.Random) -> None:
        self.client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        self.subjects, self.image, self.chance = subjects, image, chance
        self.accepted: dict[str, str] = {}  # job to subject
        self.erased: set[str] = set()
        self.seen = Counter[int]()

    def act(self) -> None:
        chance, jobs = self.chance.random(), list(self.accepted)
        subject = self.chance.choice(self.subjects)
        if chance < 0.35:
            body = {"parameters": {"steps": self.chance.randrange(3, 40)}}
            self._submit(f"/v1/subjects/{subject}/priors", body, subject)
        elif chance < 0.6:
            prompt = f"a photo of sks dog {self.chance.choice(['jumping', 'sitting', 'asleep'])}"
            self._submit("/v1/edits", {"subject_id": subject, "image_id": self.image, "prompt": prompt}, subject)
        elif chance < 0.75 and jobs:
            self._call("POST", f"/v1/jobs/{self.chance.choice(jobs)}/cancel")
        elif chance < 0.8 and jobs:
            job = self.chance.choice(jobs)
            self._submit(f"/v1/jobs/{job}/retry", None, self.accepted[job])
        elif chance < 0.82 and len(self.subjects) > 2:
            self.subjects.remove(subject)
            self._call("DELETE", f"/v1/subjects/{subject}")
            self.erased.add(subject)
        else:
            self._call("GET", "/v1/jobs")

    def _submit(self, path: str, body: Mapping[str, object] | None, subject: str) -> None:
        answer = self._call("POST", path, body, {"Idempotency-Key": f"{self.chance.getrandbits(64):x}"})
        if answer is not None and answer.status_code == 202:
            self.accepted[answer.json()["id"]] = subject

    def _call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> httpx.Response | None:
        for _ in range(200):
            with suppress(httpx.TransportError):
                answer = self.client.request(method, path, json=body, headers=headers)
                self.seen[answer.status_code] += 1
                if answer.status_code != 503 and "in_flight" not in answer.text:
                    return answer
            time.sleep(0.2)
        return None
