/* The loops of gated_sum.c, included once for each kind of processor (each_processor.h). */

#include "vectors.h"
#include "sigmoid.h"

INLINE void NAME(add)(float *to, vec value) { *(vec *)to += value; }

/* The rings' rows around this one; those before it are there already, unless it is the first here or of an image. */
static void NAME(spread_rows)(const Scratch *own, const Edge *e, const Shape *s, Place at, int first) {
    const int64_t C = s->channels, W = s->columns;
    for (int64_t k = 0; k < e->count; k++) {
        const Gate *g = e->gates + k;
        if (g->taps != 9) continue;
        for (int64_t row = first || at.row == 0 ? at.row - 1 : at.row + 1; row <= at.row + 1; row++) {
            float *to = ring_row(own->spread, s, k, row);
            if (row + g->above < 0 || row + g->above >= g->rows) {
                memset(to, 0, (W + 2) * C * sizeof(float));
                continue;
            }
            memset(to, 0, C * sizeof(float));
            memset(to + (W + 1) * C, 0, C * sizeof(float));
            const float *from = narrow_row(g, s, at.image, row + g->above);
            to += C - REPEATS;
            for (int64_t p = 0; p < W; p++, from += g->step)
                for (int64_t n = 0; n < g->inputs; n++) *(eight *)(to += REPEATS) = from[n] - (eight){0};
        }
    }
}

/* Adds one gate to the mixture of some pixels of a row, WIDTH channels from c; keeps the sigmoids where it is asked to. */
INLINE void NAME(blend)(const Scratch *own, int64_t gate, const Gate *g, const Shape *s, Place at, int64_t c, Span span,
                        int keep) {
    const int64_t C = s->channels, n = g->inputs;
    const float weight = weight_of(g), *kernel = own->turned + gate * own->span * C + c;
    float *one = own->one + gate * own->line, *to = span.to;
    if (g->taps == 9) {
        vec k[9];
        for (int tap = 0; tap < 9; tap++) k[tap] = NAME(load)(kernel + tap * C);
        const float *rows[3];
        for (int y = 0; y < 3; y++) rows[y] = ring_row(own->spread, s, gate, at.row + y - 1) + c;
        for (int64_t p = span.first; p < span.last; p++, to += span.step) {
            vec sums[3];
            for (int y = 0; y < 3; y++) {
                const float *from = rows[y] + p * C;
                sums[y] = k[3 * y] * NAME(load)(from) + k[3 * y + 1] * NAME(load)(from + C);
                sums[y] += k[3 * y + 2] * NAME(load)(from + 2 * C);
            }
            vec v = NAME(sigmoid)(sums[0] + sums[1] + sums[2]);
            NAME(add)(to, v * weight);
            if (keep) NAME(store)(one + p * WIDTH, v);
        }
        return;
    }
    const float *narrow = narrow_row(g, s, at.image, at.row + g->above) + span.first * g->step;
    const vec bias = g->bias ? NAME(load)(g->bias + c) : NAME(all)(0);
    if (n == 8) { /* what our attentions have at 64 channels; the kernel stays in registers */
        vec k[8];
        for (int t = 0; t < 8; t++) k[t] = NAME(load)(kernel + t * C);
        for (int64_t p = span.first; p < span.last; p++, narrow += g->step, to += span.step) {
            vec even = bias, odd = NAME(all)(0);
            for (int t = 0; t < 8; t += 2) even += k[t] * narrow[t], odd += k[t + 1] * narrow[t + 1];
            vec v = NAME(sigmoid)(even + odd);
            NAME(add)(to, v * weight);
            if (keep) NAME(store)(one + p * WIDTH, v);
        }
        return;
    }
    for (int64_t p = span.first; p < span.last; p++, narrow += g->step, to += span.step) {
        vec sum = bias;
        for (int64_t t = 0; t < n; t++) sum += NAME(load)(kernel + t * C) * narrow[t];
        vec v = NAME(sigmoid)(sum);
        NAME(add)(to, v * weight);
        if (keep) NAME(store)(one + p * WIDTH, v);
    }
}

/* The mixture G of some pixels of a row, WIDTH channels from c. */
INLINE void NAME(mixture)(const Scratch *own, const Edge *e, const Shape *s, Place at, int64_t c, Span span, int keep) {
    const vec channel = e->channel ? NAME(load)(e->channel + at.image * e->channel_step + c) : NAME(all)(0);
    const float *pixel = e->pixel ? e->pixel + (at.image * s->rows + at.row) * s->columns : 0;
    float *to = span.to;
    for (int64_t p = span.first; p < span.last; p++, to += span.step)
        NAME(store)(to, pixel ? channel + pixel[p] : channel);
    for (int64_t k = 0; k < e->count; k++) NAME(blend)(own, k, e->gates + k, s, at, c, span, keep);
}

/* y for rows first to last of all images together. Some pixels with all their channels at a time: maps are read and
   written as they lie. */
static void NAME(forward)(const Scratch *own, const Edge *e, const Shape *s, int64_t first, int64_t last) {
    const int64_t C = s->channels, W = s->columns;
    turn_kernels(own, e, s);
    for (int64_t r = first; r < last; r++) {
        const Place at = {r / s->rows, r % s->rows};
        NAME(spread_rows)(own, e, s, at, r == first);
        for (int64_t p = 0; p < W; p += PIXELS) {
            const int64_t end = p + PIXELS < W ? p + PIXELS : W, start = (r * W + p) * C;
            for (int64_t c = 0; c < C; c += WIDTH)
                NAME(mixture)(own, e, s, at, c, (Span){own->some + c, C, p, end}, 0);
            for (int64_t k = 0; k < (end - p) * C; k += WIDTH) {
                vec term = NAME(load)(e->x + start + k) * NAME(load)(own->some + k);
                __builtin_prefetch(e->y + start + k + PIXELS * C, 1);
                __builtin_prefetch(e->x + start + k + PIXELS * C); /* it arrives while the next gates are made */
                NAME(store)(e->y + start + k, e->adds ? NAME(load)(e->y + start + k) + term : term);
            }
        }
    }
}

/* Gradients of a depthwise gate's kernel and, in the ring, of its narrow map, from those of the logits in own->one. */
INLINE void NAME(depthwise_back)(const Scratch *own, int64_t gate, const Gate *g, const Shape *s, Place at, int64_t c) {
    const int64_t C = s->channels, W = s->columns;
    const float *dlogit = own->one + gate * own->line;
    if (g->dkernel) {
        const float *rows[3];
        for (int y = 0; y < 3; y++) rows[y] = ring_row(own->spread, s, gate, at.row + y - 1) + c;
        float *sums = own->sums + gate * own->span * C + c;
        vec sum[9];
        for (int tap = 0; tap < 9; tap++) sum[tap] = NAME(load)(sums + tap * C);
        for (int64_t p = 0; p < W; p++) {
            const vec d = NAME(load)(dlogit + p * WIDTH);
#pragma GCC unroll 9
            for (int tap = 0; tap < 9; tap++) sum[tap] += d * NAME(load)(rows[tap / 3] + (p + tap % 3) * C);
        }
        for (int tap = 0; tap < 9; tap++) NAME(store)(sums + tap * C, sum[tap]);
    }
    if (!g->dnarrow) return;
    float *rows[3]; /* narrow pixel p + x - 1 had tap x; the ring's column 0 is one before the image */
    for (int y = 0; y < 3; y++) rows[y] = ring_row(own->back, s, gate, at.row + y - 1) + C + c;
    vec k[9], before = NAME(all)(0), now = NAME(load)(dlogit);
    for (int tap = 0; tap < 9; tap++) k[tap] = NAME(load)(own->turned + (gate * own->span + tap) * C + c);
    for (int64_t p = 0; p < W; p++) {
        const vec next = NAME(load)(dlogit + (p + 1) * WIDTH); /* zeros follow a row */
#pragma GCC unroll 3
        for (int y = 0; y < 3; y++) {
            float *to = rows[y] + p * C;
            NAME(store)(to, NAME(load)(to) + k[3 * y] * next + k[3 * y + 1] * now + k[3 * y + 2] * before);
        }
        before = now, now = next;
    }
}

/* The same of a pointwise gate; logits' gradients are kept for the narrow map's. */
INLINE void NAME(pointwise_back)(const Scratch *own, int64_t gate, const Gate *g, const Shape *s, Place at, int64_t c) {
    const int64_t C = s->channels, W = s->columns, n = g->inputs;
    const float *dlogit = own->one + gate * own->line;
    if (g->dnarrow)
        for (int64_t p = 0; p < W; p++)
            NAME(store)(own->row + (gate * W + p) * C + c, NAME(load)(dlogit + p * WIDTH));
    if (g->dbias) {
        vec sum = NAME(load)(own->biases + gate * C + c);
        for (int64_t p = 0; p < W; p++) sum += NAME(load)(dlogit + p * WIDTH);
        NAME(store)(own->biases + gate * C + c, sum);
    }
    if (!g->dkernel) return;
    float *sums = own->sums + gate * own->span * C + c;
    const float *narrow = narrow_row(g, s, at.image, at.row);
    for (int64_t t = 0; t < n; t += 4) { /* four sums at once */
        const int64_t some = n - t < 4 ? n - t : 4;
        vec sum[4];
        for (int k = 0; k < some; k++) sum[k] = NAME(load)(sums + (t + k) * C);
        for (int64_t p = 0; p < W; p++) {
            vec d = NAME(load)(dlogit + p * WIDTH);
            if (some == 4)
                for (int k = 0; k < 4; k++) sum[k] += d * narrow[p * g->step + t + k];
            else
                for (int k = 0; k < some; k++) sum[k] += d * narrow[p * g->step + t + k];
        }
        for (int k = 0; k < some; k++) NAME(store)(sums + (t + k) * C, sum[k]);
    }
}

/* Sums a finished row of a ring over the repeats. */
static void NAME(gather_row)(const Scratch *own, int64_t gate, const Gate *g, const Shape *s, Place at) {
    const float *from = ring_row(own->back, s, gate, at.row) + s->channels;
    float *to = g->dnarrow + (at.image * s->rows + at.row) * s->columns * g->inputs;
    for (int64_t n = 0; n < s->columns * g->inputs; n++, from += REPEATS)
        to[n] = ((from[0] + from[4]) + (from[2] + from[6])) + ((from[1] + from[5]) + (from[3] + from[7]));
}

/* Gradients of the narrow map that are complete when a row has been done. */
static void NAME(narrow_back)(const Scratch *own, int64_t gate, const Gate *g, const Shape *s, Place at) {
    if (!g->dnarrow) return;
    if (g->taps == 9) {
        if (at.row) NAME(gather_row)(own, gate, g, s, (Place){at.image, at.row - 1});
        if (at.row + 1 == s->rows) NAME(gather_row)(own, gate, g, s, at);
        return;
    }
    const int64_t C = s->channels, n = g->inputs;
    const float *dlogit = own->row + gate * s->columns * C;
    float *to = g->dnarrow + (at.image * s->rows + at.row) * s->columns * n;
    int64_t p = 0;
    for (; n == 8 && p + 4 <= s->columns; p += 4, dlogit += 4 * C, to += 4 * n) { /* four pixels read a kernel once */
        eight even[4] = {{0}}, odd[4] = {{0}};
        for (int64_t c = 0; c < C; c += 2) {
            const eight k = *(const eight *)(g->kernel + c * 8), next = *(const eight *)(g->kernel + c * 8 + 8);
            for (int q = 0; q < 4; q++) even[q] += k * dlogit[q * C + c], odd[q] += next * dlogit[q * C + c + 1];
        }
        for (int q = 0; q < 4; q++) *(eight *)(to + 8 * q) = even[q] + odd[q];
    }
    for (; p < s->columns; p++, dlogit += C, to += n) {
        memset(to, 0, n * sizeof(float));
        for (int64_t c = 0; c < C; c++)
            for (int64_t t = 0; t < n; t++) to[t] += dlogit[c] * g->kernel[c * n + t];
    }
}

/* All gradients of one image. */
static void NAME(backward)(const Scratch *own, const Edge *e, const Shape *s, int64_t image) {
    const int64_t C = s->channels, W = s->columns, H = s->rows;
    turn_kernels(own, e, s);
    clear_sums(own, e, s);
    float *dchannel = e->dchannel ? e->dchannel + image * C : 0;
    if (dchannel) memset(dchannel, 0, C * sizeof(float));
    vec dweight[GATES];
    for (int64_t k = 0; k < e->count; k++) dweight[k] = NAME(all)(0);
    for (int64_t row = 0; row < H; row++) {
        const Place at = {image, row};
        const int64_t start = (image * H + row) * W * C;
        NAME(spread_rows)(own, e, s, at, row == 0);
        clear_back(own, e, s, row);
        for (int64_t c = 0; c < C; c += WIDTH) {
            NAME(mixture)(own, e, s, at, c, (Span){own->gate, WIDTH, 0, W}, 1);
            vec sum = NAME(all)(0);
            for (int64_t p = 0; p < W; p++) {
                const int64_t next = start + (p + W) * C + c; /* the next row's, on its way meanwhile */
                __builtin_prefetch(e->x + next), __builtin_prefetch(e->dy + next);
                float *gate = own->gate + p * WIDTH;
                vec d = NAME(load)(e->dy + start + p * C + c);
                if (e->dx) {
                    __builtin_prefetch(e->dx + next, 1);
                    float *to = e->dx + start + p * C + c;
                    NAME(store)(to, e->adds_dx ? NAME(load)(to) + d * NAME(load)(gate) : d * NAME(load)(gate));
                }
                d *= NAME(load)(e->x + start + p * C + c);
                NAME(store)(gate, d); /* the gradient of the mixture from here on */
                sum += d;
            }
            if (dchannel) NAME(add)(dchannel + c, sum);
            if (e->dpixel)
                for (int64_t p = 0; p < W * WIDTH; p += WIDTH) {
                    vec d = NAME(load)(own->gate + p);
                    NAME(store)(own->pixel + p, c ? NAME(load)(own->pixel + p) + d : d);
                }
            for (int64_t k = 0; k < e->count; k++) {
                const Gate *g = e->gates + k;
                float *one = own->one + k * own->line, weight = weight_of(g);
                vec of_row = NAME(all)(0); /* few terms before the next sum: less rounding */
                for (int64_t p = 0; p < W * WIDTH; p += WIDTH) {
                    vec d = NAME(load)(own->gate + p), v = NAME(load)(one + p);
                    of_row += d * v;
                    NAME(store)(one + p, d * weight * (v - v * v));
                }
                NAME(store)(one + W * WIDTH, NAME(all)(0));
                dweight[k] += of_row;
                if (g->taps == 9)
                    NAME(depthwise_back)(own, k, g, s, at, c);
                else
                    NAME(pointwise_back)(own, k, g, s, at, c);
            }
        }
        if (e->dpixel)
            for (int64_t p = 0; p < W; p++)
                e->dpixel[(image * H + row) * W + p] = NAME(total)(NAME(load)(own->pixel + p * WIDTH));
        for (int64_t k = 0; k < e->count; k++) NAME(narrow_back)(own, k, e->gates + k, s, at);
    }
    for (int64_t k = 0; k < e->count; k++) {
        finish_gate(own, k, e->gates + k, s, image);
        if (e->gates[k].dweight) e->gates[k].dweight[image] = NAME(total)(dweight[k]);
    }
}

#undef vec
#undef ints
#undef INLINE
