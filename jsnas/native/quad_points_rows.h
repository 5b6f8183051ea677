/* The loops of quad_points.c, included once for each kind of processor (each_processor.h). */

#include "vectors.h"

/* A vector of which n values are there to read; the others are zeros. */
INLINE vec NAME(load_some)(const float *from, int64_t n) {
    if (n >= WIDTH) return NAME(load)(from);
    vec x = {0};
    memcpy(&x, from, n * sizeof(float));
    return x;
}

INLINE void NAME(store_some)(float *to, int64_t n, vec x) {
    if (n >= WIDTH)
        NAME(store)(to, x);
    else
        memcpy(to, &x, n * sizeof(float));
}

/* The products of every four values with four kernels. */
INLINE vec NAME(product)(const vec *kernel, vec x) {
    vec sum = kernel[0] * NAME(each)(x, 0);
#pragma GCC unroll 3
    for (int k = 1; k < 4; k++) sum += kernel[k] * NAME(each)(x, k);
    return sum;
}

/* Values first to last, which begin and end with a pixel. */
static void NAME(add)(const Scratch *own, const Pass *pass, int64_t first, int64_t last) {
    const int64_t C = pass->shape->channels, P = own->period;
    for (int64_t t = 0; t < pass->count; t++)
        for (int64_t i = 0; i < 4; i++)
            for (int64_t k = 0; k < P; k++)
                own->kernels[(t * 4 + i) * P + k] = pass->terms[t].kernel[k % C * 4 + i];
    for (int64_t phase = 0; phase < P; phase += WIDTH)
        for (int64_t t = 0; t < pass->count; t++) {
            const int relu = pass->relu && t == pass->count - 1;
            vec kernel[4];
            for (int i = 0; i < 4; i++) kernel[i] = NAME(load)(own->kernels + (t * 4 + i) * P + phase);
            for (int64_t k = first + phase; k < last; k += P) {
                vec sum = NAME(product)(kernel, NAME(load_some)(pass->terms[t].x + k, last - k));
                if (t) sum += NAME(load_some)(pass->y + k, last - k);
                if (relu) sum = NAME(relu)(sum);
                NAME(store_some)(pass->y + k, last - k, sum);
            }
        }
}

/* All gradients of one image. */
static void NAME(back)(const Scratch *own, const Pass *pass, int64_t image) {
    const int64_t C = pass->shape->channels, P = own->period, n = pass->shape->rows * pass->shape->columns * C;
    const float *dy = pass->dy + image * n, *y = pass->positive ? pass->positive + image * n : NULL;
    for (int64_t t = 0; t < pass->count; t++) {
        const Point *term = &pass->terms[t];
        for (int64_t o = 0; o < 4; o++)
            for (int64_t k = 0; k < P; k++)
                own->kernels[(t * 4 + o) * P + k] = term->kernel[(k % C / 4 * 4 + o) * 4 + k % 4];
        for (int64_t phase = 0; phase < P; phase += WIDTH) {
            vec kernel[4], sums[4] = {{0}};
            for (int o = 0; o < 4; o++) kernel[o] = NAME(load)(own->kernels + (t * 4 + o) * P + phase);
            for (int64_t k = phase; k < n; k += P) {
                vec g = NAME(load_some)(dy + k, n - k);
                if (y) g = NAME(where)(NAME(load_some)(y + k, n - k), g);
                if (term->dx) NAME(store_some)(term->dx + image * n + k, n - k, NAME(product)(kernel, g));
                if (!term->dkernel) continue;
                const vec x = NAME(load_some)(term->x + image * n + k, n - k);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) sums[i] += g * NAME(each)(x, i);
            }
            for (int i = 0; i < 4; i++) NAME(store)(own->sums + i * P + phase, sums[i]);
        }
        if (!term->dkernel) continue;
        float *to = term->dkernel + image * C * 4;
        memset(to, 0, C * 4 * sizeof(float));
        for (int64_t i = 0; i < 4; i++)
            for (int64_t k = 0; k < P; k++) to[k % C * 4 + i] += own->sums[i * P + k];
    }
}

#undef vec
#undef ints
#undef INLINE
