#include "core/infer/generate.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <optional>

#include "core/base/check.h"
#include "core/infer/text_stream.h"
#include "core/nn/token_losses.h"

namespace tera::infer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What a worker draws a token with.
struct DrawMemory {
  std::vector<float> penalised;  // [vocabulary]
  std::vector<Candidate> candidates;
};

// One text in the making.
struct Sequence {
  Sequence(const Prompt& of, const GenerateOptions& options, Generated& result)
      : prompt(&of), made(&result), stream(options.stops) {
    made->prompt_tokens = static_cast<int>(of.tokens.size());
    made->tokens.reserve(static_cast<std::size_t>(options.max_tokens));
  }

  const Prompt* prompt;
  Generated* made;
  TextStream stream;
  TokenHistory history;  // empty where there are no penalties
  bool done = false;
};

class BatchGenerator {
 public:
  BatchGenerator(nn::Model& model,
                 const data::Tokenizer* tokenizer,
                 std::span<const Prompt> prompts,
                 const GenerateOptions& options,
                 const GenerateEvents& events)
      : model_(model),
        tokenizer_(tokenizer),
        vocabulary_(vocabulary_of(model, tokenizer)),
        options_(options),
        events_(events),
        penalties_(options.sampling.repetition_penalty != 1 ||
                   options.sampling.presence_penalty != 0 ||
                   options.sampling.frequency_penalty != 0),
        cache_(make_cache(model, prompts, options.max_tokens)),
        memory_(index(model.backend().context().executor->num_workers())) {
    generation_.texts.resize(prompts.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      sequences_.emplace_back(prompts[i], options, generation_.texts[i]);
      if (penalties_) sequences_.back().history.add_prompt(prompts[i].tokens);
    }
    rows_.resize(prompts.size());
    std::iota(rows_.begin(), rows_.end(), 0);
  }

  Result<Generation> run() {
    Clock::time_point start = Clock::now();
    for (std::size_t s = 0; s < sequences_.size() && keep_going(); ++s)
      TERA_TRY_VOID(prefill(static_cast<int>(s)));
    generation_.prefill_s = seconds_since(start);
    start = Clock::now();
    drop_finished();
    while (!rows_.empty() && keep_going()) {
      TERA_TRY_VOID(step());
      drop_finished();
    }
    for (const int s : rows_)
      end(s, Finish::interrupted);
    generation_.decode_s = seconds_since(start);
    return std::move(generation_);
  }

 private:
  // The longest prompt begins at slot 0. The last token drawn is never fed back.
  static nn::KvCache make_cache(const nn::Model& model,
                                std::span<const Prompt> prompts,
                                int max_tokens) {
    std::size_t longest = 0;
    for (const Prompt& prompt : prompts)
      longest = std::max(longest, prompt.tokens.size());
    std::vector<int> begins;
    for (const Prompt& prompt : prompts)
      begins.push_back(static_cast<int>(longest - prompt.tokens.size()));
    return model.make_cache(static_cast<int>(longest) + max_tokens - 1, begins);
  }

  bool keep_going() {
    if (events_.keep_going && !events_.keep_going()) interrupted_ = true;
    return !interrupted_;
  }

  Result<void> prefill(int s) {
    const std::vector<std::int32_t>& tokens = sequences_[index(s)].prompt->tokens;
    const Tensor logits = decode(tokens, {s, 1});  // [1, V]
    if (options_.with_experts) record_experts(s, 0, std::ssize(tokens));
    return take(logits, {&s, 1});
  }

  // One token more for every row.
  Result<void> step() {
    last_tokens_.clear();
    for (const int s : rows_)
      last_tokens_.push_back(sequences_[index(s)].made->tokens.back().token);
    const Tensor logits = decode(last_tokens_, {0, static_cast<int>(rows_.size())});  // [rows, V]
    if (options_.with_experts) {
      for (std::size_t row = 0; row < rows_.size(); ++row)
        record_experts(rows_[row], static_cast<std::int64_t>(row), 1);
    }
    return take(logits, rows_);
  }

  // Rows beyond the tokenizer's are padding of the vocabulary: never drawn, no share of the
  // probability.
  Tensor decode(std::span<const std::int32_t> tokens, nn::KvCache::Range range) {
    Tensor logits = model_.decode(tokens, cache_,
                                  {.sequences = range,
                                   .last_only = true,
                                   .choices = options_.with_experts ? &choices_ : nullptr});
    const std::int64_t vocabulary = logits.dim(1);
    for (std::int64_t row = 0; row < logits.dim(0); ++row) {
      auto* begin = logits.data<float>() + row * vocabulary;
      std::fill(begin + vocabulary_, begin + vocabulary, -std::numeric_limits<float>::infinity());
    }
    return logits;
  }

  // Draws the next token of each sequence from its row of the logits.
  Result<void> take(const Tensor& logits, std::span<const int> sequences) {
    Backend& backend = logits.backend();
    const auto count = static_cast<std::int64_t>(sequences.size());
    drawn_.resize(sequences.size());
    backend.context().executor->parallel_for(count, [&](std::int64_t row, int worker) {
      drawn_[index(row)] = draw(sequences_[index(sequences[index(row)])], row_of(logits, row),
                                memory_[index(worker)]);
    });
    if (!chosen_.present() || chosen_.num_elements() != count) {
      chosen_ = Tensor::empty(backend, {count}, DType::i32, MemoryKind::workspace);
    }
    for (std::int64_t row = 0; row < count; ++row) {
      TERA_TRY(chosen_.data<std::int32_t>()[row], drawn_[index(row)]);
    }
    const nn::TokenLosses losses(logits, chosen_);
    for (std::int64_t row = 0; row < count; ++row) {
      accept(sequences[index(row)], {chosen_.data<std::int32_t>()[row], -losses.loss(row)},
             row_of(logits, row));
    }
    return {};
  }

  std::span<const float> row_of(const Tensor& logits, std::int64_t row) const {
    return {logits.data<const float>() + row * logits.dim(1), index(vocabulary_)};
  }

  Result<std::int32_t> draw(const Sequence& sequence,
                            std::span<const float> logits,
                            DrawMemory& memory) const {
    const std::int64_t position = sequence.made->prompt_tokens + std::ssize(sequence.made->tokens);
    if (penalties_) {
      memory.penalised.assign(logits.begin(), logits.end());
      sequence.history.penalise(memory.penalised, options_.sampling);
      logits = memory.penalised;
    }
    return sample(logits, options_.sampling, sequence.prompt->seed, position, memory.candidates);
  }

  void accept(int s, TokenLogprob next, std::span<const float> logits) {
    Sequence& sequence = sequences_[index(s)];
    Generated& made = *sequence.made;
    if (ends_text(next.token)) return end(s, Finish::end_of_document);
    made.tokens.push_back(next);
    if (options_.num_alternatives > 0) made.alternatives.push_back(most_likely(logits, next));
    if (penalties_) sequence.history.add(next.token);
    if (tokenizer_ != nullptr) pass_on(s, sequence.stream.add(tokenizer_->token_bytes(next.token)));
    if (sequence.stream.stopped()) return end(s, Finish::stop);
    if (std::ssize(made.tokens) == options_.max_tokens) end(s, Finish::max_tokens);
  }

  bool ends_text(std::int32_t token) const {
    const std::vector<std::int32_t>& ends = options_.end_tokens;
    return (tokenizer_ != nullptr && tokenizer_->ends_text(token)) ||
           std::find(ends.begin(), ends.end(), token) != ends.end();
  }

  std::vector<TokenLogprob> most_likely(std::span<const float> logits, TokenLogprob chosen) {
    ids_.resize(logits.size());
    std::iota(ids_.begin(), ids_.end(), 0);
    const std::size_t count = std::min(ids_.size(), index(options_.num_alternatives));
    const auto more_likely = [&](std::int32_t a, std::int32_t b) {
      const float x = logits[index(a)];
      const float y = logits[index(b)];
      return x != y ? x > y : a < b;
    };
    std::partial_sort(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(count), ids_.end(),
                      more_likely);
    std::vector<TokenLogprob> best;
    for (std::size_t i = 0; i < count; ++i) {
      const double above = double{logits[index(ids_[i])]} - double{logits[index(chosen.token)]};
      best.push_back({ids_[i], chosen.logprob + above});
    }
    return best;
  }

  void record_experts(int s, std::int64_t first, std::int64_t count) {
    const std::int64_t top_k = model_.config().router_top_k;
    for (std::int64_t t = first; t < first + count; ++t) {
      std::vector<nn::ExpertChoices> token;
      for (const nn::ExpertChoices& layer : choices_) {
        nn::ExpertChoices& of_layer = token.emplace_back();
        if (layer.experts.empty()) continue;
        const auto begin = t * top_k;
        of_layer.experts.assign(layer.experts.begin() + begin,
                                layer.experts.begin() + begin + top_k);
        of_layer.gates.assign(layer.gates.begin() + begin, layer.gates.begin() + begin + top_k);
      }
      sequences_[index(s)].made->experts.push_back(std::move(token));
    }
  }

  void pass_on(int s, const std::string& piece) {
    if (piece.empty()) return;
    sequences_[index(s)].made->text += piece;
    if (events_.on_piece) events_.on_piece(s, piece);
  }

  void end(int s, Finish why) {
    Sequence& sequence = sequences_[index(s)];
    pass_on(s, sequence.stream.finish());
    sequence.made->finish = why;
    sequence.done = true;
  }

  // The last row takes the place of one that is done.
  void drop_finished() {
    for (std::size_t row = 0; row < rows_.size();) {
      if (!sequences_[index(rows_[row])].done) {
        ++row;
        continue;
      }
      const std::size_t last = rows_.size() - 1;
      if (row != last) {
        cache_.copy(static_cast<int>(last), static_cast<int>(row));
        rows_[row] = rows_[last];
      }
      rows_.pop_back();
    }
  }

  template <class Integer>
  static std::size_t index(Integer i) {
    return static_cast<std::size_t>(i);
  }

  nn::Model& model_;
  const data::Tokenizer* tokenizer_;
  std::int32_t vocabulary_;  // ids that may be drawn
  const GenerateOptions& options_;
  const GenerateEvents& events_;
  bool penalties_;
  bool interrupted_ = false;
  nn::KvCache cache_;
  std::vector<Sequence> sequences_;
  std::vector<int> rows_;                   // of the cache: sequences that go on
  std::vector<nn::ExpertChoices> choices_;  // of the last forward, by layer
  Generation generation_;

  // Memory that every token uses anew.
  std::vector<DrawMemory> memory_;           // of each worker
  std::vector<std::int32_t> last_tokens_;    // of each row
  std::vector<Result<std::int32_t>> drawn_;  // of each row
  Tensor chosen_;                            // [rows] i32
  std::vector<std::int32_t> ids_;            // [vocabulary], some sorted by their logits
};

}  // namespace

Result<Generation> generate(nn::Model& model,
                            const data::Tokenizer* tokenizer,
                            std::span<const Prompt> prompts,
                            const GenerateOptions& options,
                            const GenerateEvents& events) {
  TERA_CHECK(!prompts.empty() && std::ssize(prompts) <= kMaxPrompts,
             "generation of {} prompts at once, expected 1 to {}", prompts.size(), kMaxPrompts);
  TERA_TRY_VOID(check_prompts(model, tokenizer, prompts, options));
  return BatchGenerator(model, tokenizer, prompts, options, events).run();
}

}  // namespace tera::infer
