// The gates of an LSTM whose matrix products are convolutions: one pass over memory forward, one
// backward. Equations: Shi et al., NeurIPS 2015, arXiv:1506.04214; see gates.py, which compiles this
// file with the choices below and calls the functions at its end.
//
// B sequences, D channels, P positions. Sums of convolutions are (B, 4, D, P), or (B, P, 4, D) when
// `last` is set. Both are rows of n neighbours: a row is a channel of a sequence, or a position of a
// sequence. Input and forget gate are the first two of the four.
//
// SHOW, CANDIDATE  which of the four are output gate and candidate
// RELU      activation of candidate and cell: 1 relu, 0 tanh
// SLOPE     of a gate that is linear between 0 and 1; 0 for the sigmoid
// NORM      1: each gate of each sequence has mean 0 and variance 1 before scale and shift
// EPSILON   of the norm, added to the variance
// CHUNK     positions whose sums over channels one thread gathers
// PEEPHOLE  1: input and forget gate see the cell before, the output gate the cell after

#include <cstdint>
#include <cstring>

// Early enough for the loops around to be vectorised.
#define INLINE inline __attribute__((always_inline))

using Index = int64_t;

namespace {

const Index PARALLEL_FROM = 16384;  // elements below which a second thread costs more than it saves

struct bf16 {
    uint16_t bits;
};

INLINE float load(float x) { return x; }
INLINE float load(bf16 x) {
    uint32_t bits = uint32_t(x.bits) << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}
INLINE void store(float* at, float x) { *at = x; }
INLINE void store(bf16* at, float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    at->bits = uint16_t(x == x ? nearest : 0x7fc0);
}

// exp(x) - 1 without the loss of digits around 0, in plain arithmetic that compilers vectorise:
// x = n ln 2 + r, a polynomial of degree 7 in r, and 2^n by its exponent bits. Beyond ±40 nothing that
// is made of it here changes any more, and products of two do not overflow.
INLINE float exp_minus_1(float x) {
    x = x < -40.0f ? -40.0f : x;
    x = x > 40.0f ? 40.0f : x;
    float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float tail = r * (1.0f / 5040) + 1.0f / 720;
    tail = tail * r + 1.0f / 120;
    tail = tail * r + 1.0f / 24;
    tail = tail * r + 1.0f / 6;
    tail = tail * r + 0.5f;
    float grown = tail * r * r + r;
    int32_t bits = (int32_t(n) + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return power * grown + (power - 1.0f);
}

// A gate or a squashed value is a fraction, so that a product of two needs one division: they are
// slow. Both parts follow from one number, its core.
INLINE float squash_core(float x) {
    if (RELU) return x < 0 ? 0 : x;  // this way round a NaN stays one
    return exp_minus_1(2 * x);
}
INLINE float squash_below(float core) { return RELU ? 1.0f : core + 2.0f; }
INLINE float squashed(float core) { return core / squash_below(core); }
INLINE float squash_slope(float y) {
    if (RELU) return y > 0 ? 1.0f : 0.0f;
    return 1 - y * y;
}
INLINE float open_core(float x) {
    if (!(SLOPE)) return 2.0f + exp_minus_1(-x);
    float y = float(SLOPE) * x + 0.5f;
    y = y < 0 ? 0 : y;
    return y > 1 ? 1 : y;
}
INLINE float opened(float core) { return (SLOPE) ? core : 1.0f / core; }
INLINE float open_slope(float y) {
    if (!(SLOPE)) return y * (1 - y);
    return y > 0 && y < 1 ? float(SLOPE) : 0.0f;
}
// An open gate times a squashed value.
INLINE float product(float gate, float value) {
    if (SLOPE) return gate * value / squash_below(value);
    return value / (gate * squash_below(value));
}

struct Shape {
    Index batch, channels, positions;
    int last;
    Index rows() const { return batch * (last ? positions : channels); }
    Index length() const { return last ? channels : positions; }
    Index gate() const { return last ? channels : channels * positions; }
    Index sequence(Index row) const { return row / (last ? positions : channels); }
    Index channel(Index row) const { return last ? 0 : row % channels; }
    Index gates_at(Index row) const {
        return last ? row * 4 * channels
                    : sequence(row) * 4 * gate() + channel(row) * positions;
    }
    // A chunk is a few rows of one sequence, over which gradients of scale and shift are summed.
    Index chunks() const { return last ? (positions + CHUNK - 1) / CHUNK : channels; }
    bool small() const { return rows() * length() * 4 < PARALLEL_FROM; }
};

// What turns a sum of convolutions into the argument of a gate: scale, shift, peephole weights.
struct Parameters {
    const float* scale;     // 4, D
    const float* shift;     // 4, D
    const float* peephole;  // 3, D
    const float* mean;      // B, 4
    const float* rate;      // B, 4: one over the standard deviation
};

template <bool last>
INLINE Index at(Index channel, Index i) {
    return last ? i : channel;
}

struct Cores {
    float enter, keep, candidate;
};

template <class T, bool last>
INLINE float argument(const T* sums, const Parameters& p, const Shape& s, Index b, Index d, int k, Index i) {
    float x = load(sums[k * s.gate() + i]);
    if (NORM) {
        Index c = k * s.channels + at<last>(d, i);
        x = (x - p.mean[b * 4 + k]) * p.rate[b * 4 + k] * p.scale[c] + p.shift[c];
    }
    return x;
}

// All but the output gate, which may need the new cell.
template <class T, bool last>
INLINE Cores first_gates(const T* sums, const Parameters& p, const Shape& s, Index b, Index d, Index i, float cell) {
    float enter = argument<T, last>(sums, p, s, b, d, 0, i);
    float keep = argument<T, last>(sums, p, s, b, d, 1, i);
    if (PEEPHOLE) {
        enter += p.peephole[at<last>(d, i)] * cell;
        keep += p.peephole[s.channels + at<last>(d, i)] * cell;
    }
    return {open_core(enter), open_core(keep), squash_core(argument<T, last>(sums, p, s, b, d, CANDIDATE, i))};
}

template <class T, bool last>
INLINE float output_gate(const T* sums, const Parameters& p, const Shape& s, Index b, Index d, Index i, float cell) {
    float show = argument<T, last>(sums, p, s, b, d, SHOW, i);
    if (PEEPHOLE) show += p.peephole[2 * s.channels + at<last>(d, i)] * cell;
    return open_core(show);
}

template <class T>
INLINE void add(T* sums, const T* recurrent, Index n) {
#pragma omp simd
    for (Index i = 0; i < n; i++) store(sums + i, load(sums[i]) + load(recurrent[i]));
}

// Adds the recurrent part, and measures each gate of each sequence.
template <class T>
void measure(T* sums, const T* recurrent, float* mean, float* rate, const Shape& s, int threads) {
    Index rows = s.last ? s.positions : s.channels, n = s.length();
    Index step = s.last ? 4 * s.channels : s.positions;
#pragma omp parallel for num_threads(threads) if (!s.small())
    for (Index block = 0; block < s.batch * 4; block++) {
        Index start = (block / 4) * 4 * s.channels * s.positions + (block % 4) * s.gate();
        double total = 0, squares = 0;
        for (Index row = 0; row < rows; row++) {
            T* x = sums + start + row * step;
            if (recurrent) add(x, recurrent + start + row * step, n);
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (Index i = 0; i < n; i++) sum += load(x[i]);
            total += sum;
        }
        float centre = float(total / double(rows * n));
        for (Index row = 0; row < rows; row++) {
            const T* x = sums + start + row * step;
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (Index i = 0; i < n; i++) {
                float away = load(x[i]) - centre;
                sum += away * away;
            }
            squares += sum;
        }
        mean[block] = centre;
        rate[block] = 1.0f / __builtin_sqrtf(float(squares / double(rows * n)) + float(EPSILON));
    }
}

template <class T, bool last>
void forward_rows(T* sums, const T* recurrent, const float* cell, float* new_cell, T* hidden,
                  const Parameters& p, const Shape& s, int threads) {
    Index n = s.length();
#pragma omp parallel for num_threads(threads) if (!s.small())
    for (Index row = 0; row < s.rows(); row++) {
        Index b = s.sequence(row), d = s.channel(row);
        T* x = sums + s.gates_at(row);
        const float* c = cell + row * n;
        float* c_new = new_cell + row * n;
        T* h = hidden + row * n;
        if (recurrent && !NORM)
            for (int k = 0; k < 4; k++)
                add(x + k * s.gate(), recurrent + s.gates_at(row) + k * s.gate(), n);
#pragma omp simd
        for (Index i = 0; i < n; i++) {
            Cores g = first_gates<T, last>(x, p, s, b, d, i, c[i]);
            float next = opened(g.keep) * c[i] + product(g.enter, g.candidate);
            c_new[i] = next;
            store(h + i, product(output_gate<T, last>(x, p, s, b, d, i, next), squash_core(next)));
        }
    }
}

// Gradients of the arguments of the gates, and of the cell before, in one row. `grad` may be `sums`.
template <class T, bool last, class G>
INLINE void backward_row(const T* sums, const float* cell, const float* new_cell, const T* outer,
                         const T* inner, float* grad_cell, const Parameters& p, const Shape& s,
                         Index b, Index d, G* grad) {
    Index n = s.length(), gate = s.gate();
#pragma omp simd
    for (Index i = 0; i < n; i++) {
        Cores g = first_gates<T, last>(sums, p, s, b, d, i, cell[i]);
        float enter = opened(g.enter), keep = opened(g.keep), candidate = squashed(g.candidate);
        float show = opened(output_gate<T, last>(sums, p, s, b, d, i, new_cell[i]));
        float seen = squashed(squash_core(new_cell[i]));
        float grad_hidden = (outer ? load(outer[i]) : 0.0f) + (inner ? load(inner[i]) : 0.0f);
        float grad_show = grad_hidden * seen * open_slope(show);
        float grad_new = grad_cell[i] + grad_hidden * show * squash_slope(seen);
        if (PEEPHOLE) grad_new += grad_show * p.peephole[2 * s.channels + at<last>(d, i)];
        float grad_enter = grad_new * candidate * open_slope(enter);
        float grad_keep = grad_new * cell[i] * open_slope(keep);
        float before = grad_new * keep;
        if (PEEPHOLE) {
            before += grad_enter * p.peephole[at<last>(d, i)];
            before += grad_keep * p.peephole[s.channels + at<last>(d, i)];
        }
        grad_cell[i] = before;
        store(grad + i, grad_enter);
        store(grad + gate + i, grad_keep);
        store(grad + SHOW * gate + i, grad_show);
        store(grad + CANDIDATE * gate + i, grad_new * enter * squash_slope(candidate));
    }
}

template <class T>
INLINE const T* offset(const T* start, Index by) {
    return start ? start + by : nullptr;
}

// Sums of gradient, and of gradient times normalised argument, over a chunk: 4, 2, D.
template <class T, bool last>
void gather(const T* sums, const float* grad, float* gathered, const Parameters& p, const Shape& s,
            Index b, Index first_row, Index rows) {
    Index n = s.length(), width = s.channels;
    for (int k = 0; k < 4; k++) {
        float mean = p.mean[b * 4 + k], rate = p.rate[b * 4 + k];
        float* shift = gathered + k * 2 * width;
        float* scale = shift + width;
        if (last)
            for (Index i = 0; i < 2 * width; i++) shift[i] = 0;
        for (Index row = first_row; row < first_row + rows; row++) {
            const T* x = sums + s.gates_at(row) + k * s.gate();
            const float* g = grad + s.gates_at(row) + k * s.gate();
            if (last) {
#pragma omp simd
                for (Index i = 0; i < n; i++) {
                    shift[i] += g[i];
                    scale[i] += g[i] * (load(x[i]) - mean) * rate;
                }
            } else {
                float total = 0, weighted = 0;
#pragma omp simd reduction(+ : total, weighted)
                for (Index i = 0; i < n; i++) {
                    total += g[i];
                    weighted += g[i] * (load(x[i]) - mean) * rate;
                }
                shift[s.channel(row)] = total;
                scale[s.channel(row)] = weighted;
            }
        }
    }
}

template <class T, bool last>
void backward_normed(T* sums, const float* cell, const float* new_cell, const T* outer,
                     const T* inner, float* grad_cell, const Parameters& p, const Shape& s,
                     float* grad_parameters, float* scratch, int threads) {
    Index n = s.length(), width = s.channels, per_sequence = s.rows() / s.batch;
    float* grad = scratch;
    float* gathered = scratch + s.batch * 4 * s.gate() * (last ? s.positions : 1);
    Index chunk_rows = last ? CHUNK : 1;
#pragma omp parallel num_threads(threads) if (!s.small())
    {
#pragma omp for
        for (Index chunk = 0; chunk < s.batch * s.chunks(); chunk++) {
            Index b = chunk / s.chunks(), before = (chunk % s.chunks()) * chunk_rows;
            Index first = b * per_sequence + before;
            Index rows = before + chunk_rows < per_sequence ? chunk_rows : per_sequence - before;
            for (Index row = first; row < first + rows; row++)
                backward_row<T, last>(sums + s.gates_at(row), cell + row * n, new_cell + row * n,
                                      offset(outer, row * n), offset(inner, row * n),
                                      grad_cell + row * n, p, s, b, s.channel(row),
                                      grad + s.gates_at(row));
            float* sum = last ? gathered + chunk * 8 * width : grad_parameters + b * 8 * width;
            gather<T, last>(sums, grad, sum, p, s, b, first, rows);
        }
        if (last) {
#pragma omp for
            for (Index b = 0; b < s.batch; b++)
                for (Index i = 0; i < 8 * width; i++) {
                    float total = 0;
                    for (Index chunk = 0; chunk < s.chunks(); chunk++)
                        total += gathered[(b * s.chunks() + chunk) * 8 * width + i];
                    grad_parameters[b * 8 * width + i] = total;
                }
        }
#pragma omp for
        for (Index b4 = 0; b4 < s.batch * 4; b4++) {
            Index b = b4 / 4, k = b4 % 4;
            const float* sum = grad_parameters + b4 * 2 * width;
            const float* scale = p.scale + k * width;
            double total = 0, weighted = 0;
            for (Index d = 0; d < width; d++) {
                total += double(scale[d]) * sum[d];
                weighted += double(scale[d]) * sum[width + d];
            }
            double count = double(width) * s.positions;
            float mean_total = float(total / count), mean_weighted = float(weighted / count);
            float mean = p.mean[b4], rate = p.rate[b4];
            for (Index row = b * per_sequence; row < (b + 1) * per_sequence; row++) {
                T* x = sums + s.gates_at(row) + k * s.gate();
                const float* g = grad + s.gates_at(row) + k * s.gate();
                const float* factor = scale + s.channel(row);
#pragma omp simd
                for (Index i = 0; i < n; i++) {
                    float normal = (load(x[i]) - mean) * rate;
                    store(x + i, rate * (factor[at<last>(0, i)] * g[i] - mean_total - normal * mean_weighted));
                }
            }
        }
    }
}

// Without a norm the gradients of a row replace its sums at once.
template <class T, bool last>
void backward_plain(T* sums, const float* cell, const float* new_cell, const T* outer,
                    const T* inner, float* grad_cell, const Parameters& p, const Shape& s,
                    int threads) {
    Index n = s.length();
#pragma omp parallel for num_threads(threads) if (!s.small())
    for (Index row = 0; row < s.rows(); row++) {
        T* x = sums + s.gates_at(row);
        backward_row<T, last>(x, cell + row * n, new_cell + row * n, offset(outer, row * n),
                              offset(inner, row * n), grad_cell + row * n, p, s, 0, s.channel(row), x);
    }
}

template <class T, bool last>
void backward(T* sums, const float* cell, const float* new_cell, const T* outer, const T* inner,
              float* grad_cell, const Parameters& p, float* grad_parameters, float* scratch,
              const Shape& s, int threads) {
    if (NORM)
        backward_normed<T, last>(sums, cell, new_cell, outer, inner, grad_cell, p, s,
                                 grad_parameters, scratch, threads);
    else
        backward_plain<T, last>(sums, cell, new_cell, outer, inner, grad_cell, p, s, threads);
}

template <class T, bool last>
void forward(T* sums, const T* recurrent, const float* cell, float* new_cell, T* hidden,
             const Parameters& p, float* mean, float* rate, const Shape& s, int threads) {
    if (NORM) measure(sums, recurrent, mean, rate, s, threads);
    forward_rows<T, last>(sums, recurrent, cell, new_cell, hidden, p, s, threads);
}

}  // namespace

// sizes: B, D, P, and whether channels are last, and sums and hidden maps bf16. `recurrent` may be
// null. `sums` holds the input's part of the gates, and afterwards the sum with the recurrent part.
extern "C" void gates_forward(void* sums, const void* recurrent, const float* cell, float* new_cell,
                              void* hidden, const float* scale, const float* shift,
                              const float* peephole, float* mean, float* rate, const Index* sizes,
                              int threads) {
    const Shape s = {sizes[0], sizes[1], sizes[2], int(sizes[3])};
    const Parameters p = {scale, shift, peephole, mean, rate};
    if (sizes[4])
        (s.last ? forward<bf16, true> : forward<bf16, false>)(
            (bf16*)sums, (const bf16*)recurrent, cell, new_cell, (bf16*)hidden, p, mean, rate, s, threads);
    else
        (s.last ? forward<float, true> : forward<float, false>)(
            (float*)sums, (const float*)recurrent, cell, new_cell, (float*)hidden, p, mean, rate, s, threads);
}

// `outer` and `inner`, which may be null, add up to the gradient of the hidden map. Afterwards `sums`
// holds the gradient of the sums, `grad_cell` that of the cell before instead of that of the cell
// after, and `grad_parameters` (B, 4, 2, D) those of shift and scale.
extern "C" void gates_backward(void* sums, const float* cell, const float* new_cell,
                               const void* outer, const void* inner, float* grad_cell,
                               const float* scale, const float* shift, const float* peephole,
                               const float* mean, const float* rate, float* grad_parameters,
                               float* scratch, const Index* sizes, int threads) {
    const Shape s = {sizes[0], sizes[1], sizes[2], int(sizes[3])};
    const Parameters p = {scale, shift, peephole, mean, rate};
    if (sizes[4])
        (s.last ? backward<bf16, true> : backward<bf16, false>)(
            (bf16*)sums, cell, new_cell, (const bf16*)outer, (const bf16*)inner, grad_cell, p,
            grad_parameters, scratch, s, threads);
    else
        (s.last ? backward<float, true> : backward<float, false>)(
            (float*)sums, cell, new_cell, (const float*)outer, (const float*)inner, grad_cell, p,
            grad_parameters, scratch, s, threads);
}
