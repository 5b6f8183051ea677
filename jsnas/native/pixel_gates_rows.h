/* The loops of pixel_gates.c, included once for each kind of processor (each_processor.h). */

#include "vectors.h"
#include "sigmoid.h"

/* The channels of one gate at some pixels, channel by channel, after their ReLU; zeros for the rest of a vector. */
INLINE void NAME(turn)(const Scratch *own, const Pass *pass, int64_t gate, int64_t pixel, int64_t some) {
    const int64_t n = pass->inputs;
    const float *from = pass->x + pixel * pass->step + gate * n;
    if (some < WIDTH) memset(own->x, 0, n * WIDTH * sizeof(float));
    for (int64_t p = 0; p < some; p++, from += pass->step)
        for (int64_t i = 0; i < n; i++) own->x[i * WIDTH + p] = from[i];
    for (int64_t i = 0; i < n; i++) NAME(store)(own->x + i * WIDTH, NAME(relu)(NAME(load)(own->x + i * WIDTH)));
}

/* The sigmoid at these pixels; hidden gets the two values before it. */
INLINE vec NAME(value)(const Scratch *own, const Pass *pass, const PixelGate *g, vec *hidden) {
    const int64_t n = pass->inputs;
    vec z = NAME(all)(*g->bias2);
    for (int k = 0; k < 2; k++) {
        vec sum = NAME(all)(g->bias1[k]);
        for (int64_t i = 0; i < n; i++) sum += g->kernel1[k * n + i] * NAME(load)(own->x + i * WIDTH);
        hidden[k] = NAME(relu)(sum);
        z += g->kernel2[k] * hidden[k];
    }
    return NAME(sigmoid)(z);
}

/* Pixels first to last of all images together. */
static void NAME(gate)(const Scratch *own, const Pass *pass, int64_t first, int64_t last) {
    for (int64_t e = 0; e < pass->count; e++)
        for (int64_t p = first; p < last; p += WIDTH) {
            const PixelGate *g = pass->gates + e;
            const int64_t some = last - p < WIDTH ? last - p : WIDTH;
            vec hidden[2];
            NAME(turn)(own, pass, e, p, some);
            const vec y = *g->weight * NAME(value)(own, pass, g, hidden);
            memcpy(g->y + p, &y, some * sizeof(float));
        }
}

/* All gradients of one image. */
static void NAME(back)(const Scratch *own, const Pass *pass, int64_t image) {
    const int64_t n = pass->inputs, pixels = pass->shape->rows * pass->shape->columns, values = 2 * n + 6;
    for (int64_t e = 0; e < pass->count; e++) {
        const PixelGate *g = pass->gates + e;
        vec *sums = (vec *)own->sums, *last = sums + 2 * n; /* k1; then b1, k2, b2, weight */
        memset(sums, 0, values * sizeof(vec));
        for (int64_t p = image * pixels; p < (image + 1) * pixels; p += WIDTH) {
            const int64_t left = (image + 1) * pixels - p, some = left < WIDTH ? left : WIDTH;
            vec hidden[2], dy = {0}, dh[2];
            NAME(turn)(own, pass, e, p, some);
            const vec v = NAME(value)(own, pass, g, hidden);
            memcpy(&dy, g->dy + p, some * sizeof(float));
            const vec dz = dy * *g->weight * v * (1.0f - v);
            last[4] += dz;
            last[5] += dy * v;
            for (int k = 0; k < 2; k++) {
                last[2 + k] += dz * hidden[k];
                dh[k] = NAME(where)(hidden[k], dz * g->kernel2[k]);
                last[k] += dh[k];
            }
            for (int64_t i = 0; i < n; i++) {
                const vec x = NAME(load)(own->x + i * WIDTH);
                const vec dx = dh[0] * g->kernel1[i] + dh[1] * g->kernel1[n + i];
                NAME(store)(own->dx + i * WIDTH, NAME(where)(x, dx));
                if (!g->sums) continue;
                sums[i] += dh[0] * x;
                sums[n + i] += dh[1] * x;
            }
            float *to = pass->dx + (p * pass->count + e) * n;
            for (int64_t q = 0; q < some; q++, to += pass->count * n)
                for (int64_t i = 0; i < n; i++) to[i] = own->dx[i * WIDTH + q];
        }
        if (!g->sums) continue;
        for (int64_t k = 0; k < values; k++) g->sums[image * values + k] = NAME(total)(sums[k]);
    }
}

#undef vec
#undef ints
#undef INLINE
