"""Errors that a caller of lipe_core can correct. Each message says what to change."""


class InvalidSubject(ValueError):
    """The subject cannot be named like this; the message says what to change."""


class InvalidRequest(ValueError):
    """The request cannot be carried out; the message says what to change."""


class InvalidParameters(ValueError):
    """A parameter that does not exist, or whose value cannot be; the message names it."""


class InvalidRecipe(ValueError):
    """A checkpoint's recipe that cannot be read or followed; the message names the file and what is wrong in it."""


class InvalidCaptions(ValueError):
    """The captions do not fit the references; the message says what to change."""


class InvalidModel(ValueError):
    """The folder or repository does not hold the model that is needed; the message says what is missing."""


class InvalidPrior(ValueError):
    """The folder holds no usable prior; the message says why."""


class PriorMismatch(InvalidPrior):
    """The prior was learnt on another base model."""


class InvalidCheckpoint(ValueError):
    """The checkpoint belongs to another training."""


class TrainingDiverged(RuntimeError):
    """The loss is not a number any more."""


class ClassPromptsError(RuntimeError):
    """No class prompts were written; `retryable` says whether the same request may succeed later."""

    retryable = False


class EndpointRefused(ClassPromptsError):
    """The endpoint does not accept the request: the key, the model's name or the response format is wrong."""


class EndpointUnavailable(ClassPromptsError):
    """The endpoint did not answer, or is overloaded."""

    retryable = True


class UnusableAnswer(ClassPromptsError):
    """The model answered, and even when told what was wrong, not with enough usable prompts."""

    retryable = True
