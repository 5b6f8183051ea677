/* Sums of maps times mixtures of gates, as jsnas/native/gated_sum.py gives them. See jsnas/fast/gated_sum.py. */

#ifndef JSNAS_GATED_SUM_H
#define JSNAS_GATED_SUM_H

#include "common.h"

enum { REPEATS = 8 }; /* outputs that a depthwise gate makes of each narrow channel */

/* A gate of C channels: sigmoid of a convolution of n narrow channels; taps is 1 (all n, with a bias) or 9 (a 3x3
   kernel for each output, REPEATS outputs a narrow channel, zeros around the rows that are there, no bias). Narrow
   pixels are step values apart. Output row r is at narrow row r + above: a forward pass may be of some rows of an image.
   Gradients, without holes, are NULL where they are not wanted; those of kernel, bias and weight are by image. */
typedef struct {
    const float *narrow, *kernel, *bias, *weight; /* C x n or C x 9; bias may be NULL; weight: one number, NULL for 1 */
    float *dnarrow, *dkernel, *dbias, *dweight;
    int64_t inputs, taps, rows, above, step;
} Gate;

/* y = one map times its gates: x (channel + pixel + sum of wide ones). channel: images x C or C; pixel: one value a
   pixel. Edges may have the same y, or dx: the later ones add to it. */
typedef struct {
    const float *x, *channel, *pixel; /* the last two may be NULL */
    float *y;
    const float *dy;
    float *dx, *dchannel, *dpixel; /* dchannel is images x C */
    const Gate *gates;
    int64_t count, channel_step; /* gates; C where every image has values of its own, else 0 */
    int64_t adds, adds_dx;       /* whether y, and dx, is added to */
} Edge;

#endif
