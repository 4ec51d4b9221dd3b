"""What malformed peers do that takes more than one message: for the rows of malformed_kinds.py. Each gets a liar that has connected."""
import os
import struct
import time

from outside import bdecode
from wire_client import (BITFIELD, BLOCK, CHOKE, DATA, EXTENDED, EXTENSIONS, HAVE, HAVE_ALL, HAVE_NONE, INTERESTED, NOT_INTERESTED,
                         OWN_METADATA, PIECE, REJECT, REQUEST, Closed, extended, message, numbers, piece)

END = 2 ** 32 - 1


# -- Handshakes and framing

def cut(at):
    def say(liar):
        liar.send(liar.greeting()[:at])
        liar.stream.end_output()
    return say


def byte_per_second(liar):
    for byte in liar.greeting()[:60]:
        liar.send(bytes([byte]))
        if liar.wait_closed(1):
            raise Closed


def byte_by_byte(liar):
    said = (liar.greeting() + liar.introduction() + message(HAVE_NONE) + message(INTERESTED) +
            extended(0x55, b"unknown") + numbers(HAVE, 1) + message(NOT_INTERESTED))
    for byte in said:
        liar.send(bytes([byte]))
    liar.take(68)


# -- Requests and blocks

def garbage(index, begin, length):
    return piece(index, begin, os.urandom(length))


def true_block(t, index, begin, length):
    return piece(index, begin, t.block(index, begin, length))


def wrong_where(is_wrong):
    return lambda t, index, begin, length: (garbage(index, begin, length) if is_wrong(t, index, begin) else
                                            true_block(t, index, begin, length))


def others(t):
    """The pieces that a liar lies about; of the first four it gives the right bytes, if any."""
    return range(4, t.count)


def is_refused(*ranges):
    """Asks for what is not served, and sees each rejected."""
    def ask(liar):
        liar.shake(message(INTERESTED))
        liar.wait_for(lambda: liar.is_unchoked)
        for each in ranges:
            liar.send(numbers(REQUEST, *each))
            while (got := liar.next()) != (REJECT, struct.pack(">III", *each)):
                if not got or got[0] == PIECE:
                    raise AssertionError(f"not rejected, but {got}")
    return ask


def then(first, *said):
    def both(liar):
        first(liar)
        liar.send(*said)
    return both


def to_request(answer):
    """Offers much, but not the last piece, which is short, and says to the first request what `answer` makes of it."""
    def serve(liar):
        liar.shake()
        liar.offer(range(4, liar.torrent.count - 1))
        liar.send(answer(*liar.next_request()))
    return serve


def unasked(liar):
    liar.shake(b"".join(garbage(1, 0, BLOCK) for _ in range(32)))
    if not liar.answers():
        raise AssertionError("a few blocks that may have crossed something are no reason to go")
    liar.send(garbage(1, 0, BLOCK))


def after_choke(liar):
    """Without the fast extension a choke takes back what was asked for."""
    liar.shake(reserved=EXTENSIONS)
    liar.offer(range(4, liar.torrent.count))
    asked = liar.next_request()
    liar.send(message(CHOKE), garbage(*asked))


def after_cancel(liar):
    """Two are asked for the last piece. What one of them has sent, the other one sends although it was cancelled."""
    other = liar.another()
    for each in (liar, other):
        each.shake()
        each.offer([0])
        each.wait_for(lambda each=each: each.requests)
    asked = other.requests[0]
    other.send(garbage(*asked))
    liar.wait_for(lambda: asked not in liar.requests)
    liar.send(garbage(*asked))
    other.stream.close()


def claims(liar):
    """Takes the requests and answers none."""
    liar.shake()
    liar.offer(range(liar.torrent.count))
    liar.next_request()


def serves(pieces, block):
    """Offers pieces, and answers every request by what `block` makes of it until the peer has gone."""
    def serve(liar):
        liar.shake()
        liar.offer(pieces(liar.torrent))
        while True:
            liar.send(block(liar.torrent, *liar.next_request()))
    return serve


def rejects_all(liar):
    """Is asked for each block once, and not again soon."""
    liar.shake()
    liar.offer(others(liar.torrent))
    asked_for = 0
    end = time.monotonic() + 3
    while time.monotonic() < end:
        liar.next(end)
        asked_for += len(liar.requests)
        while liar.requests:
            liar.send(numbers(REJECT, *liar.requests.pop()))
    if not 0 < asked_for <= len(others(liar.torrent)) * liar.torrent.piece_length // BLOCK:
        raise AssertionError(f"asked for {asked_for} blocks")


def dribbles(liar):
    """Sends a block by a byte a second, as long as anybody lets it."""
    liar.shake()
    liar.offer(range(4, liar.torrent.count))
    said = garbage(*liar.next_request())
    while said and not liar.ended():
        liar.send(said[:1])
        said = said[1:]
        time.sleep(1)


def all_but_the_last(liar):
    """Serves truly, but for the last block of what it was asked for."""
    liar.shake()
    liar.offer(range(liar.torrent.count))
    first = liar.next_request()
    while liar.next(time.monotonic() + 0.2):
        pass
    for each in [first, *liar.requests][:-1]:
        liar.send(true_block(liar.torrent, *each))


def leaves_after_a_piece(index):
    def serve(liar):
        liar.shake()
        liar.offer([index])
        if not liar.answers():  # by now it has asked, if it wants the piece
            raise AssertionError("no answer")
        while liar.requests:
            liar.send(true_block(liar.torrent, *liar.requests.pop(0)))
            liar.answers()
    return serve


# -- Floods and silence

def sends_requests(liar, count, reads):
    liar.shake(message(INTERESTED))
    liar.wait_for(lambda: liar.is_unchoked)
    for _ in range(count // 1000):
        liar.send(numbers(REQUEST, 0, 0, BLOCK) * 1000)
        while reads and liar.next(0):
            pass


def never_reads(liar):
    liar.shake(message(INTERESTED))
    liar.wait_for(lambda: liar.is_unchoked)
    liar.send(numbers(REQUEST, 0, 0, BLOCK) * 1900)
    time.sleep(1)
    end = time.monotonic() + 150
    while time.monotonic() < end and not liar.ended():
        time.sleep(0.5)


def a_thousand(liar):
    """A thousand connections, all of which say hello and stay."""
    liar.shake()
    others = [liar.another() for _ in range(999)]
    for other in others:
        try:
            other.send(other.greeting())
        except Closed:
            pass
    liar.answers()
    kept, end = others, time.monotonic() + 30
    while len(kept) > 400 and time.monotonic() < end:  # peers_max_default and handshakes_max
        kept = [other for other in kept if not other.wait_closed(0.001)]
    for other in others:
        other.stream.close()
    if len(kept) > 400:
        raise AssertionError(f"{len(kept)} of a thousand were let in")


# -- Metadata, peers, hashes

def bits(t, *pieces):
    return message(BITFIELD, t.bits(pieces))


def serve_metadata(liar, answer):
    """Answers each request for metadata by the fields and the data that `answer` makes of the true ones."""
    t = liar.torrent
    liar.send(liar.introduction(metadata_size=len(t.info)))
    while not (liar.ended() or liar.is_done()):
        got = liar.next(time.monotonic() + 0.2)
        if not got or got[0] != EXTENDED or got[1][0] != OWN_METADATA:
            continue
        number = bdecode(got[1][1:])[0]["piece"]
        fields, data = answer(number, t.info[number * BLOCK:(number + 1) * BLOCK])
        liar.send(liar.message_of("ut_metadata", {"msg_type": DATA, "piece": number} | fields, data))


def tells_all_at_once(liar):
    """Says all that only makes sense with the torrent, and then what it holds."""
    t = liar.torrent
    liar.shake(message(HAVE_ALL), bits(t, *range(t.count)), message(BITFIELD, bytes(9_999)), numbers(HAVE, END),
               numbers(REQUEST, 7, 7, 7), reserved=EXTENSIONS, extension=False)
    serve_metadata(liar, lambda number, data: ({"total_size": len(t.info)}, data))


def places(count):
    """Addresses of this machine where nobody listens."""
    return b"".join(bytes([127, 9, number >> 8 & 255, number & 255]) + b"\x04\x01" for number in range(count))


def long_names(t):
    return extended(0, {"m": {"x" * 60 + str(number): 1 for number in range(14_000)}})


def hash_request(layer=0, index=0, length=512, proofs=8, root=b"\2" * 32):
    return root + struct.pack(">IIII", layer, index, length, proofs)


def greets_by_utp(disturb):
    """Handshakes over uTP, lies in the packets, and goes on."""
    def act(liar):
        liar.shake()
        disturb(liar.stream)
    return act
