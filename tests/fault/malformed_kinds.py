"""The catalogue of malformed peers: what each kind sends, and how that ends. malformed_peers.py runs it.

The encrypted handshake (MSE, five kinds) is not built and not here. Hash requests of BitTorrent v2 are not spoken, and skipped as
any unknown message.
"""
import os
import struct
from typing import Callable, NamedTuple

from liars import (END, a_thousand, after_cancel, after_choke, all_but_the_last, bits, byte_by_byte, byte_per_second, claims, cut,
                   dribbles, garbage, greets_by_utp, hash_request, is_refused, leaves_after_a_piece, long_names, never_reads, others,
                   places, rejects_all, sends_requests, serve_metadata, serves, tells_all_at_once, then, to_request, unasked, wrong_where)
from utp_client import flood_of_syns
from wire_client import (ALLOWED_FAST, BITFIELD, BLOCK, CANCEL, CHOKE, EXTENDED, EXTENSIONS, FAST, HASHES, HASH_REJECT, HASH_REQUEST, HAVE,
                         HAVE_ALL, HAVE_NONE, INTERESTED, METADATA_REJECT, NOT_INTERESTED, OWN_METADATA, PIECE, PORT, REJECT, REQUEST,
                         SUGGEST, UNCHOKE, V2, extended, message, numbers)

# How it ends: C(reason) the session is closed and the reason is told, TURNED_AWAY the same before a session began, B banned, I
# ignored and R rejected: the peer still answers.
TURNED_AWAY, I, R = "turned away", "ignored", "rejected"


def C(reason):
    return "the peer " + reason


B = C("sent data that fails its hash")
BAD_LENGTH = C("sent a message whose length does not fit its kind")
TOO_LONG = C("announced a message that is too long")
OUTSIDE = C("named a piece or a range outside the torrent")
SPARE_BITS = C("sent a bitfield with spare bits set")
LATE = C("said anew what it has in the middle of the conversation")
UNASKED_REJECT = C("rejected what was never requested")
UNASKED_BLOCKS = C("sent too many blocks that were never requested")
TOO_MUCH_AT_ONCE = C("requested more bytes at once than is allowed")
FLOOD = C("flooded the connection with idle messages")
BAD_HELLO = C("sent a bad extension handshake")
NO_METADATA = C("does not send what the torrent holds")
BAD_METADATA = C("sent a wrong description of the torrent")
SILENT = C("was silent for too long")
STALLED = C("took no bytes for too long")

# To whom: a seeder and a getter that it connects to, a getter that connects to it, one that has a magnet link alone, one that
# wants a torrent of one piece.
SEEDER, GETTER, CALLER, MAGNET, LAST_PIECE = "seeder", "getter", "caller", "magnet", "last piece"
BOTH = (SEEDER, GETTER)


class Kind(NamedTuple):
    name: str
    end: str
    acts: tuple  # one or more variants; each does all that it does on a connection of its own
    to: tuple
    seconds: float = 10  # until the end
    patient: bool = False  # takes seconds: others go on beside it
    slow: bool = False  # takes minutes
    cost: int = 1  # it is repeated so many times less often
    holds: bool = False  # it stays until the download is complete
    utp: bool = False  # by uTP alone


def acts(name, end, *how: Callable, to=BOTH, **more):
    return Kind(name, end, how, to, **more)


def says(name, end, *what: Callable, to=BOTH, **more):
    """After the handshake it says what a variant makes of the torrent."""
    return acts(name, end, *[lambda liar, make=make: liar.shake(make(liar.torrent)) for make in what], to=to, **more)


def floods(name, end, said, count, to=BOTH):
    """After the handshake it says the same very often, and reads nothing."""
    def flood(liar):
        liar.shake()
        part = said * 1000
        for _ in range(count // 1000):
            liar.send(part)
    return acts(name, end, flood, to=to, seconds=20, cost=4)


# -- Handshake

HELLO_OF_TLS = bytes.fromhex("16030100c8010000c40303") + b"\x11" * 192
HANDSHAKE = [
    acts("wrong protocol string", TURNED_AWAY, lambda liar: liar.send(liar.greeting(protocol=b"\x13BitTorrent protocoL")),
         to=(SEEDER, GETTER, CALLER)),
    acts("length of the protocol string 0 or 255", TURNED_AWAY, lambda liar: liar.send(liar.greeting(protocol=b"\0BitTorrent protocol")),
         lambda liar: liar.send(liar.greeting(protocol=b"\xffBitTorrent protocol")), to=(SEEDER, GETTER, CALLER)),
    acts("cut at each byte", TURNED_AWAY, *map(cut, range(68)), to=(SEEDER,)),
    acts("a byte a second", TURNED_AWAY, byte_per_second, to=(SEEDER, CALLER), seconds=15, patient=True),
    acts("two handshakes", TOO_LONG, lambda liar: liar.shake(liar.greeting(), extension=False), to=(SEEDER, GETTER, CALLER)),
    acts("unknown info-hash", TURNED_AWAY, lambda liar: liar.send(liar.greeting(hash=b"\1" * 20)), to=(SEEDER, CALLER), patient=True),
    acts("the peer's own id", TURNED_AWAY, lambda liar: liar.send(liar.greeting(id=liar.id_of_peer)), to=(SEEDER, GETTER, CALLER)),
    acts("the bit of v2 for a v1 torrent", I, lambda liar: liar.shake(reserved=EXTENSIONS | FAST | V2), to=(SEEDER, GETTER, CALLER)),
    acts("all reserved bits", I, lambda liar: liar.shake(reserved=2 ** 64 - 1), to=(SEEDER, GETTER, CALLER)),
    acts("an HTTP request", TURNED_AWAY, lambda liar: liar.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), to=(SEEDER, GETTER, CALLER)),
    acts("a hello of TLS", TURNED_AWAY, lambda liar: liar.send(HELLO_OF_TLS), to=(SEEDER, GETTER, CALLER)),
    acts("random bytes, 1 MB", TURNED_AWAY, lambda liar: liar.send(os.urandom(1_000_000)), to=(SEEDER, GETTER, CALLER)),
    acts("nothing", TURNED_AWAY, lambda liar: None, to=(SEEDER, CALLER), seconds=15, patient=True),
]


# -- Framing

FRAMING = [
    says("length 2^32 - 1", TOO_LONG, lambda t: struct.pack(">IB", END, PIECE), lambda t: struct.pack(">IB", END, 99)),
    says("length 2^31", TOO_LONG, lambda t: struct.pack(">IB", 2 ** 31, PIECE), lambda t: struct.pack(">IB", 2 ** 31, EXTENDED)),
    says("length 1 MiB + 1", TOO_LONG, lambda t: message(99, bytes(1 << 20))),
    floods("a million keep-alives", FLOOD, bytes(4), 1_000_000),
    says("an unknown message", I, lambda t: message(99, b"what?"), lambda t: message(255)),
    says("an unknown message of 1 MiB", I, lambda t: message(99, bytes((1 << 20) - 1))),
    says("choke with a payload", BAD_LENGTH, lambda t: message(CHOKE, b"x")),
    says("have with 3 or 5 bytes", BAD_LENGTH, lambda t: message(HAVE, bytes(3)), lambda t: message(HAVE, bytes(5))),
    acts("split at every byte", I, byte_by_byte),
    says("ten thousand messages in one segment", I, lambda t: message(NOT_INTERESTED) * 10_000),
]


# -- Indices

INDICES = [
    says("have of a piece just outside", OUTSIDE, lambda t: numbers(HAVE, t.count)),
    says("have of piece 2^32 - 1", OUTSIDE, lambda t: numbers(HAVE, END)),
    says("request outside: piece", OUTSIDE, lambda t: numbers(REQUEST, t.count, 0, BLOCK), lambda t: numbers(REQUEST, END, 0, BLOCK)),
    says("request outside: begin", OUTSIDE, lambda t: numbers(REQUEST, 0, t.piece_length, BLOCK), lambda t: numbers(REQUEST, 0, END, 1)),
    says("request outside: length", OUTSIDE, lambda t: numbers(REQUEST, 0, t.piece_length - BLOCK, BLOCK + 1)),
    acts("request of length 0", R, is_refused((0, 0, 0)), to=(SEEDER,)),
    acts("request above 16 KiB rejected, above 128 KiB", TOO_MUCH_AT_ONCE,
         then(is_refused((0, 0, BLOCK + 1), (0, 0, 4 * BLOCK)), numbers(REQUEST, 0, 0, 128 * 1024 + 1)), to=(SEEDER,)),
    acts("request at an odd begin", R, is_refused((0, 1, BLOCK), (0, 100, 1)), to=(SEEDER,)),
    says("begin + length wraps", OUTSIDE, lambda t: numbers(REQUEST, 0, END - BLOCK + 1, BLOCK), lambda t: numbers(REQUEST, 0, END, BLOCK)),
    says("cancel of what was not requested", I, lambda t: numbers(CANCEL, 0, 0, BLOCK)),
    says("reject of what was not requested", UNASKED_REJECT, lambda t: numbers(REJECT, 0, 0, BLOCK)),
    acts("blocks that nobody asked for", UNASKED_BLOCKS, unasked),
    acts("block too short", I, to_request(lambda p, begin, length: garbage(p, begin, length - 1)), to=(GETTER,)),
    acts("block too long", I, to_request(lambda p, _, length: garbage(p, 0, length + 1)), to=(GETTER,)),
    acts("block at another offset", I, to_request(lambda p, _, length: garbage(p, 1, length)), to=(GETTER,)),
    acts("block twice", I, to_request(lambda p, begin, length: 2 * garbage(p, begin, length)), to=(GETTER,)),
    acts("block after the request was taken back", I, after_choke, to=(GETTER,)),
    acts("block after the request was taken back", I, after_cancel, to=(LAST_PIECE,)),
    says("suggest outside", OUTSIDE, lambda t: numbers(SUGGEST, t.count)),
    says("allowed-fast outside", OUTSIDE, lambda t: numbers(ALLOWED_FAST, END)),
]


# -- Bitfield

BITFIELDS = [
    says("bitfield too short", BAD_LENGTH, lambda t: message(BITFIELD, t.bits([])[:-1]), lambda t: message(BITFIELD)),
    says("bitfield too long", BAD_LENGTH, lambda t: message(BITFIELD, t.bits([]) + b"\0")),
    says("spare bits", SPARE_BITS, lambda t: message(BITFIELD, t.bits([])[:-1] + b"\1")),
    says("a second bitfield", LATE, lambda t: 2 * bits(t, 1)),
    # One that only adds is right at any time: aria2 sends it for many haves.
    says("a late bitfield", LATE, lambda t: numbers(HAVE, 1) + bits(t, 2), lambda t: message(INTERESTED) + bits(t)),
    says("a bitfield after have-all", LATE, lambda t: message(HAVE_ALL) + bits(t, 1)),
    says("a bitfield after have-none", LATE, lambda t: message(HAVE_NONE) + bits(t, 1)),
    acts("before the metadata", I, tells_all_at_once, to=(MAGNET,)),
    acts("all ones and no data", I, claims, to=(GETTER, LAST_PIECE), holds=True),
]


# -- Behaviour

BEHAVIOUR = [
    floods("requests while choked", FLOOD, numbers(REQUEST, 0, 0, BLOCK), 1_000_000, to=(SEEDER,)),
    acts("a million requests", FLOOD, lambda liar: sends_requests(liar, 1_000_000, False),
         lambda liar: sends_requests(liar, 1_000_000, True), to=(SEEDER,), seconds=60, cost=4),
    acts("never reads", STALLED, never_reads, to=(SEEDER,), seconds=200, patient=True, slow=True),
    acts("never sends", SILENT, lambda liar: (liar.shake(), liar.wait_closed(200)), seconds=210, patient=True, slow=True),
    floods("choke and unchoke", FLOOD, message(UNCHOKE) + message(CHOKE), 100_000),
    floods("interested and not", FLOOD, message(INTERESTED) + message(NOT_INTERESTED), 100_000),
    acts("has all and rejects every request", I, rejects_all, to=(GETTER,), cost=100),
    acts("one wrong block", B, serves(others, wrong_where(lambda t, p, begin: begin == BLOCK)), to=(GETTER,)),
    acts("all blocks wrong", B, serves(others, wrong_where(lambda t, p, begin: True)), to=(GETTER,)),
    acts("the last block wrong", B, serves(others, wrong_where(lambda t, p, begin: begin == t.piece_length - BLOCK)), to=(GETTER,)),
    acts("right pieces, then wrong ones", B, serves(lambda t: range(t.count), wrong_where(lambda t, p, begin: p > 3)), to=(GETTER,)),
    acts("a byte a second of a block", I, dribbles, to=(GETTER,), holds=True),
    acts("all but the last block", I, all_but_the_last, to=(LAST_PIECE,), holds=True),
    acts("leaves after each piece", I, *map(leaves_after_a_piece, range(4)), to=(GETTER,)),
    acts("a thousand connections of one address", I, a_thousand, to=(SEEDER,), seconds=60, cost=100),
    says("every piece allowed-fast", I, lambda t: b"".join(numbers(ALLOWED_FAST, number) for number in range(t.count))),
    floods("suggestions", FLOOD, numbers(SUGGEST, 1), 1_000_000),
    floods("ports", FLOOD, message(PORT, b"\x1a\xe1"), 1_000_000),
]


# -- Extension protocol

def hello(**content):
    return lambda t: extended(0, {"m": {"ut_metadata": OWN_METADATA}} | content)


def raw_hello(make, end, name, to=BOTH):
    """The first extension handshake is what `make` says."""
    return acts(name, end, lambda liar: liar.shake(make(liar.torrent), extension=False), to=to)


def size_of_metadata(name, make, end):
    """Ignored by whoever has the torrent, and the end for whoever wants it."""
    def to_searcher(liar):
        liar.shake(make(liar.torrent), extension=False)
    return [acts(name, I, to_searcher), acts(name, end, to_searcher, to=(MAGNET,))]


def searched(name, end, answer):
    """A searcher asks, and is answered so."""
    def serve(liar):
        liar.shake(extension=False)
        serve_metadata(liar, answer)
    return acts(name, end, serve, to=(MAGNET,))


def floods_extension(name, end, extension, content, count, to=BOTH):
    def flood(liar):
        liar.shake()
        part = liar.message_of(extension, content(liar)) * 1000
        for _ in range(count // 1000):
            liar.send(part)
    return acts(name, end, flood, to=to, seconds=30, cost=10)


def exchange(name, content, end=I, **more):
    return acts(name, end, lambda liar: (liar.shake(), liar.send(liar.message_of("ut_pex", content(liar)))), **more)


EXTENSION = [
    raw_hello(lambda t: extended(0, b"4:what"), BAD_HELLO, "handshake that is no dictionary"),
    raw_hello(lambda t: extended(0, b"d1:m" + b"l" * 1000 + b"e" * 1001), BAD_HELLO, "handshake of depth 1000"),
    raw_hello(long_names, BAD_HELLO, "1 MB of names"),
    raw_hello(lambda t: extended(0, {"m": {"a": 7, "b": 7, "c": 0, "d": 256, "e": -1, "f": 2 ** 62, "ut_metadata": OWN_METADATA}}), I,
              "ids twice, 0, above 255"),
    says("a thousand handshakes", I, lambda t: 1000 * hello(v="again")(t)),
    acts("a message before the handshake", I, lambda liar: liar.shake(extended(2, {"msg_type": 0, "piece": 0}), extended(3, {}),
                                                                      liar.introduction(), extension=False)),
    says("an unknown extension", I, lambda t: extended(77, b"what?"), lambda t: extended(255, b"")),
    *size_of_metadata("metadata_size -1", hello(metadata_size=-1), NO_METADATA),
    *size_of_metadata("metadata_size 0", hello(metadata_size=0), NO_METADATA),
    *size_of_metadata("metadata_size 2^31", hello(metadata_size=2 ** 31), BAD_METADATA),
    *size_of_metadata("metadata_size that changes", lambda t: hello(metadata_size=1000)(t) + hello(metadata_size=1001)(t), BAD_METADATA),
    searched("metadata of another piece", BAD_METADATA, lambda number, data: ({"piece": number + 1}, data)),
    searched("total_size that differs", BAD_METADATA, lambda number, data: ({"total_size": 10 ** 9}, data)),
    searched("wrong metadata of the right size", B, lambda number, data: ({}, bytes(len(data)))),
    floods_extension("rejects of metadata", FLOOD, "ut_metadata", lambda liar: {"msg_type": METADATA_REJECT, "piece": 0}, 100_000),
    searched("rejects of metadata", NO_METADATA, lambda number, data: ({"msg_type": METADATA_REJECT}, b"")),
    floods_extension("a million requests for metadata", FLOOD, "ut_metadata", lambda liar: {"msg_type": 0, "piece": 0}, 1_000_000),
    exchange("a million exchanged peers", lambda liar: {"added": places(1_000_000)}, TOO_LONG, cost=100),
    exchange("exchanged peers of an odd length", lambda liar: {"added": places(9)[:-1], "added.f": b"\0"}),
    exchange("the local network and a victim exchanged", lambda liar: {"added": b"\x7f\0\0\1\0\x19" + b"\x7f\0\0\1" + liar.victim_port}),
    floods_extension("an exchange each moment", I, "ut_pex", lambda liar: {"added": places(2)}, 1000),
    says("hole punching", I, lambda t: extended(4, b"\0\0\x7f\0\0\1\x1a\xe1\0\0\0\0")),
    says("donthave outside", I, lambda t: extended(7, struct.pack(">I", END))),
]


# -- v2: not spoken; unknown messages

def skipped(name, kind, payload):
    return says(name, I, lambda t: message(kind, payload))


HASHES_OF_V2 = [
    skipped("hash request of an unknown file", HASH_REQUEST, hash_request()),
    skipped("hash request at an odd index", HASH_REQUEST, hash_request(index=3)),
    skipped("hash request of length 2^31", HASH_REQUEST, hash_request(length=2 ** 31)),
    skipped("hash request of length 0", HASH_REQUEST, hash_request(length=0)),
    skipped("hash request at layer 2^32 - 1", HASH_REQUEST, hash_request(layer=END)),
    skipped("hash request of 3 bytes", HASH_REQUEST, b"abc"),
    skipped("hashes that nobody asked for", HASHES, hash_request(length=2) + b"\3" * 64),
    skipped("proof that is cut", HASHES, hash_request(length=2) + b"\3" * 63),
    skipped("hashes of zeros", HASHES, hash_request(length=2) + bytes(64)),
    skipped("hashes of another tree", HASHES, hash_request(length=2, root=b"\4" * 32) + b"\3" * 64),
    skipped("hash reject of what was not requested", HASH_REJECT, hash_request()),
]


# -- uTP

UTP = [
    acts("selective ack beyond what was sent", I, greets_by_utp(lambda stream: stream.say_state(selective_ack=b"\xff" * 252)), utp=True,
         to=(SEEDER,)),
    acts("ack ahead of what was sent", I, greets_by_utp(lambda stream: [stream.say_state(ack_ahead=by) for by in (1, 3, 1000, 32767)]),
         utp=True, to=(SEEDER,)),
    acts("sequence numbers that wrap", I, lambda liar: (liar.shake(), [liar.send(message(NOT_INTERESTED)) for _ in range(20)]), utp=True,
         to=(SEEDER,)),
    acts("a million SYNs", I, lambda liar: (liar.shake(), flood_of_syns(liar)), utp=True, to=(SEEDER,), seconds=60, cost=100),
    acts("FIN twice, and data behind it", "the connection was closed", greets_by_utp(lambda stream: stream.end_twice()), utp=True,
         to=(SEEDER,)),
]

# What is about the stream goes by uTP too.
BY_UTP_TOO = [HANDSHAKE[0], HANDSHAKE[4], HANDSHAKE[11], *FRAMING, INDICES[0], INDICES[10], INDICES[11], *BITFIELDS[:3],
              *BEHAVIOUR[0:1], BEHAVIOUR[4], *EXTENSION[:4]]

# As the catalogue counts them; some have one row for each of two roles.
SECTIONS = {"handshake": (HANDSHAKE, 13), "framing": (FRAMING, 10), "indices": (INDICES, 19), "bitfield": (BITFIELDS, 9),
            "behaviour": (BEHAVIOUR, 18), "extension": (EXTENSION, 22), "v2": (HASHES_OF_V2, 11), "uTP": (UTP, 5)}
for section, (kinds, count) in SECTIONS.items():
    assert len({kind.name for kind in kinds}) == count, (section, len({kind.name for kind in kinds}))
