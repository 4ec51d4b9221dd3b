export module shoal.wire:budget;
import shoal.core;
import :limits;

export namespace shoal::wire {
/// Messages that a peer may send, as a bucket that refills.
class budget {
public:
    budget(budget_limit limit, time_point now) : limit_(limit), left_(limit.burst), last_(now) {}
    /// Takes one message off; false when none is left.
    bool take(time_point now);

private:
    budget_limit limit_;
    double left_;
    time_point last_;
};
}  // namespace shoal::wire
