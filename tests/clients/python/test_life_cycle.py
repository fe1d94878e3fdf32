"""Both clients change a subject, and delete edits, priors and images."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from safetensors.numpy import save

from lipe_client import AsyncClient, Client, Problem
from tests.support.uploads import png

Work = Callable[..., None]
LORA = save({"lora_unet_x.lora_up.weight": np.zeros((2, 2), np.float32)})
PROMPT = "a photo of sks dog jumping"
IMAGE = [("image", {"target_prompt": PROMPT, "seed": 7})]


def test_the_life_of_a_subject(lipe: Client, work: Work) -> None:
    first, *others = (lipe.upload_image(png(colour)) for colour in ("red", "green", "blue", "white"))
    rex = lipe.create_subject(
        name="Rex", class_noun="dog", references=[first, *others[:2]], metadata={"owner": "me", "order": "7"}
    )
    rex = lipe.change_subject(rex, name="Rex II", metadata={"order": None}, captions={first.id: "sks dog"})
    assert (rex.name, rex.metadata, rex.references[0].caption) == ("Rex II", {"owner": "me"}, "sks dog")
    rex = lipe.add_reference(rex, others[2], caption="a photo of sks dog")
    lipe.remove_reference(rex, first)
    training = lipe.train_prior(rex)
    work(training.id)
    prior = lipe.prior(training.prior_id or "")
    with pytest.raises(Problem, match="lora_invalid"):
        lipe.import_prior(rex, b"no LoRA at all")

    plan = lipe.dry_run_edit(prior=prior, image=first, prompt=PROMPT, seeds=[7, 8])
    assert (plan.images, plan.resolved["seeds"], list(lipe.edits())) == (2, [7, 8], [])
    job = lipe.edit(prior=prior, image=first, prompt=PROMPT, seed=7)
    with pytest.raises(Problem, match="prior_in_use") as caught:
        lipe.delete_prior(prior)
    assert caught.value.body["used_by"] == {"subjects": [], "edits": [job.edit_id], "studies": []}
    work(job.id, IMAGE)
    lipe.delete_prior(prior)
    edit = lipe.get_edit(job)
    assert (edit.prior_id, edit.prior_deleted_at is not None, len(edit.results)) == (None, True, 1)

    with pytest.raises(Problem, match="image_in_use"):
        lipe.delete_image(first)
    lipe.delete_edit(job)
    lipe.delete_image(first)
    lipe.delete_image(others[0], cascade=True)
    assert (list(lipe.subjects()), list(lipe.edits()), list(lipe.images())) == ([], [], [])


def test_the_asynchronous_client_does_the_same(lipe: Client, server: str) -> None:
    async def run(key: str) -> None:
        async with AsyncClient(server, key) as client:
            images = [await client.upload_image(png(colour)) for colour in ("red", "green", "blue", "white")]
            rex = await client.create_subject(name="Rex", class_noun="dog", references=images[:3])
            rex = await client.add_reference(rex, images[3])
            await client.remove_reference(rex, images[0])
            rex = await client.change_subject(rex, metadata={"order": "7"})
            assert [reference.image_id for reference in rex.references] == [image.id for image in images[1:]]
            plan = await client.dry_run_prior(rex, preset="fast", idempotency_key="train-7")
            assert (plan.resolved["choices"], plan.seconds, plan.position) == ({"preset": "fast"}, None, 1)
            job = await client.train_prior(rex, idempotency_key="train-7")
            await client.delete_prior(job.prior_id or "")
            order = {"order": "7"}
            first, again = [
                await client.import_prior(rex, LORA, metadata=order, idempotency_key="import-7") for _ in range(2)
            ]
            assert (first.id, first.metadata, first.kind) == (again.id, order, "prior")
            await client.delete_prior(first.prior_id or "")
            job = await client.edit(subject=rex, image=images[0], prompt=PROMPT, use_prior=False, method="ddim")
            await client.delete_edit(job)
            await client.delete_image(images[1], cascade=True)
            assert [image.id async for image in client.images()] == [images[0].id]

    asyncio.run(run(lipe._http.headers["Authorization"].removeprefix("Bearer ")))
