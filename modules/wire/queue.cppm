module;
#include <cstddef>
#include <utility>
#include <vector>

export module shoal.wire:queue;

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
}  // namespace shoal::wire
