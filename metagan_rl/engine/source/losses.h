// The losses of metagan_rl/losses.py: values, and slopes by the logits, for n samples of one member.
#pragma once
#include "functions.h"

namespace metagan {

enum Loss : int32_t { NON_SATURATING, HINGE, LSGAN, WGAN, RPGAN };
enum Penalty : int32_t { NO_PENALTY, ZERO_CENTRED, R1, R2, ONE_CENTRED };

INLINE bool uses_batch(int penalty) { return penalty == ZERO_CENTRED || penalty == R1 || penalty == R2; }
INLINE float boundary(int loss) { return loss == LSGAN ? 0.5f : 0.f; }

INLINE double total(const float* values, int n) {
    double t = 0;
#pragma omp simd reduction(+ : t)
    for (int i = 0; i < n; i++) t += values[i];
    return t;
}

// D's loss summed over n pairs, and its slopes by real and fake logits, each times `scale`. `values` has room for n.
INLINE double discriminator_loss(int loss, const float* __restrict real, const float* __restrict fake, float scale,
                                 float* __restrict by_real, float* __restrict by_fake, float* __restrict values, int n) {
    switch (loss) {
    case NON_SATURATING:
        for (int i = 0; i < n; i++) {
            by_real[i] = -scale * sigmoid(-real[i]);
            by_fake[i] = scale * sigmoid(fake[i]);
            values[i] = softplus(-real[i]) + softplus(fake[i]);
        }
        break;
    case HINGE:
        for (int i = 0; i < n; i++) {
            float a = 1 - real[i], b = 1 + fake[i];
            by_real[i] = a > 0 ? -scale : 0.f;
            by_fake[i] = b > 0 ? scale : 0.f;
            values[i] = (a > 0 ? a : a * 0) + (b > 0 ? b : b * 0);  // NaN stays NaN
        }
        break;
    case LSGAN:
        for (int i = 0; i < n; i++) {
            by_real[i] = scale * 2 * (real[i] - 1);
            by_fake[i] = scale * 2 * fake[i];
            values[i] = (real[i] - 1) * (real[i] - 1) + fake[i] * fake[i];
        }
        break;
    case WGAN:
        for (int i = 0; i < n; i++) {
            by_real[i] = -scale;
            by_fake[i] = scale;
            values[i] = fake[i] - real[i];
        }
        break;
    default:
        for (int i = 0; i < n; i++) {
            float slope = scale * sigmoid(fake[i] - real[i]);
            by_real[i] = -slope;
            by_fake[i] = slope;
            values[i] = softplus(fake[i] - real[i]);
        }
    }
    return total(values, n);
}

// G's loss summed over n samples, and its slopes by fake logits, each times `scale`. Only RPGAN reads `real`.
INLINE double generator_loss(int loss, const float* __restrict real, const float* __restrict fake, float scale,
                             float* __restrict by_fake, float* __restrict values, int n) {
    switch (loss) {
    case NON_SATURATING:
        for (int i = 0; i < n; i++) {
            by_fake[i] = -scale * sigmoid(-fake[i]);
            values[i] = softplus(-fake[i]);
        }
        break;
    case HINGE:
    case WGAN:
        for (int i = 0; i < n; i++) {
            by_fake[i] = -scale;
            values[i] = -fake[i];
        }
        break;
    case LSGAN:
        for (int i = 0; i < n; i++) {
            by_fake[i] = scale * 2 * (fake[i] - 1);
            values[i] = (fake[i] - 1) * (fake[i] - 1);
        }
        break;
    default:
        for (int i = 0; i < n; i++) {
            by_fake[i] = -scale * sigmoid(real[i] - fake[i]);
            values[i] = softplus(real[i] - fake[i]);
        }
    }
    return total(values, n);
}

}  // namespace metagan
