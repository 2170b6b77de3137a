// What is in each patch of a frame moves: a sum of displaced copies, weighted patch by patch.
// motion.py compiles this file and calls the functions at its end.
//
// X frames of C channels, H rows and W columns, in h × w patches; side² displacements, `step` pixels
// apart. Frames are (X, C, H, W), weights (X, side², h, w). What comes in over the border is 0.

#include <cstdint>
#include <cstring>

#include "threads.h"

using Index = int64_t;

namespace {

struct Shape {
    Index frames, channels, height, width, rows, columns, side, step;
    Index pixels() const { return channels * height * width; }
    Index taps() const { return side * side; }
    Index reach() const { return side / 2 * step; }
    Index padded() const { return width + 2 * reach(); }
    Index scratch() const { return padded() + 2 * width; }
};

// A row of pixels between zeros; zeros alone where it lies outside.
void pad(const float* image, Index y, const Shape& s, float* row) {
    memset(row, 0, sizeof(float) * s.padded());
    if (y >= 0 && y < s.height) memcpy(row + s.reach(), image + y * s.width, sizeof(float) * s.width);
}

// The weight of each pixel of a row.
void spread(const float* weight, Index patch, const Shape& s, float* row) {
    for (Index p = 0, x = 0; p < s.columns; p++)
        for (Index i = 0; i < patch; i++, x++) row[x] = weight[p];
}

// One row of one frame.
void move(const float* frame, const float* weights, float* moved, Index y, const Shape& s,
          float* scratch) {
    Index tall = s.height / s.rows, wide = s.width / s.columns;
    float *source = scratch, *share = scratch + s.padded();
    for (Index c = 0; c < s.channels; c++)
        memset(moved + (c * s.height + y) * s.width, 0, sizeof(float) * s.width);
    for (Index tap = 0; tap < s.taps(); tap++) {
        spread(weights + (tap * s.rows + y / tall) * s.columns, wide, s, share);
        for (Index c = 0; c < s.channels; c++) {
            pad(frame + c * s.height * s.width, y + tap / s.side * s.step - s.reach(), s, source);
            const float* from = source + tap % s.side * s.step;
            float* to = moved + (c * s.height + y) * s.width;
#pragma omp simd
            for (Index x = 0; x < s.width; x++) to[x] += share[x] * from[x];
        }
    }
}

void move_backward(const float* frame, const float* weights, const float* grad, float* grad_frame,
                   float* grad_weights, const Shape& s, float* scratch) {
    Index tall = s.height / s.rows, wide = s.width / s.columns;
    float *source = scratch, *share = source + s.padded(), *sum = share + s.width;
    memset(grad_frame, 0, sizeof(float) * s.pixels());
    memset(grad_weights, 0, sizeof(float) * s.taps() * s.rows * s.columns);
    for (Index y = 0; y < s.height; y++)
        for (Index tap = 0; tap < s.taps(); tap++) {
            Index at = (tap * s.rows + y / tall) * s.columns;
            Index from_y = y + (tap / s.side) * s.step - s.reach();
            if (from_y < 0 || from_y >= s.height) continue;
            Index left = tap % s.side * s.step - s.reach();
            Index begin = left < 0 ? -left : 0, end = left > 0 ? s.width - left : s.width;
            spread(weights + at, wide, s, share);
            memset(sum, 0, sizeof(float) * s.width);
            for (Index c = 0; c < s.channels; c++) {
                const float* out = grad + (c * s.height + y) * s.width;
                const float* from = frame + (c * s.height + from_y) * s.width + left;
                float* back = grad_frame + (c * s.height + from_y) * s.width + left;
#pragma omp simd
                for (Index x = begin; x < end; x++) {
                    sum[x] += out[x] * from[x];
                    back[x] += out[x] * share[x];
                }
            }
            for (Index p = 0, x = 0; p < s.columns; p++)
                for (Index i = 0; i < wide; i++, x++) grad_weights[at + p] += sum[x];
        }
}

Shape read(const Index* n) { return {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]}; }

}  // namespace

// sizes: X, C, H, W, h, w, side, step. Scratch: for each thread a row of 3 W + 2 reach.
extern "C" void move_frames(const float* frames, const float* weights, float* moved, float* scratch,
                            const Index* sizes, int threads) {
    Shape s = read(sizes);
#pragma omp parallel for num_threads(threads)
    for (Index row = 0; row < s.frames * s.height; row++) {
        Index x = row / s.height;
        move(frames + x * s.pixels(), weights + x * s.taps() * s.rows * s.columns,
             moved + x * s.pixels(), row % s.height, s, scratch + thread() * s.scratch());
    }
}

extern "C" void move_frames_backward(const float* frames, const float* weights, const float* grad,
                                     float* grad_frames, float* grad_weights, float* scratch,
                                     const Index* sizes, int threads) {
    Shape s = read(sizes);
#pragma omp parallel for num_threads(threads) if (s.frames > 1)
    for (Index x = 0; x < s.frames; x++) {
        Index per_weight = s.taps() * s.rows * s.columns;
        move_backward(frames + x * s.pixels(), weights + x * per_weight, grad + x * s.pixels(),
                      grad_frames + x * s.pixels(), grad_weights + x * per_weight, s,
                      scratch + thread() * s.scratch());
    }
}
