/* The loops of quad_sums.c, included once for each kind of processor (each_processor.h). */

#include "vectors.h"

/* The sum of the quads of a vector. */
INLINE void NAME(add_quads)(float *to, int64_t every, vec x) {
    four quads[WIDTH / 4];
    memcpy(quads, &x, sizeof x);
    for (int half = WIDTH / 8; half; half /= 2)
        for (int q = 0; q < half; q++) quads[q] += quads[q + half];
    for (int k = 0; k < 4; k++) to[k * every] += quads[0][k];
}

/* The kernel of each part with a value for each output and block beside each other: taps x 4 inputs x lanes. */
static void NAME(turn)(const Part *own, const Term *t, int64_t edges) {
    const int64_t taps = t->side * t->side, n = own->inputs;
    for (int64_t e = 0; e < edges; e++)
        for (int64_t o = 0; o < 4; o++)
            for (int64_t i = 0; i < n; i++)
                for (int64_t tap = 0; tap < taps; tap++)
                    own->kernels[((e * taps + tap) * 4 + i % 4) * own->lanes + i / 4 * 4 + o] =
                        t->kernel[((e * 4 + o) * n + i) * taps + tap];
}

/* Rows first to last of all images together. */
static void NAME(add)(const Scratch *own, const Pass *pass, int64_t first, int64_t last) {
    const Shape *s = pass->shape;
    const int64_t E = pass->edges, W = s->columns, every = s->channels / (4 * E);
    for (int64_t k = 0; k < pass->count; k++) NAME(turn)(&own->parts[k], &pass->terms[k], E);
    for (int64_t r = first; r < last; r++) {
        const int64_t row = r % s->rows;
        for (int64_t k = 0; k < pass->count; k++)
            slide(&own->parts[k], &pass->terms[k], pass, r / s->rows, row, r == first);
        for (int64_t e = 0; e < E; e++)
            for (int64_t p = 0; p < W; p += STEP) {
                vec sums[STEP];
#pragma GCC unroll 8
                for (int q = 0; q < STEP; q++) sums[q] = NAME(all)(0);
                for (int64_t k = 0; k < pass->count; k++) {
                    const Part *part = &own->parts[k];
                    const int64_t side = pass->terms[k].side, lanes = part->lanes, pixel = E * part->inputs;
                    for (int64_t y = 0; y < side; y++) {
                        const float *line = ring(part->window, row + y - side / 2, part->room) + p * pixel;
                        const float *kernel = part->kernels + (e * side + y) * side * 4 * lanes;
                        for (int64_t c = 0; c < lanes; c += WIDTH) {
                            const float *from = line + e * part->inputs + c, *weight = kernel + c;
                            if (side == 1) {
#pragma GCC unroll 4
                                for (int i = 0; i < 4; i++) {
                                    const vec w = NAME(load)(weight + i * lanes);
#pragma GCC unroll 8
                                    for (int q = 0; q < STEP; q++)
                                        sums[q] += w * NAME(each)(NAME(load)(from + (q + 1) * pixel), i);
                                }
                                continue;
                            }
#pragma GCC unroll 4
                            for (int i = 0; i < 4; i++) {
                                const vec left = NAME(load)(weight + i * lanes);
                                const vec middle = NAME(load)(weight + (4 + i) * lanes);
                                const vec right = NAME(load)(weight + (8 + i) * lanes);
#pragma GCC unroll 10
                                for (int q = 0; q < STEP + 2; q++) { /* left neighbour of one pixel, right of another */
                                    const vec x = NAME(each)(NAME(load)(from + q * pixel), i);
                                    if (q < STEP) sums[q] += left * x;
                                    if (0 < q && q <= STEP) sums[q - 1] += middle * x;
                                    if (1 < q) sums[q - 2] += right * x;
                                }
                            }
                        }
                    }
                }
                float *to = pass->y + (r * W + p) * s->channels + e * 4 * every;
                for (int q = 0; q < STEP && p + q < W; q++) {
                    if (pass->plain) { /* a part of the first quad */
                        const float *from = pass->plain + (r * W + p + q) * 4 * E + 4 * e;
                        for (int k = 0; k < 4; k++) sums[q][k] += from[k];
                    }
                    NAME(add_quads)(to + q * s->channels, every, sums[q]);
                }
            }
    }
}

/* The kernel for the gradient of its map: taps from the last to the first, 4 outputs, lanes. */
static void NAME(turn_back)(const Part *own, const Term *t, int64_t edges) {
    const int64_t taps = t->side * t->side, n = own->inputs;
    for (int64_t e = 0; e < edges; e++)
        for (int64_t o = 0; o < 4; o++)
            for (int64_t i = 0; i < n; i++)
                for (int64_t tap = 0; tap < taps; tap++)
                    own->kernels[((e * taps + taps - 1 - tap) * 4 + o) * own->lanes + i] =
                        t->kernel[((e * 4 + o) * n + i) * taps + tap];
}

/* The gradient of one row of a term's map. */
static void NAME(map_row)(const Scratch *own, const Pass *pass, int64_t k, int64_t image, int64_t row) {
    const Part *part = &own->parts[k];
    const int64_t E = pass->edges, W = pass->shape->columns, side = pass->terms[k].side, radius = side / 2;
    const int64_t lanes = part->lanes, n = part->inputs;
    const int64_t start = (image * pass->shape->rows + row) * W * E * n;
    for (int64_t e = 0; e < E; e++)
        for (int64_t c = 0; c < n; c += WIDTH)
            for (int64_t p = 0; p < W; p += STEP) {
                vec sums[STEP];
#pragma GCC unroll 8
                for (int q = 0; q < STEP; q++) sums[q] = NAME(all)(0);
                for (int64_t y = 0; y < side; y++) {
                    const float *dy = ring(own->out, row + y - radius, own->room) + e * own->line + (p + 1 - radius) * 4;
                    const float *weight = part->kernels + (e * side + y) * side * 4 * lanes + c;
                    for (int64_t x = 0; x < side; x++, dy += 4, weight += 4 * lanes)
#pragma GCC unroll 4
                        for (int o = 0; o < 4; o++) {
                            const vec w = NAME(load)(weight + o * lanes);
#pragma GCC unroll 8
                            for (int q = 0; q < STEP; q++) sums[q] += w * dy[q * 4 + o];
                        }
                }
                for (int q = 0; q < STEP && p + q < W; q++) {
                    const int64_t pixel = start + (p + q) * E * n + e * n + c, some = n - c < WIDTH ? n - c : WIDTH;
                    const float *x = pass->terms[k].x + pixel;
                    float *dx = pass->terms[k].dx + pixel;
                    if (some == WIDTH) {
                        NAME(store)(dx, pass->terms[k].relu ? NAME(where)(NAME(load)(x), sums[q]) : sums[q]);
                        continue;
                    }
                    for (int i = 0; i < some; i++) dx[i] = pass->terms[k].relu && x[i] <= 0 ? 0 : sums[q][i];
                }
            }
}

/* What one row adds to the gradient of a kernel. */
static void NAME(kernel_row)(const Scratch *own, const Pass *pass, int64_t k, int64_t row) {
    const Part *part = &own->parts[k];
    const int64_t E = pass->edges, W = pass->shape->columns, side = pass->terms[k].side, lanes = part->lanes;
    const int64_t pixel = E * part->inputs;
    const float *dy = ring(own->out, row, own->room) + 4;
    for (int64_t e = 0; e < E; e++)
        for (int64_t c = 0; c < lanes; c += WIDTH)
            for (int64_t y = 0; y < side; y++) {
                float *sums = part->sums + (e * side + y) * side * 4 * lanes + c;
                const float *x = ring(part->window, row + y - side / 2, part->room) + pixel + e * part->inputs + c;
                vec sum[12];
#pragma GCC unroll 12
                for (int j = 0; j < 12; j++) sum[j] = j < 4 * side ? NAME(load)(sums + j * lanes) : NAME(all)(0);
                for (int64_t p = 0; p < W; p++, x += pixel) { /* pixel p is the left one of output p + 1 */
                    const vec here = NAME(load)(x);
                    const float *from = dy + e * own->line + p * 4;
                    if (side == 1) {
#pragma GCC unroll 4
                        for (int o = 0; o < 4; o++) sum[o] += here * from[o];
                        continue;
                    }
#pragma GCC unroll 4
                    for (int o = 0; o < 4; o++) {
                        sum[o] += here * from[4 + o];
                        sum[4 + o] += here * from[o];
                        sum[8 + o] += here * from[o - 4];
                    }
                }
#pragma GCC unroll 12
                for (int j = 0; j < 12; j++)
                    if (j < 4 * side) NAME(store)(sums + j * lanes, sum[j]);
            }
}

/* All gradients of one image. */
static void NAME(back)(const Scratch *own, const Pass *pass, int64_t image) {
    const int64_t E = pass->edges, W = pass->shape->columns;
    for (int64_t k = 0; k < pass->count; k++) {
        NAME(turn_back)(&own->parts[k], &pass->terms[k], E);
        memset(own->parts[k].sums, 0, 36 * own->parts[k].lanes * E * sizeof(float));
    }
    for (int64_t row = 0; row < pass->shape->rows; row++) {
        slide_back(own, pass, image, row);
        if (pass->dplain) {
            float *to = pass->dplain + (image * pass->shape->rows + row) * W * 4 * E;
            for (int64_t e = 0; e < E; e++) {
                const four *from = (const four *)(ring(own->out, row, own->room) + e * own->line) + 1;
                for (int64_t p = 0; p < W; p++) *(four *)(to + (p * E + e) * 4) = from[p];
            }
        }
        for (int64_t k = 0; k < pass->count; k++) {
            if (pass->terms[k].dx) NAME(map_row)(own, pass, k, image, row);
            if (!pass->terms[k].dkernel) continue;
            slide(&own->parts[k], &pass->terms[k], pass, image, row, 0);
            NAME(kernel_row)(own, pass, k, row);
        }
    }
    for (int64_t k = 0; k < pass->count; k++) {
        const Term *t = &pass->terms[k];
        const Part *part = &own->parts[k];
        const int64_t taps = t->side * t->side, n = part->inputs;
        if (!t->dkernel) continue;
        for (int64_t e = 0; e < E; e++)
            for (int64_t o = 0; o < 4; o++)
                for (int64_t i = 0; i < n; i++)
                    for (int64_t tap = 0; tap < taps; tap++)
                        t->dkernel[(((image * E + e) * 4 + o) * n + i) * taps + tap] =
                            part->sums[((e * taps + tap) * 4 + o) * part->lanes + i];
    }
}

#undef vec
#undef ints
#undef INLINE
