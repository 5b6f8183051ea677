/* The loops of depthwise.c, included once for each kind of processor (each_processor.h). */

#include "vectors.h"

/* The window's rows around one; those before it are there already, unless it is the first here or of an image. */
static void NAME(slide)(const Scratch *own, const Pass *pass, int64_t image, int64_t row, int first) {
    const int64_t d = pass->dilation;
    for (int64_t r = first || row == 0 ? row - d : row + d; r <= row + d; r++) enter(own, pass, image, r);
}

/* Rows first to last of all images together. */
static void NAME(convolve)(const Scratch *own, const Pass *pass, int64_t first, int64_t last) {
    const int64_t C = pass->shape->channels, d = pass->dilation, n = own->values;
    for (int64_t k = 0; k < 9 * own->period; k++)
        own->kernels[k] = pass->kernel[k % own->period % C * 9 + k / own->period];
    for (int64_t r = first; r < last; r++) {
        const int64_t row = r % pass->shape->rows;
        NAME(slide)(own, pass, r / pass->shape->rows, row, r == first);
        const float *from[3];
        for (int y = 0; y < 3; y++) from[y] = window_row(own, d, row + (y - 1) * d);
        for (int64_t phase = 0; phase < own->period; phase += WIDTH) {
            vec kernel[9];
            for (int tap = 0; tap < 9; tap++) kernel[tap] = NAME(load)(own->kernels + tap * own->period + phase);
            for (int64_t k = phase; k < n; k += own->period) {
                vec sums[3];
                for (int y = 0; y < 3; y++) {
                    sums[y] = kernel[3 * y] * NAME(load)(from[y] + k);
                    sums[y] += kernel[3 * y + 1] * NAME(load)(from[y] + k + d * C);
                    sums[y] += kernel[3 * y + 2] * NAME(load)(from[y] + k + 2 * d * C);
                }
                const vec sum = sums[0] + sums[1] + sums[2];
                if (k + WIDTH <= n)
                    NAME(store)(pass->y + r * n + k, sum);
                else
                    memcpy(pass->y + r * n + k, &sum, (n - k) * sizeof(float));
            }
        }
    }
}

/* The gradient of the kernel of one image. */
static void NAME(kernel_back)(const Scratch *own, const Pass *pass, int64_t image) {
    const int64_t C = pass->shape->channels, d = pass->dilation, n = own->values, rows = pass->shape->rows;
    memset(own->kernels, 0, 9 * own->period * sizeof(float));
    for (int64_t row = 0; row < rows; row++) {
        NAME(slide)(own, pass, image, row, 0);
        memcpy(own->one, pass->dy + (image * rows + row) * n, n * sizeof(float));
        for (int64_t phase = 0; phase < own->period && phase < n; phase += WIDTH)
            for (int y = 0; y < 3; y++) {
                const float *from = window_row(own, d, row + (y - 1) * d);
                float *sums = own->kernels + 3 * y * own->period + phase;
                vec left = NAME(load)(sums), middle = NAME(load)(sums + own->period);
                vec right = NAME(load)(sums + 2 * own->period);
                for (int64_t k = phase; k < n; k += own->period) {
                    const vec dy = NAME(load)(own->one + k);
                    left += dy * NAME(load)(from + k);
                    middle += dy * NAME(load)(from + k + d * C);
                    right += dy * NAME(load)(from + k + 2 * d * C);
                }
                NAME(store)(sums, left), NAME(store)(sums + own->period, middle);
                NAME(store)(sums + 2 * own->period, right);
            }
    }
    float *to = pass->dkernel + image * C * 9;
    memset(to, 0, C * 9 * sizeof(float));
    for (int64_t k = 0; k < 9 * own->period; k++) to[k % own->period % C * 9 + k / own->period] += own->kernels[k];
}

#undef vec
#undef ints
#undef INLINE
