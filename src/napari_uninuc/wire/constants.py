"""Addresses, headers, limits and time-outs of both protocols, each written once.

The first protocol is samapi, which QuPath's SAM extension speaks; the second is ours. What a
time-out is for and who keeps it is told in docs/serve.md.
"""

__all__ = [
    "ANSWER",
    "ANSWER_S",
    "BODY_BYTES",
    "BODY_S",
    "CLASSIFIER",
    "CONNECT_S",
    "DESCRIBE",
    "ENCODE",
    "FIELDS",
    "GOODBYE_S",
    "HEADERS_S",
    "HEARTBEAT_S",
    "INFO",
    "KEY_LENGTH",
    "KEY_PREFIX",
    "KEY_VARIABLE",
    "LEASE",
    "LEASE_HEADER",
    "LEASE_S",
    "MASKS",
    "MASKS_PX",
    "MAX_MPP",
    "MIN_MPP",
    "NAME",
    "OWN_ROOT",
    "PATIENCE_S",
    "PICTURE_PX",
    "POINTS",
    "PREVIOUS_PX",
    "PROTOCOL",
    "RETRY_S",
    "SAM_ROOT",
    "SEGMENT",
    "SILENCE_S",
    "TILE",
]

SAM_ROOT = "/sam"
"""Of samapi; ``/0.25um/sam`` states the size of a pixel, ``/key/KEY/...`` the key."""
KEY_PREFIX = "/key/"

PROTOCOL = 1
"""Of our own protocol. It is in every address, so that a server can speak two at a time."""
OWN_ROOT = f"/uninuc/v{PROTOCOL}"
INFO = "/info"
LEASE = "/lease"
CLASSIFIER = "/classifiers/{name}"
NAME = "[A-Za-z0-9_.-]{1,64}"
"""Of a classifier, as an expression."""
TILE = "/tiles/{digest}"
FIELDS = "/tiles/{digest}/fields"
ENCODE = "/tiles/{digest}/encode"
SEGMENT = "/tiles/{digest}/segment"
ANSWER = "/tiles/{digest}/answer"
DESCRIBE = "/tiles/{digest}/describe"

LEASE_HEADER = "x-uninuc-lease"
KEY_VARIABLE = "UNINUC_KEY"
KEY_LENGTH = (16, 128)
"""Fewest and most characters of a key."""

BODY_BYTES = 64 * 2**20
PICTURE_PX = 2**25
"""33 Mpx; a 4K screen has 8. 100 MB of RGB."""
POINTS = 1024
"""Most points, or example boxes, of one prompt."""
PREVIOUS_PX = 2**22
"""Most px of a mask to start from: 2,048 a side."""
MASKS = 2**16
"""Most nuclei that are described at a time."""
MASKS_PX = 2**26
"""Most px of all their boxes together."""
MIN_MPP, MAX_MPP = 0.05, 5.0

HEADERS_S = 10.0
"""Server: to send the head of a request, from the moment of connecting."""
BODY_S = 20.0
"""Server: between two parts of a body."""
LEASE_S = 120.0
"""Server: a client that says nothing for so long is forgotten."""
HEARTBEAT_S = 5.0
"""Server: in a stream something is said at least so often."""

CONNECT_S = 5.0
"""Client: to connect."""
ANSWER_S = 60.0
"""Client: without a byte for so long, a request has failed."""
SILENCE_S = 3 * HEARTBEAT_S
"""Client: a stream in which nothing was said for so long has ended."""
GOODBYE_S = 0.5
"""Client: to tell the server that it goes; then it goes all the same."""
RETRY_S = 0.5
"""Client: between two tries to reach a server that does not answer."""
PATIENCE_S = 20.0
"""Client: a click waits so long for a server to come back, then it is told. Runs wait on."""
