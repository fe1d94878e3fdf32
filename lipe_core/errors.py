"""The errors of `lipe_core` that callers handle. Each message says what to change."""


class InvalidSubject(ValueError):
    """The subject's token or class noun is invalid, or the base model cannot read it in a caption."""


class WordNotFound(ValueError):
    """A prompt does not contain the word, or the base model cannot read it there."""


class PromptTooLong(ValueError):
    """A prompt or caption has more tokens than the text encoders read; the message has both numbers."""


class InvalidRequest(ValueError):
    """An edit request or a setting of a method is invalid."""


class InvalidParameters(ValueError):
    """A setting has an unknown name or an invalid value; the message names it."""


class InvalidRecipe(ValueError):
    """A checkpoint's recipe cannot be read or has invalid settings; the message names the file and the fault."""


class InvalidCaptions(ValueError):
    """There are no references, or their number is not the number of captions."""


class InvalidModel(ValueError):
    """A folder or repository does not hold the expected model; the message says what is missing."""


class InvalidPrior(ValueError):
    """A folder or its tensors are no usable prior; the message says why."""


class PriorMismatch(InvalidPrior):
    """The prior was trained on another base model."""


class InvalidCheckpoint(ValueError):
    """A training checkpoint was written with other settings."""


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite."""


class ClassPromptsError(RuntimeError):
    """The language model wrote no class prompts. `retryable`: the same request may succeed later."""

    retryable = False


class EndpointRefused(ClassPromptsError):
    """The endpoint refuses the request: the key, the model's name or the response format is wrong."""


class EndpointUnavailable(ClassPromptsError):
    """The endpoint did not answer or is overloaded."""

    retryable = True


class UnusableAnswer(ClassPromptsError):
    """The model wrote too few usable prompts, although later requests named the faults."""

    retryable = True
