/* 1x1 and 3x3 convolutions in groups of eight channels to eight, with a bias and a ReLU: small ones take oneDNN longer
   to begin than to compute. A kernel is channels x 8 x side x side; zeros are around the images.

   A window is three rows of an image, a pixel of zeros on each side and some more to read beyond. */

#include "common.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP = 8, STEP = 8 }; /* channels of a group; pixels at a time */

typedef int32_t eight_ints __attribute__((vector_size(32)));

typedef struct {
    int64_t values; /* of a row: columns x channels */
    int64_t room;   /* of a row of the window */
    float *window;  /* the rows, as a ring */
    float *kernels; /* taps x 8 x channels, and the bias: for each tap and input the weights of all outputs, or the
                       gradients of these */
    float *one;     /* one row, zeros on both sides */
} Scratch;

/* One pass as the threads share it. */
typedef struct {
    const float *x;
    int64_t step;          /* floats from pixel to pixel of x */
    const float *positive; /* values of x, or of dy where it is there, count only where this is above zero; or NULL */
    const float *kernel, *bias, *dy; /* bias may be NULL */
    float *y, *dkernel;
    int64_t side, relu, turned;
    const Shape *shape;
    int64_t parts, next;
    int failed;
} Pass;

static float *window_row(const Scratch *own, int64_t row) { return own->window + (row + 3) % 3 * own->room; }

/* Copies a row, zeros where a value of positive is not. */
static void copy_row(const Scratch *own, const Pass *pass, float *to, const float *from, int64_t step, int64_t place,
                     int masked) {
    const Shape *s = pass->shape;
    if (step == s->channels)
        memcpy(to, from + place * own->values, own->values * sizeof(float));
    else
        for (int64_t p = 0; p < s->columns; p++)
            memcpy(to + p * s->channels, from + (place * s->columns + p) * step, s->channels * sizeof(float));
    if (!masked) return;
    const float *positive = pass->positive + place * own->values;
    for (int64_t k = 0; k < own->values; k++) to[k] = positive[k] <= 0 ? 0 : to[k];
}

/* The window's rows around one; those before it are there already, unless it is the first here or of an image. */
static void slide(const Scratch *own, const Pass *pass, int64_t image, int64_t row, int first) {
    const Shape *s = pass->shape;
    const int64_t radius = pass->side / 2;
    for (int64_t r = first || row == 0 ? row - radius : row + radius; r <= row + radius; r++) {
        float *to = window_row(own, r) + s->channels;
        if (r < 0 || r >= s->rows)
            memset(to, 0, own->values * sizeof(float));
        else
            copy_row(own, pass, to, pass->x, pass->step, image * s->rows + r, pass->positive && !pass->dy);
    }
}

#define LOOPS "octets_rows.h"
#include "each_processor.h"

static void work(void *shared) {
    Pass *pass = shared;
    const Shape *s = pass->shape;
    const int64_t C = s->channels, rows = s->images * s->rows, weights = (pass->side * pass->side * GROUP + 1) * C;
    Scratch own = {.values = s->columns * C, .room = (s->columns + 2 + STEP) * C};
    float *block = calloc(4 * own.room + weights, sizeof(float));
    if (!block) {
        pass->failed = 1;
        return;
    }
    own.window = block, own.one = block + 3 * own.room, own.kernels = own.one + own.room;
    for (int64_t part; (part = take(&pass->next)) < pass->parts;)
        if (pass->dy)
            CALL(GROUP, kernel_back, &own, pass, part);
        else
            CALL(GROUP, convolve, &own, pass, rows * part / pass->parts, rows * (part + 1) / pass->parts);
    free(block);
}

/* y = x convolved, or with the kernel turned around and inputs for outputs, which makes y the gradient of x from that of
   y. Channels are a multiple of 8. Returns 0, or 1 where memory is short. */
int jsnas_octets(const float *x, int64_t step, const float *positive, const float *kernel, const float *bias, float *y,
                 int64_t side, int64_t relu, int64_t turned, const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.x = x, .step = step, .positive = positive, .kernel = kernel, .bias = bias, .y = y};
    pass.side = side, pass.relu = relu, pass.turned = turned, pass.shape = shape, pass.parts = threads;
    share(work, &pass, parallel, threads);
    return pass.failed;
}

/* The gradients of kernel and bias for each image, images x (channels x 8 x side x side + channels). */
int jsnas_octets_kernel(const float *x, int64_t step, const float *positive, const float *dy, float *dkernel,
                        int64_t side, const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.x = x, .step = step, .positive = positive, .dy = dy, .dkernel = dkernel, .side = side};
    pass.shape = shape, pass.parts = shape->images;
    share(work, &pass, parallel, threads);
    return pass.failed;
}
