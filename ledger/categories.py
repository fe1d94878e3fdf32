"""The category of a class noun. It selects the class prompts, and a person needs consent."""

from typing import Literal

Category = Literal["animal", "object", "person"]

_PEOPLE = frozenset(
    """
    actor actress adult artist athlete aunt baby boy boyfriend bride brother chef child children cousin dad
    dancer daughter doctor face family father female firefighter friend gentleman girl girlfriend grandfather
    grandma grandmother grandpa groom guy head human husband infant kid lady male man men model mom mother mum
    musician nurse parent people person player portrait singer sister soldier son teacher teenager toddler uncle
    wife woman women worker
    """.split()  # noqa: SIM905
)
_ANIMALS = frozenset(
    """
    alligator alpaca animal ant bat beagle bear bee bird buffalo bull bulldog bunny butterfly calf camel canary
    cat chameleon cheetah chicken chihuahua chipmunk cockatoo corgi cow crab crocodile crow dachshund dalmatian
    deer dog dolphin donkey dove duck duckling eagle elephant falcon ferret fish flamingo fox frog gecko gerbil
    giraffe goat goldfish goose gorilla hamster hawk hedgehog hen hippo horse hound hummingbird husky iguana
    insect jaguar kangaroo kitten koala labrador lamb lemur leopard lion lizard llama lobster lynx macaw mare
    meerkat mole monkey moose mouse mule octopus orca ostrich otter owl ox panda panther parakeet parrot peacock
    pelican penguin pet pig pigeon piglet pony poodle pug puma pup puppy rabbit raccoon ram rat raven reindeer
    retriever rhino robin rooster seal shark sheep shepherd skunk sloth snail snake spaniel sparrow spider squid
    squirrel stallion stork swan terrier tiger toad tortoise turkey turtle walrus weasel whale wolf yak zebra
    """.split()  # noqa: SIM905
)
_LIKENESSES = frozenset(
    {"clay", "doll", "figure", "figurine", "plush", "plushie", "robot", "sculpture", "statue", "stuffed"}
)


def category_of(class_noun: str) -> Category:
    """Return the category of a class noun such as "golden retriever" or "old men".

    The last word decides. A word such as "plushie" or "statue" anywhere makes it an object.
    """
    words = class_noun.lower().replace("-", " ").split()
    if not words or not _LIKENESSES.isdisjoint(words):
        return "object"
    for word in (words[-1], words[-1].removesuffix("s"), words[-1].removesuffix("es")):
        if word in _PEOPLE:
            return "person"
        if word in _ANIMALS:
            return "animal"
    return "object"
