/* Vectors of WIDTH floats for the loops that include this; NAME(f) is f for one kind of processor. */

typedef float NAME(vec) __attribute__((vector_size(4 * WIDTH), aligned(4)));
typedef int32_t NAME(ints) __attribute__((vector_size(4 * WIDTH)));
#define vec NAME(vec)
#define ints NAME(ints)
#define INLINE static inline __attribute__((always_inline))

INLINE vec NAME(all)(float value) { return value - (vec){0}; }

INLINE vec NAME(load)(const float *from) { return *(const vec *)from; }

INLINE void NAME(store)(float *to, vec value) { *(vec *)to = value; }

/* x where positive is above zero or no number, and else zeros. */
INLINE vec NAME(where)(vec positive, vec x) { return (vec)((ints)x & ~(positive <= (vec){0})); }

/* No number stays none. */
INLINE vec NAME(relu)(vec x) { return (vec)((ints)x & ~(x < (vec){0})); }

/* The k-th of every four values, four times. */
INLINE vec NAME(each)(vec x, int k) {
#if WIDTH == 16
    return (vec)(k == 0   ? _mm512_permute_ps((__m512)x, 0x00)
                 : k == 1 ? _mm512_permute_ps((__m512)x, 0x55)
                 : k == 2 ? _mm512_permute_ps((__m512)x, 0xAA)
                          : _mm512_permute_ps((__m512)x, 0xFF));
#elif WIDTH == 8
    return (vec)(k == 0   ? _mm256_permute_ps((__m256)x, 0x00)
                 : k == 1 ? _mm256_permute_ps((__m256)x, 0x55)
                 : k == 2 ? _mm256_permute_ps((__m256)x, 0xAA)
                          : _mm256_permute_ps((__m256)x, 0xFF));
#else
    return NAME(all)(x[k]);
#endif
}
