/* Sums of convolutions to four channels, added to a map, with gradients: 4n inputs as n blocks of four fill vectors, and
   the sums over the blocks are taken last.

   The map has E parts of C channels, and of each part every (C / 4)-th channel is added to. A term's map has E parts of
   4n channels, its kernel is E x 4 x 4n x side x side; zeros are around images. A plain map of E parts of four channels
   may be added as it is.

   A row of a map is copied to where there is a pixel of zeros on both sides, and room for vectors that read beyond. */

#include "four_channels.h"

#include <stdlib.h>
#include <string.h>

enum { STEP = 8, TERMS = 2 }; /* pixels at a time; terms of a sum */

/* What one thread has of one term: a ring of three rows of x, and the kernel, or its gradient, in the loops' order. */
typedef struct {
    int64_t inputs, lanes, room; /* 4n; the same as whole vectors; floats of a row */
    float *window, *kernels, *sums;
} Part;

typedef struct {
    Part *parts;
    float *out;   /* the four channels of each of E parts, part by part: a ring of three rows */
    int64_t line; /* floats of a part's row of it */
    int64_t room; /* floats of a row of it */
} Scratch;

/* One pass as the threads share it. */
typedef struct {
    const Term *terms;
    int64_t count, edges;
    float *y, *dplain;        /* dplain gets what dy is in the channels that are added to */
    const float *dy, *plain; /* each of these or NULL */
    const Shape *shape;
    int64_t parts, next;
    int failed;
} Pass;

static float *ring(float *rows, int64_t row, int64_t room) { return rows + (row + 3) % 3 * room; }

/* The rows of a term's map around one; those before it are there already unless it is the first here or of an image. */
static void slide(const Part *own, const Term *t, const Pass *pass, int64_t image, int64_t row, int first) {
    const int64_t radius = t->side / 2, rows = pass->shape->rows, pixel = pass->edges * own->inputs;
    const int64_t values = pass->shape->columns * pixel;
    for (int64_t r = first || row == 0 ? row - radius : row + radius; r <= row + radius; r++) {
        float *to = ring(own->window, r, own->room) + pixel;
        if (r < 0 || r >= rows)
            memset(to, 0, values * sizeof(float));
        else
            memcpy(to, t->x + (image * rows + r) * values, values * sizeof(float));
    }
}

/* The gradients of the four channels in one row and its neighbours. */
static void slide_back(const Scratch *own, const Pass *pass, int64_t image, int64_t row) {
    const Shape *s = pass->shape;
    const int64_t every = s->channels / (4 * pass->edges);
    for (int64_t r = row == 0 ? -1 : row + 1; r <= row + 1; r++)
        for (int64_t e = 0; e < pass->edges; e++) {
            float *to = ring(own->out, r, own->room) + e * own->line + 4;
            if (r < 0 || r >= s->rows) {
                memset(to, 0, s->columns * 4 * sizeof(float));
                continue;
            }
            const float *from = pass->dy + (image * s->rows + r) * s->columns * s->channels + e * 4 * every;
            for (int64_t p = 0; p < s->columns; p++, from += s->channels)
                for (int k = 0; k < 4; k++) to[4 * p + k] = from[k * every];
        }
}

typedef float four __attribute__((vector_size(16), aligned(4)));

#define LOOPS "quad_sums_rows.h"
#include "each_processor.h"

static void work(void *shared) {
    Pass *pass = shared;
    const Shape *s = pass->shape;
    const int64_t E = pass->edges, rows = s->images * s->rows;
    Part parts[TERMS];
    Scratch own = {.parts = parts, .line = (s->columns + 2 + STEP) * 4};
    own.room = own.line * E;
    int64_t floats = 3 * own.room;
    for (int64_t k = 0; k < pass->count; k++) {
        const int64_t n = 4 * pass->terms[k].blocks;
        parts[k] = (Part){.inputs = n, .lanes = whole(n), .room = (s->columns + 2 + STEP) * n * E + WIDEST};
        floats += 3 * parts[k].room + 2 * 36 * parts[k].lanes * E;
    }
    float *block = calloc(floats, sizeof(float));
    if (!block) {
        pass->failed = 1;
        return;
    }
    own.out = block;
    float *next = block + 3 * own.room;
    for (int64_t k = 0; k < pass->count; k++) {
        parts[k].window = next;
        parts[k].kernels = next + 3 * parts[k].room;
        parts[k].sums = parts[k].kernels + 36 * parts[k].lanes * E;
        next = parts[k].sums + 36 * parts[k].lanes * E;
    }
    for (int64_t part; (part = take(&pass->next)) < pass->parts;)
        if (pass->dy)
            CALL(WIDEST, back, &own, pass, part);
        else
            CALL(WIDEST, add, &own, pass, rows * part / pass->parts, rows * (part + 1) / pass->parts);
    free(block);
}

/* Adds the terms, and plain if it is not NULL, to y. Returns 0, or 1 where memory is short. */
int jsnas_quad_sums(const Term *terms, int64_t count, const float *plain, float *y, int64_t edges, const Shape *shape,
                    Parallel parallel, int64_t threads) {
    Pass pass = {.terms = terms, .count = count, .plain = plain, .edges = edges, .y = y, .shape = shape};
    pass.parts = threads;
    share(work, &pass, parallel, threads);
    return pass.failed;
}

/* The gradients of the terms, and of the plain map if dplain is not NULL. */
int jsnas_quad_sums_backward(const Term *terms, int64_t count, const float *dy, float *dplain, int64_t edges,
                             const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.terms = terms, .count = count, .edges = edges, .dy = dy, .dplain = dplain, .shape = shape};
    pass.parts = shape->images;
    share(work, &pass, parallel, threads);
    return pass.failed;
}
