/* Sums of maps times mixtures of gates, with gradients (see gated_sum.h): each row is made, used and dropped in the
   processor's nearest cache, so that no map of gates is ever written.

   This file has what is the same for all processors; the loops of gated_sum_rows.h are compiled for each kind. */

#include "gated_sum.h"

#include <stdlib.h>
#include <string.h>

enum { GATES = 8 };                    /* wide gates of an edge */
enum { BLOCK = 1 << 17, FEWEST = 4 }; /* values of y, and rows, that all edges add to before the next ones */
enum { PIXELS = 16 };                  /* that a forward pass has at a time */

typedef struct {
    int64_t image, row;
} Place;

/* Pixels first to last of a row; the mixture of the first is at to, the next one's step floats on. */
typedef struct {
    float *to;
    int64_t step, first, last;
} Span;

/* What one thread works with. A ring holds three rows of a depthwise gate, C channels and a column more on each side. */
typedef struct {
    int64_t span;  /* rows of a turned kernel that there is room for: 9, or the narrow channels */
    int64_t line;  /* floats of a row of one vector; not a multiple of a page, which would make loads wait for stores */
    float *gate;   /* columns of one vector: the mixture, later its gradient */
    float *one;    /* the same for each gate: its sigmoids, later the gradients of its logits */
    float *pixel;  /* the same: gradient of the pixel gate, still to be summed over the lanes */
    float *some;   /* PIXELS x C: the mixture of a forward pass */
    float *row;    /* for each gate columns x C: gradients of the logits */
    float *spread; /* for each gate a ring: the narrow map, its channels repeated */
    float *back;   /* for each gate a ring: the gradient of that */
    float *turned; /* for each gate its kernel, span x C */
    float *sums;   /* for each gate the gradient of that */
    float *biases; /* for each gate that of its bias, C */
} Scratch;

static const float *narrow_row(const Gate *g, const Shape *s, int64_t image, int64_t row) {
    return g->narrow + (image * g->rows + row) * s->columns * g->step;
}

static float weight_of(const Gate *g) { return g->weight ? *g->weight : 1; }

static float *ring_row(const float *ring, const Shape *s, int64_t gate, int64_t row) {
    return (float *)ring + (gate * 3 + (row + 3) % 3) * (s->columns + 2) * s->channels;
}

static void turn_kernels(const Scratch *own, const Edge *e, const Shape *s) {
    for (int64_t k = 0; k < e->count; k++) {
        const int64_t n = e->gates[k].taps == 1 ? e->gates[k].inputs : 9;
        float *to = own->turned + k * own->span * s->channels;
        for (int64_t c = 0; c < s->channels; c++)
            for (int64_t t = 0; t < n; t++) to[t * s->channels + c] = e->gates[k].kernel[c * n + t];
    }
}

static void clear_sums(const Scratch *own, const Edge *e, const Shape *s) {
    memset(own->sums, 0, e->count * own->span * s->channels * sizeof(float));
    memset(own->biases, 0, e->count * s->channels * sizeof(float));
}

/* Makes room in the rings for what a row adds to: itself and its neighbours. */
static void clear_back(const Scratch *own, const Edge *e, const Shape *s, int64_t row) {
    for (int64_t k = 0; k < e->count; k++)
        if (e->gates[k].taps == 9 && e->gates[k].dnarrow)
            for (int64_t r = row ? row + 1 : -1; r <= row + 1; r++)
                memset(ring_row(own->back, s, k, r), 0, (s->columns + 2) * s->channels * sizeof(float));
}

static void finish_gate(const Scratch *own, int64_t gate, const Gate *g, const Shape *s, int64_t image) {
    const int64_t C = s->channels, n = g->taps == 1 ? g->inputs : 9;
    if (g->dbias) memcpy(g->dbias + image * C, own->biases + gate * C, C * sizeof(float));
    if (!g->dkernel) return;
    const float *sums = own->sums + gate * own->span * C;
    for (int64_t c = 0; c < C; c++)
        for (int64_t t = 0; t < n; t++) g->dkernel[(image * C + c) * n + t] = sums[t * C + c];
}

#define LOOPS "gated_sum_rows.h"
#include "each_processor.h"

/* One pass as the threads share it: each takes the next parts until there are none. */
typedef struct {
    const Edge *edges;
    const Shape *shape;
    int64_t count, back, parts, next;
    int failed;
} Pass;

static int64_t span_of(const Edge *edges, int64_t count) {
    int64_t span = 9;
    for (int64_t k = 0; k < count; k++)
        for (int64_t g = 0; g < edges[k].count; g++)
            if (edges[k].gates[g].inputs > span) span = edges[k].gates[g].inputs;
    return span;
}

static int64_t most_gates(const Edge *edges, int64_t count) {
    int64_t most = 1;
    for (int64_t k = 0; k < count; k++)
        if (edges[k].count > most) most = edges[k].count;
    return most;
}

/* Cuts one block of memory up; NULL where there is none. */
static float *scratch(Scratch *own, const Pass *pass) {
    const int64_t C = pass->shape->channels, W = pass->shape->columns;
    const int64_t span = span_of(pass->edges, pass->count), gates = most_gates(pass->edges, pass->count);
    const int64_t line = (W + 1) * WIDEST, ring = 3 * (W + 2) * C;
    const int64_t sizes[] = {line, PIXELS * C, gates * line, line, gates * W * C, gates * ring, gates * ring,
                             gates * span * C, gates * span * C, gates * C};
    float **parts[] = {&own->gate, &own->some, &own->one, &own->pixel, &own->row, &own->spread, &own->back,
                       &own->turned, &own->sums, &own->biases};
    int64_t total = 0;
    for (int k = 0; k < 10; k++) total += (sizes[k] + 15) / 16 * 16;
    float *block = aligned_alloc(64, total * sizeof(float)), *next = block;
    if (!block) return NULL;
    for (int k = 0; k < 10; k++) *parts[k] = next, next += (sizes[k] + 15) / 16 * 16;
    own->span = span, own->line = line;
    return block;
}

static void work(void *shared) {
    Pass *pass = shared;
    Scratch own;
    float *block = scratch(&own, pass);
    if (!block) {
        pass->failed = 1;
        return;
    }
    const Shape *s = pass->shape;
    const int64_t rows = s->images * s->rows;
    for (int64_t part; (part = take(&pass->next)) < pass->parts;)
        for (int64_t k = 0; k < pass->count; k++) {
            const Edge *e = pass->edges + k;
            if (pass->back)
                CALL(s->channels, backward, &own, e, s, part);
            else
                CALL(s->channels, forward, &own, e, s, rows * part / pass->parts, rows * (part + 1) / pass->parts);
        }
    free(block);
}

/* The edges' y, in their order. Returns 0, or 1 where memory is short. */
int jsnas_gated_sum(const Edge *edges, int64_t count, const Shape *shape, Parallel parallel, int64_t threads) {
    const int64_t rows = shape->images * shape->rows, few = BLOCK / (shape->columns * shape->channels);
    const int64_t block = few > FEWEST ? few : FEWEST, parts = (rows + block - 1) / block;
    Pass pass = {.edges = edges, .shape = shape, .count = count, .parts = parts > threads ? parts : threads};
    share(work, &pass, parallel, threads);
    return pass.failed;
}

/* The gradients that edges and gates ask for; those of kernels, biases and weights for each image. */
int jsnas_gated_sum_backward(const Edge *edges, int64_t count, const Shape *shape, Parallel parallel, int64_t threads) {
    Pass pass = {.edges = edges, .shape = shape, .count = count, .back = 1, .parts = shape->images};
    share(work, &pass, parallel, threads);
    return pass.failed;
}
