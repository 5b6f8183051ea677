/* The loops of octets.c, included once for each kind of processor (each_processor.h). */

/* Where the weight of an output, an input of its group and a tap is in the kernel. */
static int64_t NAME(place)(const Pass *pass, int64_t c, int64_t i, int64_t tap) {
    const int64_t taps = pass->side * pass->side;
    if (pass->turned) return ((c / GROUP * GROUP + i) * GROUP + c % GROUP) * taps + taps - 1 - tap;
    return (c * GROUP + i) * taps + tap;
}

/* Rows first to last of all images together. */
static void NAME(convolve)(const Scratch *own, const Pass *pass, int64_t first, int64_t last) {
    const int64_t C = pass->shape->channels, W = pass->shape->columns, side = pass->side, radius = side / 2;
    for (int64_t tap = 0; tap < side * side; tap++)
        for (int64_t i = 0; i < GROUP; i++)
            for (int64_t c = 0; c < C; c++)
                own->kernels[(tap * GROUP + i) * C + c] = pass->kernel[NAME(place)(pass, c, i, tap)];
    for (int64_t r = first; r < last; r++) {
        const int64_t row = r % pass->shape->rows;
        slide(own, pass, r / pass->shape->rows, row, r == first);
        for (int64_t c = 0; c < C; c += GROUP)
            for (int64_t p = 0; p < W; p += STEP) {
                eight sums[STEP] = {{0}};
                if (pass->bias)
                    for (int q = 0; q < STEP; q++) sums[q] = *(const eight *)(pass->bias + c);
                for (int64_t tap = 0; tap < side * side; tap++) {
                    const float *from = window_row(own, row + tap / side - radius) + c;
                    from += (p + 1 + tap % side - radius) * C;
                    const float *kernel = own->kernels + tap * GROUP * C + c;
                    for (int i = 0; i < GROUP; i++, kernel += C) {
                        const eight weight = *(const eight *)kernel;
#pragma GCC unroll 8
                        for (int q = 0; q < STEP; q++) sums[q] += weight * from[q * C + i];
                    }
                }
                float *to = pass->y + (r * W + p) * C + c;
                for (int q = 0; q < STEP && p + q < W; q++) {
                    if (pass->relu) sums[q] = (eight)((eight_ints)sums[q] & ~(sums[q] < 0)); /* no number stays none */
                    *(eight *)(to + q * C) = sums[q];
                }
            }
    }
}

/* The gradients of the kernel and the bias of one image. */
static void NAME(kernel_back)(const Scratch *own, const Pass *pass, int64_t image) {
    const int64_t C = pass->shape->channels, W = pass->shape->columns, rows = pass->shape->rows;
    const int64_t side = pass->side, radius = side / 2, taps = side * side;
    float *bias = own->kernels + taps * GROUP * C;
    memset(own->kernels, 0, (taps * GROUP + 1) * C * sizeof(float));
    for (int64_t row = 0; row < rows; row++) {
        slide(own, pass, image, row, 0);
        copy_row(own, pass, own->one, pass->dy, C, image * rows + row, pass->positive != NULL);
        for (int64_t c = 0; c < C; c += GROUP) {
            for (int64_t p = 0; p < W; p++) *(eight *)(bias + c) += *(const eight *)(own->one + p * C + c);
            for (int64_t tap = 0; tap < taps; tap++) {
                const float *from = window_row(own, row + tap / side - radius) + (1 + tap % side - radius) * C + c;
                const float *dy = own->one + c;
                float *sums = own->kernels + tap * GROUP * C + c;
                eight sum[GROUP];
                for (int i = 0; i < GROUP; i++) sum[i] = *(const eight *)(sums + i * C);
                for (int64_t p = 0; p < W; p++, from += C, dy += C) {
                    const eight here = *(const eight *)dy;
#pragma GCC unroll 8
                    for (int i = 0; i < GROUP; i++) sum[i] += here * from[i];
                }
                for (int i = 0; i < GROUP; i++) *(eight *)(sums + i * C) = sum[i];
            }
        }
    }
    float *to = pass->dkernel + image * (taps * GROUP + 1) * C;
    for (int64_t c = 0; c < C; c++)
        for (int64_t i = 0; i < GROUP; i++)
            for (int64_t tap = 0; tap < taps; tap++)
                to[(c * GROUP + i) * taps + tap] = own->kernels[(tap * GROUP + i) * C + c];
    memcpy(to + taps * GROUP * C, bias, C * sizeof(float));
}
