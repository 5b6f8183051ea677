/* Vectors of WIDTH floats for the loops that include this; NAME(f) is f for one kind of processor. */

typedef float NAME(vec) __attribute__((vector_size(4 * WIDTH), aligned(4)));
typedef int32_t NAME(ints) __attribute__((vector_size(4 * WIDTH)));
#define vec NAME(vec)
#define ints NAME(ints)
#define INLINE static inline __attribute__((always_inline))

INLINE vec NAME(all)(float value) { return value - (vec){0}; }

INLINE vec NAME(load)(const float *from) { return *(const vec *)from; }

INLINE void NAME(store)(float *to, vec value) { *(vec *)to = value; }
