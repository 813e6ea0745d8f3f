"""Accept: which of the media types we can make suits the client (RFC 9110 §12.5.1).

Error pages and other local replies choose their form with it. The rule: the client's weights decide, then the order of
our offers, and a client that accepts none of them gets the first all the same (§15.5.7 allows it).
"""

from __future__ import annotations

from collections.abc import Sequence

# Against an Accept field made to be slow to read; browsers send fewer than ten ranges.
MOST_RANGES = 32
MOST_BYTES = 1024

_ANY = b"*/*"


def parse_weight(text: bytes) -> int:
    """Thousandths from a qvalue (RFC 9110 §12.4.2): 1000 for b"1" and for what is no qvalue."""
    whole, _, rest = text.partition(b".")
    if whole not in (b"0", b"1") or len(rest) > 3 or (rest and not rest.isdigit()):
        return 1000
    if whole == b"1":
        return 1000
    return int(rest.ljust(3, b"0"))


def parse_accept(value: bytes) -> dict[bytes, int]:
    """Weights in thousandths by lower-case media range; parameters other than `q` are not told apart."""
    ranges: dict[bytes, int] = {}
    for part in value[:MOST_BYTES].lower().split(b",", MOST_RANGES)[:MOST_RANGES]:
        media, _, parameters = part.partition(b";")
        media = media.strip(b" \t")
        if b"/" not in media:
            continue
        weight = 1000
        for parameter in parameters.split(b";"):
            name, _, text = parameter.partition(b"=")
            if name.strip(b" \t") == b"q":
                weight = parse_weight(text.strip(b" \t"))
                break
        ranges[media] = max(weight, ranges.get(media, 0))
    return ranges


def weigh(ranges: dict[bytes, int], media: bytes) -> int:
    """The weight of `media` by its most specific range; 0 when none matches."""
    exact = ranges.get(media)
    if exact is not None:
        return exact
    family = ranges.get(media[: media.index(b"/") + 1] + b"*")
    return ranges.get(_ANY, 0) if family is None else family


def negotiate(accept: bytes | None, offers: Sequence[Sequence[bytes]]) -> int:
    """Index of the offer that suits best; an offer is a list of media types any of which it may be taken for.

    No Accept field, an unreadable one, or one that excludes everything: 0.
    """
    if not accept or accept == _ANY:
        return 0
    ranges = parse_accept(accept)
    best, best_weight = 0, 0
    for index, names in enumerate(offers):
        # The first name is what will be sent; the others count only where they are asked for by name.
        weight = max([weigh(ranges, names[0]), *(ranges.get(name, 0) for name in names[1:])])
        if weight > best_weight:
            best, best_weight = index, weight
    return best
