"""Values that schemathesis cannot generate: images, and the URL of a receiver."""

import schemathesis
from hypothesis import strategies

from tests.support.uploads import png

schemathesis.openapi.media_type("application/octet-stream", strategies.sampled_from([png("red"), png("blue")]))
schemathesis.openapi.format("uri", strategies.just("http://127.0.0.1:9/hook"))
