// The convolutional pair of metagan_rl/networks/conv.py: two kernels of 4x4 with stride 2 and padding 1, and a dense layer.
//
// Channels come last. A fine image has a border of zeros, so that a window's row of four pixels with all their channels is
// one contiguous piece, and the products of vectors.h need no copies of patches.
#pragma once
#include "network.h"

namespace metagan {

constexpr int KERNEL = 4;

// A convolution from a fine side to half of it, its transpose, and its derivative by the kernel. Kernels are [16 fine, coarse]:
// row (ky, kx, fine channel). Coarse images are compact, or have a border too if they are the fine side of another.
class Halving {
  public:
    const int side, half, fine, coarse;
    const long row, image, coarse_row, coarse_image;  // floats: a row and an image with border, and the same of coarse ones

    Halving(int side, int fine, int coarse, bool bordered, int most)
        : side(side), half(side / 2), fine(fine), coarse(coarse), row((long)(side + 2) * fine), image(padded((side + 2) * (int)row, 16)),
          coarse_row((long)(half + (bordered ? 2 : 0)) * coarse),
          coarse_image(padded((half + (bordered ? 2 : 0)) * (int)coarse_row, 16)) {
        for (long r = 0; r < most; r++)
            for (int i = 0; i < half; i++)
                for (int j = 0; j < half; j++) {
                    window_.push_back(r * image + 2 * i * row + 2L * j * fine);
                    place_.push_back(r * coarse_image + (i + bordered) * coarse_row + (long)(j + bordered) * coarse);
                }
    }
    long positions(int rows) const { return (long)rows * half * half; }

    // Coarse values from bordered images, handed tile by tile to put(places of the rows, channel, tile).
    template <class Put> INLINE void down(const float* images, const float* kernel, const float* bias, int rows, Put put) const {
        const int piece = KERNEL * fine;
        by_columns(coarse / VL, [&](int c0, auto columns) INLINE_LAMBDA {
            constexpr int C = decltype(columns)::value, R = tile_rows<C>;
            for (long q = 0; q < positions(rows); q += R) {
                const float* at[R];
                UNROLL for (int r = 0; r < R; r++) at[r] = images + window_[q + r];
                Tile<R, C> tile;
                UNROLL for (int r = 0; r < R; r++)
                    UNROLL for (int c = 0; c < C; c++) tile.at[r][c] = bias ? load(bias + (c0 + c) * VL) : Vector{};
                for (int ky = 0; ky < KERNEL; ky++) {
                    accumulate(tile, [&](int r, int k) INLINE_LAMBDA { return at[r][k]; },
                               kernel + (long)ky * piece * coarse + c0 * VL, coarse, piece);
                    UNROLL for (int r = 0; r < R; r++) at[r] += row;
                }
                put(&place_[q], c0 * VL, tile);
            }
        });
    }

    // Bordered images from coarse values: the transpose of down. What falls on the border is to be ignored. `turned` is the
    // kernel transposed, [coarse, 16 fine].
    void up(const float* values, const float* turned, int rows, float* images) const {
        __builtin_memset(images, 0, rows * image * sizeof(float));
        const int piece = KERNEL * fine, width = KERNEL * piece;
        by_columns(width / VL, [&](int c0, auto columns) INLINE_LAMBDA {
            constexpr int C = decltype(columns)::value, R = tile_rows<C>;
            for (long q = 0; q < positions(rows); q += R) {
                const float* at[R];
                UNROLL for (int r = 0; r < R; r++) at[r] = values + place_[q + r];
                Tile<R, C> tile{};
                accumulate(tile, [&](int r, int k) INLINE_LAMBDA { return at[r][k]; }, turned + c0 * VL, width, coarse);
                UNROLL for (int r = 0; r < R; r++) UNROLL for (int c = 0; c < C; c++) {
                    const int column = (c0 + c) * VL;
                    float* to = images + window_[q + r];
                    if (piece % VL == 0) {
                        to += column / piece * row + column % piece;
                        store(to, load(to) + tile.at[r][c]);
                    } else {
                        add_rows(to, column / piece, tile.at[r][c]);
                    }
                }
            }
        });
    }

    // to [16 fine, coarse] += the derivative by the kernel of the product of down(images) and `values`, where sample r counts
    // scale[r] times (null: once).
    void by_kernel(const float* images, const float* values, const float* scale, int rows, float* to) const {
        const int piece = KERNEL * fine;
        by_columns(coarse / VL, [&](int c0, auto columns) INLINE_LAMBDA {
            constexpr int C = decltype(columns)::value;
            for (int r = 0; r < rows; r++)
                for (int ky = 0; ky < KERNEL; ky++)
                    for (int k = 0; k < piece;) {
                        float* at = to + (long)(ky * piece + k) * coarse + c0 * VL;
                        const float *image_at = images + ky * row + k, *values_at = values + c0 * VL;
                        const float times = scale ? scale[r] : 1.f;
                        if (tile_rows<C> == 8 && k + 8 <= piece) {
                            kernel_tile<8, C>(image_at, values_at, r, times, at);
                            k += 8;
                        } else {
                            kernel_tile<4, C>(image_at, values_at, r, times, at);
                            k += 4;
                        }
                    }
        });
    }

    // Compact images [rows, side * side * fine] to bordered ones and back; `from` has `width` floats a sample.
    void add_border(const float* from, long width, int rows, float* to) const {
        for (int r = 0; r < rows; r++)
            for (int y = 0; y < side; y++)
                __builtin_memcpy(to + r * image + (y + 1) * row + fine, from + r * width + (long)y * side * fine, sizeof(float) * side * fine);
    }
    void take_border(const float* from, int rows, float* to, long width, float plus) const {
        for (int r = 0; r < rows; r++)
            for (int y = 0; y < side; y++)
                for (int x = 0; x < side * fine; x++)
                    to[r * width + (long)y * side * fine + x] = from[r * image + (y + 1) * row + fine + x] + plus;
    }
    // Calls work(place of a pixel) for every pixel of the images' inside, and sets the border to zero.
    template <class Work> INLINE void inside(float* images, int rows, Work work) const {
        for (int r = 0; r < rows; r++) {
            float* at = images + r * image;
            __builtin_memset(at, 0, sizeof(float) * row);
            __builtin_memset(at + (side + 1) * row, 0, sizeof(float) * row);
            for (int y = 1; y <= side; y++) {
                __builtin_memset(at + y * row, 0, sizeof(float) * fine);
                __builtin_memset(at + y * row + (side + 1) * fine, 0, sizeof(float) * fine);
                for (int x = 1; x <= side; x++) work(r, r * image + y * row + (long)x * fine);
            }
        }
    }

  private:
    std::vector<long> window_, place_;  // of each position of all samples: its window in the fine images, its coarse values

    template <int R, int C>
    INLINE void kernel_tile(const float* images, const float* values, int sample, float times, float* to) const {
        Tile<R, C> tile;
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int c = 0; c < C; c++) tile.at[r][c] = load(to + (long)r * coarse + c * VL);
        const long first = (long)sample * half * half;
        for (long q = first; q < first + half * half; q++) {
            const float *a = images + window_[q], *b_at = values + place_[q];
            Vector b[C];
            UNROLL for (int c = 0; c < C; c++) {
                b[c] = times * load(b_at + c * VL);
                KEEP_IN_REGISTER(b[c]);
            }
            UNROLL for (int r = 0; r < R; r++) UNROLL for (int c = 0; c < C; c++) tile.at[r][c] += a[r] * b[c];
        }
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int c = 0; c < C; c++) store(to + (long)r * coarse + c * VL, tile.at[r][c]);
    }
    // One channel: a vector holds rows of four pixels, from row ky on.
    INLINE void add_rows(float* to, int ky, Vector v) const {
        UNROLL for (int i = 0; i < VL; i += KERNEL) {
            float* at = to + (ky + i / KERNEL) * row;
            UNROLL for (int x = 0; x < KERNEL; x++) at[x] += v[i + x];
        }
    }
};

template <class T> INLINE void put_tile(T& tile, float* to, const long* places, int c) {
    UNROLL for (int i = 0; i < T::rows; i++)
        UNROLL for (int j = 0; j < T::columns; j++) store(to + places[i] + c + j * VL, tile.at[i][j]);
}

// From an image to one logit.
template <bool TANH> class ConvDiscriminator {
  public:
    Layout layout;
    const int input_width, outputs = 1;

    ConvDiscriminator(int side, int width, float slope, int most)
        : input_width(side * side), wide_(padded(width)), wider_(padded(2 * width)), outer_(side, 1, wide_, true, most),
          inner_(side / 2, wide_, wider_, false, most), activation_{slope} {
        const int places = inner_.half * inner_.half;
        first_ = layout.add(KERNEL * KERNEL, width, wide_);
        first_bias_ = layout.add(1, width, wide_);
        second_ = layout.add_groups(KERNEL * KERNEL, width, 2 * width, wider_, wide_);
        second_bias_ = layout.add(1, 2 * width, wider_);
        last_ = layout.add(places, 2 * width, wider_);
        last_bias_ = layout.add(1, 1, VL);
        last_size_ = places * wider_;
        first_turned_.reset(KERNEL * KERNEL * wide_);
        second_turned_.reset((long)KERNEL * KERNEL * wide_ * wider_);
        for (Floats* each : {&x_, &by_x_}) each->reset(most * outer_.image + 64);
        for (Floats* each : {&h1_, &e1_, &q1_}) each->reset(most * inner_.image + 64);
        for (Floats* each : {&h2_, &e2_}) each->reset(most * inner_.coarse_image + 64);
        for (Floats* each : {&half1_, &half2_, &half3_}) each->reset(wider_);
    }

    void refresh(const float* w) {
        transpose(w + first_, KERNEL * KERNEL, wide_, first_turned_);
        transpose(w + second_, KERNEL * KERNEL * wide_, wider_, second_turned_);
    }

    void forward(const float* w, const float* x, int rows, float* y, bool = true) {
        outer_.add_border(x, input_width, rows, x_);
        outer_.down(x_, w + first_, w + first_bias_, rows, [&](const long* places, int c, auto& tile) INLINE_LAMBDA {
            activation_.apply(tile);
            put_tile(tile, h1_, places, c);
        });
        inner_.down(h1_, w + second_, w + second_bias_, rows, [&](const long* places, int c, auto& tile) INLINE_LAMBDA {
            activation_.apply(tile);
            put_tile(tile, h2_, places, c);
        });
        for (int r = 0; r < rows; r++) {
            const float* h = h2_ + r * inner_.coarse_image;
            Vector t{};
            for (int i = 0; i < last_size_; i += VL) t += load(h + i) * load(w + last_ + i);
            y[r] = sum(t) + w[last_bias_];
        }
    }

    void backward(const float* w, int rows, int half, const float* slopes, const float* scale, const float*, float* gradient, float* by_input) {
        for (int r = 0; r < rows; r++) {
            const float times = scale ? scale[r] : 1.f, slope = slopes[r];
            const float* h = h2_ + r * inner_.coarse_image;
            float *e = e2_ + r * inner_.coarse_image, *bias = r < half ? gradient + second_bias_ : (float*)half2_;
            for (int i = 0; i < last_size_; i += VL) {
                Vector value = load(h + i), t = activation_.back(slope * load(w + last_ + i), value);
                store(e + i, t);
                if (gradient) {
                    store(gradient + last_ + i, load(gradient + last_ + i) + (slope * times) * value);
                    float* to = bias + i % wider_;
                    store(to, load(to) + times * t);
                }
            }
            if (gradient) (r < half ? gradient[last_bias_] : half3_[0]) += slope * times;
        }
        if (gradient) inner_.by_kernel(h1_, e2_, scale, rows, gradient + second_);
        inner_.up(e2_, second_turned_, rows, e1_);
        inner_.inside(e1_, rows, [&](int r, long at) INLINE_LAMBDA {
            float* bias = r < half ? gradient + first_bias_ : (float*)half1_;
            for (int c = 0; c < wide_; c += VL) {
                Vector t = activation_.back(load(e1_ + at + c), load(h1_ + at + c));
                store(e1_ + at + c, t);
                if (gradient) store(bias + c, load(bias + c) + (scale ? scale[r] : 1.f) * t);
            }
        });
        if (gradient) outer_.by_kernel(x_, e1_, scale, rows, gradient + first_);
        if (!by_input) return;
        outer_.up(e1_, first_turned_, rows, by_x_);
        outer_.take_border(by_x_, rows, by_input, input_width, 0);
    }

    void add_halves(float* gradient) {
        add_half(gradient + first_bias_, half1_);
        add_half(gradient + second_bias_, half2_);
        gradient[last_bias_] += half3_[0];
        half3_[0] = 0;
    }

    void penalise(const float* w, int rows, const float* cotangent, const float*, float* gradient) {
        outer_.add_border(cotangent, input_width, rows, x_);
        outer_.by_kernel(x_, e1_, nullptr, rows, gradient + first_);
        outer_.down(x_, w + first_, nullptr, rows, [&](const long* places, int c, auto& tile) INLINE_LAMBDA {
            activation_.apply_back(tile, [&](int i) INLINE_LAMBDA { return h1_ + places[i] + c; });
            put_tile(tile, q1_, places, c);
        });
        inner_.by_kernel(q1_, e2_, nullptr, rows, gradient + second_);
        inner_.down(q1_, w + second_, nullptr, rows, [&](const long* places, int c, auto& tile) INLINE_LAMBDA {
            using T = std::decay_t<decltype(tile)>;
            activation_.apply_back(tile, [&](int i) INLINE_LAMBDA { return h2_ + places[i] + c; });
            UNROLL for (int i = 0; i < T::rows; i++) UNROLL for (int j = 0; j < T::columns; j++) {
                float* to = gradient + last_ + places[i] % inner_.coarse_image + c + j * VL;
                store(to, load(to) + tile.at[i][j]);
            }
        });
    }

  private:
    const int wide_, wider_;
    const Halving outer_, inner_;  // next to the image, and next to the logit
    const Activation<TANH> activation_;
    long first_, first_bias_, second_, second_bias_, last_, last_bias_;
    int last_size_;
    Floats first_turned_, second_turned_;
    Floats x_, by_x_, h1_, e1_, q1_, h2_, e2_;  // values h, gradients by what the activations get e, tangents q
    Floats half1_, half2_, half3_;

    void add_half(float* to, float* half) {
        for (int i = 0; i < wider_; i++) {
            if (half[i] == 0) continue;
            to[i] += half[i];
            half[i] = 0;
        }
    }
};

// From noise to an image.
template <bool TANH> class ConvGenerator {
  public:
    Layout layout;
    const int input_width, output_width, outputs;

    ConvGenerator(int latent, int side, int width, float slope, int most)
        : input_width(latent), output_width(side * side), outputs(side * side), wide_(padded(width)), wider_(padded(2 * width)),
          inner_(side / 2, wide_, wider_, false, most), outer_(side, 1, wide_, true, most), activation_{slope} {
        const int places = inner_.half * inner_.half;
        dense_size_ = places * wider_;
        dense_ = layout.add_groups(latent, places, 2 * width, wider_, places);
        dense_bias_ = layout.add(places, 2 * width, wider_);
        first_ = layout.add_groups(KERNEL * KERNEL, width, 2 * width, wider_, wide_);
        first_bias_ = layout.add(1, width, wide_);
        second_ = layout.add(KERNEL * KERNEL, width, wide_);
        second_bias_ = layout.add(1, 1, VL);
        first_turned_.reset((long)KERNEL * KERNEL * wide_ * wider_);
        second_turned_.reset(KERNEL * KERNEL * wide_);
        for (Floats* each : {&h0_, &e0_}) each->reset((long)most * dense_size_ + 64);
        for (Floats* each : {&h1_, &e1_}) each->reset(most * inner_.image + 64);
        y_.reset(most * outer_.image + 64);
    }

    void refresh(const float* w) {
        transpose(w + first_, KERNEL * KERNEL * wide_, wider_, first_turned_);
        transpose(w + second_, KERNEL * KERNEL, wide_, second_turned_);
    }

    void forward(const float* w, const float* z, int rows, float* y, bool = true) {
        product(z, input_width, input_width, w + dense_, dense_size_, w + dense_bias_, 0, rows, [&](int r, int c, auto& tile) INLINE_LAMBDA {
            using T = std::decay_t<decltype(tile)>;
            activation_.apply(tile);
            UNROLL for (int i = 0; i < T::rows; i++)
                UNROLL for (int j = 0; j < T::columns; j++) store(h0_ + (long)(r + i) * dense_size_ + c + j * VL, tile.at[i][j]);
        });
        inner_.up(h0_, first_turned_, rows, h1_);
        inner_.inside(h1_, rows, [&](int, long at) INLINE_LAMBDA {
            for (int c = 0; c < wide_; c += VL) store(h1_ + at + c, activation_.value(load(h1_ + at + c) + load(w + first_bias_ + c)));
        });
        outer_.up(h1_, second_turned_, rows, y_);
        outer_.take_border(y_, rows, y, output_width, w[second_bias_]);
    }

    void backward(const float* w, int rows, int, const float* slopes, const float*, const float* z, float* gradient, float*) {
        double t = 0;
#pragma omp simd reduction(+ : t)
        for (long i = 0; i < (long)rows * output_width; i++) t += slopes[i];
        gradient[second_bias_] += (float)t;
        __builtin_memset((float*)y_, 0, rows * outer_.image * sizeof(float));
        outer_.add_border(slopes, output_width, rows, y_);
        outer_.by_kernel(y_, h1_, nullptr, rows, gradient + second_);
        outer_.down(y_, w + second_, nullptr, rows, [&](const long* places, int c, auto& tile) INLINE_LAMBDA {
            using T = std::decay_t<decltype(tile)>;
            activation_.apply_back(tile, [&](int i) INLINE_LAMBDA { return h1_ + places[i] + c; });
            put_tile(tile, e1_, places, c);
            UNROLL for (int j = 0; j < T::columns; j++) {
                float* bias = gradient + first_bias_ + c + j * VL;
                Vector sums = load(bias);
                UNROLL for (int i = 0; i < T::rows; i++) sums += tile.at[i][j];
                store(bias, sums);
            }
        });
        inner_.by_kernel(e1_, h0_, nullptr, rows, gradient + first_);
        inner_.down(e1_, w + first_, nullptr, rows, [&](const long* places, int c, auto& tile) INLINE_LAMBDA {
            activation_.apply_back(tile, [&](int i) INLINE_LAMBDA { return h0_ + places[i] + c; });
            put_tile(tile, e0_, places, c);
        });
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < dense_size_; i += VL)
                store(gradient + dense_bias_ + i, load(gradient + dense_bias_ + i) + load(e0_ + (long)r * dense_size_ + i));
        outer(z, input_width, input_width, e0_, dense_size_, gradient + dense_, rows);
    }

  private:
    const int wide_, wider_;
    const Halving inner_, outer_;  // next to the noise, and next to the image
    const Activation<TANH> activation_;
    long dense_, dense_bias_, first_, first_bias_, second_, second_bias_;
    int dense_size_;
    Floats first_turned_, second_turned_;
    Floats h0_, e0_, h1_, e1_, y_;
};

}  // namespace metagan
