/* Sums of 3x3 and 1x1 convolutions of several maps, of maps as they are and of a bias; then a ReLU.

   3x3 convolutions are Winograd's minimal filtering F(4x4, 3x3): Y = A^T [(G g G^T) * (B^T d B)] A, where d is a tile of
   6x6 pixels, g a kernel and Y a tile of 4x4 (Lavin and Gray 2016, Eq. 8, arXiv:1509.09308). That is 36 products for 16
   pixels in place of 144. U = G g G^T comes from jsnas/native/convolution_sum.py; V = B^T d B; M = U V, over channels. */

#include "common.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 4,               /* pixels of a tile of Y */
    POINTS = 6,             /* of a tile of d */
    TILES = 8,              /* at a time, and pixels of 1x1 convolutions: as many sums as registers hold */
    SPAN = TILES * SIDE,    /* columns of Y at a time */
    REACH = SPAN + 2,       /* columns of d for them */
    PART = 8 * SPAN,        /* columns that a thread takes */
    GROUP = 16,             /* channels are multiples of it */
};

/* A map, images x rows x columns x channels, from some row on. */
typedef struct {
    const float *x;
    int64_t channels, step; /* step: floats from pixel to pixel */
    int64_t above, rows;    /* rows before the one at y's first; rows that there are, zeros around them */
} Input;

/* One pass as the threads share it. Kernels hold the outputs of an input beside each other. */
typedef struct {
    const Input *wide, *points, *plain; /* of 3x3 and 1x1 convolutions; maps as they are */
    int64_t wides, pointses, plains;
    const float *U, *kernel, *bias; /* 6 x 6 x inputs x C; inputs x C; C or NULL */
    float *y;
    int64_t relu;
    const Shape *shape;
    int64_t parts, next;
    int failed;
} Pass;

typedef struct {
    int64_t inputs, of_points; /* channels of wide ones, and of points */
    float *half;               /* B^T d, 6 x REACH x inputs */
    float *V, *M;              /* of one row of points: 6 x inputs / GROUP x TILES x GROUP, 6 x TILES x C */
    float *rows;               /* M A, 6 x SPAN x C */
    float *Y;                  /* 4 x SPAN x C */
    float *pixels;             /* of_points / GROUP x TILES x GROUP */
    float *zeros;              /* inputs */
} Scratch;

static int64_t channels_of(const Input *inputs, int64_t count) {
    int64_t channels = 0;
    for (int64_t k = 0; k < count; k++) channels += inputs[k].channels;
    return channels;
}

static const float *pixel(const Input *of, const Shape *s, int64_t image, int64_t row, int64_t column) {
    return of->x + ((image * of->rows + row + of->above) * s->columns + column) * of->step;
}

/* Of channel k of tile or pixel t in what products are made of. */
static int64_t place(int64_t k, int64_t t) { return k / GROUP * TILES * GROUP + t * GROUP + k % GROUP; }

#define LOOPS "convolution_sum_rows.h"
#include "each_processor.h"

/* Cuts one block of memory up; NULL where there is none. */
static float *scratch(Scratch *own, const Pass *pass) {
    const int64_t C = pass->shape->channels;
    const int64_t I = own->inputs = channels_of(pass->wide, pass->wides);
    own->of_points = channels_of(pass->points, pass->pointses);
    const int64_t some = I ? C : 0; /* what 3x3 convolutions alone need */
    const int64_t sizes[] = {POINTS * REACH * I, POINTS * TILES * I,   POINTS * TILES * some, POINTS * SPAN * some,
                             SIDE * SPAN * some, TILES * own->of_points, I};
    float **parts[] = {&own->half, &own->V, &own->M, &own->rows, &own->Y, &own->pixels, &own->zeros};
    int64_t total = 16;
    for (int k = 0; k < 7; k++) total += (sizes[k] + 15) / 16 * 16;
    float *block = aligned_alloc(64, total * sizeof(float)), *next = block;
    if (!block) return NULL;
    for (int k = 0; k < 7; k++) *parts[k] = next, next += (sizes[k] + 15) / 16 * 16;
    memset(own->pixels, 0, TILES * own->of_points * sizeof(float));
    memset(own->zeros, 0, I * sizeof(float));
    return block;
}

static void work(void *shared) {
    Pass *pass = shared;
    const Shape *s = pass->shape;
    const int64_t bands = (s->rows + SIDE - 1) / SIDE, across = (s->columns + PART - 1) / PART;
    Scratch own;
    float *block = scratch(&own, pass);
    if (!block) {
        pass->failed = 1;
        return;
    }
    for (int64_t part; (part = take(&pass->next)) < pass->parts;) {
        const int64_t image = part / across / bands, row = part / across % bands * SIDE, first = part % across * PART;
        const int64_t end = first + PART < s->columns ? first + PART : s->columns;
        for (int64_t column = first; column < end; column += SPAN) CALL(s->channels, band, &own, pass, image, row, column);
    }
    free(block);
}

/* y = the sum, or its ReLU. All channels are multiples of 16. Returns 0, or 1 where memory is short. */
int jsnas_convolution_sum(const Input *inputs, int64_t wides, int64_t pointses, int64_t plains, const float *U,
                          const float *kernel, const float *bias, float *y, int64_t relu, const Shape *shape,
                          Parallel parallel, int64_t threads) {
    Pass pass = {.wide = inputs, .points = inputs + wides, .plain = inputs + wides + pointses, .wides = wides,
                 .pointses = pointses, .plains = plains, .U = U, .kernel = kernel, .bias = bias, .y = y, .relu = relu,
                 .shape = shape};
    pass.parts = shape->images * ((shape->rows + SIDE - 1) / SIDE) * ((shape->columns + PART - 1) / PART);
    share(work, &pass, parallel, threads);
    return pass.failed;
}
