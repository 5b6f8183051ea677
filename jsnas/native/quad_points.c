/* Sums of 1x1 convolutions in groups of four channels to four, with gradients: a map is one long row of values, whose
   kernels repeat every channels values. */

#include "four_channels.h"

#include <stdlib.h>
#include <string.h>

/* One pass as the threads share it. */
typedef struct {
    const Point *terms;
    int64_t count;
    const float *dy, *positive; /* where positive is there, values of dy count only where it is above zero */
    float *y;
    const Shape *shape;
    int64_t relu, parts, next;
    int failed;
} Pass;

/* What one thread has: values after which channels and vectors begin together again, the kernels by term, input (or
   output) and value, and gradients of one kernel by input and value. */
typedef struct {
    int64_t period;
    float *kernels, *sums;
} Scratch;

#define LOOPS "quad_points_rows.h"
#include "each_processor.h"

static void work(void *shared) {
    Pass *pass = shared;
    const Shape *s = pass->shape;
    const int64_t row = s->columns * s->channels, rows = s->images * s->rows;
    Scratch own = {.period = common_multiple(s->channels, WIDEST)};
    own.kernels = calloc(4 * own.period * (pass->count + 1), sizeof(float));
    if (!own.kernels) {
        pass->failed = 1;
        return;
    }
    own.sums = own.kernels + 4 * own.period * pass->count;
    for (int64_t part; (part = take(&pass->next)) < pass->parts;)
        if (pass->dy)
            CALL(WIDEST, back, &own, pass, part);
        else
            CALL(WIDEST, add, &own, pass, rows * part / pass->parts * row, rows * (part + 1) / pass->parts * row);
    free(own.kernels);
}

/* y = the sum of the terms, or its ReLU. Returns 0, or 1 where memory is short. */
int jsnas_quad_points(const Point *terms, int64_t count, float *y, int64_t relu, const Shape *shape, Parallel parallel,
                      int64_t threads) {
    Pass pass = {.terms = terms, .count = count, .y = y, .relu = relu, .shape = shape, .parts = threads};
    share(work, &pass, parallel, threads);
    return pass.failed;
}

/* The gradients of the terms from that of y; positive is y where y is a ReLU, and else NULL. */
int jsnas_quad_points_backward(const Point *terms, int64_t count, const float *dy, const float *positive,
                               const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.terms = terms, .count = count, .dy = dy, .positive = positive, .shape = shape};
    pass.parts = shape->images;
    share(work, &pass, parallel, threads);
    return pass.failed;
}
