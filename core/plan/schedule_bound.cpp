#include "core/plan/schedule_bound.h"

#include <algorithm>

namespace tera::plan {
namespace {

using spec::ScheduleKind;
using Links = std::vector<LinkSeconds>;

double whole_s(const LinkSeconds& link) {
  return link.backward_input + link.backward_weight;
}

const LinkSeconds& at(const Links& links, int link) {
  return links[static_cast<std::size_t>(link)];
}

// Of all links.
struct Sums {
  double forward = 0;
  double input = 0;  // gradients of inputs
  double whole = 0;  // backward
};
Sums sum_of(const Links& links) {
  Sums sums;
  for (const LinkSeconds& link : links) {
    sums.forward += link.forward;
    sums.input += link.backward_input;
    sums.whole += whole_s(link);
  }
  return sums;
}

// Exact: the slowest stage works without a pause once its first micro-batch is there, forward and
// then backward.
double gpipe(const PipelineShape& shape, const Links& links, double send_s) {
  double forward = 0;
  double backward = 0;
  for (const LinkSeconds& link : links) {
    forward = std::max(forward, link.forward);
    backward = std::max(backward, whole_s(link));
  }
  const Sums sums = sum_of(links);
  return sums.forward + sums.whole + 2 * (shape.num_stages - 1) * send_s +
         static_cast<double>(shape.num_micro_batches - 1) * (forward + backward);
}

// How 1F1B and the schedules that split its backward differ.
struct OneAtATime {
  bool split = false;     // gradients of weights run apart
  int times = 1;          // so many forwards ahead, and gradients of weights behind, per stage
  bool overlaps = false;  // stages begin their next step before the others end theirs
};

// Stage s forwards micro-batch k + n, n = 1 + what it runs ahead, only after the backward of k:
// rounds to the last stage and back follow one another.
double one_f_one_b(const PipelineShape& shape,
                   const Links& links,
                   double send_s,
                   const OneAtATime& order) {
  const Sums sums = sum_of(links);
  const double all_backward = order.split ? sums.input : sums.whole;
  const std::int64_t m = shape.num_micro_batches;
  double forward_before = 0;
  double backward_before = 0;
  double least = 0;
  for (int s = 0; s < shape.num_stages; ++s) {
    const LinkSeconds& link = at(links, s);
    const double forward = link.forward;
    const double backward = order.split ? link.backward_input : whole_s(link);
    const double weight = order.split ? link.backward_weight : 0;
    const double enter = order.overlaps ? 0 : forward_before + s * send_s;
    // The gradient on its way to the first stage, and what that then has left.
    const double leave = order.overlaps ? weight
                         : order.split
                             ? backward_before + s * send_s + links.front().backward_weight
                             : backward_before + s * send_s;
    const double round = sums.forward - forward_before + all_backward - backward_before +
                         2 * (shape.num_stages - 1 - s) * send_s;
    const bool in_pairs = shape.in_pairs && !order.split;
    const std::int64_t n = 1 +
                           std::int64_t{in_pairs ? 2 : order.times} * (shape.num_stages - 1 - s) +
                           (in_pairs ? 1 : 0);
    const std::int64_t lag = std::int64_t{order.times} * s;
    // Gradients of weights that the order has computed after so many backwards.
    const auto weights = [&](std::int64_t backwards) {
      return weight * static_cast<double>(std::max<std::int64_t>(0, backwards - lag));
    };
    const auto count = static_cast<double>(m);
    // The stage's work, one after the other.
    least = std::max(least, enter + count * (forward + backward + weight));
    least = std::max(least, enter + count * (forward + backward) + weights(m - 1) + leave);
    if (m <= n) {
      least = std::max(least, enter + round + (count - 1) * std::max(forward, backward) + leave);
    } else {
      const std::int64_t rounds = (m - 1) / n;
      const std::int64_t rest = (m - 1) % n;
      double chain = enter + static_cast<double>(rounds + 1) * round +
                     static_cast<double>(rest) * (forward + backward) + weights(rest) + leave;
      const std::int64_t first = rest >= lag ? 0 : (lag - rest + n - 1) / n;  // with a weight
      chain += weight * static_cast<double>(std::max<std::int64_t>(0, rounds - first));
      least = std::max(least, chain);
      // A round, the stage's work, a round.
      const auto steady = static_cast<double>(m - n);
      least = std::max(least, enter + 2 * round - forward + steady * forward +
                                  (steady - 1) * backward + weights(m - n) + leave);
    }
    forward_before += forward;
    backward_before += backward;
  }
  return least;
}

double interleaved(const PipelineShape& shape, const Links& links, double send_s) {
  const auto m = static_cast<double>(shape.num_micro_batches);
  const int p = shape.num_stages;
  const int last_chunk = (shape.num_chunks - 1) * p;  // its first link
  double before = 0;                                  // links before that of the first chunk
  double to_last = 0;                                 // and of the last
  for (int link = 0; link < last_chunk; ++link)
    to_last += at(links, link).forward + whole_s(at(links, link));
  double least = 0;
  for (int s = 0; s < p; ++s) {
    double early_forward = 0;  // of all chunks but the last
    double early_backward = 0;
    for (int link = s; link < last_chunk; link += p) {
      early_forward += at(links, link).forward;
      early_backward += whole_s(at(links, link));
    }
    const LinkSeconds& last = at(links, last_chunk + s);
    const double busy = m * (early_forward + early_backward + last.forward + whole_s(last));
    least = std::max(least, before + 2 * s * send_s + busy);
    // The first micro-batch on its way to the last chunk, meanwhile num_stages in each chunk
    // before; and the last one back.
    least = std::max(least, to_last + 2 * (last_chunk + s) * send_s + busy -
                                p * (early_forward + early_backward));
    before += at(links, s).forward + whole_s(at(links, s));
    to_last += last.forward + whole_s(last);
  }
  return least;
}

// Gradients of weights that a stage of dualpipe-v has left after its last backward.
int weights_left(int stage) {
  const int half = (stage + 1) / 2;
  return 2 * (stage + 1 - half) - (stage % 2 == 1 ? 0 : 1);
}

double in_v(ScheduleKind kind, const PipelineShape& shape, const Links& links, double send_s) {
  const auto m = static_cast<double>(shape.num_micro_batches);
  const int p = shape.num_stages;
  const bool zero_bubble = kind == ScheduleKind::zb_v;
  const bool whole_order = !zero_bubble || shape.num_micro_batches >= 2 * p - 1;
  const Sums sums = sum_of(links);
  double forward_before = 0;  // of the first chunk on earlier stages
  double input_before = 0;
  double input_after = 0;  // of the second chunk there
  double least = 0;
  for (int s = 0; s < p; ++s) {
    const LinkSeconds& first = at(links, s);
    const LinkSeconds& second = at(links, 2 * p - 1 - s);
    const double busy = m * (first.forward + whole_s(first) + second.forward + whole_s(second));
    const double enter = forward_before + s * send_s;
    least = std::max(least, enter + busy);
    if (whole_order) {
      // Until the first micro-batch comes back, and what the stage has done by then; behind the
      // last gradient of an input, the gradients of weights that are left.
      const double round =
          sums.forward + input_after + second.backward_input + 2 * (p - 1) * send_s + s * send_s;
      const int ahead = 2 * p - 1 - s + (!zero_bubble && s + 1 == p ? 1 : 0);
      const double done = ahead * first.forward + (s + 1) * second.forward + second.backward_input;
      const double left =
          zero_bubble ? s * (first.backward_weight + second.backward_weight) + first.backward_weight
                      : weights_left(s) * std::max(first.backward_weight, second.backward_weight);
      const double leave = input_before + s * send_s + links.front().backward_weight - left;
      const double start = std::max(enter, round - done);
      least = std::max(least, start + busy + std::max(0.0, leave));
    }
    forward_before += first.forward;
    input_before += first.backward_input;
    input_after += second.backward_input;
  }
  return least;
}

}  // namespace

double least_played_s(ScheduleKind kind,
                      const PipelineShape& shape,
                      const Links& links,
                      double send_s) {
  switch (kind) {
    case ScheduleKind::gpipe:
      return gpipe(shape, links, send_s);
    case ScheduleKind::one_f_one_b:
      return one_f_one_b(shape, links, send_s, {});
    case ScheduleKind::zb_h1:
      return one_f_one_b(shape, links, send_s, {.split = true});
    case ScheduleKind::zb_h2:
      return one_f_one_b(shape, links, send_s, {.split = true, .times = 2, .overlaps = true});
    case ScheduleKind::interleaved:
      return interleaved(shape, links, send_s);
    case ScheduleKind::zb_v:
    case ScheduleKind::dualpipe_v:
      return in_v(kind, shape, links, send_s);
  }
  return 0;
}

}  // namespace tera::plan
