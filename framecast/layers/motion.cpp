// What is in each patch of a frame moves: a sum of displaced copies, weighted patch by patch. And
// where it was the frame before: how much it differs from what was there at each displacement.
// motion.py compiles this file and calls the functions at its end.
//
// X frames of C channels, H rows and W columns, in h × w patches; side² displacements by whole
// pixels. Frames are (X, C, H, W), weights and costs (X, side², h, w). What comes in over the border
// is 0.

#include <cstdint>
#include <cstring>

#include "threads.h"

#define INLINE inline __attribute__((always_inline))  // so that a number given becomes a constant

using Index = int64_t;

namespace {

constexpr Index LANES = 8, UNROLL = 4, BLOCK = LANES * UNROLL;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float))));

struct Shape {
    Index frames, channels, height, width, rows, columns, side;
    Index tall() const { return height / rows; }
    Index wide() const { return width / columns; }
    Index pixels() const { return channels * height * width; }
    Index taps() const { return side * side; }
    Index weights() const { return taps() * rows * columns; }
    Index reach() const { return side / 2; }
    Index padded() const { return width + 2 * reach(); }
    Index spread() const { return taps() * width; }
    Index scratch_of_row() const { return spread() + (tall() + 2 * reach()) * padded(); }
    Index scratch_of_frame() const {
        return 2 * (spread() + channels * (height + 2 * reach()) * padded());
    }
};

// Rows of an image from `first` on, between zeros; zeros alone where they lie outside.
void pad(const float* image, Index first, Index count, const Shape& s, float* rows) {
    memset(rows, 0, sizeof(float) * count * s.padded());
    for (Index i = 0; i < count; i++) {
        Index y = first + i;
        if (y < 0 || y >= s.height) continue;
        memcpy(rows + i * s.padded() + s.reach(), image + y * s.width, sizeof(float) * s.width);
    }
}

// The other way: frames without their borders.
void cut(const float* bordered, const Shape& s, float* image) {
    Index high = s.height + 2 * s.reach();
    for (Index c = 0; c < s.channels; c++)
        for (Index y = 0; y < s.height; y++, image += s.width)
            memcpy(image, bordered + (c * high + y + s.reach()) * s.padded() + s.reach(),
                   sizeof(float) * s.width);
}

// The weights of each pixel of a row of patches, one displacement after the other.
INLINE void spread_patches(const float* weights, Index patches, Index wide, const Shape& s,
                           float* shares) {
    for (Index tap = 0; tap < s.taps(); tap++)
        for (Index p = 0; p < s.columns; p++, shares += wide) {
            float weight = weights[(tap * s.rows + patches) * s.columns + p];
            for (Index i = 0; i < wide; i++) shares[i] = weight;
        }
}

// Most models have patches of 4 pixels: as a constant, that is one store.
void spread(const float* weights, Index patches, const Shape& s, float* shares) {
    if (s.wide() == 4)
        spread_patches(weights, patches, 4, s, shares);
    else
        spread_patches(weights, patches, s.wide(), s, shares);
}

// The other way: sums over the pixels of each patch.
INLINE void gather_patches(const float* sums, Index patches, Index wide, const Shape& s,
                           float* grad_weights) {
    for (Index tap = 0; tap < s.taps(); tap++)
        for (Index p = 0; p < s.columns; p++, sums += wide) {
            float whole = 0;
            for (Index i = 0; i < wide; i++) whole += sums[i];
            grad_weights[(tap * s.rows + patches) * s.columns + p] = whole;
        }
}

void gather(const float* sums, Index patches, const Shape& s, float* grad_weights) {
    if (s.wide() == 4)
        gather_patches(sums, patches, 4, s, grad_weights);
    else
        gather_patches(sums, patches, s.wide(), s, grad_weights);
}

Lanes load(const float* from) {
    Lanes lanes;
    memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

void store(float* to, Lanes lanes) { memcpy(to, &lanes, sizeof lanes); }

// BLOCK pixels of a row; their sums stay in registers.
void move_block(const float* share, const float* source, float* to, const Shape& s) {
    Lanes sum[UNROLL] = {};
    for (Index dy = 0; dy < s.side; dy++, source += s.padded())
        for (Index dx = 0; dx < s.side; dx++, share += s.width)
            for (Index k = 0; k < UNROLL; k++)
                sum[k] += load(share + k * LANES) * load(source + dx + k * LANES);
    for (Index k = 0; k < UNROLL; k++) store(to + k * LANES, sum[k]);
}

// What is left of a row.
void move_rest(const float* share, const float* source, float* to, Index width, const Shape& s) {
    memset(to, 0, sizeof(float) * width);
    for (Index dy = 0; dy < s.side; dy++, source += s.padded())
        for (Index dx = 0; dx < s.side; dx++, share += s.width)
            for (Index x = 0; x < width; x++) to[x] += share[x] * source[dx + x];
}

// One row of patches of one frame.
void move(const float* frame, const float* weights, float* moved, Index patches, const Shape& s,
          float* scratch) {
    Index tall = s.tall(), first = patches * tall;
    float *shares = scratch, *source = scratch + s.spread();
    spread(weights, patches, s, shares);
    for (Index c = 0; c < s.channels; c++) {
        pad(frame + c * s.height * s.width, first - s.reach(), tall + 2 * s.reach(), s, source);
        for (Index i = 0; i < tall; i++) {
            float* to = moved + (c * s.height + first + i) * s.width;
            const float* from = source + i * s.padded();
            Index x = 0;
            for (; x + BLOCK <= s.width; x += BLOCK) move_block(shares + x, from + x, to + x, s);
            move_rest(shares + x, from + x, to + x, s.width - x, s);
        }
    }
}

// BLOCK pixels of a row of patches at one displacement: sums of what its weights get, one for each
// column of pixels, and what the frame gets is added to `to`.
void back_block(const float* share, const float* out, const float* from, float* to, float* sums,
                const Shape& s) {
    Lanes sum[UNROLL] = {};
    for (Index i = 0; i < s.tall(); i++, out += s.width, from += s.padded(), to += s.padded())
        for (Index k = 0; k < UNROLL; k++) {
            Index x = k * LANES;
            sum[k] += load(out + x) * load(from + x);
            store(to + x, load(to + x) + load(out + x) * load(share + x));
        }
    for (Index k = 0; k < UNROLL; k++) store(sums + k * LANES, load(sums + k * LANES) + sum[k]);
}

void back_rest(const float* share, const float* out, const float* from, float* to, float* sums,
               Index width, const Shape& s) {
    for (Index i = 0; i < s.tall(); i++, out += s.width, from += s.padded(), to += s.padded())
        for (Index x = 0; x < width; x++) {
            sums[x] += out[x] * from[x];
            to[x] += out[x] * share[x];
        }
}

void move_backward(const float* frame, const float* weights, const float* grad, float* grad_frame,
                   float* grad_weights, const Shape& s, float* scratch) {
    Index high = s.height + 2 * s.reach();
    float *shares = scratch, *sums = shares + s.spread(), *source = sums + s.spread();
    float* back = source + s.channels * high * s.padded();
    for (Index c = 0; c < s.channels; c++)
        pad(frame + c * s.height * s.width, -s.reach(), high, s, source + c * high * s.padded());
    memset(back, 0, sizeof(float) * s.channels * high * s.padded());
    for (Index patches = 0; patches < s.rows; patches++) {
        spread(weights, patches, s, shares);
        memset(sums, 0, sizeof(float) * s.spread());
        for (Index c = 0; c < s.channels; c++)
            for (Index tap = 0; tap < s.taps(); tap++) {
                Index y = patches * s.tall(), x = 0;
                Index at = (c * high + y + tap / s.side) * s.padded() + tap % s.side;
                const float* out = grad + (c * s.height + y) * s.width;
                float *share = shares + tap * s.width, *sum = sums + tap * s.width;
                for (; x + BLOCK <= s.width; x += BLOCK)
                    back_block(share + x, out + x, source + at + x, back + at + x, sum + x, s);
                back_rest(share + x, out + x, source + at + x, back + at + x, sum + x, s.width - x,
                          s);
            }
        gather(sums, patches, s, grad_weights);
    }
    cut(back, s, grad_frame);
}

// BLOCK pixels of a row of patches at one displacement: sums of squared differences, one for each
// column of pixels.
void cost_block(const float* now, const float* from, float* sums, const Shape& s) {
    Lanes sum[UNROLL] = {};
    for (Index i = 0; i < s.tall(); i++, now += s.width, from += s.padded())
        for (Index k = 0; k < UNROLL; k++) {
            Lanes difference = load(now + k * LANES) - load(from + k * LANES);
            sum[k] += difference * difference;
        }
    for (Index k = 0; k < UNROLL; k++) store(sums + k * LANES, load(sums + k * LANES) + sum[k]);
}

void cost_rest(const float* now, const float* from, float* sums, Index width, const Shape& s) {
    for (Index i = 0; i < s.tall(); i++, now += s.width, from += s.padded())
        for (Index x = 0; x < width; x++) sums[x] += (now[x] - from[x]) * (now[x] - from[x]);
}

// One row of patches of one frame.
void cost(const float* now, const float* before, float* costs, Index patches, const Shape& s,
          float* scratch) {
    Index tall = s.tall(), first = patches * tall;
    float *sums = scratch, *source = scratch + s.spread();
    memset(sums, 0, sizeof(float) * s.spread());
    for (Index c = 0; c < s.channels; c++) {
        const float* row = now + (c * s.height + first) * s.width;
        pad(before + c * s.height * s.width, first - s.reach(), tall + 2 * s.reach(), s, source);
        for (Index tap = 0; tap < s.taps(); tap++) {
            const float* from = source + tap / s.side * s.padded() + tap % s.side;
            float* sum = sums + tap * s.width;
            Index x = 0;
            for (; x + BLOCK <= s.width; x += BLOCK) cost_block(row + x, from + x, sum + x, s);
            cost_rest(row + x, from + x, sum + x, s.width - x, s);
        }
    }
    gather(sums, patches, s, costs);
}

// Of BLOCK pixels at one displacement: what both frames get, but for a factor of two.
void cost_back_block(const float* share, const float* now, const float* from, float* grad_now,
                     float* back, const Shape& s) {
    for (Index i = 0; i < s.tall(); i++) {
        for (Index x = 0; x < BLOCK; x += LANES) {
            Lanes pull = load(share + x) * (load(now + x) - load(from + x));
            store(grad_now + x, load(grad_now + x) + pull);
            store(back + x, load(back + x) - pull);
        }
        now += s.width, grad_now += s.width, from += s.padded(), back += s.padded();
    }
}

void cost_back_rest(const float* share, const float* now, const float* from, float* grad_now,
                    float* back, Index width, const Shape& s) {
    for (Index i = 0; i < s.tall(); i++) {
        for (Index x = 0; x < width; x++) {
            float pull = share[x] * (now[x] - from[x]);
            grad_now[x] += pull;
            back[x] -= pull;
        }
        now += s.width, grad_now += s.width, from += s.padded(), back += s.padded();
    }
}

void cost_backward(const float* now, const float* before, const float* grad, float* grad_now,
                   float* grad_before, const Shape& s, float* scratch) {
    Index high = s.height + 2 * s.reach(), plane = high * s.padded();
    float *shares = scratch, *source = shares + s.spread(), *back = source + s.channels * plane;
    for (Index c = 0; c < s.channels; c++)
        pad(before + c * s.height * s.width, -s.reach(), high, s, source + c * plane);
    memset(back, 0, sizeof(float) * s.channels * plane);
    memset(grad_now, 0, sizeof(float) * s.pixels());
    for (Index patches = 0; patches < s.rows; patches++) {
        spread(grad, patches, s, shares);
        for (Index i = 0; i < s.spread(); i++) shares[i] *= 2;  // of the square
        for (Index c = 0; c < s.channels; c++)
            for (Index tap = 0; tap < s.taps(); tap++) {
                Index y = patches * s.tall(), x = 0, row = (c * s.height + y) * s.width;
                Index at = c * plane + (y + tap / s.side) * s.padded() + tap % s.side;
                float* share = shares + tap * s.width;
                for (; x + BLOCK <= s.width; x += BLOCK)
                    cost_back_block(share + x, now + row + x, source + at + x, grad_now + row + x,
                                    back + at + x, s);
                cost_back_rest(share + x, now + row + x, source + at + x, grad_now + row + x,
                               back + at + x, s.width - x, s);
            }
    }
    cut(back, s, grad_before);
}

Shape read(const Index* n) { return {n[0], n[1], n[2], n[3], n[4], n[5], n[6]}; }

}  // namespace

// sizes: X, C, H, W, h, w, side. Scratch: for each thread what `scratch_of_frame` counts; what goes
// by rows of patches takes less of it.
extern "C" void move_frames(const float* frames, const float* weights, float* moved, float* scratch,
                            const Index* sizes, int threads) {
    Shape s = read(sizes);
#pragma omp parallel for num_threads(threads)
    for (Index row = 0; row < s.frames * s.rows; row++) {
        Index x = row / s.rows;
        move(frames + x * s.pixels(), weights + x * s.weights(), moved + x * s.pixels(),
             row % s.rows, s, scratch + thread() * s.scratch_of_row());
    }
}

extern "C" void move_frames_backward(const float* frames, const float* weights, const float* grad,
                                     float* grad_frames, float* grad_weights, float* scratch,
                                     const Index* sizes, int threads) {
    Shape s = read(sizes);
#pragma omp parallel for num_threads(threads) if (s.frames > 1)
    for (Index x = 0; x < s.frames; x++)
        move_backward(frames + x * s.pixels(), weights + x * s.weights(), grad + x * s.pixels(),
                      grad_frames + x * s.pixels(), grad_weights + x * s.weights(), s,
                      scratch + thread() * s.scratch_of_frame());
}

extern "C" void frame_costs(const float* frames, const float* before, float* costs, float* scratch,
                            const Index* sizes, int threads) {
    Shape s = read(sizes);
#pragma omp parallel for num_threads(threads)
    for (Index row = 0; row < s.frames * s.rows; row++) {
        Index x = row / s.rows;
        cost(frames + x * s.pixels(), before + x * s.pixels(), costs + x * s.weights(),
             row % s.rows, s, scratch + thread() * s.scratch_of_row());
    }
}

extern "C" void frame_costs_backward(const float* frames, const float* before, const float* grad,
                                     float* grad_frames, float* grad_before, float* scratch,
                                     const Index* sizes, int threads) {
    Shape s = read(sizes);
#pragma omp parallel for num_threads(threads) if (s.frames > 1)
    for (Index x = 0; x < s.frames; x++)
        cost_backward(frames + x * s.pixels(), before + x * s.pixels(), grad + x * s.weights(),
                      grad_frames + x * s.pixels(), grad_before + x * s.pixels(), s,
                      scratch + thread() * s.scratch_of_frame());
}
