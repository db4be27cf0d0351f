// What all networks share: where a weight lies in a flat row and in the engine's own layout, activations, and sizes.
//
// A network works on a part of a batch, at most `most` rows at a time. A generator and a discriminator are the same class;
// a discriminator has one output. The trainer (train.h) asks of a network:
//
//   forward(w, x, rows, y, keep)       outputs; unless keep is false, what backward needs is kept
//   backward(w, rows, half, slopes, scale, x, gradient, by_input)
//       the gradient's chain from slopes by the outputs. `gradient` gets the gradients by the weights, where each row counts
//       `scale` times (null: once). Biases sum the rows up to `half` apart from those after, so that opposite slopes of real
//       and generated samples cancel exactly; add_halves(gradient) joins the two.
//   penalise(w, rows, cotangent, x, gradient)   gradients of a function of the input gradient that backward found with
//       slopes of 1, from its derivative by that input gradient
//   refresh(w)                         what depends on the weights alone: transposed copies
#pragma once
#include <memory>
#include <vector>

#include "vectors.h"
#include "functions.h"

namespace metagan {

// A matrix [rows, columns] that is contiguous in the flat row, and has rows of `width` floats in the engine's layout.
struct Part {
    long flat, own;
    int rows, columns, width;
    bool transposed;  // in the engine's layout [columns, width], with width >= rows

    long at(int i, int j) const { return transposed ? (long)j * width + i : (long)i * width + j; }
};

class Layout {
  public:
    long flat = 0, own = 0;  // sizes

    // Adds a matrix with room for `room` rows (at least its own); returns its place in the engine's layout.
    long add(int rows, int columns, int width, int room = 0, bool transposed = false) {
        parts_.push_back({flat, own, rows, columns, width, transposed});
        flat += (long)rows * columns;
        long place = own;
        own += (long)padded((transposed ? columns : room > rows ? room : rows) * width, 16);
        return place;
    }
    // Adds `groups` matrices one after the other, whose rows are padded each to `room`.
    long add_groups(int groups, int rows, int columns, int width, int room) {
        long place = own;
        for (int g = 0; g < groups; g++) {
            parts_.push_back({flat, own, rows, columns, width, false});
            flat += (long)rows * columns;
            own += (long)room * width;
        }
        own = (own + 15) / 16 * 16;
        return place;
    }
    void read(const float* from, float* to) const {
        for (const Part& p : parts_)
            for (int i = 0; i < p.rows; i++)
                for (int j = 0; j < p.columns; j++) to[p.own + p.at(i, j)] = from[p.flat + (long)i * p.columns + j];
    }
    void write(const float* from, float* to) const {
        for (const Part& p : parts_)
            for (int i = 0; i < p.rows; i++)
                for (int j = 0; j < p.columns; j++) to[p.flat + (long)i * p.columns + j] = from[p.own + p.at(i, j)];
    }

  private:
    std::vector<Part> parts_;
};

// A hidden activation: piecewise linear with slope 1 above 0 and `slope` below, or tanh.
template <bool TANH> struct Activation {
    float slope;

    INLINE Vector value(Vector x) const {
        if constexpr (TANH) {
            Vector y;
#pragma GCC ivdep
            for (int i = 0; i < VL; i++) y[i] = tangens_hyperbolicus(x[i]);
            return y;
        } else {
            return x > 0 ? x : slope * x;
        }
    }
    // A gradient by the value becomes one by the input; `y` is the value.
    INLINE Vector back(Vector gradient, Vector y) const {
        if constexpr (TANH) return gradient * (1.f - y * y);
        return y > 0 ? gradient : slope * gradient;
    }
    template <class T> INLINE void apply(T& tile) const {
        UNROLL for (int i = 0; i < T::rows; i++)
            UNROLL for (int j = 0; j < T::columns; j++) tile.at[i][j] = value(tile.at[i][j]);
    }
    // A tile of gradients by values becomes one by inputs; values(i) is where the values of the tile's row i begin.
    template <class T, class Values> INLINE void apply_back(T& tile, Values values) const {
        UNROLL for (int i = 0; i < T::rows; i++)
            UNROLL for (int j = 0; j < T::columns; j++) tile.at[i][j] = back(tile.at[i][j], load(values(i) + j * VL));
    }
};

}  // namespace metagan
