/* Depthwise 3x3 convolutions of few channels, dilated or not: oneDNN computes these for each pixel alone, and leaves
   most of a vector empty. Here a row of pixels is one long row of values, whose kernels repeat every channels values.

   A window is 2 d + 1 rows of an image, zeros around them, d being the dilation. */

#include "four_channels.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t values;  /* of a row: columns x channels */
    int64_t room;    /* of a row of the window: as many, d x channels zeros on each side, and some to read beyond */
    int64_t period;  /* values after which channels and vectors begin together again */
    float *window;   /* rows of the window, as a ring */
    float *kernels;  /* 9 x period: the kernel of each value, or the gradient of that */
    float *one;      /* one row, zeros beyond its end */
} Scratch;

/* One pass as the threads share it. */
typedef struct {
    const float *x, *kernel, *dy;
    float *y, *dkernel;
    const Shape *shape;
    int64_t dilation, parts, next;
    int failed;
} Pass;

static float *window_row(const Scratch *own, int64_t d, int64_t row) {
    const int64_t rows = 2 * d + 1;
    return own->window + (row + rows) % rows * own->room;
}

/* Puts a row of an image into the window, or zeros beyond the image. */
static void enter(const Scratch *own, const Pass *pass, int64_t image, int64_t row) {
    const Shape *s = pass->shape;
    float *to = window_row(own, pass->dilation, row) + pass->dilation * s->channels;
    if (row < 0 || row >= s->rows)
        memset(to, 0, own->values * sizeof(float));
    else
        memcpy(to, pass->x + (image * s->rows + row) * own->values, own->values * sizeof(float));
}

#define LOOPS "depthwise_rows.h"
#include "each_processor.h"

static void work(void *shared) {
    Pass *pass = shared;
    const Shape *s = pass->shape;
    const int64_t d = pass->dilation, rows = s->images * s->rows;
    Scratch own = {.values = s->columns * s->channels, .period = common_multiple(s->channels, WIDEST)};
    own.room = own.values + 2 * d * s->channels + WIDEST;
    float *block = calloc((2 * d + 1) * own.room + 9 * own.period + own.values + WIDEST, sizeof(float));
    if (!block) {
        pass->failed = 1;
        return;
    }
    own.window = block, own.kernels = block + (2 * d + 1) * own.room, own.one = own.kernels + 9 * own.period;
    for (int64_t part; (part = take(&pass->next)) < pass->parts;)
        if (pass->dy)
            CALL(WIDEST, kernel_back, &own, pass, part);
        else
            CALL(WIDEST, convolve, &own, pass, rows * part / pass->parts, rows * (part + 1) / pass->parts);
    free(block);
}

/* y = x convolved with a kernel of channels x 9, zeros around the images; its size stays. The kernel may be turned
   around, which makes y the gradient of x from that of y. Returns 0, or 1 where memory is short. */
int jsnas_depthwise(const float *x, const float *kernel, float *y, int64_t dilation, const Shape *shape,
                    Parallel parallel, int64_t threads) {
    Pass pass = {.x = x, .kernel = kernel, .y = y, .shape = shape, .dilation = dilation, .parts = threads};
    share(work, &pass, parallel, threads);
    return pass.failed;
}

/* The gradient of the kernel for each image, images x channels x 9. */
int jsnas_depthwise_kernel(const float *x, const float *dy, float *dkernel, int64_t dilation, const Shape *shape,
                           Parallel parallel, int64_t threads) {
    Pass pass = {.x = x, .dy = dy, .dkernel = dkernel, .shape = shape, .dilation = dilation, .parts = shape->images};
    share(work, &pass, parallel, threads);
    return pass.failed;
}
