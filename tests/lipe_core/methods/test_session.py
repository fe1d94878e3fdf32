from PIL import Image

from lipe_core.adapters.prior import Prior
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest


def test_without_a_prior_the_prompts_leave_the_token_out(deep_model: BaseModel, ask: MakeRequest, prior: Prior) -> None:
    request = ask("a photo of SKS dog, jumping", source="sks dog sitting")
    plain, personal = EditSession.of(deep_model, request, None), EditSession.of(deep_model, request, prior)
    assert (plain.source_prompt, plain.target_prompts) == ("dog sitting", ["a photo of dog, jumping"])
    assert (personal.source_prompt, personal.target_prompts) == ("sks dog sitting", ["a photo of sks dog, jumping"])
    # position 0 is start-of-text
    assert plain.encode([plain.source_prompt]).tokens.wanted[0].nonzero().flatten().tolist() == [1]
    assert personal.encode([personal.source_prompt]).tokens.wanted[0].nonzero().flatten().tolist() == [1, 2]


def test_an_image_of_another_size_keeps_its_size(deep_model: BaseModel, ask: MakeRequest) -> None:
    wide = Image.new("RGB", (300, 200), (10, 200, 30))
    session = EditSession.of(deep_model, ask(image=wide, mask=Image.new("L", (300, 200), 255)), None)
    x_0, mask = session.x_0(), session.user_mask()
    assert x_0.shape[1:] == deep_model.latent_shape(session.size)
    assert mask is not None
    (edit,) = session.edits(session.decode(x_0), DdimConfig(), 0, source_masks=session.mask_images(mask))
    assert edit.image.size == edit.source_mask.size == edit.edit_mask.size == (300, 200)
    assert (edit.parameters["height"], edit.parameters["width"]) == session.size
