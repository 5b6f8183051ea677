/* Sums of 3x3 and 1x1 convolutions of several maps, of maps as they are and of a bias; then a ReLU, or zeros where
   another map's ReLU is zero. Several sums in their order go image by image, so that what one writes is still in the
   cache when the next reads it.

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

/* One sum, as Python gives it but for the shape. Kernels hold the outputs of an input beside each other. */
typedef struct {
    const Input *wide, *points, *plain; /* of 3x3 and 1x1 convolutions; maps as they are; one after the other */
    int64_t wides, pointses, plains;
    const float *U, *kernel, *bias, *gate; /* 6 x 6 x inputs x C; inputs x C; C or NULL; a map like y, or NULL */
    float *y;
    int64_t relu;
    const Shape *shape;
} Pass;

/* All sums as the threads share them: a part is an image, or some rows and columns where there is one sum. */
typedef struct {
    const Pass *passes;
    int64_t count, parts, next;
    int failed;
} Work;

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

/* Rows of an image from one to before another, and columns likewise; row and column are multiples of SIDE and SPAN. */
static void area(const Scratch *own, const Pass *pass, int64_t image, int64_t row, int64_t rows, int64_t column,
                 int64_t columns) {
    const Shape *s = pass->shape;
    if (rows > s->rows) rows = s->rows;
    if (columns > s->columns) columns = s->columns;
    for (int64_t r = row; r < rows; r += SIDE)
        for (int64_t c = column; c < columns; c += SPAN) CALL(s->channels, band, own, pass, image, r, c);
}

static void parts_of(Work *all, const Scratch *own) {
    const Pass *passes = all->passes;
    const Shape *s = passes->shape;
    const int64_t across = (s->columns + PART - 1) / PART, bands = (s->rows + SIDE - 1) / SIDE;
    for (int64_t part; (part = take(&all->next)) < all->parts;)
        if (all->count == 1) {
            const int64_t row = part / across % bands * SIDE, column = part % across * PART;
            area(own, passes, part / across / bands, row, row + SIDE, column, column + PART);
        } else
            for (int64_t k = 0; k < all->count; k++) area(own + k, passes + k, part, 0, s->rows, 0, s->columns);
}

static void work(void *shared) {
    Work *all = shared;
    Scratch *own = calloc(all->count, sizeof(Scratch));
    float **blocks = calloc(all->count, sizeof(float *));
    int short_of = !own || !blocks;
    for (int64_t k = 0; !short_of && k < all->count; k++) short_of = !(blocks[k] = scratch(own + k, all->passes + k));
    if (short_of)
        all->failed = 1;
    else
        parts_of(all, own);
    for (int64_t k = 0; blocks && k < all->count; k++) free(blocks[k]);
    free(blocks);
    free(own);
}

/* Writes the y of one sum or more, all of one shape; later ones may read the y of earlier ones. All channels are multiples
   of 16. Returns 0, or 1 where memory is short. */
int jsnas_convolution_sums(Pass *passes, int64_t count, const Shape *shape, Parallel parallel, int64_t threads) {
    for (int64_t k = 0; k < count; k++) passes[k].shape = shape;
    Work all = {.passes = passes, .count = count, .parts = shape->images};
    if (count == 1) all.parts *= ((shape->rows + SIDE - 1) / SIDE) * ((shape->columns + PART - 1) / PART);
    share(work, &all, parallel, threads);
    return all.failed;
}
