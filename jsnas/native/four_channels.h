/* The loops for maps of four mixed channels, as operation_edges.c calls them; the files say what they compute. Each
   returns 0, or 1 where memory is short. */

#ifndef JSNAS_FOUR_CHANNELS_H
#define JSNAS_FOUR_CHANNELS_H

#include "common.h"

/* Of a sum of convolutions to four channels. Gradients are NULL where they are not wanted; that of the kernel is by
   image. Where x is a ReLU, its gradient is that of what is before. */
typedef struct {
    const float *x, *kernel;
    float *dx, *dkernel;
    int64_t blocks, side, relu; /* n; 1 or 3; whether x is a ReLU */
} Term;

/* Of a sum of 1x1 convolutions; a kernel is channels x 4. Gradients are NULL where they are not wanted; that of the
   kernel is by image. */
typedef struct {
    const float *x, *kernel;
    float *dx, *dkernel;
} Point;

int jsnas_depthwise(const float *x, const float *kernel, float *y, int64_t dilation, const Shape *shape,
                    Parallel parallel, int64_t threads);
int jsnas_depthwise_kernel(const float *x, const float *dy, float *dkernel, int64_t dilation, const Shape *shape,
                           Parallel parallel, int64_t threads);
int jsnas_quads(const float *x, const float *kernel, const float *more, const float *positive, float *y, int64_t relu,
                const Shape *shape, Parallel parallel, int64_t threads);
int jsnas_quads_kernel(const float *x, const float *dy, float *dkernel, const Shape *shape, Parallel parallel,
                       int64_t threads);
int jsnas_quad_points(const Point *terms, int64_t count, float *y, int64_t relu, const Shape *shape, Parallel parallel,
                      int64_t threads);
int jsnas_quad_points_backward(const Point *terms, int64_t count, const float *dy, const float *positive,
                               const Shape *shape, Parallel parallel, int64_t threads);
int jsnas_quad_sums(const Term *terms, int64_t count, const float *plain, float *y, int64_t edges, const Shape *shape,
                    Parallel parallel, int64_t threads);
int jsnas_quad_sums_backward(const Term *terms, int64_t count, const float *dy, float *dplain, int64_t edges,
                             const Shape *shape, Parallel parallel, int64_t threads);

#endif
