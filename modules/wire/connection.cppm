module;
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

export module shoal.wire:connection;
import shoal.core;
import :protocol;

export namespace shoal::wire {
/// Bytes a second, smoothed over some seconds; right from the first second on.
class rate_meter {
public:
    explicit rate_meter(time_point start) : start_(start), last_(start) {}
    void add(std::uint64_t bytes, time_point now);
    double at(time_point now) const;

private:
    time_point start_;
    time_point last_;
    double smoothed_ = 0;  // bytes a second at last_, too low while the meter is young
};

/// The largest of the samples of the last one to two `span`s.
class recent_max {
public:
    void add(double sample, time_point now, duration span);
    double value() const noexcept { return current_ > previous_ ? current_ : previous_; }

private:
    double current_ = 0;
    double previous_ = 0;
    time_point since_{};
};

/// How many blocks to keep in flight: what the path delivers in a round trip, and `pipeline_ahead` more.
///
/// Each block says how much arrived between its request and itself (a delivery rate), and how long it took. While the
/// line is not full the rate follows the number of requests, so that the depth at least doubles each round trip.
///
/// A peer that sends for a while and then keeps us waiting either serves others in between, and what waits at it
/// somebody else could send now; or it answers at certain times (Transmission: twice a second), and would send more
/// were it asked for more. Which it is shows when a burst is asked for twice as much: after `bursts_between_trials`
/// that were asked for as before, and again at once where that brought more.
class pipeline {
public:
    /// A block of `length` bytes came that was asked at `asked`, when `delivered_then` bytes had been delivered.
    void delivered(std::uint32_t length, time_point asked, std::uint64_t delivered_then, time_point now);
    /// Bytes of all blocks so far.
    std::uint64_t total() const noexcept { return total_; }
    /// Blocks, `pipeline_min` at least. `most` bounds it.
    std::size_t depth(std::size_t most, time_point now) const noexcept;

private:
    void burst_begins(time_point waiting_since, time_point now);
    bool comes_in_bursts(time_point now) const noexcept;
    std::size_t blocks_ahead() const noexcept;

    std::uint64_t total_ = 0;
    time_point last_{};
    recent_max rate_;      // bytes a second
    double shortest_ = 0;  // seconds, of all round trips: a queue of our own requests must not count as distance
    duration waited_{};    // before this burst
    time_point waiting_since_{};
    std::uint64_t before_burst_ = 0;          // bytes
    std::uint64_t usual_burst_ = 0;           // bytes that came while `burst_depth_` was not doubled
    std::size_t burst_depth_ = pipeline_min;  // blocks, at most, where it comes in bursts
    unsigned bursts_until_trial_ = 1;         // 0: this one is
};
}  // namespace shoal::wire

namespace shoal::wire {
/// First in, first out, with access by position. Allocates only while it grows, so a steady flow allocates nothing.
template <class Item>
class queue {
public:
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    /// `at` counts from the front and is below `size()`.
    Item& operator[](std::size_t at) noexcept { return items_[(head_ + at) & (items_.size() - 1)]; }
    Item const& operator[](std::size_t at) const noexcept { return items_[(head_ + at) & (items_.size() - 1)]; }
    Item& front() noexcept { return (*this)[0]; }
    Item const& front() const noexcept { return (*this)[0]; }
    Item& back() noexcept { return (*this)[size_ - 1]; }

    void push(Item item) {
        if (size_ == items_.size()) grow();
        ++size_;
        back() = std::move(item);
    }
    Item pop() {
        Item item = std::move(front());
        head_ = (head_ + 1) & (items_.size() - 1);
        --size_;
        return item;
    }
    std::size_t capacity() const noexcept { return items_.size(); }
    /// Forgets all items and gives the memory back.
    void clear() { *this = queue{}; }

private:
    void grow() {
        std::vector<Item> larger(items_.empty() ? 8 : items_.size() * 2);
        for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
        items_ = std::move(larger);
        head_ = 0;
    }

    std::vector<Item> items_;  // a power of two of them
    std::size_t head_ = 0;
    std::size_t size_ = 0;
};

/// Bytes on their way to the socket: own messages, kept here, with the data of blocks, kept elsewhere, between them.
/// Bytes stay in place until they were sent; what is added later never moves them.
class outbox {
public:
    void add(byte_view message);
    /// Adds a view of `data`, which stays in place until `blocks_sent()` has counted it. Not empty.
    void add_block(byte_view data);

    /// The next bytes for the socket, as many runs as there are and fit; returns how many.
    std::size_t runs(std::span<byte_view> out) const;
    /// What `sent` took off: bytes of blocks among the bytes given.
    std::size_t sent(std::size_t count);

    std::size_t own_size() const noexcept { return end_ - begin_; }  ///< Bytes of own messages not yet sent.
    std::size_t size() const noexcept { return own_size() + block_bytes_; }
    std::uint64_t blocks_sent() const noexcept { return blocks_sent_; }
    /// Gives back what a steady flow would need again.
    void release_memory() { spare_.clear(); }

private:
    static constexpr std::size_t chunk_size = 1024;  // 60 requests; what a quiet connection keeps
    static constexpr std::size_t spare_max = 3;      // 240 requests with the one in use
    using chunk = std::array<std::byte, chunk_size>;
    void add_chunk();
    struct block {
        std::uint64_t after = 0;  // place in the stream of own messages
        byte_view data;
    };

    std::uint64_t begin_ = 0;  // places in the stream of own messages: sent, and added
    std::uint64_t end_ = 0;
    queue<std::unique_ptr<chunk>> chunks_;  // the first holds begin_
    std::vector<std::unique_ptr<chunk>> spare_;
    queue<block> blocks_;
    std::size_t block_bytes_ = 0;
    std::uint64_t blocks_sent_ = 0;
};

/// A request of ours that is not answered yet.
struct open_request {
    block_ref ref;
    std::byte* destination = nullptr;  // nothing once cancelled or forgotten
    time_point asked{};
    std::uint64_t delivered_then = 0;  // bytes that blocks had brought when it was made
    enum class state : std::uint8_t { done, cancelled, wanted } now = state::done;
};

/// Our requests in the order in which they were made. Answers mostly come in that order.
class open_requests {
public:
    std::size_t wanted() const noexcept { return wanted_; }
    std::size_t cancelled() const noexcept { return cancelled_; }
    void add(open_request const& request);
    /// The wanted request that a block answers. Constant time when answers come in order, else linear.
    open_request const* wanted(block_ref const& ref) const { return find(ref, open_request::state::wanted); }
    /// Takes the request out that a block answers: the wanted one, else a cancelled one.
    std::optional<open_request> answer(block_ref const& ref);
    /// The same for a reject: the cancelled one, else the wanted one.
    std::optional<open_request> reject(block_ref const& ref);
    /// Marks a wanted request as cancelled; false when there is none.
    bool cancel(block_ref const& ref);
    /// The wanted request at or after place `from`, and moves `from` behind it; nothing at the end.
    open_request const* next_wanted(std::size_t& from) const;
    /// Gives back what more requests once needed, when there are none.
    void release_memory() {
        if (rows_.empty()) rows_.clear();
    }
    /// Takes the first request out, wanted or cancelled; nothing when none is left.
    std::optional<open_request> take_first();

private:
    open_request* find(block_ref const& ref, open_request::state in);
    open_request const* find(block_ref const& ref, open_request::state in) const;
    open_request remove(open_request& which);
    void compact();

    queue<open_request> rows_;  // the first is never done, at most half of a long row is
    std::size_t wanted_ = 0;
    std::size_t cancelled_ = 0;
};
}  // namespace shoal::wire

export namespace shoal::wire {
/// Moves bytes to or from the destination of a block; false when that memory is dead. Ranges may overlap.
using copy_function = bool (*)(std::byte* to, std::byte const* from, std::size_t count);
/// `memmove`.
bool plain_copy(std::byte* to, std::byte const* from, std::size_t count);
}  // namespace shoal::wire

namespace shoal::wire {
/// A place that `prepare` named.
struct aim {
    enum class use : std::uint8_t {
        own,          // memory of the connection
        header,       // the same, and the header of a predicted block is expected here, its data in the next place
        destination,  // memory of the caller, which may be dead
    };
    mutable_byte_view place;
    use as = use::own;
    block_ref expected{};  // of a header
};

/// Received bytes that do not stand where they should, in the order in which they came.
class source {
public:
    /// `count` bytes in `places`.
    source(std::span<aim const> places, std::size_t count, copy_function copy);
    /// Bytes that are no destination.
    source(byte_view bytes, copy_function copy);

    std::size_t left() const noexcept { return left_; }
    /// Moves the next `count` bytes, at most `left()`, to `to`; false when they cannot be read.
    bool take(std::byte* to, std::size_t count);
    void skip(std::size_t count);

    enum class moved : std::uint8_t { all, target_dead, source_dead };
    /// The same to a destination. All are taken in any case.
    moved take_to_destination(std::byte* to, std::size_t count);
    /// Whether writing `target` from here on in order would overwrite bytes before they were taken.
    bool is_threatened_by(byte_view target) const;
    /// Copies what is left to `spill` and goes on there; false when it cannot be read.
    bool move_to(byte_vector& spill);

private:
    void next_place();

    byte_view now_;  // rest of the place that is being read
    bool guarded_ = false;
    std::span<aim const> later_;
    std::size_t left_ = 0;
    copy_function copy_;
};
}  // namespace shoal::wire

export namespace shoal::wire {
/// The torrent has to be known: what a peer says before its metadata is there cannot be checked.
struct settings {
    std::uint32_t piece_length = 0;   ///< Bytes, above 0.
    std::uint64_t total_size = 0;     ///< Bytes of the torrent.
    bool fast = false;                ///< Both handshakes had it.
    bool extensions = false;          ///< Both handshakes had it.
    std::uint32_t reqq_own = 2000;    ///< Requests of the peer that we queue; told in our extension handshake.
    copy_function copy = plain_copy;  ///< The store gives one that survives a truncated file.
    wire::limits limits{};
};

/// Bytes and messages since the start.
struct counters {
    std::uint64_t payload_received = 0;  ///< Bytes of blocks that were asked for.
    std::uint64_t payload_sent = 0;
    std::uint64_t protocol_received = 0;  ///< All other bytes, the waste too.
    std::uint64_t protocol_sent = 0;
    std::uint64_t wasted = 0;     ///< Bytes of blocks that nobody asked for, or that came after a cancel.
    std::uint64_t predicted = 0;  ///< Blocks that came where `prepare` had aimed.
    std::uint64_t moved = 0;      ///< Blocks that had to be copied to their destination.
};

/// One end of a peer wire conversation, after the handshake. Source: BEP 3, 6, 10.
///
/// Inputs are what happened; after each, drain `next_event()` and look at `unsent()` and `deadline()`. After an error
/// the conversation is over: only the drains may still be called.
class connection {
public:
    connection(settings const& with, time_point now);
    connection(connection const&) = delete;
    connection& operator=(connection const&) = delete;

    // Receiving. `prepare` and `commit` go together: wait until the socket is readable, prepare, read once without
    // waiting, commit. A driver that cannot (its read suspends between them) may make other calls in between; then a
    // destination that was prepared can still be written until `commit`, whatever was cancelled or forgotten.

    /// Where the next bytes go, in order: header buffer, destination of the next expected block, next header... Returns
    /// how many of `places` were filled: at least 1, never an empty one. `places` must not be empty; 64 is a good size.
    std::size_t prepare(std::span<mutable_byte_view> places);
    /// So many bytes came into the prepared places, in order. What stands in another place than it should is moved; so
    /// a destination can hold any bytes until `event::block` tells its block, and belongs to one connection alone.
    result<void> commit(std::size_t count, time_point now);
    /// The same for who has bytes in hand. Not between `prepare` and `commit`.
    result<void> receive(byte_view bytes, time_point now);
    /// What the input meant, in order; nothing when all is drained.
    std::optional<any_event> next_event();
    /// The block that is half here: `prepare` aims at it first, wherever its request stands among the others.
    std::optional<block_ref> arriving() const { return arriving_ ? std::optional{arriving_->ref} : std::nullopt; }

    // Sending. Each appends to what `unsent` shows. State changes that change nothing send nothing.
    /// Also empties the queue of the peer's requests, with rejects under the fast extension. Those that `next_upload`
    /// has handed out are still owed a `send_block` or a `reject`.
    void choke();
    void unchoke();
    void interested();
    void not_interested();
    void have(piece_index piece);
    /// What we have, as the first thing said (an extension handshake may come before). Have-all and have-none with the
    /// fast extension; without it, nothing is sent when it is empty.
    void send_bitfield(bitfield const& pieces);
    /// `reqq` is filled in with `settings::reqq_own` when absent. Nothing is sent unless extensions are negotiated.
    /// From here on messages under the ids in `m` are told; those under ids that no handshake of ours had are skipped.
    void extension_handshake(extension_handshake_message message);
    /// Where our DHT node is, for peers whose handshake says that they have one. Source: BEP 5.
    void port(std::uint16_t udp_port);
    /// `id` is the one the peer gave in its `m`. At most `limits::extension_max` bytes.
    void extension_message(std::uint8_t id, byte_view payload);

    /// Asks for a block; its bytes will go to `destination`, which has to stay valid until `event::block` or
    /// `event::rejected` for it was drained, or `forget` or `cancel` was called. False, and nothing sent, when the peer
    /// chokes us and has not allowed this piece, or when `request_room()` is 0. Promised by the caller: the block lies
    /// in the torrent, has the size of `destination`, at most `limits::block_max`, and is not asked for already.
    bool request(block_ref const& block, mutable_byte_view destination, time_point now);
    /// Takes a request back. From here on the destination is the caller's again (see `prepare` for the exception); when
    /// the block comes all the same it is thrown away. No event follows. Does nothing when it was not asked for.
    void cancel(block_ref const& block);
    /// The same without telling the peer: it is too slow, its answer is of no use.
    void forget(block_ref const& block);

    /// The peer's requests in the order it made them, without those it cancelled; nothing when none waits. Each taken
    /// one is owed a `send_block` or a `reject`.
    std::optional<block_ref> next_upload();
    /// The one that `next_upload` would hand out.
    std::optional<block_ref> peek_upload() const noexcept;
    /// `data`, of `block.length` bytes, is not copied: it stays in place until `blocks_sent()` has counted it.
    void send_block(block_ref const& block, byte_view data);
    /// Without the fast extension nothing is sent: there is no such message.
    void reject(block_ref const& block);

    /// The next bytes for the socket: headers and data of blocks in turn. Returns how many of `runs` were filled, 0
    /// when nothing waits. They stay in place until `sent`, whatever else is called.
    std::size_t unsent(std::span<byte_view> runs) const { return outbox_.runs(runs); }
    void sent(std::size_t count, time_point now);
    std::size_t unsent_bytes() const noexcept { return outbox_.size(); }
    /// Blocks that went to the socket completely, counted in the order of `send_block`.
    std::uint64_t blocks_sent() const noexcept { return outbox_.blocks_sent(); }

    // Time.
    /// `deadline()` has passed, or not: both are fine. Fails with `silent`, `stalled` or `never_reads`.
    result<void> wake(time_point now);
    /// When to call `wake`. Changes with every input.
    time_point deadline() const;

    // State.
    bool is_choked() const noexcept { return choked_; }    ///< By the peer; true at the start.
    bool is_choking() const noexcept { return choking_; }  ///< True at the start.
    bool is_interested() const noexcept { return interested_; }
    bool peer_is_interested() const noexcept { return peer_interested_; }
    bool is_snubbed() const noexcept { return snubbed_; }  ///< No block came for long; see `event::snubbed`.
    bitfield const& peer_pieces() const noexcept { return peer_pieces_; }
    /// All extension handshakes of the peer so far, merged.
    extension_handshake_message const& peer_extensions() const noexcept { return peer_extensions_; }
    std::size_t outstanding() const noexcept {
        return requests_.wanted() + arriving_.has_value();
    }  ///< Requests of ours without an answer.
    std::size_t request_room() const noexcept;  ///< How many more requests the peer takes now.
    std::size_t uploads_queued() const noexcept {
        return uploads_live_;
    }  ///< Requests that `next_upload` has not handed out.
    double download_rate(time_point now) const { return download_rate_.at(now); }  ///< Payload bytes a second.
    double upload_rate(time_point now) const { return upload_rate_.at(now); }      ///< Payload bytes a second.
    /// Blocks to keep in flight, from `pipeline_min` to what the peer queues. Grows at least twofold each round trip
    /// until the line is full.
    std::size_t pipeline_depth(time_point now) const;
    wire::counters const& counters() const noexcept { return counters_; }

private:
    // What the next received bytes are part of.
    enum class part : std::uint8_t { header, block, body, skipped };

    static constexpr std::size_t block_header_length = 13;   // length, id, piece, begin
    static constexpr std::size_t short_message_length = 17;  // length, id, piece, begin, length: what header_ holds
    static constexpr std::size_t aimed_blocks_max = 32;      // 64 places: what Asio gathers in one call
    static constexpr std::size_t aimed_blocks_min = 4;       // where every prediction fails
    static constexpr std::size_t inbox_least = 512;          // 30 requests; what a quiet connection keeps
    static constexpr std::size_t inbox_most = 4096;          // of one that filled all places of a read
    static constexpr std::size_t body_step = 16 * 1024;      // a long message gets memory as it comes

    // receive.cpp
    void begin_input(std::size_t count, time_point now);
    std::optional<mutable_byte_view> rest_of_part();
    std::size_t took_in_place(std::size_t count, time_point now);
    result<void> end_part(time_point now);
    bool stands_as_expected(aim const& header, std::size_t which) const;
    result<void> parse(source& from, time_point now);
    result<void> pull_header(source& from, time_point now);
    result<void> pull_part(source& from, time_point now);
    result<void> end_input(result<void> so_far);
    void begin_header() noexcept;
    void begin_block(open_request const& request);
    void begin_skip(std::size_t count);
    // messages.cpp
    result<void> on_message_start(time_point now);
    result<void> on_extension_id(time_point now);
    result<void> on_message(byte_view payload, time_point now);
    result<void> on_block_header(source& from);
    result<void> on_choke(time_point now);
    result<void> on_unchoke(time_point now);
    result<void> on_interest(bool is, time_point now);
    result<void> on_have(byte_view payload, time_point now);
    result<void> on_late_bitfield(bitfield pieces, time_point now);
    result<void> on_pieces(bitfield pieces);
    result<void> on_request(byte_view payload, time_point now);
    result<void> on_cancel(byte_view payload, time_point now);
    result<void> on_reject(byte_view payload);
    result<void> on_allowed_fast(byte_view payload, time_point now);
    result<void> on_extended(byte_view payload, time_point now);
    result<piece_index> piece_in(byte_view payload) const;
    std::uint32_t piece_size(piece_index piece) const noexcept;
    bool is_inside(block_ref const& ref) const noexcept;
    // connection.cpp
    void send(message id, std::initializer_list<std::uint32_t> numbers = {});
    void send_range(message id, block_ref const& ref);
    bool drop_request(block_ref const& block);
    void release_memory();
    std::size_t peer_queue() const noexcept;
    void emit(any_event event) { events_.push(std::move(event)); }

    settings settings_;

    // receiving
    part part_ = part::header;
    std::array<std::byte, short_message_length> header_{};
    std::size_t header_have_ = 0;
    std::size_t header_want_ = 4;                  // as far as the bytes so far tell
    message message_{};                            // the one that header_ started, from its id on
    std::size_t left_ = 0;                         // bytes until the end of the part, if it is no header
    std::optional<open_request> arriving_;         // of part::block, and of a skipped one that was asked for
    byte_vector body_;                             // of part::body, as far as it has come
    std::size_t body_have_ = 0;                    //
    std::vector<byte_vector> payloads_;            // what events of this input point to
    byte_vector spill_;                            // bytes that stood where others belong
    std::size_t aimed_blocks_ = aimed_blocks_max;  // fewer after a wrong prediction
    // Of the read under way. They grow with the flow and stay so; a quiet connection needs next to nothing.
    std::vector<aim> aims_;
    std::size_t aimed_bytes_ = 0;
    std::vector<std::array<std::byte, block_header_length>> headers_;
    byte_vector inbox_;
    std::size_t inbox_wanted_ = inbox_least;
    queue<any_event> events_;
    bool told_requested_ = false;  // an event::requested waits

    // sending
    outbox outbox_;
    queue<block_ref> uploads_;  // length 0: cancelled
    std::size_t uploads_live_ = 0;
    std::optional<time_point> waiting_since_;  // since when bytes wait and the socket takes none

    // state
    bool choked_ = true;
    bool choking_ = true;
    bool interested_ = false;
    bool peer_interested_ = false;
    bool snubbed_ = false;
    /// Whether the peer may still say what it has, has just said it, or has gone on to other messages.
    enum class phase : std::uint8_t { opening, told, talking };
    phase phase_ = phase::opening;
    bitfield peer_pieces_;
    std::vector<piece_index> allowed_fast_;
    open_requests requests_;
    std::size_t unasked_allowed_ = 0;  // blocks that may have crossed a cancel or a choke
    std::size_t unasked_ = 0;
    std::bitset<256> own_extensions_{1};  // ids that we gave the peer, and that of the handshake
    extension_handshake_message peer_extensions_;
    std::optional<time_point> extension_handshake_at_;

    // time and numbers
    budget idle_messages_;
    budget excess_requests_;
    rate_meter download_rate_;
    rate_meter upload_rate_;
    pipeline pipeline_;
    wire::counters counters_;
    time_point last_received_;
    time_point last_sent_;
    time_point last_block_;  // or the first request after none was open, or when it was last snubbed
};
}  // namespace shoal::wire
