// Elementary functions in single precision, so written that plain loops over them become vector code; and the counter-based
// random numbers of metagan_rl/populations/philox.py.
//
// Polynomials: Cephes (Moshier 1989), expf, logf, tanhf, sinf and cosf. Errors are below 2e-7 of the result, but for tanh
// and the logarithm near 1, where they are below 1e-7 in absolute terms.
#pragma once
#include "vectors.h"

namespace metagan {

INLINE float exponential(float x) {
    x = x > 88.f ? 88.f : x < -87.f ? -87.f : x;
    float n = (x * 1.44269504f + 12582912.f) - 12582912.f;  // rounds to a whole number
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    __builtin_memcpy(&scale, &bits, 4);
    return p * scale;
}

// x must be positive and normal.
INLINE float logarithm(float x) {
    int32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    int32_t exponent = (bits - 0x3f3504f3) >> 23;  // leaves a mantissa in [sqrt(1/2), sqrt(2))
    bits -= (int32_t)((uint32_t)exponent << 23);
    float m;
    __builtin_memcpy(&m, &bits, 4);
    m -= 1.f;
    float z = m * m, p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = p * m * z;
    y += -2.12194440e-4f * exponent;
    y += -0.5f * z;
    return m + y + 0.693359375f * exponent;
}

INLINE float softplus(float x) { return (x > 0 ? x : 0.f) + logarithm(1.f + exponential(x > 0 ? -x : x)); }
INLINE float sigmoid(float x) { return 1.f / (1.f + exponential(-x)); }

INLINE float tangens_hyperbolicus(float x) {
    float a = __builtin_fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float small = p * z * x + x, large = 1.f - 2.f / (exponential(2.f * a) + 1.f);
    return a < 0.625f ? small : __builtin_copysignf(large, x);
}

// Sine and cosine of 2 pi v, for v in [0, 1].
INLINE void sine_and_cosine(float v, float& sine, float& cosine) {
    float q = (v * 4.f + 12582912.f) - 12582912.f, a = (v - q * 0.25f) * 6.283185307f, z = a * a;
    float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * a + a;
    float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.f;
    int quarter = (int)q & 3;
    float u = (quarter & 1) ? c : s, w = (quarter & 1) ? s : c;
    sine = (quarter & 2) ? -u : u;
    cosine = (quarter == 1 || quarter == 2) ? -w : w;
}

// A member's random stream in one interval.
struct Stream {
    uint64_t seed;
    uint32_t interval;
};
enum Purpose : uint32_t { NOISE, REAL_ROWS, MIX };

struct Words {
    uint32_t a, b, c, d;
};
INLINE Words philox(Stream stream, uint32_t place, uint32_t update, Purpose purpose) {
    uint32_t a = place, b = update, c = stream.interval, d = purpose;
    uint32_t low = (uint32_t)stream.seed, high = (uint32_t)(stream.seed >> 32);
    UNROLL for (int round = 0; round < 10; round++) {
        uint64_t first = (uint64_t)a * 0xD2511F53u, second = (uint64_t)c * 0xCD9E8D57u;
        a = (uint32_t)(second >> 32) ^ b ^ low;
        b = (uint32_t)second;
        c = (uint32_t)(first >> 32) ^ d ^ high;
        d = (uint32_t)first;
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
    return {a, b, c, d};
}
INLINE float uniform(uint32_t word) { return ((float)word + 0.5f) * 0x1p-32f; }

// Of `count` numbers, the four words of one counter give numbers p, M + p, 2 M + p and 3 M + p, with M = count / 4 rounded
// up; `to` must have room for 4 M.
static void draw_noise(Stream stream, uint32_t update, int count, float* __restrict to) {
    int M = (count + 3) / 4;
    for (int p = 0; p < M; p++) {
        Words w = philox(stream, p, update, NOISE);
        float r0 = -2.f * logarithm(uniform(w.a)), r1 = -2.f * logarithm(uniform(w.c)), s, c;
        r0 = __builtin_sqrtf(r0 < 0 ? 0 : r0);
        r1 = __builtin_sqrtf(r1 < 0 ? 0 : r1);
        sine_and_cosine(uniform(w.b), s, c);
        to[p] = r0 * c;
        to[M + p] = r0 * s;
        sine_and_cosine(uniform(w.d), s, c);
        to[2 * M + p] = r1 * c;
        to[3 * M + p] = r1 * s;
    }
}
static void draw_rows(Stream stream, uint32_t update, int count, uint32_t of, int32_t* __restrict to) {
    int M = (count + 3) / 4;
    for (int p = 0; p < M; p++) {
        Words w = philox(stream, p, update, REAL_ROWS);
        to[p] = (int32_t)((uint64_t)w.a * of >> 32);
        to[M + p] = (int32_t)((uint64_t)w.b * of >> 32);
        to[2 * M + p] = (int32_t)((uint64_t)w.c * of >> 32);
        to[3 * M + p] = (int32_t)((uint64_t)w.d * of >> 32);
    }
}
static void draw_mix(Stream stream, uint32_t update, int count, float* __restrict to) {
    int M = (count + 3) / 4;
    for (int p = 0; p < M; p++) {
        Words w = philox(stream, p, update, MIX);
        to[p] = uniform(w.a);
        to[M + p] = uniform(w.b);
        to[2 * M + p] = uniform(w.c);
        to[3 * M + p] = uniform(w.d);
    }
}

}  // namespace metagan
