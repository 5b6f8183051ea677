/* What all edges that leave a node of an operation part add at their ends, and the gradients, for four mixed channels:
   the loops of the other files in their order. jsnas/strategy/fast/operations.py says what is computed,
   operation_kernels.py beside it names the kernels; one call in place of thirty leaves Python's lock to the other half
   of a batch. */

#include "four_channels.h"

#include <stdlib.h>
#include <string.h>

/* Kernels: NULL where there are no such blocks. */
enum {
    FIRST, SECOND_X, SECOND_X1, INNER, FIRST_END, SECOND_END, /* of blocks with dense kernels */
    D_FIRST2, D_FIRST3, D_FIRST1, D_X2, D_X3, D_X1, D_X12, D_X13, D_X11, D_FIRST_END, D_SECOND_END, /* of rdb_dil */
    KERNELS
};
enum { WIDE, OF_FIRST2, OF_FIRST3, X1, OF_X2, OF_X3, OF_X12, OF_X13, X2, MAPS }; /* maps of rdb_dil: 4E channels each */
enum { GRADIENTS = 6 }; /* maps of rdb_dil's gradients at once */

/* Maps are 4nE channels wide where nothing else is said. */
typedef struct {
    const float *kernels[KERNELS];
    float *dkernels[KERNELS]; /* NULL where they are not wanted */
    const float *x;           /* the four channels */
    float *y1;                /* ReLU of the first cell's opening */
    float *x1;                /* the first cell's features, where there are inner kernels; else y1 is that */
    float *y2;                /* given: what the second cell makes of x; then its ReLU */
    float *dilated;           /* MAPS maps */
    float *y;                 /* EC channels, to be added to */
    const float *dy;
    float *dy1, *dy2;         /* gradients of what the two convolutions of x gave */
    float *dstate;            /* C channels, to the first four of which the gradient of x is added; or NULL */
    int64_t edges, blocks;    /* E; n dense blocks of each */
} Edges;

/* One call of a pass. */
typedef struct {
    const Edges *e;
    Shape shape, dense, four, one; /* of y; of 4nE, 4E and 4 channels */
    Parallel parallel;
    int64_t threads;
    float *by_image[2]; /* gradients of two kernels */
    float *turned[2];   /* two kernels */
    int failed;
} Run;

static int64_t values(const Shape *s) { return s->images * s->rows * s->columns * s->channels; }

static Run run_of(const Edges *e, const Shape *shape, Parallel parallel, int64_t threads) {
    Run run = {.e = e, .shape = *shape, .dense = *shape, .four = *shape, .one = *shape};
    run.dense.channels = 4 * e->blocks * e->edges, run.four.channels = 4 * e->edges, run.one.channels = 4;
    run.parallel = parallel, run.threads = threads;
    return run;
}

/* The next part of a block of memory. */
static float *cut(float **next, int64_t floats) {
    float *part = *next;
    *next += whole(floats);
    return part;
}

static float *map_of(const Run *run, int which) { return run->e->dilated + which * values(&run->four); }

static void depthwise(Run *run, int x, int kernel, int y, int64_t dilation) {
    run->failed |= jsnas_depthwise(map_of(run, x), run->e->kernels[kernel], map_of(run, y), dilation, &run->four,
                                   run->parallel, run->threads);
}

/* The terms of blocks with dense kernels; returns how many. */
static int64_t terms_of(const Edges *e, Term *terms) {
    if (!e->blocks) return 0;
    const float *x1 = e->kernels[INNER] ? e->x1 : e->y1;
    terms[0] = (Term){.x = x1, .kernel = e->kernels[FIRST_END], .blocks = e->blocks, .side = 1, .relu = x1 == e->y1};
    terms[1] = (Term){.x = e->y2, .kernel = e->kernels[SECOND_END], .blocks = e->blocks, .side = 3, .relu = 1};
    return 2;
}

static void dense_blocks(Run *run) {
    const Edges *e = run->e;
    const float *x1 = e->y1;
    if (e->kernels[INNER]) {
        run->failed |= jsnas_quads(e->y1, e->kernels[INNER], NULL, NULL, e->x1, 0, &run->dense, run->parallel,
                                   run->threads);
        x1 = e->x1;
    }
    run->failed |= jsnas_quads(x1, e->kernels[SECOND_X1], e->y2, NULL, e->y2, 1, &run->dense, run->parallel,
                               run->threads);
}

static void dilated_blocks(Run *run) {
    const Edges *e = run->e;
    float *to = map_of(run, WIDE);
    for (int64_t p = 0; p < values(&run->one); p += 4)
        for (int64_t k = 0; k < e->edges; k++, to += 4) memcpy(to, e->x + p, 4 * sizeof(float));
    depthwise(run, WIDE, D_FIRST2, OF_FIRST2, 2), depthwise(run, OF_FIRST2, D_FIRST3, OF_FIRST3, 3);
    const Point first = {.x = map_of(run, OF_FIRST3), .kernel = e->kernels[D_FIRST1]};
    run->failed |= jsnas_quad_points(&first, 1, map_of(run, X1), 1, &run->four, run->parallel, run->threads);
    depthwise(run, WIDE, D_X2, OF_X2, 2), depthwise(run, OF_X2, D_X3, OF_X3, 3);
    depthwise(run, X1, D_X12, OF_X12, 2), depthwise(run, OF_X12, D_X13, OF_X13, 3);
    const Point second[] = {{.x = map_of(run, OF_X3), .kernel = e->kernels[D_X1]},
                            {.x = map_of(run, OF_X13), .kernel = e->kernels[D_X11]}};
    run->failed |= jsnas_quad_points(second, 2, map_of(run, X2), 1, &run->four, run->parallel, run->threads);
}

/* Fills x1, y2 and the dilated maps, and adds to y. Returns 0, or 1 where memory is short. */
int jsnas_operation_edges(const Edges *e, const Shape *shape, Parallel parallel, int64_t threads) {
    if (!e->blocks && !e->dilated) return 0;
    Run run = run_of(e, shape, parallel, threads);
    float *plain = NULL;
    Term terms[2];
    if (e->blocks) dense_blocks(&run);
    if (e->dilated) {
        dilated_blocks(&run);
        if (!(plain = malloc(values(&run.four) * sizeof(float)))) return 1;
        const Point ends[] = {{.x = map_of(&run, X1), .kernel = e->kernels[D_FIRST_END]},
                              {.x = map_of(&run, X2), .kernel = e->kernels[D_SECOND_END]}};
        run.failed |= jsnas_quad_points(ends, 2, plain, 0, &run.four, parallel, threads);
    }
    run.failed |= jsnas_quad_sums(terms, terms_of(e, terms), plain, e->y, e->edges, shape, parallel, threads);
    free(plain);
    return run.failed;
}

/* Where a kernel's gradient by image is to be put, or NULL. */
static float *room_for(const Run *run, int kernel, int which) {
    return run->e->dkernels[kernel] ? run->by_image[which] : NULL;
}

/* Sums a kernel's gradient over the images. */
static void add_up(const Run *run, int kernel, int which, int64_t size) {
    float *to = run->e->dkernels[kernel];
    if (!to) return;
    memcpy(to, run->by_image[which], size * sizeof(float));
    for (int64_t image = 1; image < run->shape.images; image++)
        for (int64_t k = 0; k < size; k++) to[k] += run->by_image[which][image * size + k];
}

/* Gradients of a depthwise convolution: that of its kernel, and dx. */
static void depthwise_back(Run *run, const float *dy, int x, int kernel, int64_t dilation, float *dx) {
    const int64_t size = run->four.channels * 9;
    float *by_image = room_for(run, kernel, 0);
    if (by_image)
        run->failed |= jsnas_depthwise_kernel(map_of(run, x), dy, by_image, dilation, &run->four, run->parallel,
                                              run->threads);
    add_up(run, kernel, 0, size);
    for (int64_t c = 0; c < run->four.channels; c++)
        for (int tap = 0; tap < 9; tap++) run->turned[0][c * 9 + tap] = run->e->kernels[kernel][c * 9 + 8 - tap];
    run->failed |= jsnas_depthwise(dy, run->turned[0], dx, dilation, &run->four, run->parallel, run->threads);
}

/* Gradients of one or two 1x1 convolutions whose sum is y, a ReLU, or of no ReLU where y is NULL. */
static void points_back(Run *run, const float *dy, const float *y, int count, const int *xs, const int *kernels,
                        float *const *dxs) {
    Point terms[2] = {{0}};
    for (int k = 0; k < count; k++)
        terms[k] = (Point){map_of(run, xs[k]), run->e->kernels[kernels[k]], dxs[k], room_for(run, kernels[k], k)};
    run->failed |= jsnas_quad_points_backward(terms, count, dy, y, &run->four, run->parallel, run->threads);
    for (int k = 0; k < count; k++) add_up(run, kernels[k], k, run->four.channels * 4);
}

/* From the gradients of both features, d[0] and d[1]; d has GRADIENTS maps, of which the last two then add up to that
   of WIDE. */
static void dilated_back(Run *run, float *const *d) {
    const int64_t size = values(&run->four);
    points_back(run, d[1], map_of(run, X2), 2, (const int[]){OF_X3, OF_X13}, (const int[]){D_X1, D_X11},
                (float *const[]){d[2], d[3]});
    depthwise_back(run, d[3], OF_X12, D_X13, 3, d[4]), depthwise_back(run, d[4], X1, D_X12, 2, d[5]);
    for (int64_t k = 0; k < size; k++) d[0][k] += d[5][k];
    points_back(run, d[0], map_of(run, X1), 1, (const int[]){OF_FIRST3}, (const int[]){D_FIRST1},
                (float *const[]){d[1]});
    depthwise_back(run, d[2], OF_X2, D_X3, 3, d[0]), depthwise_back(run, d[0], WIDE, D_X2, 2, d[4]);
    depthwise_back(run, d[1], OF_FIRST2, D_FIRST3, 3, d[0]), depthwise_back(run, d[0], WIDE, D_FIRST2, 2, d[5]);
}

/* Gradients of a convolution of quads, of which x is a ReLU where positive is x: that of its kernel, and dx, which more
   is added to. */
static void quads_back(Run *run, const float *dy, const float *x, int kernel, const float *more, const float *positive,
                       float *dx) {
    const int64_t C = run->dense.channels;
    const float *from = run->e->kernels[kernel];
    float *by_image = room_for(run, kernel, 0), *to = run->turned[0];
    if (by_image)
        run->failed |= jsnas_quads_kernel(x, dy, by_image, &run->dense, run->parallel, run->threads);
    add_up(run, kernel, 0, C * 36);
    for (int64_t c = 0; c < C; c++)
        for (int64_t i = 0; i < 4; i++)
            for (int tap = 0; tap < 9; tap++)
                to[((c / 4 * 4 + i) * 4 + c % 4) * 9 + 8 - tap] = from[(c * 4 + i) * 9 + tap];
    run->failed |= jsnas_quads(dy, to, more, positive, dx, 0, &run->dense, run->parallel, run->threads);
}

/* The gradient of the four channels from those of the two convolutions that read them. */
static void of_four(Run *run, const float *const *dys, const int *kernels, float *dx) {
    const int64_t C = run->dense.channels;
    Term terms[2];
    for (int k = 0; k < 2; k++) {
        for (int64_t c = 0; c < C; c++)
            for (int64_t i = 0; i < 4; i++)
                for (int tap = 0; tap < 9; tap++)
                    run->turned[k][(i * C + c) * 9 + 8 - tap] = run->e->kernels[kernels[k]][(c * 4 + i) * 9 + tap];
        terms[k] = (Term){.x = dys[k], .kernel = run->turned[k], .blocks = C / 4, .side = 3};
    }
    run->failed |= jsnas_quad_sums(terms, 2, NULL, dx, 1, &run->one, run->parallel, run->threads);
}

/* From d1, the gradient of the first features, and dy2; fills dy1 and adds to that of the four channels. */
static void dense_back(Run *run, float *d1, float *dx) {
    const Edges *e = run->e;
    if (e->kernels[INNER]) {
        quads_back(run, e->dy2, e->x1, SECOND_X1, d1, NULL, d1);
        quads_back(run, d1, e->y1, INNER, NULL, e->y1, e->dy1);
    } else {
        quads_back(run, e->dy2, e->y1, SECOND_X1, d1, e->y1, e->dy1);
    }
    of_four(run, (const float *const[]){e->dy1, e->dy2}, (const int[]){FIRST, SECOND_X}, dx);
}

/* The gradients that are asked for, and dy1 and dy2. */
int jsnas_operation_edges_backward(const Edges *e, const Shape *shape, Parallel parallel, int64_t threads) {
    if (!e->blocks && !e->dilated) return 0;
    Run run = run_of(e, shape, parallel, threads);
    const int64_t E = e->edges, kernel = (e->blocks ? 144 * e->blocks : 36) * E;
    const int64_t dense = values(&run.dense), four = values(&run.four), one = values(&run.one);
    const int64_t of_kernels = 2 * (whole(shape->images * kernel) + whole(kernel));
    const int64_t of_maps = (GRADIENTS + 1) * whole(four) + whole(dense) + whole(one);
    float *block = aligned_alloc(WIDEST * sizeof(float), (of_kernels + of_maps) * sizeof(float));
    if (!block) return 1;
    float *next = block, *d[GRADIENTS], *dplain, *d1;
    for (int k = 0; k < 2; k++) {
        run.by_image[k] = cut(&next, shape->images * kernel);
        run.turned[k] = cut(&next, kernel);
    }
    for (int k = 0; k < GRADIENTS; k++) d[k] = cut(&next, four);
    dplain = cut(&next, four), d1 = cut(&next, dense);
    float *dx = cut(&next, one);
    memset(dx, 0, one * sizeof(float));

    Term terms[2];
    const int64_t count = terms_of(e, terms);
    if (count) {
        terms[0].dx = d1, terms[0].dkernel = room_for(&run, FIRST_END, 0);
        terms[1].dx = e->dy2, terms[1].dkernel = room_for(&run, SECOND_END, 1);
    }
    run.failed |= jsnas_quad_sums_backward(terms, count, e->dy, e->dilated ? dplain : NULL, E, shape, parallel,
                                           threads);
    if (count) {
        add_up(&run, FIRST_END, 0, 16 * e->blocks * E), add_up(&run, SECOND_END, 1, 144 * e->blocks * E);
        dense_back(&run, d1, dx);
    }
    if (e->dilated) {
        points_back(&run, dplain, NULL, 2, (const int[]){X1, X2}, (const int[]){D_FIRST_END, D_SECOND_END},
                    (float *const[]){d[0], d[1]});
        dilated_back(&run, d);
        for (int64_t p = 0, k = 0; p < one; p += 4)
            for (int64_t edge = 0; edge < E; edge++, k += 4)
                for (int c = 0; c < 4; c++) dx[p + c] += d[4][k + c] + d[5][k + c];
    }
    const int64_t C = shape->channels / E;
    if (e->dstate)
        for (int64_t p = 0; p < one / 4; p++)
            for (int c = 0; c < 4; c++) e->dstate[p * C + c] += dx[4 * p + c];
    free(block);
    return run.failed;
}
