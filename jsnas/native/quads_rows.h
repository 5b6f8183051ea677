/* The loops of quads.c, included once for each kind of processor (each_processor.h). */

#include "vectors.h"

/* Rows first to last of all images together. */
static void NAME(convolve)(const Scratch *own, const Pass *pass, int64_t first, int64_t last) {
    const int64_t C = pass->shape->channels, W = pass->shape->columns;
    for (int64_t c = 0; c < C; c++)
        for (int64_t k = 0; k < 4; k++)
            for (int64_t tap = 0; tap < 9; tap++) own->kernels[(tap * 4 + k) * C + c] = pass->kernel[(c * 4 + k) * 9 + tap];
    for (int64_t r = first; r < last; r++) {
        const int64_t row = r % pass->shape->rows;
        slide(own, pass, r / pass->shape->rows, row, r == first);
        for (int64_t c = 0; c < C; c += WIDTH)
            for (int64_t p = 0; p < W; p += STEP) {
                vec sums[STEP] = {{0}};
                for (int y = 0; y < 3; y++) {
                    const float *from = window_row(own, row + y - 1) + p * C + c;
                    const float *kernel = own->kernels + y * 12 * C + c;
#pragma GCC unroll 4
                    for (int k = 0; k < 4; k++) {
                        const vec left = NAME(load)(kernel + k * C), middle = NAME(load)(kernel + (4 + k) * C);
                        const vec right = NAME(load)(kernel + (8 + k) * C);
#pragma GCC unroll 10
                        for (int q = 0; q < STEP + 2; q++) { /* the left neighbour of one pixel, the right of another */
                            const vec x = NAME(each)(NAME(load)(from + q * C), k);
                            if (q < STEP) sums[q] += left * x;
                            if (0 < q && q <= STEP) sums[q - 1] += middle * x;
                            if (1 < q) sums[q - 2] += right * x;
                        }
                    }
                }
                for (int q = 0; q < STEP && p + q < W; q++) {
                    const int64_t here = (r * W + p + q) * C + c;
                    if (pass->more) sums[q] += NAME(load)(pass->more + here);
                    if (pass->relu) sums[q] = NAME(relu)(sums[q]);
                    if (pass->positive) sums[q] = NAME(where)(NAME(load)(pass->positive + here), sums[q]);
                    NAME(store)(pass->y + here, sums[q]);
                }
            }
    }
}

/* The gradient of the kernel of one image. */
static void NAME(kernel_back)(const Scratch *own, const Pass *pass, int64_t image) {
    const int64_t C = pass->shape->channels, W = pass->shape->columns, rows = pass->shape->rows;
    memset(own->kernels, 0, 36 * C * sizeof(float));
    for (int64_t row = 0; row < rows; row++) {
        slide(own, pass, image, row, 0);
        memcpy(own->one + C, pass->dy + (image * rows + row) * W * C, W * C * sizeof(float));
        for (int64_t c = 0; c < C; c += WIDTH)
            for (int y = 0; y < 3; y++) {
                const float *from = window_row(own, row + y - 1) + C + c, *dy = own->one + c;
                float *sums = own->kernels + y * 12 * C + c;
                vec sum[12];
#pragma GCC unroll 12
                for (int k = 0; k < 12; k++) sum[k] = NAME(load)(sums + k * C);
                for (int64_t p = 0; p < W; p++, from += C, dy += C) { /* pixel p is the left one of output p + 1 */
                    const vec before = NAME(load)(dy), here = NAME(load)(dy + C), after = NAME(load)(dy + 2 * C);
#pragma GCC unroll 4
                    for (int k = 0; k < 4; k++) {
                        const vec x = NAME(each)(NAME(load)(from), k);
                        sum[k] += x * after, sum[4 + k] += x * here, sum[8 + k] += x * before;
                    }
                }
#pragma GCC unroll 12
                for (int k = 0; k < 12; k++) NAME(store)(sums + k * C, sum[k]);
            }
    }
    float *to = pass->dkernel + image * C * 36;
    for (int64_t c = 0; c < C; c++)
        for (int64_t k = 0; k < 4; k++)
            for (int64_t tap = 0; tap < 9; tap++) to[(c * 4 + k) * 9 + tap] = own->kernels[(tap * 4 + k) * C + c];
}

#undef vec
#undef ints
#undef INLINE
