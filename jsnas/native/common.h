/* What all loops share. Arrays are float32; a map is images x rows x columns x channels, without holes. */

#ifndef JSNAS_COMMON_H
#define JSNAS_COMMON_H

#include <stdint.h>

enum { FORM = 13 };   /* of all functions and structures; jsnas/native/library.py asks for the same */
enum { WIDEST = 16 }; /* floats of the widest vector */

typedef float eight __attribute__((vector_size(32), aligned(4)));

typedef struct {
    int64_t images, rows, columns, channels;
} Shape;

/* GOMP_parallel of the OpenMP that torch has in memory: calls a function on that many threads at once. */
typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);

/* Calls work(pass) on some threads, or on this one alone. */
static inline void share(void (*work)(void *), void *pass, Parallel parallel, int64_t threads) {
    if (parallel && threads > 1)
        parallel(work, pass, (unsigned)threads, 0);
    else
        work(pass);
}

/* The next of some parts of the work, for the thread that asks; next counts up to parts and beyond. */
static inline int64_t take(int64_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }

/* The least multiple of both. */
static inline int64_t common_multiple(int64_t a, int64_t b) {
    int64_t multiple = a;
    while (multiple % b) multiple += a;
    return multiple;
}

/* Floats that a part of a block of memory takes: whole vectors. */
static inline int64_t whole(int64_t floats) { return (floats + WIDEST - 1) / WIDEST * WIDEST; }

extern int jsnas_form;   /* FORM */
extern int jsnas_widest; /* floats of a vector at most: tests lower it to see the loops of lesser processors */

#endif
