// The native interval engine: B members train one interval each, one after the other, on one thread.
//
// A plain C interface for ctypes; metagan_rl/engine/native.py is its only caller.
#include <algorithm>
#include <exception>

#include "conv.h"
#include "mlp.h"
#include "train.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace metagan {

// Numbers too small for the normal range count as zero while it lives: dead GANs are full of them, and they are slow.
class WithoutDenormals {
  public:
#if defined(__x86_64__)
    WithoutDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
    ~WithoutDenormals() { _mm_setcsr(before_); }

  private:
    unsigned before_;
#elif defined(__aarch64__)
    WithoutDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" ::"r"(before_ | (1ull << 24)));
    }
    ~WithoutDenormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }

  private:
    uint64_t before_;
#endif
};

// The arrays of all members, as metagan_rl/populations/state.py holds them; member i has row i of each.
struct Population {
    float *generator, *generator_first, *generator_second, *average, *discriminator, *discriminator_first, *discriminator_second;
    const float* points;
    const float *noise, *mix;  // [B, U, N, Z] and [B, U, N], or null
    const int64_t* rows;       // [B, U, N], or null
};

template <class Generator, class Discriminator>
void train_all(const Shape& shape, Generator& generator, Discriminator& discriminator, int part, int64_t members, const int64_t* places,
               const Plan* plans, const Population& all, Measured* measured) {
    Trainer<Generator, Discriminator> trainer(shape, generator, discriminator, part);
    const long batches = (long)shape.updates * shape.batch;
    for (int64_t i = 0; i < members; i++) {
        const int64_t at = places[i], g = at * generator.layout.flat, d = at * discriminator.layout.flat;
        const State state{{all.generator + g, all.generator_first + g, all.generator_second + g, all.average + g},
                          {all.discriminator + d, all.discriminator_first + d, all.discriminator_second + d, nullptr}};
        const Inputs inputs{all.points, all.noise ? all.noise + i * batches * shape.latent : nullptr,
                            all.mix ? all.mix + i * batches : nullptr, all.rows ? all.rows + i * batches : nullptr};
        measured[i] = trainer.train(plans[i], inputs, state);
    }
}

// Rows worked on at a time, so that a layer's values stay in the cache.
static int rows_at_a_time(int width) { return width <= 256 ? 64 : 32; }

template <bool TANH>
void train_mlp(const Shape& s, int64_t members, const int64_t* places, const Plan* plans, const Population& all, Measured* measured) {
    const int part = std::min(rows_at_a_time(s.width), padded(s.batch, ROWS)), most = padded(2 * part, VL);
    Mlp<TANH> generator(s.latent, s.width, s.depth, s.columns, false, (float)s.slope, most);
    Mlp<TANH> discriminator(s.columns, s.width, s.depth, 1, true, (float)s.slope, most);
    train_all(s, generator, discriminator, part, members, places, plans, all, measured);
}

template <bool TANH>
void train_conv(const Shape& s, int64_t members, const int64_t* places, const Plan* plans, const Population& all, Measured* measured) {
    int side = 0;
    while (side * side < s.columns) side++;
    const long image = ((side / 2 + 2L) * (side / 2 + 2) * padded(s.width) * 4 + side * side * 4) * sizeof(float);
    const long fit = (1L << 19) / (2 * image) / ROWS * ROWS;  // so that a part stays in the second cache
    const int part = (int)std::max<long>(ROWS, std::min<long>({64, fit, padded(s.batch, ROWS)})), most = 2 * part;
    ConvGenerator<TANH> generator(s.latent, side, s.width, (float)s.slope, most);
    ConvDiscriminator<TANH> discriminator(side, s.width, (float)s.slope, most);
    train_all(s, generator, discriminator, part, members, places, plans, all, measured);
}

}  // namespace metagan

#ifndef METAGAN_ENGINE_BUILD
#define METAGAN_ENGINE_BUILD ""
#endif

EXPORT int32_t metagan_engine_version(void) { return 1; }
EXPORT int32_t metagan_engine_lanes(void) { return VL; }
EXPORT const char* metagan_engine_build(void) { return METAGAN_ENGINE_BUILD; }

// Trains `members` members, whose rows of the arrays are `places`, for one interval. Returns 0; 1 if there is no such kind of
// networks; 2 if memory ran out, with nothing changed in the members that were still to come.
EXPORT int32_t metagan_train(const metagan::Shape* shape, int64_t members, const int64_t* places, const metagan::Plan* plans,
                             const metagan::Population* all, metagan::Measured* measured) {
    metagan::WithoutDenormals guard;
    try {
        if (shape->kind == 0) {
            if (shape->tanh) metagan::train_mlp<true>(*shape, members, places, plans, *all, measured);
            else metagan::train_mlp<false>(*shape, members, places, plans, *all, measured);
            return 0;
        }
        if (shape->kind == 1) {
            if (shape->tanh) metagan::train_conv<true>(*shape, members, places, plans, *all, measured);
            else metagan::train_conv<false>(*shape, members, places, plans, *all, measured);
            return 0;
        }
        return 1;
    } catch (const std::exception&) {
        return 2;
    }
}

// Multiply-adds on registers, `rounds` times; returns how many floating-point operations they were: the core's peak.
EXPORT double metagan_fma_peak(int64_t rounds) {
    using metagan::Vector;
    constexpr int chains = 12;
    Vector a[chains], x = metagan::broadcast(0.999f), y = metagan::broadcast(1e-3f);
    UNROLL for (int i = 0; i < chains; i++) a[i] = metagan::broadcast((float)i);
    for (int64_t j = 0; j < rounds; j++) {
        UNROLL for (int i = 0; i < chains; i++) {
            a[i] = a[i] * x + y;
            KEEP_IN_REGISTER(a[i]);
        }
    }
    Vector t{};
    UNROLL for (int i = 0; i < chains; i++) t += a[i];
    return metagan::sum(t) > -1 ? (double)rounds * chains * VL * 2 : 0;
}
