/* Gates of one value a pixel, several at once: weight x sigmoid(k2 . ReLU(k1 ReLU(x) + b1) + b2), where x has n channels
   for each gate and k1 two rows. oneDNN fills its vectors with channels, so these leave most of a vector empty. Here
   some pixels at a time are turned, so that a vector holds pixels. */

#include "common.h"

#include <stdlib.h>
#include <string.h>

/* Values of one gate; y, dy: one a pixel. sums: the gradients of k1, b1, k2, b2 and weight, by image; NULL where none of
   them is wanted. */
typedef struct {
    const float *kernel1, *bias1, *kernel2, *bias2, *weight, *dy;
    float *y, *sums;
} PixelGate;

/* One pass as the threads share it. */
typedef struct {
    const PixelGate *gates;
    int64_t count, inputs; /* gates; n */
    const float *x;
    int64_t step; /* floats from pixel to pixel of x */
    float *dx;    /* without holes; NULL in the forward pass */
    const Shape *shape;
    int64_t parts, next;
    int failed;
} Pass;

/* What one thread has: inputs of some pixels by channel, their gradients, and the gradients of a kernel by pixel. */
typedef struct {
    float *x, *dx, *sums;
} Scratch;

#define LOOPS "pixel_gates_rows.h"
#include "each_processor.h"

static void work(void *shared) {
    Pass *pass = shared;
    const int64_t rows = pass->shape->images * pass->shape->rows, columns = pass->shape->columns;
    Scratch own = {.x = calloc((4 * pass->inputs + 6) * WIDEST, sizeof(float))};
    if (!own.x) {
        pass->failed = 1;
        return;
    }
    own.dx = own.x + pass->inputs * WIDEST, own.sums = own.dx + pass->inputs * WIDEST;
    for (int64_t part; (part = take(&pass->next)) < pass->parts;)
        if (pass->dx)
            CALL(WIDEST, back, &own, pass, part);
        else
            CALL(WIDEST, gate, &own, pass, rows * part / pass->parts * columns, rows * (part + 1) / pass->parts * columns);
    free(own.x);
}

/* The gates of x. Returns 0, or 1 where memory is short. */
int jsnas_pixel_gates(const PixelGate *gates, int64_t count, int64_t inputs, const float *x, int64_t step,
                      const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.gates = gates, .count = count, .inputs = inputs, .x = x, .step = step, .shape = shape};
    pass.parts = threads;
    share(work, &pass, parallel, threads);
    return pass.failed;
}

/* All gradients from those of the gates. */
int jsnas_pixel_gates_backward(const PixelGate *gates, int64_t count, int64_t inputs, const float *x, int64_t step,
                               float *dx, const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.gates = gates, .count = count, .inputs = inputs, .x = x, .step = step, .dx = dx, .shape = shape};
    pass.parts = shape->images;
    share(work, &pass, parallel, threads);
    return pass.failed;
}
