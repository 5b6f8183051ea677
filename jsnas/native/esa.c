/* The small map of enhanced spatial attention: the 3x3 convolution of stride 2 that it comes from, and its way back to
   the size of the narrow map. Channels are a multiple of 4. */

#include "common.h"

#include <stdlib.h>

enum { STEP = 8 };  /* pixels at a time */
enum { USUAL = 8 }; /* channels of the paper's networks */

/* One pass as the threads share it. */
typedef struct {
    const float *x; /* the narrow map; step floats from pixel to pixel */
    int64_t step, rows, columns;
    const float *kernel, *bias; /* 9 x inputs x outputs; outputs */
    const float *small;         /* of small_rows x small_columns, of which some rows, from first on, are there */
    int64_t first, there, small_rows, small_columns;
    int64_t start, height; /* the first row of y, and how many y would have in all */
    float *y;
    const Shape *shape;
    int64_t next;
    int failed;
} Pass;

/* Bilinear resizing from some pixels to others, centres as in torch without align_corners: the pixel before and how near
   the one after it is. */
static int64_t between(int64_t pixel, int64_t from, int64_t to, float *near) {
    const float place = ((float)pixel + 0.5f) * ((float)from / (float)to) - 0.5f, inside = place > 0 ? place : 0;
    const int64_t before = (int64_t)inside < from - 1 ? (int64_t)inside : from - 1;
    *near = inside - (float)before;
    return before;
}

#define LOOPS "esa_rows.h"
#include "each_processor.h"

static void shrink_rows(void *shared) {
    Pass *pass = shared;
    const Shape *s = pass->shape;
    float *lines = calloc(3 * (pass->columns + 2 * STEP) * s->channels, sizeof(float));
    if (!lines) {
        pass->failed = 1;
        return;
    }
    for (int64_t row; (row = take(&pass->next)) < s->images * s->rows;) CALL(s->channels, shrink, pass, row, lines);
    free(lines);
}

static void enlarge_rows(void *shared) {
    Pass *pass = shared;
    const Shape *s = pass->shape;
    float *line = malloc((pass->small_columns * s->channels + s->columns) * sizeof(float));
    int64_t *before = malloc(s->columns * sizeof(int64_t));
    if (line && before) {
        float *near = line + pass->small_columns * s->channels;
        for (int64_t c = 0; c < s->columns; c++) before[c] = between(c, pass->small_columns, s->columns, near + c);
        for (int64_t row; (row = take(&pass->next)) < s->images * s->rows;)
            CALL(s->channels, enlarge, pass, row, line, before, near);
    } else {
        pass->failed = 1;
    }
    free(line), free(before);
}

/* y = the convolution of x, images x rows x columns, without padding, and its bias. Returns 0, or 1 where memory is
   short. */
int jsnas_esa_shrink(const float *x, int64_t step, int64_t rows, int64_t columns, const float *kernel, const float *bias,
                     float *y, const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.x = x, .step = step, .rows = rows, .columns = columns, .kernel = kernel, .bias = bias, .y = y,
                 .shape = shape};
    share(shrink_rows, &pass, parallel, threads);
    return pass.failed;
}

/* y = some rows of the small map enlarged, plus those of x. small is the rows that are there, from first on. Returns 0,
   or 1 where memory is short. */
int jsnas_esa_enlarge(const float *small, int64_t first, int64_t there, int64_t small_rows, int64_t small_columns,
                      int64_t start, int64_t height, const float *x, int64_t step, float *y, const Shape *shape,
                      Parallel parallel, int64_t threads) {
    Pass pass = {.x = x, .step = step, .small = small, .first = first, .there = there, .small_rows = small_rows,
                 .small_columns = small_columns, .start = start, .height = height, .y = y, .shape = shape};
    share(enlarge_rows, &pass, parallel, threads);
    return pass.failed;
}
