#include "core/data/bpe_trainer.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include <fmt/format.h>
#include <queue>

#include "core/base/hash.h"

namespace tera::data {
namespace {

struct PieceHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view piece) const { return xxh3_64(piece); }
};
using PieceCounts = std::unordered_map<std::string, std::int64_t, PieceHash, std::equal_to<>>;

// One distinct piece: its symbols are symbols[first, first + size).
struct Word {
  std::int64_t first = 0;
  std::int32_t size = 0;
  std::int64_t count = 0;
};

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint32_t>(right);
}

// What is known of one adjacent pair.
struct Pair {
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::int64_t count = 0;           // uses of words x occurrences
  std::vector<std::int32_t> words;  // that hold it, or held it
  std::int64_t changed_in_step = -1;
};

// Open addressing from pair to its place in a vector; grows, never shrinks.
class PairTable {
 public:
  PairTable() : slots_(1 << 16) {}
  Pair& operator()(std::int32_t left, std::int32_t right) { return pairs_[index(left, right)]; }
  std::size_t index(std::int32_t left, std::int32_t right) {
    const std::uint64_t key = pair_key(left, right);
    for (std::size_t at = slot_of(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].place < 0) {
        const std::size_t place = pairs_.size();
        Pair pair;
        pair.left = left;
        pair.right = right;
        pairs_.push_back(std::move(pair));
        slots_[at] = {key, static_cast<std::int64_t>(place)};
        if (pairs_.size() * 2 > slots_.size()) grow();
        return place;
      }
      if (slots_[at].key == key) return static_cast<std::size_t>(slots_[at].place);
    }
  }
  Pair& at(std::size_t place) { return pairs_[place]; }
  std::size_t size() const { return pairs_.size(); }

 private:
  struct Slot {
    std::uint64_t key = 0;
    std::int64_t place = -1;
  };
  std::size_t slot_of(std::uint64_t key) const {
    key *= 0x9E3779B97F4A7C15ULL;
    return (key ^ (key >> 32)) & (slots_.size() - 1);
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.place < 0) continue;
      std::size_t at = slot_of(slot.key);
      while (slots_[at].place >= 0)
        at = (at + 1) & (slots_.size() - 1);
      slots_[at] = slot;
    }
  }
  std::vector<Slot> slots_;
  std::vector<Pair> pairs_;
};

// A pair with the count it had when it was pushed; checked against the truth when it is popped.
struct Candidate {
  std::int64_t count = 0;
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::size_t place = 0;
  bool operator<(const Candidate& other) const {  // the greatest is merged first
    if (count != other.count) return count < other.count;
    if (left != other.left) return left > other.left;
    return right > other.right;
  }
};

// The merging half: words as symbols, pairs, and the vocabulary as it grows.
class Merger {
 public:
  Merger(const BpeTrainerOptions& options, TokenizerFile& file) : options_(options), file_(file) {
    for (std::size_t id = 0; id < file.tokens.size(); ++id) {
      ids_.emplace(file.tokens[id], static_cast<std::int32_t>(id));
    }
    special_.insert(options.special_tokens.begin(), options.special_tokens.end());
  }

  void add_word(std::string_view piece,
                std::int64_t count,
                const std::array<std::int32_t, 256>& byte_ids) {
    Word word{static_cast<std::int64_t>(symbols_.size()), static_cast<std::int32_t>(piece.size()),
              count};
    for (const char byte : piece)
      symbols_.push_back(byte_ids[static_cast<unsigned char>(byte)]);
    const auto index = static_cast<std::int32_t>(words_.size());
    words_.push_back(word);
    for (std::int32_t i = 0; i + 1 < word.size; ++i) {
      add_pair(symbol(word, i), symbol(word, i + 1), count, index);
    }
  }

  bool run(const BpeTrainer::OnProgress& on_progress) {
    for (std::size_t place = 0; place < pairs_.size(); ++place)
      push(place);
    const std::int64_t first = std::ssize(file_.tokens);
    while (std::ssize(file_.tokens) < options_.vocab_size && !heap_.empty()) {
      const Candidate best = heap_.top();
      heap_.pop();
      Pair& pair = pairs_.at(best.place);
      if (pair.count != best.count) {
        push(best.place);
        continue;
      }
      if (best.count < std::max<std::int64_t>(1, options_.min_frequency)) break;
      merge(best);
      const std::int64_t done = std::ssize(file_.tokens) - first;
      if (on_progress && done % 64 == 0 && !on_progress(done, options_.vocab_size - first)) {
        return false;
      }
    }
    return true;
  }

 private:
  std::int32_t& symbol(const Word& word, std::int32_t i) {
    return symbols_[static_cast<std::size_t>(word.first + i)];
  }

  void push(std::size_t place) {
    const Pair& pair = pairs_.at(place);
    if (pair.count > 0) heap_.push({pair.count, pair.left, pair.right, place});
  }

  void add_pair(std::int32_t left, std::int32_t right, std::int64_t count, std::int32_t word) {
    const std::size_t place = pairs_.index(left, right);
    Pair& pair = pairs_.at(place);
    pair.count += count;
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
    if (pair.changed_in_step != step_) {
      pair.changed_in_step = step_;
      changed_.push_back(place);
    }
  }

  // The id of the join: a new one, or that of a token with the same bytes.
  std::int32_t id_of_join(const std::string& bytes) {
    const auto [at, is_new] =
        ids_.try_emplace(bytes, static_cast<std::int32_t>(file_.tokens.size()));
    if (is_new) file_.tokens.push_back(bytes);
    return at->second;
  }

  void merge(const Candidate& best) {
    std::vector<std::int32_t> words = std::move(pairs_.at(best.place).words);
    pairs_.at(best.place).words.clear();
    pairs_.at(best.place).count = 0;
    const std::string join = file_.tokens[static_cast<std::size_t>(best.left)] +
                             file_.tokens[static_cast<std::size_t>(best.right)];
    if (special_.contains(join)) return;
    const std::int32_t merged = id_of_join(join);
    file_.merges.push_back({best.left, best.right, merged});
    ++step_;
    changed_.clear();
    for (const std::int32_t index : words)
      merge_in_word(index, best.left, best.right, merged);
    pairs_.at(best.place).count = 0;  // overlaps (aaa) counted it down past its uses
    for (const std::size_t place : changed_)
      push(place);
  }

  // Replaces every (left, right) of a word, left to right, and corrects the pairs beside it.
  void merge_in_word(std::int32_t index,
                     std::int32_t left,
                     std::int32_t right,
                     std::int32_t merged) {
    Word& word = words_[static_cast<std::size_t>(index)];
    std::int32_t kept = 0;
    for (std::int32_t i = 0; i < word.size;) {
      const bool here =
          symbol(word, i) == left && i + 1 < word.size && symbol(word, i + 1) == right;
      if (!here) {
        symbol(word, kept++) = symbol(word, i++);
        continue;
      }
      if (kept > 0) {
        const std::int32_t previous = symbol(word, kept - 1);
        pairs_(previous, left).count -= word.count;
        add_pair(previous, merged, word.count, index);
      }
      if (i + 2 < word.size) {
        const std::int32_t next = symbol(word, i + 2);
        pairs_(right, next).count -= word.count;
        add_pair(merged, next, word.count, index);
      }
      symbol(word, kept++) = merged;
      i += 2;
    }
    word.size = kept;
  }

  const BpeTrainerOptions& options_;
  TokenizerFile& file_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::set<std::string> special_;
  std::vector<Word> words_;
  std::vector<std::int32_t> symbols_;
  PairTable pairs_;
  std::priority_queue<Candidate> heap_;
  std::vector<std::size_t> changed_;  // pairs that gained uses in this step
  std::int64_t step_ = 0;
};

}  // namespace

struct BpeTrainer::State {
  BpeTrainerOptions options;
  ThreadPool& pool;
  std::vector<PieceCounts> counts;  // one per worker; sums do not depend on who counted
};

BpeTrainer::BpeTrainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
BpeTrainer::~BpeTrainer() = default;
BpeTrainer::BpeTrainer(BpeTrainer&&) noexcept = default;

Result<BpeTrainer> BpeTrainer::create(BpeTrainerOptions options, ThreadPool& pool) {
  const std::int64_t least = 256 + std::ssize(options.special_tokens);
  if (options.vocab_size < least || options.vocab_size > (1 << 20)) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("vocabulary of {} tokens, expected {} (256 bytes and {} special tokens) "
                    "to 1048576",
                    options.vocab_size, least, options.special_tokens.size()),
        "4096 suits a small corpus, 32768 and more large ones");
  }
  std::set<std::string> seen;
  for (const std::string& token : options.special_tokens) {
    if (token.size() < 2 || !seen.insert(token).second) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("special token \"{}\" is listed twice or shorter than 2 bytes", token));
    }
  }
  const auto workers = static_cast<std::size_t>(pool.size());
  return BpeTrainer(std::unique_ptr<State>(
      new State{std::move(options), pool, std::vector<PieceCounts>(workers)}));
}

void BpeTrainer::add_texts(std::span<const std::string> texts) {
  state_->pool.parallel_for(std::ssize(texts), [&](std::int64_t task, int worker) {
    PieceCounts& counts = state_->counts[static_cast<std::size_t>(worker)];
    PieceScanner scanner(state_->options.pre_tokenizer, texts[static_cast<std::size_t>(task)]);
    for (std::string_view piece = scanner.next(); !piece.empty(); piece = scanner.next()) {
      const auto at = counts.find(piece);
      if (at != counts.end()) {
        ++at->second;
      } else {
        counts.emplace(piece, 1);
      }
    }
  });
}

std::int64_t BpeTrainer::num_pieces() const {
  std::set<std::string_view> pieces;
  for (const PieceCounts& counts : state_->counts) {
    for (const auto& [piece, count] : counts)
      pieces.insert(piece);
  }
  return std::ssize(pieces);
}

std::int64_t BpeTrainer::num_piece_uses() const {
  std::int64_t uses = 0;
  for (const PieceCounts& counts : state_->counts) {
    for (const auto& [piece, count] : counts)
      uses += count;
  }
  return uses;
}

Result<TokenizerFile> BpeTrainer::train(const OnProgress& on_progress) {
  const BpeTrainerOptions& options = state_->options;
  TokenizerFile file;
  file.pre_tokenizer = options.pre_tokenizer;
  for (const std::string& token : options.special_tokens) {
    file.added_tokens.push_back({static_cast<std::int32_t>(file.tokens.size()), token, true});
    file.tokens.push_back(token);
  }
  std::array<std::int32_t, 256> byte_ids{};
  for (const std::uint8_t byte : bytes_by_code_point()) {
    byte_ids[byte] = static_cast<std::int32_t>(file.tokens.size());
    file.tokens.emplace_back(1, static_cast<char>(byte));
  }
  std::map<std::string_view, std::int64_t>
      pieces;  // in key order, so that nothing depends on hashing
  for (const PieceCounts& counts : state_->counts) {
    for (const auto& [piece, count] : counts)
      pieces[piece] += count;
  }
  Merger merger(options, file);
  for (const auto& [piece, count] : pieces)
    merger.add_word(piece, count, byte_ids);
  if (!merger.run(on_progress))
    return fail(ErrorCode::failed, "training was stopped", "nothing was written");
  return file;
}

}  // namespace tera::data
