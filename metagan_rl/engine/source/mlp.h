// Multi-layer perceptrons of any depth and width.
#pragma once
#include "network.h"

namespace metagan {

constexpr int NARROW = 4;  // up to so many inputs or outputs are handled as dot products, not as a padded matrix

template <bool TANH> class Mlp {
  public:
    Layout layout;
    const int inputs, outputs, input_width, output_width;  // a row of inputs or outputs has so many floats

    // With `by_input`, backward can tell gradients by the inputs. `most`: rows at a time.
    Mlp(int inputs, int width, int depth, int outputs, bool by_input, float slope, int most)
        : inputs(inputs), outputs(outputs), input_width(by_input && inputs > NARROW ? padded(inputs) : inputs),
          output_width(outputs > NARROW ? padded(outputs) : outputs), width_(width), wide_(padded(width)), depth_(depth),
          most_(most), activation_{slope} {
        by_wide_input_ = by_input && inputs > NARROW;
        weights_.push_back(layout.add(inputs, width, wide_, input_width));
        biases_.push_back(layout.add(1, width, wide_));
        for (int l = 1; l < depth; l++) {
            weights_.push_back(layout.add(width, width, wide_, wide_));
            biases_.push_back(layout.add(1, width, wide_));
        }
        if (outputs > NARROW) weights_.push_back(layout.add(width, outputs, output_width, wide_));
        else weights_.push_back(layout.add(width, outputs, wide_, 0, true));
        biases_.push_back(layout.add(1, outputs, padded(outputs)));
        int widest = wide_ > input_width ? wide_ : input_width;
        for (int l = 0; l < depth; l++) {
            values_.emplace_back(new Floats((long)most * wide_));
            chain_.emplace_back(new Floats((long)most * wide_));
            halves_.emplace_back(new Floats(wide_));
            if (TANH) bent_.emplace_back(new Floats((long)most * wide_));
            turned_.emplace_back(new Floats(l || by_wide_input_ ? (long)(l ? wide_ : input_width) * wide_ : 0));
        }
        turned_.emplace_back(new Floats(outputs > NARROW ? (long)output_width * wide_ : 0));
        halves_.emplace_back(new Floats(padded(outputs)));
        scaled_.reset((long)most * widest);
        tangent_.reset((long)most * wide_);
        tangent_too_.reset((long)most * wide_);
        partial_.reset((long)NARROW * most * VL);
    }

    void refresh(const float* w) {
        for (int l = 1; l < depth_; l++) transpose(w + weights_[l], wide_, wide_, turned(l));
        if (by_wide_input_) transpose(w + weights_[0], input_width, wide_, turned(0));
        if (outputs > NARROW) transpose(w + weights_[depth_], wide_, output_width, turned(depth_));
    }

    void forward(const float* w, const float* x, int rows, float* y, bool keep = true) {
        for (int l = 0; l < depth_; l++) {
            float* to = *values_[l];
            const bool dots = l == depth_ - 1 && outputs <= NARROW, kept = keep || l < depth_ - 1 || !dots;
            product(l ? (const float*)*values_[l - 1] : x, l ? wide_ : input_width, l ? width_ : inputs, w + weights_[l], wide_,
                    w + biases_[l], 0, rows, [&](int r, int c, auto& tile) INLINE_LAMBDA {
                        activation_.apply(tile);
                        if (kept) put(tile, to, r, c);
                        if (dots) add_dots(tile, w + weights_[depth_], outputs, r, c);
                    });
        }
        const float* bias = w + biases_[depth_];
        if (outputs <= NARROW) {
            finish_dots(outputs, rows, [&](int o, int r, Vector v) INLINE_LAMBDA {
                v += broadcast(bias[o]);
                if (outputs == 1) store(y + r, v);
                else UNROLL for (int i = 0; i < VL; i++) y[(long)(r + i) * outputs + o] = v[i];
            });
        } else {
            product(*values_[depth_ - 1], wide_, width_, w + weights_[depth_], output_width, bias, 0, rows,
                    [&](int r, int c, auto& tile) INLINE_LAMBDA { put(tile, y, r, c, output_width); });
        }
    }

    void backward(const float* w, int rows, int half, const float* slopes, const float* scale, const float* x, float* gradient,
                  float* by_input) {
        back_through_output(w, rows, half, slopes, scale, gradient);
        for (int l = depth_ - 1; l > 0; l--) {
            float* to = *chain_[l - 1];
            const float* values = *values_[l - 1];
            const bool dots = l == 1 && by_input && inputs <= NARROW;
            if (gradient) outer(scaled(values, wide_, scale, rows), wide_, width_, *chain_[l], wide_, gradient + weights_[l], rows);
            in_halves(rows, half, l - 1, gradient, [&](int first, int last, float* bias) INLINE_LAMBDA {
                product(*chain_[l], wide_, width_, turned(l), wide_, nullptr, first, last, [&](int r, int c, auto& tile) INLINE_LAMBDA {
                    back(tile, values, r, c);
                    put(tile, to, r, c);
                    if (bias) add_rows(tile, scale, bias, r, c);
                    if (dots) add_dots(tile, w + weights_[0], inputs, r, c);
                });
            });
        }
        if (gradient) outer(scaled(x, input_width, scale, rows), input_width, inputs, *chain_[0], wide_, gradient + weights_[0], rows);
        if (!by_input) return;
        if (inputs > NARROW) {
            product(*chain_[0], wide_, width_, turned(0), input_width, nullptr, 0, rows,
                    [&](int r, int c, auto& tile) INLINE_LAMBDA { put(tile, by_input, r, c, input_width); });
            return;
        }
        if (depth_ == 1) dots_of(*chain_[0], w + weights_[0], inputs, rows);
        finish_dots(inputs, rows, [&](int o, int r, Vector v) INLINE_LAMBDA {
            UNROLL for (int i = 0; i < VL; i++) by_input[(long)(r + i) * inputs + o] = v[i];
        });
    }

    void add_halves(float* gradient) {
        for (int l = 0; l <= depth_; l++) {
            float *half = *halves_[l], *to = gradient + biases_[l];
            for (int i = 0; i < (l < depth_ ? wide_ : padded(outputs)); i++) {
                to[i] += half[i];
                half[i] = 0;
            }
        }
    }

    void penalise(const float* w, int rows, const float* cotangent, const float* x, float* gradient) {
        const float* from = cotangent;
        float *next = tangent_, *other = tangent_too_;
        for (int l = 0; l < depth_; l++) {
            const int width = l ? wide_ : input_width, count = l ? width_ : inputs;
            const float *values = *values_[l], *chain = *chain_[l];
            const bool last = l == depth_ - 1;
            outer(from, width, count, chain, wide_, gradient + weights_[l], rows);
            product(from, width, count, w + weights_[l], wide_, nullptr, 0, rows, [&](int r, int c, auto& tile) INLINE_LAMBDA {
                using T = std::decay_t<decltype(tile)>;
                if constexpr (TANH)  // the second derivative is -2 tanh times the first
                    UNROLL for (int i = 0; i < T::rows; i++) UNROLL for (int j = 0; j < T::columns; j++) {
                        long at = (long)(r + i) * wide_ + c + j * VL;
                        store(*bent_[l] + at, -2.f * load(values + at) * load(chain + at) * tile.at[i][j]);
                    }
                back(tile, values, r, c);
                if (last) add_rows(tile, nullptr, gradient + weights_[depth_], r, c);
                else put(tile, next, r, c);
            });
            from = next;
            std::swap(next, other);
        }
        if constexpr (TANH) penalise_bends(rows, x, gradient);
    }

  private:
    const int width_, wide_, depth_, most_;
    const Activation<TANH> activation_;
    bool by_wide_input_;
    std::vector<long> weights_, biases_;
    using Buffers = std::vector<std::unique_ptr<Floats>>;
    Buffers values_;   // outputs of the hidden layers
    Buffers chain_;    // gradients by their inputs
    Buffers bent_;     // tanh: what its second derivative adds to a penalty's gradients by those inputs
    Buffers turned_;   // transposed weights
    Buffers halves_;   // gradients by the biases from the rows after `half`
    Floats scaled_, tangent_, tangent_too_, partial_;

    float* turned(int l) { return *turned_[l]; }

    template <class T> INLINE void put(T& tile, float* to, int r, int c) { put(tile, to, r, c, wide_); }
    template <class T> INLINE void put(T& tile, float* to, int r, int c, int width) {
        UNROLL for (int i = 0; i < T::rows; i++)
            UNROLL for (int j = 0; j < T::columns; j++) metagan::store(to + (long)(r + i) * width + c + j * VL, tile.at[i][j]);
    }
    template <class T> INLINE void back(T& tile, const float* values, int r, int c) {
        activation_.apply_back(tile, [&](int i) INLINE_LAMBDA { return values + (long)(r + i) * wide_ + c; });
    }
    // to += the tile's rows, each `scale` times (null: once)
    template <class T> INLINE void add_rows(T& tile, const float* scale, float* to, int r, int c) {
        UNROLL for (int j = 0; j < T::columns; j++) {
            Vector t = load(to + c + j * VL);
            if (scale) UNROLL for (int i = 0; i < T::rows; i++) t += scale[r + i] * tile.at[i][j];
            else UNROLL for (int i = 0; i < T::rows; i++) t += tile.at[i][j];
            store(to + c + j * VL, t);
        }
    }
    // Dot products of the rows with `count` rows of `with`, kept as vectors that are still to be summed.
    template <class T> INLINE void add_dots(T& tile, const float* with, int count, int r, int c) {
        for (int o = 0; o < count; o++) {
            Vector b[T::columns];
            UNROLL for (int j = 0; j < T::columns; j++) b[j] = load(with + (long)o * wide_ + c + j * VL);
            UNROLL for (int i = 0; i < T::rows; i++) {
                float* at = partial_ + ((long)o * most_ + r + i) * VL;
                Vector t = c ? load(at) : Vector{};
                UNROLL for (int j = 0; j < T::columns; j++) t += tile.at[i][j] * b[j];
                store(at, t);
            }
        }
    }
    void dots_of(const float* rows_of, const float* with, int count, int rows) {
        by_columns(wide_ / VL, [&](int c0, auto columns) INLINE_LAMBDA {
            Tile<1, decltype(columns)::value> tile;
            for (int r = 0; r < rows; r++) {
                UNROLL for (int j = 0; j < tile.columns; j++) tile.at[0][j] = load(rows_of + (long)r * wide_ + (c0 + j) * VL);
                add_dots(tile, with, count, r, c0 * VL);
            }
        });
    }
    template <class Use> INLINE void finish_dots(int count, int rows, Use use) {
        for (int o = 0; o < count; o++)
            for (int r = 0; r < rows; r += VL) use(o, r, sums((const Vector*)(float*)partial_ + (long)o * most_ + r));
    }
    const float* scaled(const float* values, int width, const float* scale, int rows) {
        if (!scale) return values;
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < width; i++) scaled_[(long)r * width + i] = scale[r] * values[(long)r * width + i];
        return scaled_;
    }
    // Calls work(first, last, bias gradient) for the rows up to `half` and for those after.
    template <class Work> INLINE void in_halves(int rows, int half, int l, float* gradient, Work work) {
        for (int part = 0; part < (half < rows ? 2 : 1); part++)
            work(part ? half : 0, part ? rows : half, !gradient ? nullptr : part ? (float*)*halves_[l] : gradient + biases_[l]);
    }

    void back_through_output(const float* w, int rows, int half, const float* slopes, const float* scale, float* gradient) {
        const float *values = *values_[depth_ - 1], *last = w + weights_[depth_];
        float* to = *chain_[depth_ - 1];
        if (outputs > NARROW) {
            if (gradient) outer(values, wide_, width_, slopes, output_width, gradient + weights_[depth_], rows);
            in_halves(rows, half, depth_ - 1, gradient, [&](int first, int end, float* bias) INLINE_LAMBDA {
                product(slopes, output_width, outputs, turned(depth_), wide_, nullptr, first, end, [&](int r, int c, auto& tile) INLINE_LAMBDA {
                    back(tile, values, r, c);
                    put(tile, to, r, c);
                    if (bias) add_rows(tile, scale, bias, r, c);
                });
            });
        } else {
            in_halves(rows, half, depth_ - 1, gradient, [&](int first, int end, float* bias) INLINE_LAMBDA {
                by_columns(wide_ / VL, [&](int c0, auto columns) INLINE_LAMBDA {
                    by_count(outputs, [&](auto count) INLINE_LAMBDA {
                        narrow_output<decltype(columns)::value, decltype(count)::value>(last, values, to, first, end, c0 * VL, slopes,
                                                                                        scale, gradient, bias);
                    });
                });
            });
        }
        if (!gradient) return;
        in_halves(rows, half, depth_, gradient, [&](int first, int end, float* bias) INLINE_LAMBDA {
            for (int o = 0; o < outputs; o++) {
                double t = 0;
                for (int r = first; r < end; r++) t += (double)slopes[(long)r * output_width + o] * (scale ? scale[r] : 1.f);
                bias[o] += (float)t;
            }
        });
    }
    template <class Work> static INLINE void by_count(int count, Work work) {
        static_assert(NARROW == 4);
        if (count == 1) work(Number<1>{});
        else if (count == 2) work(Number<2>{});
        else if (count == 3) work(Number<3>{});
        else work(Number<4>{});
    }
    template <int C, int O>
    INLINE void narrow_output(const float* last, const float* values, float* to, int first, int end, int c, const float* slopes,
                              const float* scale, float* gradient, float* bias) {
        Vector weight[O][C], by_weight[O][C], by_bias[C];
        float* sums = gradient + weights_[depth_];
        UNROLL for (int j = 0; j < C; j++) {
            by_bias[j] = bias ? load(bias + c + j * VL) : Vector{};
            UNROLL for (int o = 0; o < O; o++) {
                weight[o][j] = load(last + (long)o * wide_ + c + j * VL);
                by_weight[o][j] = gradient ? load(sums + (long)o * wide_ + c + j * VL) : Vector{};
            }
        }
        for (int r = first; r < end; r++) {
            const float times = scale ? scale[r] : 1.f;
            UNROLL for (int j = 0; j < C; j++) {
                Vector value = load(values + (long)r * wide_ + c + j * VL), t = Vector{};
                UNROLL for (int o = 0; o < O; o++) {
                    const float slope = slopes[(long)r * O + o];
                    t += slope * weight[o][j];
                    by_weight[o][j] += (slope * times) * value;
                }
                t = activation_.back(t, value);
                store(to + (long)r * wide_ + c + j * VL, t);
                by_bias[j] += times * t;
            }
        }
        if (!gradient) return;
        UNROLL for (int j = 0; j < C; j++) {
            store(bias + c + j * VL, by_bias[j]);
            UNROLL for (int o = 0; o < O; o++) store(sums + (long)o * wide_ + c + j * VL, by_weight[o][j]);
        }
    }

    void penalise_bends(int rows, const float* x, float* gradient) {
        for (int l = depth_ - 1; l >= 0; l--) {
            float* bent = *bent_[l];
            float* bias = gradient + biases_[l];
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < wide_; i++) bias[i] += bent[(long)r * wide_ + i];
            outer(l ? (const float*)*values_[l - 1] : x, l ? wide_ : input_width, l ? width_ : inputs, bent, wide_, gradient + weights_[l], rows);
            if (!l) break;
            float* below = *bent_[l - 1];
            const float* values = *values_[l - 1];
            product(bent, wide_, width_, turned(l), wide_, nullptr, 0, rows, [&](int r, int c, auto& tile) INLINE_LAMBDA {
                using T = std::decay_t<decltype(tile)>;
                back(tile, values, r, c);
                UNROLL for (int i = 0; i < T::rows; i++) UNROLL for (int j = 0; j < T::columns; j++) {
                    float* at = below + (long)(r + i) * wide_ + c + j * VL;
                    store(at, load(at) + tile.at[i][j]);
                }
            });
        }
    }
};

}  // namespace metagan
