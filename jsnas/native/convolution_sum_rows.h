/* The loops of convolution_sum.c, included once for each kind of processor (each_processor.h). */

#include "vectors.h"

/* t = B^T d. */
INLINE void NAME(of_pixels)(const vec *d, vec *t) {
    const vec even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1], near = d[4] - d[2], far = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = even + odd, t[2] = even - odd;
    t[3] = near + far, t[4] = near - far;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

/* y = A^T m. */
INLINE void NAME(to_pixels)(const vec *m, vec *y) {
    const vec sum1 = m[1] + m[2], difference1 = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = m[0] + sum1 + sum2;
    y[1] = difference1 + 2 * difference2;
    y[2] = sum1 + 4 * sum2;
    y[3] = difference1 + 8 * difference2 + m[5];
}

/* Adds what GROUP inputs bring to WIDTH outputs in TILES places. An input has C weights. The sums stay in registers and
   addresses differ by constants, since else finding them takes longer than the products. */
INLINE void NAME(add_products)(vec *sums, const float *x, const float *kernel, int64_t C) {
#pragma GCC unroll 4
    for (int k = 0; k < GROUP; k++) {
        const vec weight = NAME(load)(kernel + k * C);
#pragma GCC unroll 8
        for (int t = 0; t < TILES; t++) sums[t] += weight * x[t * GROUP + k];
    }
}

/* half = B^T d for the columns around SPAN ones. */
static void NAME(vertically)(const Scratch *own, const Pass *pass, int64_t image, int64_t row, int64_t column) {
    const Shape *s = pass->shape;
    const int64_t I = own->inputs;
    float *half = own->half;
    for (const Input *input = pass->wide; input < pass->points; half += input->channels, input++) {
        const float *rows[POINTS];
        int64_t steps[POINTS];
        for (int i = 0; i < POINTS; i++) {
            const int64_t r = row - 1 + i, there = r + input->above >= 0 && r + input->above < input->rows;
            rows[i] = there ? pixel(input, s, image, r, 0) : own->zeros;
            steps[i] = there ? input->step : 0;
        }
        for (int64_t q = 0, c = column - 1; q < REACH; q++, c++) {
            if (c < 0 || c >= s->columns) {
                for (int i = 0; i < POINTS; i++) memset(half + (i * REACH + q) * I, 0, input->channels * sizeof(float));
                continue;
            }
            for (int64_t k = 0; k < input->channels; k += WIDTH) {
                vec d[POINTS], t[POINTS];
#pragma GCC unroll 6
                for (int i = 0; i < POINTS; i++) d[i] = NAME(load)(rows[i] + c * steps[i] + k);
                NAME(of_pixels)(d, t);
#pragma GCC unroll 6
                for (int i = 0; i < POINTS; i++) NAME(store)(half + (i * REACH + q) * I + k, t[i]);
            }
        }
    }
}

/* V = B^T d B, M = U V and M A for one of the six rows of points. */
static void NAME(horizontally)(const Scratch *own, const Pass *pass, int i) {
    const int64_t I = own->inputs, C = pass->shape->channels;
    for (int t = 0; t < TILES; t++) {
        const float *half = own->half + (i * REACH + t * SIDE) * I;
        for (int64_t k = 0; k < I; k += WIDTH) {
            vec d[POINTS], v[POINTS];
#pragma GCC unroll 6
            for (int j = 0; j < POINTS; j++) d[j] = NAME(load)(half + j * I + k);
            NAME(of_pixels)(d, v);
#pragma GCC unroll 6
            for (int j = 0; j < POINTS; j++) NAME(store)(own->V + j * TILES * I + place(k, t), v[j]);
        }
    }
    for (int j = 0; j < POINTS; j++)
        for (int64_t o = 0; o < C; o += WIDTH) {
            const float *V = own->V + j * TILES * I, *U = pass->U + (i * POINTS + j) * I * C + o;
            vec sums[TILES];
#pragma GCC unroll 8
            for (int t = 0; t < TILES; t++) sums[t] = (vec){0};
            for (int64_t k = 0; k < I; k += GROUP) NAME(add_products)(sums, V + k * TILES, U + k * C, C);
#pragma GCC unroll 8
            for (int t = 0; t < TILES; t++) NAME(store)(own->M + (j * TILES + t) * C + o, sums[t]);
        }
    for (int t = 0; t < TILES; t++)
        for (int64_t o = 0; o < C; o += WIDTH) {
            vec m[POINTS], y[SIDE];
            for (int j = 0; j < POINTS; j++) m[j] = NAME(load)(own->M + (j * TILES + t) * C + o);
            NAME(to_pixels)(m, y);
            for (int q = 0; q < SIDE; q++) NAME(store)(own->rows + (i * SPAN + t * SIDE + q) * C + o, y[q]);
        }
}

/* Y = the sum of 3x3 convolutions. */
static void NAME(wide)(const Scratch *own, const Pass *pass, int64_t image, int64_t row, int64_t column) {
    const int64_t values = SPAN * pass->shape->channels;
    NAME(vertically)(own, pass, image, row, column);
    for (int i = 0; i < POINTS; i++) NAME(horizontally)(own, pass, i);
    for (int64_t k = 0; k < values; k += WIDTH) {
        vec m[POINTS], y[SIDE];
#pragma GCC unroll 6
        for (int i = 0; i < POINTS; i++) m[i] = NAME(load)(own->rows + i * values + k);
        NAME(to_pixels)(m, y);
#pragma GCC unroll 4
        for (int r = 0; r < SIDE; r++) NAME(store)(own->Y + r * values + k, y[r]);
    }
}

/* Everything else, for up to TILES pixels of a row; Y is NULL, or what they have so far. */
static void NAME(finish)(const Scratch *own, const Pass *pass, int64_t image, int64_t row, int64_t column, const float *Y) {
    const Shape *s = pass->shape;
    const int64_t C = s->channels, left = s->columns - column, count = left < TILES ? left : TILES;
    float *to = own->pixels;
    for (const Input *input = pass->points; input < pass->plain; to += TILES * input->channels, input++)
        for (int64_t t = 0; t < count; t++) {
            const float *from = pixel(input, s, image, row, column + t);
            for (int64_t k = 0; k < input->channels; k += WIDTH) {
                NAME(store)(to + place(k, t), NAME(load)(from + k));
                __builtin_prefetch(from + TILES * input->step + k); /* it arrives while these are worked on */
            }
        }
    float *y = pass->y + ((image * s->rows + row) * s->columns + column) * C;
    for (int64_t o = 0; o < C; o += WIDTH) {
        const vec bias = pass->bias ? NAME(load)(pass->bias + o) : (vec){0};
        vec sums[TILES];
#pragma GCC unroll 8
        for (int t = 0; t < TILES; t++) sums[t] = Y ? bias + NAME(load)(Y + t * C + o) : bias;
        for (int64_t k = 0; k < own->of_points; k += GROUP)
            NAME(add_products)(sums, own->pixels + k * TILES, pass->kernel + k * C + o, C);
#pragma GCC unroll 8
        for (int t = 0; t < TILES; t++) {
            if (t >= count) break;
            for (const Input *each = pass->plain; each < pass->plain + pass->plains; each++)
                sums[t] += NAME(load)(pixel(each, s, image, row, column + t) + o);
            if (pass->gate) sums[t] = NAME(where)(NAME(load)(pass->gate + (y - pass->y) + t * C + o), sums[t]);
            NAME(store)(y + t * C + o, pass->relu ? NAME(relu)(sums[t]) : sums[t]);
        }
    }
}

/* SIDE rows and SPAN columns of the sum, or those that are left. */
static void NAME(band)(const Scratch *own, const Pass *pass, int64_t image, int64_t row, int64_t column) {
    const Shape *s = pass->shape;
    if (pass->wides) NAME(wide)(own, pass, image, row, column);
    for (int64_t r = 0; r < SIDE && row + r < s->rows; r++)
        for (int64_t q = 0; q < SPAN && column + q < s->columns; q += TILES)
            NAME(finish)(own, pass, image, row + r, column + q, pass->wides ? own->Y + (r * SPAN + q) * s->channels : NULL);
}

#undef vec
#undef ints
#undef INLINE
