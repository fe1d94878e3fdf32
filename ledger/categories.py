"""The category of a class noun. It selects the class prompts, and a person needs consent.

A word in none of the lists may name a person: in another language, in other letters, or by a profession.
"""

import unicodedata
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
_THINGS = frozenset(
    """
    airplane apple armchair backpack bag ball balloon banana barn basket basketball bathtub battery beach bed bell
    bench berry bicycle bike blender board boat book boot boots bottle bowl box bracelet branch bread brick bridge broom
    brush bucket building burger bus bush button cabinet cake camera can candle candy cap car cardigan carpet cart
    castle chair chocolate church clock cloud coat coffee coin comb computer container cookie couch crown cup cupcake
    curtain cushion desk dish dome door doorway dragon drawer drawing dress drill drink drone drum earring egg emoji
    engine envelope fence flag flashlight flower flute fork fountain fridge fruit furniture garden gate gift glass
    glasses globe glove guitar hairdryer hammer handbag hat headphones hedge helicopter helmet hill house ice instrument
    island jacket jar jeans jewel jug kettle key keyboard kite knife lake lamp landscape lantern laptop leaf lemon lens
    letter lighthouse logo luggage machine map mask meal microphone microscope microwave mirror mitten monitor monster
    moon motorbike motorcycle mountain mouse mug mushroom necklace noodle notebook orange oven pan pants paper
    parachute pattern pen pencil perfume phone photo piano pillow pizza plane plant plate poster pot potato printer
    purse puzzle radio railway refrigerator ring river road rock rocket rose rug ruler sailboat salad sandwich saxophone
    scarf scene scissors scooter screen sculpture ship shirt shoe shoes shop sign sink skateboard skirt sky sneaker
    sneakers sock sofa spoon spoons stool stone strawberry street style suitcase sunglasses sunset sweater sword table
    tablet tanker tea teapot telephone telescope television tent tie tire toaster tomato toothbrush tower town toy
    tractor train tray tree trophy truck trumpet umbrella van vase vegetable vehicle violin volcano wall wallet watch
    waterfall wheel window wine wrench
    """.split()  # noqa: SIM905
)
_LIKENESSES = frozenset(
    {"clay", "doll", "figure", "figurine", "plush", "plushie", "robot", "sculpture", "statue", "stuffed"}
)


def category_of(class_noun: str) -> Category:
    """Return the category of a class noun such as "golden retriever" or "old men".

    The last word decides. A word such as "plushie" or "statue" anywhere makes it an object.
    """
    words = _words(class_noun)
    if not words or not _LIKENESSES.isdisjoint(words):
        return "object"
    for word in _forms(words[-1]):
        if word in _PEOPLE:
            return "person"
        if word in _ANIMALS:
            return "animal"
    return "object"


def is_known(class_noun: str) -> bool:
    """Whether the category of the class noun is that of a known word, and not a guess."""
    words = _words(class_noun)
    known = _PEOPLE | _ANIMALS | _THINGS
    return not _LIKENESSES.isdisjoint(words) or (bool(words) and any(form in known for form in _forms(words[-1])))


def has_known_words_only(class_noun: str) -> bool:
    """Whether every word of the class noun is in a list, so that it cannot be a name."""
    words, known = _words(class_noun), _PEOPLE | _ANIMALS | _THINGS | _LIKENESSES
    return bool(words) and all(any(form in known for form in _forms(word)) for word in words)


def _words(class_noun: str) -> list[str]:
    return unicodedata.normalize("NFKC", class_noun).casefold().replace("-", " ").split()


def _forms(word: str) -> tuple[str, str, str]:
    """The word, and what may be its singular."""
    return word, word.removesuffix("s"), word.removesuffix("es")
