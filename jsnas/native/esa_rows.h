/* The loops of esa.c, included once for each kind of processor (each_processor.h). */

#include "vectors.h"

/* One row of the convolution, of all images' rows. Its lines lie in scratch without holes, so that addresses differ by
   constants where C is one. */
INLINE void NAME(shrink_row)(const Pass *pass, int64_t row, float *lines, int64_t C) {
    const Shape *s = pass->shape;
    const int64_t room = (pass->columns + 2 * STEP) * C;
    for (int64_t r = 0; r < 3; r++) {
        const float *from = pass->x + (row / s->rows * pass->rows + row % s->rows * 2 + r) * pass->columns * pass->step;
        for (int64_t p = 0; p < pass->columns; p++, from += pass->step)
            for (int64_t k = 0; k < C; k += WIDTH) NAME(store)(lines + r * room + p * C + k, NAME(load)(from + k));
    }
    for (int64_t p = 0; p < s->columns; p += STEP)
        for (int64_t o = 0; o < C; o += WIDTH) {
            vec sums[STEP];
#pragma GCC unroll 8
            for (int q = 0; q < STEP; q++) sums[q] = NAME(load)(pass->bias + o);
            for (int64_t tap = 0; tap < 9; tap++) {
                const float *from = lines + tap / 3 * room + (2 * p + tap % 3) * C;
                const float *kernel = pass->kernel + tap * C * C + o;
#pragma GCC unroll 4
                for (int64_t i = 0; i < C; i++) {
                    const vec weight = NAME(load)(kernel + i * C);
#pragma GCC unroll 8
                    for (int q = 0; q < STEP; q++) sums[q] += weight * from[2 * q * C + i];
                }
            }
            float *to = pass->y + (row * s->columns + p) * C + o;
            for (int q = 0; q < STEP && p + q < s->columns; q++) NAME(store)(to + q * C, sums[q]);
        }
}

static void NAME(shrink)(const Pass *pass, int64_t row, float *lines) {
    const int64_t C = pass->shape->channels;
    if (C == USUAL)
        NAME(shrink_row)(pass, row, lines, USUAL);
    else
        NAME(shrink_row)(pass, row, lines, C);
}

/* One row of the narrow map plus the small one, of all images' rows. */
static void NAME(enlarge)(const Pass *pass, int64_t row, float *line, const int64_t *before, const float *near) {
    const Shape *s = pass->shape;
    const int64_t C = s->channels, values = pass->small_columns * C;
    float below;
    const int64_t upper = between(pass->start + row % s->rows, pass->small_rows, pass->height, &below);
    const int64_t lower = upper + 1 < pass->small_rows ? upper + 1 : upper;
    const float *small = pass->small + (row / s->rows * pass->there - pass->first) * values;
    const float *one = small + upper * values, *other = small + lower * values;
    for (int64_t k = 0; k < values; k += WIDTH) {
        const vec x = NAME(load)(one + k);
        NAME(store)(line + k, x + below * (NAME(load)(other + k) - x));
    }
    for (int64_t p = 0; p < s->columns; p++) {
        const float *left = line + before[p] * C, *right = left + (before[p] + 1 < pass->small_columns ? C : 0);
        const float *x = pass->x + (row * s->columns + p) * pass->step;
        float *y = pass->y + (row * s->columns + p) * C;
        for (int64_t k = 0; k < C; k += WIDTH) {
            const vec l = NAME(load)(left + k);
            NAME(store)(y + k, NAME(load)(x + k) + l + near[p] * (NAME(load)(right + k) - l));
        }
    }
}

#undef vec
#undef ints
#undef INLINE
