/* Sigmoids of vectors, and the sum of one; after vectors.h. */

/* 2^f for 0 <= f <= 1, at most 1e-7 of it off: the polynomial of that degree whose greatest error is least. */
INLINE vec NAME(power)(vec f) {
    vec p = f * 1.87757669e-3f + 8.98933969e-3f;
    p = p * f + 5.58263175e-2f;
    p = p * f + 2.40153611e-1f;
    p = p * f + 6.93153083e-1f;
    return p * f + 9.99999940e-1f;
}

/* 1 / (1 + 2^t), t = -x / ln 2 = n + f, n whole; NaN stays NaN. t is kept where neither 2^t nor the sigmoid, nor products
   with it, are denormal numbers, which take some processors a hundred times as long: networks that restore images have
   many logits beyond 87. So no sigmoid is below 2^-60. */
INLINE vec NAME(sigmoid)(vec x) {
    vec t = x * -1.44269504f;
#if WIDTH == 16
    t = (vec)_mm512_max_ps(_mm512_set1_ps(-60), _mm512_min_ps(_mm512_set1_ps(60), (__m512)t));
    vec f = (vec)_mm512_reduce_ps((__m512)t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    return 1.0f / (1.0f + (vec)_mm512_scalef_ps((__m512)NAME(power)(f), (__m512)t));
#else
    const float magic = 12582912.0f; /* 1.5 x 2^23 = 0x4B400000 in bits; what is added to it comes out whole */
#if WIDTH == 8
    t = (vec)_mm256_max_ps(_mm256_set1_ps(-60), _mm256_min_ps(_mm256_set1_ps(60), (__m256)t));
#else
    vec lowest = NAME(all)(-60), highest = NAME(all)(60);
    ints low = t < lowest, high = t > highest;
    t = (vec)((low & (ints)lowest) | (high & (ints)highest) | (~(low | high) & (ints)t));
#endif
    vec shifted = t - 0.5f + magic;
    ints exponent = ((ints)shifted + (127 - 0x4B400000)) << 23;
    return 1.0f / (1.0f + NAME(power)(t - (shifted - magic)) * (vec)exponent);
#endif
}

INLINE float NAME(total)(vec x) {
    float lanes[WIDTH];
    NAME(store)(lanes, x);
    for (int half = WIDTH / 2; half; half /= 2)
        for (int k = 0; k < half; k++) lanes[k] += lanes[k + half];
    return lanes[0];
}
