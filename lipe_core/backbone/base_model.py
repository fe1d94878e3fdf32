"""The interface of a base model. A backbone implements it for the checkpoints of one family."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lipe_core.backbone.attention import AttentionStore, Tokens, Visit
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, no_progress
from lipe_core.diffusion.schedule import PredictionType, Schedule
from lipe_core.graphs import Graphs
from lipe_core.model_card import model_name
from lipe_core.shapes import Latents, Pixels, RowTimesteps, Size, Timesteps


class TokenTable(NamedTuple):
    """A tokenizer and the text encoder whose embeddings of a token can be trained."""

    tokenizer: Any
    encoder: Any

    def ids(self, token: str) -> list[int]:
        """The token's ids: more than one where the tokenizer splits the word."""
        found: list[int] = self.tokenizer(token, add_special_tokens=False).input_ids
        return found


@dataclass(frozen=True)
class BaseModel(ABC):
    """A loaded checkpoint. `fingerprint` is the SHA-256 over its weight files; a prior fits only one fingerprint.

    The network predicts what `prediction_type` says, at the noise levels of `schedule`. With `graphs`, training steps
    and the loops of an edit are recorded and replayed. Priors are then copied into the network's weights, which stay
    where they are.
    """

    family: ClassVar[str]
    """The family of the checkpoints that a backbone loads."""
    records_graphs: ClassVar[bool] = False
    """Whether the network's work can be recorded as a CUDA graph: it copies nothing from the host."""

    vae: Any
    """The autoencoder: a module of diffusers that can work on slices and tiles."""
    schedule: Schedule
    prediction_type: PredictionType
    checkpoint: str
    revision: str | None
    fingerprint: str
    device: torch.device
    dtype: torch.dtype
    graphs: Graphs | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """The checkpoint's name for users, without its location on this machine."""
        return model_name(self.checkpoint)

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """(channels, rows, columns) of the latents of images of this size. Raises ValueError for other multiples."""
        height, width = size
        if height % self.factor or width % self.factor:
            raise ValueError(f"image sides must be multiples of {self.factor}, got {height} x {width}")
        return self.latent_channels, height // self.factor, width // self.factor

    def image_size(self, latents: Latents) -> Size:
        """(height, width) in pixels of the images that these latents encode."""
        return latents.shape[2] * self.factor, latents.shape[3] * self.factor

    # Networks

    @property
    @abstractmethod
    def network(self) -> Any:
        """The network that predicts noise: a module of diffusers, to which adapters can be added."""

    @property
    @abstractmethod
    def networks(self) -> tuple[Any, ...]:
        """All networks of the checkpoint."""

    @property
    def regions(self) -> Sequence[Any]:
        """The modules of the network that may be compiled: nothing replaces, hooks or trains them. None by default."""
        return ()

    @abstractmethod
    def fit_gpu(self, card_bytes: int) -> None:
        """Choose the ways that the memory of a GPU of this size asks for. They cost little time, or none."""

    # Images

    @property
    @abstractmethod
    def factor(self) -> int:
        """Pixels per latent along each side."""

    @property
    @abstractmethod
    def latent_channels(self) -> int:
        """Channels of the latents."""

    @property
    @abstractmethod
    def native_size(self) -> int:
        """Side in pixels of the square images that the network was trained on."""

    @abstractmethod
    def native_shape(self, size: Size) -> Size:
        """The bucket for an image of this size. Training and editing use the same buckets."""

    @abstractmethod
    def encode_pixels(self, pixels: Pixels) -> Latents:
        """Latents of pixels in [-1, 1]: the VAE's mean, normalized, float32. Gradients flow."""

    @abstractmethod
    def decode_pixels(self, latents: Latents) -> Pixels:
        """Pixels of latents, float32, in about [-1, 1], not clipped. Gradients flow."""

    @abstractmethod
    def enable_tiling(self) -> None:
        """Let the VAE work on tiles of half the native side, which needs a quarter of the memory."""

    @abstractmethod
    def tiled(self) -> AbstractContextManager[None]:
        """Context manager in which the VAE works on tiles."""

    # Prompts

    @abstractmethod
    def encode_prompt(self, prompts: Sequence[str], *, size: Size) -> Conditioning:
        """The prompts' embeddings for an image of this size. The empty prompt is the unconditional row of guidance."""

    @abstractmethod
    def text_encoders_ready(self) -> AbstractContextManager[None]:
        """Context manager in which the text encoders stay on the device between encodings."""

    @abstractmethod
    def size_conditioning(self, original: Size, size: Size) -> tuple[float, ...]:
        """The values of `Conditioning.time_ids` for an image that was resized and cropped from `original` to `size`."""

    @abstractmethod
    def content_positions(self, prompt: str) -> range:
        """Positions of the prompt's own tokens in the encoded prompt."""

    @abstractmethod
    def token_positions(self, prompt: str, words: Sequence[str]) -> tuple[int, ...]:
        """Positions of the tokens of `words` in the encoded prompt, ascending, of every occurrence.

        Raises WordNotFound for a word that the prompt does not contain or the tokenizer does not know.
        """

    @abstractmethod
    def is_in_vocabulary(self, phrase: str) -> bool:
        """Whether each word of the phrase is one token."""

    @abstractmethod
    def require_length(self, prompt: str) -> None:
        """Raise PromptTooLong for a prompt whose end the text encoders would not read."""

    @abstractmethod
    def shortened(self, prompt: str, end: str = "") -> str:
        """The prompt without its last words, so that the text encoders read all of it, also with `end` behind it."""

    # Denoising

    @abstractmethod
    def timesteps(self, steps: int, size: Size) -> Timesteps:
        """The grid of `steps` denoising steps for an image of this size: `steps + 1` timesteps, ascending, from 0."""

    @abstractmethod
    def leaning_timesteps(self, steps: int, lean: float, size: Size) -> Timesteps:
        """A grid whose steps are shorter at the noisy end, by about the factor `lean` or more."""

    @abstractmethod
    def predict(self, x_t: Latents, t: RowTimesteps, conditioning: Conditioning) -> Latents:
        """The network's prediction, by `prediction_type`, in float32. Gradients flow."""

    @abstractmethod
    def denoiser(self, conditioning: Conditioning) -> Denoiser:
        """A denoiser under this conditioning, one row of x_t for each of its rows, without gradients."""

    @abstractmethod
    def invert(
        self, denoise: Denoiser, x_0: Latents, timesteps: Timesteps, *, on_step: OnStep = no_progress
    ) -> Trajectory:
        """The trajectory from x_0 to the noise from which `ddim.sample` nearly reconstructs x_0 on the same grid."""

    # Attention

    @abstractmethod
    def record_attention(
        self, tokens: Tokens, *, latent_size: tuple[int, int], attention_tokens: int, refine: int
    ) -> AbstractContextManager[AttentionStore]:
        """Record the attention of the batch's last rows to the wanted tokens inside; yields the store.

        A network with several levels records the coarsest one of at least `attention_tokens` queries. The maps are
        propagated `refine` times along self-attention.
        """

    @abstractmethod
    def visited_attention(self, share: float, visit: Visit) -> AbstractContextManager[None]:
        """Context manager that calls `visit` in the attention layers after the first `share` of them."""

    # Adapters

    @property
    @abstractmethod
    def adapter_prefix(self) -> str:
        """The prefix that diffusers' `load_lora_weights` expects before the names of the network's layers."""

    @abstractmethod
    def adapter_targets(self, projections: Sequence[str]) -> list[str]:
        """The ends of the names of the layers that have these projections: "to_q", "to_k", "to_v", "to_out.0"."""

    @abstractmethod
    def is_adaptable(self, layer: str) -> bool:
        """Whether a LoRA may change this linear layer of the network."""

    @abstractmethod
    def is_attention(self, weight: str) -> bool:
        """Whether a weight of the network belongs to an attention layer."""

    @abstractmethod
    def lora_names(self, layer: str) -> list[str]:
        """The names that programs give to a layer of the network in the files of LoRAs."""

    @property
    @abstractmethod
    def token_tables(self) -> Mapping[str, TokenTable]:
        """The embedding tables that textual inversion may train, by the names of its vectors; none if it may not."""


@torch.no_grad()
def predict_noise(model: BaseModel, x_t: Latents, t: RowTimesteps, conditioning: Conditioning) -> Latents:
    """The noise in x_t, each row at its own timestep, without gradients."""
    prediction: Tensor = model.predict(x_t, t, conditioning)
    return model.schedule.to_eps(prediction, x_t.float(), t, model.prediction_type)
