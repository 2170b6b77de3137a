// Structural similarity of pictures with uniform windows of 7 × 7 pixels, in one pass.
// ssim.py compiles this file, calls the function at its end, and says what is computed.
//
// Sums over columns move down with the window: a row enters, a row leaves. In double precision that
// adds up to nothing: 20,000 rows of a nearly flat picture are 2e-9 from scikit-image. A missing pixel
// makes its picture's mean NaN.

#include <cstdint>
#include <vector>

using Index = int64_t;

namespace {

constexpr Index WINDOW = 7, MAPS = 4;  // s = x + y, d = x - y, s², d²

// Add a row of a picture to the sums over columns, or take it out.
void pass(const float* x, const float* y, double sign, Index width, double* columns) {
    double *s = columns, *d = s + width, *ss = d + width, *dd = ss + width;
#pragma omp simd
    for (Index i = 0; i < width; i++) {
        double sum = double(x[i]) + y[i], difference = double(x[i]) - y[i];
        s[i] += sign * sum;
        d[i] += sign * difference;
        ss[i] += sign * sum * sum;
        dd[i] += sign * difference * difference;
    }
}

// Sums over whole windows, of all four maps.
void across(const double* columns, Index width, Index count, double* pairs, double* sums) {
    for (Index map = 0; map < MAPS; map++, columns += width, sums += count) {
#pragma omp simd
        for (Index i = 0; i < width - 1; i++) pairs[i] = columns[i] + columns[i + 1];
#pragma omp simd
        for (Index i = 0; i < count; i++)
            sums[i] = pairs[i] + pairs[i + 2] + pairs[i + 4] + columns[i + 6];
    }
}

// The sum of similarities of a row of windows.
double similarities(const double* sums, Index count, double luminance, double structure) {
    const double *s = sums, *d = s + count, *ss = d + count, *dd = ss + count;
    constexpr double SHARE = 1.0 / (WINDOW * WINDOW);
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (Index i = 0; i < count; i++) {
        double s2 = s[i] * s[i], d2 = d[i] * d[i];
        double vs = ss[i] - SHARE * s2, vd = dd[i] - SHARE * d2;
        total += (s2 - d2 + luminance) * (vs - vd + structure) /
                 ((s2 + d2 + luminance) * (vs + vd + structure));
    }
    return total;
}

}  // namespace

// forecast, truth: (frames, height, width). steady: a pair for each of `ranges` data ranges.
// similarity: (frames, ranges). sizes: frames, height, width, ranges.
extern "C" void mean_similarity(const float* forecast, const float* truth, const double* steady,
                                float* similarity, const Index* sizes, int) {
    Index height = sizes[1], width = sizes[2], ranges = sizes[3];
    Index count = width - WINDOW + 1, rows = height - WINDOW + 1;
    std::vector<double> columns(MAPS * width), pairs(width), sums(MAPS * count), totals(ranges);
    for (Index frame = 0; frame < sizes[0]; frame++) {
        columns.assign(columns.size(), 0);
        totals.assign(totals.size(), 0);
        for (Index y = 0; y < height; y++) {
            pass(forecast + y * width, truth + y * width, 1, width, columns.data());
            if (y < WINDOW - 1) continue;
            across(columns.data(), width, count, pairs.data(), sums.data());
            for (Index r = 0; r < ranges; r++)
                totals[r] += similarities(sums.data(), count, steady[2 * r], steady[2 * r + 1]);
            Index out = (y - WINDOW + 1) * width;
            pass(forecast + out, truth + out, -1, width, columns.data());
        }
        for (Index r = 0; r < ranges; r++) *similarity++ = float(totals[r] / double(rows * count));
        forecast += height * width;
        truth += height * width;
    }
}
