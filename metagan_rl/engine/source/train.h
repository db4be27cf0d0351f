// One interval of adversarial training for one member. metagan_rl/populations/interval.py says the same in torch.
#pragma once
#include <algorithm>
#include <cmath>

#include "losses.h"
#include "network.h"

namespace metagan {

enum Optimizer : int32_t { ADAM, SGD, RMSPROP };

// What all members of a call have in common; metagan_rl/engine/native.py fills it in.
struct Shape {
    int32_t kind, latent, columns, width, depth, tanh, optimizer, simultaneous, batch, updates;
    double slope, weight_limit, sample_limit;
};
// What one member does.
struct Plan {
    int32_t discriminator_steps, generator_steps, loss, penalty;  // steps of both in a cycle
    double penalty_weight, generator_lr, discriminator_lr, beta1, beta2, ema_decay;
    int64_t generator_count, discriminator_count, seed, interval, first, count;  // steps so far; its rows of the data
};
// What was measured; the order of metagan_rl/populations/measurements.py.
struct Measured {
    double discriminator_loss, generator_loss, real_logit, fake_logit, logit_deviation, real_accuracy, fake_accuracy, pair_accuracy,
        generator_gradient, discriminator_gradient, generator_move, discriminator_move, diverged;
};
// One member's rows of one network in the population's state; a discriminator has no average.
struct Rows {
    float *weights, *first, *second, *average;
};
struct State {
    Rows generator, discriminator;
};
// The data of all members, and one member's random numbers if they were drawn beforehand (null: they are drawn here).
struct Inputs {
    const float *points, *noise, *mix;
    const int64_t* rows;
};

// The weights of one network in its own layout, and what an optimizer keeps of them.
struct Side {
    long size;
    Floats weights, first, second, average, gradient, start;
    explicit Side(long size)
        : size(size), weights(size), first(size), second(size), average(size), gradient(size), start(size) {}

    void read(const Layout& layout, const Rows& rows) {
        layout.read(rows.weights, weights);
        layout.read(rows.weights, start);
        layout.read(rows.first, first);
        layout.read(rows.second, second);
        if (rows.average) layout.read(rows.average, average);
    }
    void write(const Layout& layout, const Rows& rows) const {
        layout.write(weights, rows.weights);
        layout.write(first, rows.first);
        layout.write(second, rows.second);
        if (rows.average) layout.write(average, rows.average);
    }
    // In double precision: the squares of an exploding network's gradient overflow single precision.
    double norm_of(const float* values) const {
        double t = 0;
#pragma omp simd reduction(+ : t)
        for (long i = 0; i < size; i++) t += (double)values[i] * values[i];
        return std::sqrt(t);
    }
    // `number` is that of this step, from 1. The averages of the generator's weights follow with a share of `keep`.
    void step(int optimizer, double lr, double beta1, double beta2, int64_t number, double keep) {
        float *__restrict w = weights, *__restrict m = first, *__restrict v = second, *__restrict g = gradient, *__restrict e = average;
        if (optimizer == SGD) {
            const float rate = (float)lr;
            for (long i = 0; i < size; i++) w[i] -= rate * g[i];
        } else if (optimizer == RMSPROP) {
            const float rate = (float)lr, b2 = (float)beta2, a2 = (float)(1 - beta2);
            for (long i = 0; i < size; i++) {
                v[i] = b2 * v[i] + a2 * (g[i] * g[i]);
                w[i] -= rate * g[i] / (__builtin_sqrtf(v[i]) + 1e-8f);
            }
        } else {
            const double correction = std::sqrt(1 - std::pow(beta2, (double)number));
            const float size_ = (float)(-lr * correction / (1 - std::pow(beta1, (double)number))), epsilon = (float)(1e-8 * correction);
            const float b1 = (float)beta1, b2 = (float)beta2, a1 = (float)(1 - beta1), a2 = (float)(1 - beta2);
            for (long i = 0; i < size; i++) {
                m[i] = b1 * m[i] + a1 * g[i];
                v[i] = b2 * v[i] + a2 * (g[i] * g[i]);
                w[i] += size_ * m[i] / (__builtin_sqrtf(v[i]) + epsilon);
            }
        }
        if (keep < 1) {
            const float share = (float)(1 - keep);
            for (long i = 0; i < size; i++) e[i] += share * (w[i] - e[i]);
        }
    }
    // How far the weights moved since `start`, relative to their norm; the largest weight, NaN if one is not a number or a
    // gradient's square overflowed: Adam would never move that weight again.
    double moved(double& largest) const {
        double t = 0;
        float most = 0;
        bool broken = false;
        for (long i = 0; i < size; i++) {
            float x = weights[i] - start[i], a = __builtin_fabsf(weights[i]);
            t += (double)x * x;
            most = a > most ? a : most;
            broken |= a != a || !(second[i] < INFINITY);
        }
        if (broken || largest != largest) largest = NAN;
        else if (most > largest) largest = most;
        return std::sqrt(t) / std::fmax(norm_of(start), 1e-12);
    }
};

// Trains members one after the other. Its buffers serve all members of a call.
template <class Generator, class Discriminator> class Trainer {
  public:
    Trainer(const Shape& shape, Generator& generator, Discriminator& discriminator, int part)
        : shape_(shape), G_(generator), D_(discriminator), part_(part), g_(generator.layout.own), d_(discriminator.layout.own),
          penalty_(discriminator.layout.own), noise_((long)padded(shape.batch * shape.latent, 4) + 64),
          latent_((long)part * generator.input_width + 64), x_(2L * part * discriminator.input_width + 64),
          by_x_(2L * part * discriminator.input_width + 64), y_(2 * part + VL), real_y_(part + VL), slopes_(2 * part + VL),
          chained_(2 * part + VL), values_(2 * part + VL), mix_(padded(shape.batch, 4)), rows_(padded(shape.batch, 4)) {}

    // Trains one interval in place. A member that blew up keeps the state it had.
    Measured train(const Plan& plan, const Inputs& inputs, const State& state) {
        plan_ = &plan;
        inputs_ = &inputs;
        g_.read(G_.layout, state.generator);
        d_.read(D_.layout, state.discriminator);
        G_.refresh(g_.weights);
        D_.refresh(d_.weights);
        const int cycle = plan.discriminator_steps + plan.generator_steps;
        discriminator_number_ = plan.discriminator_count;
        generator_number_ = plan.generator_count;
        sum_ = {};
        variance_ = 0;
        if (shape_.simultaneous && plan.discriminator_steps == 1 && plan.generator_steps == 1) {
            for (int update = 0; update + 1 < shape_.updates; update += 2) {
                discriminator_gradient(update);
                generator_gradient(update + 1);
                step_discriminator();
                step_generator();
            }
        } else {
            for (int update = 0; update < shape_.updates; update++) {
                if (update % cycle < plan.discriminator_steps) {
                    discriminator_gradient(update);
                    step_discriminator();
                } else {
                    generator_gradient(update);
                    step_generator();
                }
            }
        }
        return finish(state);
    }

  private:
    const Shape& shape_;
    Generator& G_;
    Discriminator& D_;
    const int part_;
    Side g_, d_;
    Floats penalty_, noise_, latent_, x_, by_x_, y_, real_y_, slopes_, chained_, values_, mix_;
    std::vector<int32_t> rows_;
    const Plan* plan_ = nullptr;
    const Inputs* inputs_ = nullptr;
    int64_t discriminator_number_ = 0, generator_number_ = 0;
    Measured sum_{};
    double variance_ = 0;

    Stream stream() const { return {(uint64_t)plan_->seed, (uint32_t)plan_->interval}; }
    long place(int update) const { return (long)update * shape_.batch; }

    const float* noise_of(int update) {
        if (inputs_->noise) return inputs_->noise + place(update) * shape_.latent;
        draw_noise(stream(), update, shape_.batch * shape_.latent, noise_);
        return noise_;
    }
    void choose_rows(int update) {
        if (inputs_->rows) {
            for (int i = 0; i < shape_.batch; i++) rows_[i] = (int32_t)inputs_->rows[place(update) + i];
            return;
        }
        draw_rows(stream(), update, shape_.batch, (uint32_t)plan_->count, rows_.data());
        for (int i = 0; i < shape_.batch; i++) rows_[i] += (int32_t)plan_->first;
    }
    const float* mix_of(int update) {
        if (inputs_->mix) return inputs_->mix + place(update);
        draw_mix(stream(), update, shape_.batch, mix_);
        return mix_;
    }
    // Rows of `to` that no sample fills are zeros, so that they add nothing.
    void clear(float* to, long width, int from, int until) {
        if (from < until) __builtin_memset(to + from * width, 0, (until - from) * width * sizeof(float));
    }
    void real_samples(int start, int n, int rows) {
        const int columns = shape_.columns, width = D_.input_width;
        for (int i = 0; i < n; i++) {
            const float* from = inputs_->points + (long)rows_[start + i] * columns;
            for (int j = 0; j < columns; j++) x_[(long)i * width + j] = from[j];
        }
        clear(x_, width, n, rows);
    }
    const float* latent_rows(const float* noise, int start, int n, int rows) {
        const int width = G_.input_width, latent = shape_.latent;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < latent; j++) latent_[(long)i * width + j] = noise[(long)(start + i) * latent + j];
        clear(latent_, width, n, rows);
        return latent_;
    }

    void discriminator_gradient(int update) {
        const float* noise = noise_of(update);
        choose_rows(update);
        const float* mix = plan_->penalty == ONE_CENTRED ? mix_of(update) : nullptr;
        const bool batch_penalty = uses_batch(plan_->penalty);
        const float share = 1.f / shape_.batch, limit = boundary(plan_->loss);
        __builtin_memset((float*)d_.gradient, 0, d_.size * sizeof(float));
        if (plan_->penalty) __builtin_memset((float*)penalty_, 0, d_.size * sizeof(float));
        double loss = 0, real = 0, fake = 0, real_squares = 0, fake_squares = 0;
        int real_right = 0, fake_right = 0, pairs_right = 0;
        for (int start = 0; start < shape_.batch; start += part_) {
            const int n = std::min(part_, shape_.batch - start), rows = padded(n, ROWS);
            float* fakes = x_ + (long)rows * D_.input_width;
            real_samples(start, n, rows);
            G_.forward(g_.weights, latent_rows(noise, start, n, rows), rows, fakes, false);
            D_.forward(d_.weights, x_, 2 * rows, y_);
            const float *r = y_, *f = y_ + rows;
            loss += discriminator_loss(plan_->loss, r, f, share, slopes_, slopes_ + rows, values_, n);
            for (int i = 0; i < n; i++) {
                real += r[i];
                fake += f[i];
                real_squares += (double)r[i] * r[i];
                fake_squares += (double)f[i] * f[i];
                real_right += r[i] > limit;
                fake_right += f[i] < limit;
                pairs_right += r[i] > f[i];
            }
            clear(slopes_, 1, n, rows);
            clear(slopes_, 1, rows + n, 2 * rows);
            if (!batch_penalty) {
                D_.backward(d_.weights, 2 * rows, rows, slopes_, nullptr, x_, d_.gradient, nullptr);
            } else {
                for (int i = 0; i < 2 * rows; i++) chained_[i] = i % rows < n;
                D_.backward(d_.weights, 2 * rows, rows, chained_, slopes_, x_, d_.gradient, by_x_);
                const float weight = (float)plan_->penalty_weight * share;
                for (int i = 0; i < 2 * rows; i++) {
                    const float each = plan_->penalty == ZERO_CENTRED || (plan_->penalty == R1) == (i < rows) ? weight : 0.f;
                    for (int j = 0; j < D_.input_width; j++) by_x_[(long)i * D_.input_width + j] *= each;
                }
                D_.penalise(d_.weights, 2 * rows, by_x_, x_, penalty_);
            }
            if (mix) penalise_between(mix + start, n, rows, share);
        }
        D_.add_halves(d_.gradient);
        const double N = shape_.batch;
        sum_.discriminator_loss += loss / N;
        sum_.real_logit += real / N;
        sum_.fake_logit += fake / N;
        variance_ += ((real_squares - real * real / N) + (fake_squares - fake * fake / N)) / (2 * (N - 1));
        sum_.real_accuracy += real_right / N;
        sum_.fake_accuracy += fake_right / N;
        sum_.pair_accuracy += pairs_right / N;
        sum_.discriminator_gradient += d_.norm_of(d_.gradient);
        if (plan_->penalty)
            for (long i = 0; i < d_.size; i++) d_.gradient[i] += penalty_[i];
    }

    // The one-centred penalty, at points between real samples and generated ones.
    void penalise_between(const float* mix, int n, int rows, float share) {
        const int width = D_.input_width;
        const float* fakes = x_ + (long)rows * width;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < width; j++) {
                float a = x_[(long)i * width + j], b = fakes[(long)i * width + j];
                x_[(long)i * width + j] = a + mix[i] * (b - a);
            }
        D_.forward(d_.weights, x_, rows, y_);
        for (int i = 0; i < rows; i++) chained_[i] = i < n;
        D_.backward(d_.weights, rows, rows, chained_, nullptr, x_, nullptr, by_x_);
        for (int i = 0; i < rows; i++) {
            float* g = by_x_ + (long)i * width;
            float square = 1e-12f;
            for (int j = 0; j < width; j++) square += g[j] * g[j];
            const float length = __builtin_sqrtf(square);
            const float each = i < n ? (float)plan_->penalty_weight * share * 2 * (length - 1) / length : 0.f;
            for (int j = 0; j < width; j++) g[j] *= each;
        }
        D_.penalise(d_.weights, rows, by_x_, x_, penalty_);
    }

    void generator_gradient(int update) {
        const float* noise = noise_of(update);
        if (plan_->loss == RPGAN) choose_rows(update);
        const float share = 1.f / shape_.batch;
        __builtin_memset((float*)g_.gradient, 0, g_.size * sizeof(float));
        double loss = 0;
        for (int start = 0; start < shape_.batch; start += part_) {
            const int n = std::min(part_, shape_.batch - start), rows = padded(n, ROWS);
            if (plan_->loss == RPGAN) {
                real_samples(start, n, rows);
                D_.forward(d_.weights, x_, rows, real_y_, false);
            }
            const float* latent = latent_rows(noise, start, n, rows);
            G_.forward(g_.weights, latent, rows, x_);
            D_.forward(d_.weights, x_, rows, y_);
            loss += generator_loss(plan_->loss, real_y_, y_, share, slopes_, values_, n);
            clear(slopes_, 1, n, rows);
            D_.backward(d_.weights, rows, rows, slopes_, nullptr, x_, nullptr, by_x_);
            G_.backward(g_.weights, rows, rows, by_x_, nullptr, latent, g_.gradient, nullptr);
        }
        sum_.generator_loss += loss / shape_.batch;
        sum_.generator_gradient += g_.norm_of(g_.gradient);
    }

    void step_discriminator() {
        d_.step(shape_.optimizer, plan_->discriminator_lr, plan_->beta1, plan_->beta2, ++discriminator_number_, 1);
        D_.refresh(d_.weights);
    }
    void step_generator() {
        g_.step(shape_.optimizer, plan_->generator_lr, plan_->beta1, plan_->beta2, ++generator_number_, plan_->ema_decay);
        G_.refresh(g_.weights);
    }

    // Root mean square of what G makes of the last noise.
    double spread() {
        const float* noise = noise_of(shape_.updates - 1);
        double t = 0;
        for (int start = 0; start < shape_.batch; start += part_) {
            const int n = std::min(part_, shape_.batch - start), rows = padded(n, ROWS);
            G_.forward(g_.weights, latent_rows(noise, start, n, rows), rows, x_, false);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < shape_.columns; j++) t += (double)x_[(long)i * D_.input_width + j] * x_[(long)i * D_.input_width + j];
        }
        return std::sqrt(t / ((double)shape_.batch * shape_.columns));
    }

    Measured finish(const State& state) {
        Measured mean = sum_;
        const double d = (double)(discriminator_number_ - plan_->discriminator_count), g = (double)(generator_number_ - plan_->generator_count);
        for (double* each : {&mean.discriminator_loss, &mean.real_logit, &mean.fake_logit, &mean.real_accuracy, &mean.fake_accuracy,
                             &mean.pair_accuracy, &mean.discriminator_gradient})
            *each /= d;
        mean.generator_loss /= g;
        mean.generator_gradient /= g;
        mean.logit_deviation = std::sqrt(std::fmax(variance_ / d, 0.0));
        if (variance_ != variance_) mean.logit_deviation = NAN;
        double largest = 0;
        mean.generator_move = g_.moved(largest);
        mean.discriminator_move = d_.moved(largest);
        mean.diverged = !(largest < shape_.weight_limit && spread() < shape_.sample_limit);
        if (!mean.diverged) {
            g_.write(G_.layout, state.generator);
            d_.write(D_.layout, state.discriminator);
        }
        return mean;
    }
};

}  // namespace metagan
