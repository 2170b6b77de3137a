// Convolutions of 3×3 and 5×5 with fewer multiplications.
//
// Winograd, "Arithmetic Complexity of Computations", SIAM 1980; Lavin and Gray, CVPR 2016,
// arXiv:1509.09308. Tiles of 6 × 6 inputs and kernels are polynomials that are multiplied at six points
// of each axis: 36 multiplications for 4 × 4 outputs of 3×3 (instead of 144), or 2 × 2 of 5×5 (instead
// of 100). The same points serve the weight gradient, in which kernel and output change places. The
// points are 0, ±√½, ±√2 and infinity: with the usual 0, ±1, ±2 errors are four times as large (LOG.md).
// winograd.py compiles this file, transforms the weights and calls the functions at its end.
//
// B images, H rows, W columns, C channels in, G channels out; all channels last, C and G multiples of PANEL.
// Stride 1, and zeros around the image, so that it keeps its size.
//
// PANEL     channels out that are computed together

#include <cstdint>
#include <cstring>

#include "threads.h"

using Index = int64_t;

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 12;
#elif defined(__AVX__)
constexpr int LANES = 8, ROWS = 6;
#else
constexpr int LANES = 4, ROWS = 4;
#endif
constexpr int VECTORS = PANEL / LANES;
constexpr int POINTS = 36;
constexpr Index TILES = 24;     // that a thread transforms together, forward
constexpr Index TILES_BACK = 48;  // likewise for the weight gradient
constexpr Index BLOCK = 64;     // channels out between two transforms

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4)));

inline vec load(const float* at) { return *(const loose*)at; }
inline void store(float* at, vec x) { *(loose*)at = x; }

struct Image {
    Index batch, height, width, side;  // side: of the square of outputs of a tile
    Index across() const { return (width + side - 1) / side; }
    Index down() const { return (height + side - 1) / side; }
    Index tiles() const { return batch * across() * down(); }
    // Tiles of a block, such that all threads have as many blocks.
    Index block(Index most, int threads) const {
        Index rounds = (tiles() + most * threads - 1) / (most * threads);
        Index share = (tiles() + rounds * threads - 1) / (rounds * threads);
        Index size = (share + ROWS - 1) / ROWS * ROWS;
        return size < most ? size : most;
    }
    // Where the pixels of a tile lie; `nothing` stands for those outside.
    void pixels(const float* image, Index channels, Index tile, Index before, int count,
                const float* nothing, const float** at) const {
        Index b = tile / (across() * down()), in = tile % (across() * down());
        Index top = in / across() * side - before, left = in % across() * side - before;
        for (int i = 0; i < count; i++)
            for (int j = 0; j < count; j++) {
                Index y = top + i, x = left + j;
                bool inside = y >= 0 && y < height && x >= 0 && x < width;
                at[i * count + j] =
                    inside ? image + ((b * height + y) * width + x) * channels : nothing;
            }
    }
};

constexpr float NEAR = 0.70710678f, FAR = 1.41421356f;

// An input tile at the points.
inline void transform_input(const vec* d, int step, vec* t) {
    vec d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
    vec near_even = d4 - 2 * d2, near_odd = NEAR * (d3 - 2 * d1);
    vec far_even = d4 - 0.5f * d2, far_odd = FAR * (d3 - 0.5f * d1);
    t[0] = d[0] - 2.5f * d2 + d4;
    t[step] = near_even + near_odd;
    t[2 * step] = near_even - near_odd;
    t[3 * step] = far_even + far_odd;
    t[4 * step] = far_even - far_odd;
    t[5 * step] = d1 - 2.5f * d3 + d[5 * step];
}

// Outputs of a tile from the products at the points.
template <int side>
inline void transform_output(const vec* t, int step, vec* o, int out_step) {
    vec near_even = t[step] + t[2 * step], near_odd = NEAR * (t[step] - t[2 * step]);
    vec far_even = t[3 * step] + t[4 * step], far_odd = FAR * (t[3 * step] - t[4 * step]);
    o[0] = t[0] + near_even + far_even;
    o[out_step] = near_odd + far_odd;
    if (side == 4) {
        o[2 * out_step] = 0.5f * near_even + 2 * far_even;
        o[3 * out_step] = 0.5f * near_odd + 2 * far_odd;
    }
    o[(side - 1) * out_step] += t[5 * step];
}

// Output gradients, which take the place of a kernel of that side.
template <int side>
inline void transform_kernel(const vec* g, int step, vec* t, int out_step) {
    vec near_even = g[0], near_odd = g[step], far_even = g[0], far_odd = g[step];
    if (side == 4) {
        near_even += 0.5f * g[2 * step];
        near_odd += 0.5f * g[3 * step];
        far_even += 2 * g[2 * step];
        far_odd += 2 * g[3 * step];
    }
    near_even *= -2.0f / 3;
    near_odd *= -2.0f / 3 * NEAR;
    far_even *= 1.0f / 6;
    far_odd *= 1.0f / 6 * FAR;
    t[0] = g[0];
    t[out_step] = near_even + near_odd;
    t[2 * out_step] = near_even - near_odd;
    t[3 * out_step] = far_even + far_odd;
    t[4 * out_step] = far_even - far_odd;
    t[5 * out_step] = g[(side - 1) * step];
}

// Tiles of the input, transformed: (POINTS, count, C).
void gather_inputs(const float* image, const Image& shape, Index channels, Index first, Index count,
                   Index before, const float* nothing, float* out, Index rows) {
    for (Index tile = 0; tile < rows; tile++) {
        if (tile >= count) {  // so that no remainder is needed
            for (int p = 0; p < POINTS; p++)
                memset(out + (p * rows + tile) * channels, 0, sizeof(float) * channels);
            continue;
        }
        const float* at[POINTS];
        shape.pixels(image, channels, first + tile, before, 6, nothing, at);
        for (Index c = 0; c < channels; c += LANES) {
            vec d[POINTS], t[POINTS];
            for (int p = 0; p < POINTS; p++) d[p] = load(at[p] + c);
            for (int j = 0; j < 6; j++) transform_input(d + j, 6, t + j);
            for (int i = 0; i < 6; i++) transform_input(t + 6 * i, 1, d + 6 * i);
            for (int p = 0; p < POINTS; p++) store(out + (p * rows + tile) * channels + c, d[p]);
        }
    }
}

// out (count, PANEL) = a (count, depth) · b (depth, PANEL), or with `more` added to what is there.
template <int count, bool more>
inline void multiply(const float* a, Index row_step, Index depth_step, const float* b, Index depth,
                     float* out, Index out_step) {
    vec sum[count][VECTORS] = {};
    if (more)
        for (int i = 0; i < count; i++)
            for (int v = 0; v < VECTORS; v++) sum[i][v] = load(out + i * out_step + v * LANES);
    for (Index k = 0; k < depth; k++) {
        vec right[VECTORS];
        for (int v = 0; v < VECTORS; v++) right[v] = load(b + k * PANEL + v * LANES);
#pragma GCC unroll 12
        for (int i = 0; i < count; i++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                sum[i][v] += a[i * row_step + k * depth_step] * right[v];
    }
    for (int i = 0; i < count; i++)
        for (int v = 0; v < VECTORS; v++) store(out + i * out_step + v * LANES, sum[i][v]);
}

template <int side>
void scatter_outputs(const float* products, Index width, const Image& shape, Index channels,
                     Index start, Index first, Index count, const float* bias, float* image) {
    for (Index tile = 0; tile < count; tile++) {
        const float* at[side * side];
        shape.pixels(image, channels, first + tile, 0, side, nullptr, at);
        for (Index g = 0; g < width; g += LANES) {
            vec m[POINTS], t[6 * side], o[side * side];
            for (int p = 0; p < POINTS; p++) m[p] = load(products + (p * TILES + tile) * BLOCK + g);
            for (int j = 0; j < 6; j++) transform_output<side>(m + j, 6, t + j, 6);
            for (int i = 0; i < side; i++) transform_output<side>(t + 6 * i, 1, o + side * i, 1);
            vec shift = {};
            if (bias) shift = load(bias + start + g);
            for (int q = 0; q < side * side; q++)
                if (at[q]) store((float*)at[q] + start + g, o[q] + shift);
        }
    }
}

// Weights are (POINTS, G / PANEL, C, PANEL). Scratch of a thread: see `conv_scratch`.
template <int side>
void convolve(const float* input, const float* weights, const float* bias, float* output,
              const Image& shape, Index in, Index out, float* scratch, Index scratch_step,
              const float* nothing, int threads) {
    Index size = shape.block(TILES, threads), before = side == 4 ? 1 : 2;
    Index blocks = (shape.tiles() + size - 1) / size;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (Index block = 0; block < blocks; block++) {
        float* inputs = scratch + thread() * scratch_step;
        float* products = inputs + POINTS * TILES * in;
        Index first = block * size;
        Index count = shape.tiles() - first < size ? shape.tiles() - first : size;
        Index rows = (count + ROWS - 1) / ROWS * ROWS;
        gather_inputs(input, shape, in, first, count, before, nothing, inputs, rows);
        for (Index start = 0; start < out; start += BLOCK) {
            Index width = out - start < BLOCK ? out - start : BLOCK;
            for (int p = 0; p < POINTS; p++)
                for (Index g = 0; g < width; g += PANEL) {
                    const float* panel = weights + (p * out + start + g) * in;
                    for (Index row = 0; row < rows; row += ROWS)
                        multiply<ROWS, false>(inputs + (p * rows + row) * in, in, 1, panel, in,
                                              products + (p * TILES + row) * BLOCK + g, BLOCK);
                }
            scatter_outputs<side>(products, width, shape, out, start, first, count, bias, output);
        }
    }
}

// Tiles of output gradients, transformed: (POINTS, BLOCK / PANEL, TILES_BACK, PANEL).
template <int side>
void gather_gradients(const float* image, const Image& shape, Index channels, Index start,
                      Index width, Index first, Index count, const float* nothing, float* out) {
    for (Index tile = 0; tile < count; tile++) {
        const float* at[side * side];
        shape.pixels(image, channels, first + tile, 0, side, nullptr, at);
        for (Index g = 0; g < width; g += LANES) {
            vec d[side * side], t[6 * side], m[POINTS];
            for (int q = 0; q < side * side; q++)
                d[q] = load(at[q] ? at[q] + start + g : nothing);
            for (int j = 0; j < side; j++) transform_kernel<side>(d + j, side, t + j, side);
            for (int i = 0; i < 6; i++) transform_kernel<side>(t + side * i, 1, m + 6 * i, 1);
            for (int p = 0; p < POINTS; p++) {
                float* panel = out + (p * (BLOCK / PANEL) + g / PANEL) * TILES_BACK * PANEL;
                store(panel + tile * PANEL + g % PANEL, m[p]);
            }
        }
    }
}

// Sums (threads, POINTS, G / PANEL, C, PANEL) are zero before.
template <int side>
void weight_gradient(const float* input, const float* gradient, float* sums, const Image& shape,
                     Index in, Index out, float* scratch, Index scratch_step,
                     const float* nothing, int threads) {
    Index size = shape.block(TILES_BACK, threads), before = side == 4 ? 1 : 2;
    Index blocks = (shape.tiles() + size - 1) / size;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Index block = 0; block < blocks; block++) {
        float* inputs = scratch + thread() * scratch_step;
        float* gradients = inputs + POINTS * TILES_BACK * in;
        float* sum = sums + thread() * POINTS * in * out;
        Index first = block * size;
        Index count = shape.tiles() - first < size ? shape.tiles() - first : size;
        gather_inputs(input, shape, in, first, count, before, nothing, inputs, count);
        for (Index start = 0; start < out; start += BLOCK) {
            Index width = out - start < BLOCK ? out - start : BLOCK;
            gather_gradients<side>(gradient, shape, out, start, width, first, count, nothing, gradients);
            for (int p = 0; p < POINTS; p++)
                for (Index g = 0; g < width; g += PANEL) {
                    const float* panel =
                        gradients + (p * (BLOCK / PANEL) + g / PANEL) * TILES_BACK * PANEL;
                    const float* rows = inputs + p * count * in;
                    float* to = sum + (p * out + start + g) * in;
                    Index c = 0;
                    for (; c + ROWS <= in; c += ROWS)
                        multiply<ROWS, true>(rows + c, 1, in, panel, count, to + c * PANEL, PANEL);
                    for (; c < in; c += 2)  // in is a multiple of PANEL
                        multiply<2, true>(rows + c, 1, in, panel, count, to + c * PANEL, PANEL);
                }
        }
    }
}

}  // namespace

// Floats of scratch that a thread needs, forward (or for an input gradient) and for weights.
extern "C" Index conv_scratch(Index in) { return POINTS * TILES * (in + BLOCK); }
extern "C" Index weight_scratch(Index in) { return POINTS * TILES_BACK * (in + BLOCK); }

// sizes: B, H, W, C, G, side of the kernel. nothing: max(C, G) zeros. bias may be null.
extern "C" void conv(const float* input, const float* weights, const float* bias, float* output,
                     float* scratch, const float* nothing, const Index* sizes, int threads) {
    const Image shape = {sizes[0], sizes[1], sizes[2], 7 - sizes[5]};
    (shape.side == 4 ? convolve<4> : convolve<2>)(input, weights, bias, output, shape, sizes[3],
                                                  sizes[4], scratch, conv_scratch(sizes[3]), nothing,
                                                  threads);
}

extern "C" void conv_weight_gradient(const float* input, const float* gradient, float* sums,
                                     float* scratch, const float* nothing, const Index* sizes,
                                     int threads) {
    const Image shape = {sizes[0], sizes[1], sizes[2], 7 - sizes[5]};
    (shape.side == 4 ? weight_gradient<4> : weight_gradient<2>)(
        input, gradient, sums, shape, sizes[3], sizes[4], scratch, weight_scratch(sizes[3]), nothing,
        threads);
}
