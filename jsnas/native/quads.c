/* 3x3 convolutions in groups of four channels to four: four groups fill a vector of 16 floats, without the zeros that
   wider groups would hold. A kernel is channels x 4 x 3 x 3.

   A window is three rows of an image, a pixel of zeros on each side and some more to read beyond. */

#include "four_channels.h"

#include <stdlib.h>
#include <string.h>

enum { STEP = 8 }; /* pixels at a time */

typedef struct {
    int64_t values; /* of a row: columns x channels */
    int64_t room;   /* of a row of the window */
    float *window;  /* the rows, as a ring */
    float *kernels; /* 9 x 4 x channels: for each tap and input the weights of all outputs, or the gradients of these */
    float *one;     /* one row, zeros on both sides */
} Scratch;

/* One pass as the threads share it. */
typedef struct {
    const float *x, *kernel, *dy;
    const float *more, *positive; /* is added to y; y counts only where it is above zero; each may be NULL */
    float *y, *dkernel;
    int64_t relu;
    const Shape *shape;
    int64_t parts, next;
    int failed;
} Pass;

static float *window_row(const Scratch *own, int64_t row) { return own->window + (row + 3) % 3 * own->room; }

/* The window's rows around one; those before it are there already, unless it is the first here or of an image. */
static void slide(const Scratch *own, const Pass *pass, int64_t image, int64_t row, int first) {
    const Shape *s = pass->shape;
    for (int64_t r = first || row == 0 ? row - 1 : row + 1; r <= row + 1; r++) {
        float *to = window_row(own, r) + s->channels;
        if (r < 0 || r >= s->rows)
            memset(to, 0, own->values * sizeof(float));
        else
            memcpy(to, pass->x + (image * s->rows + r) * own->values, own->values * sizeof(float));
    }
}

#define LOOPS "quads_rows.h"
#include "each_processor.h"

static void work(void *shared) {
    Pass *pass = shared;
    const Shape *s = pass->shape;
    const int64_t C = s->channels, rows = s->images * s->rows;
    Scratch own = {.values = s->columns * C, .room = (s->columns + 2 + STEP) * C};
    float *block = calloc(3 * own.room + 36 * C + own.room, sizeof(float));
    if (!block) {
        pass->failed = 1;
        return;
    }
    own.window = block, own.kernels = block + 3 * own.room, own.one = own.kernels + 36 * C;
    for (int64_t part; (part = take(&pass->next)) < pass->parts;)
        if (pass->dy)
            CALL(C, kernel_back, &own, pass, part);
        else
            CALL(C, convolve, &own, pass, rows * part / pass->parts, rows * (part + 1) / pass->parts);
    free(block);
}

/* y = x convolved, zeros around the images, plus more, which y may be; or the ReLU of that; zero where positive is not
   above zero. Channels are a multiple of 4. Returns 0, or 1 where memory is short. */
int jsnas_quads(const float *x, const float *kernel, const float *more, const float *positive, float *y, int64_t relu,
                const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.x = x, .kernel = kernel, .more = more, .positive = positive, .y = y, .relu = relu, .shape = shape};
    pass.parts = threads;
    share(work, &pass, parallel, threads);
    return pass.failed;
}

/* The gradient of the kernel for each image, images x channels x 4 x 3 x 3. */
int jsnas_quads_kernel(const float *x, const float *dy, float *dkernel, const Shape *shape, Parallel parallel,
                       int64_t threads) {
    Pass pass = {.x = x, .dy = dy, .dkernel = dkernel, .shape = shape, .parts = shape->images};
    share(work, &pass, parallel, threads);
    return pass.failed;
}
