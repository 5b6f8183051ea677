/* Compiles the loops of the file LOOPS for vectors of 16, 8 and 4 floats, by NAME(f) to f_16, f_8 and f_4, and lets
   CALL(channels, f, ...) choose: the widest that this processor has and that divides the channels. */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#define WIDTH 16
#define NAME(name) name##_16
#include LOOPS
#undef WIDTH
#undef NAME
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define WIDTH 8
#define NAME(name) name##_8
#include LOOPS
#undef WIDTH
#undef NAME
#pragma GCC pop_options

#define HAS(feature) __builtin_cpu_supports(feature)
static int width(int64_t channels) {
    const int avx512 = HAS("avx512f") && HAS("avx512dq") && HAS("avx512vl") && HAS("avx512bw");
    if (avx512 && jsnas_widest >= 16 && channels % 16 == 0) return 16;
    return HAS("avx2") && HAS("fma") && jsnas_widest >= 8 && channels % 8 == 0 ? 8 : 4;
}
#define CALL(channels, name, ...) \
    (width(channels) == 16  ? name##_16(__VA_ARGS__) \
     : width(channels) == 8 ? name##_8(__VA_ARGS__)  \
                            : name##_4(__VA_ARGS__))
#else
#define CALL(channels, name, ...) name##_4(__VA_ARGS__)
#endif

#define WIDTH 4
#define NAME(name) name##_4
#include LOOPS
#undef WIDTH
#undef NAME
