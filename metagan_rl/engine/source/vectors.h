// Vectors of VL floats, and the two matrix products that all networks are made of.
//
// The vectors are those of GCC and Clang; the compiler lowers them to AVX-512 (VL 16), AVX2 (VL 8) or NEON (VL 4). All
// matrices are row-major. A width that is stored is padded with zeros to a multiple of VL, and rows come in multiples of
// ROWS, so no kernel has an edge.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

#ifndef VL
#define VL 16
#endif

#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

namespace metagan {

typedef float Vector __attribute__((vector_size(VL * 4)));

// Loads must stay loads: GCC would fold a row of B into each product that uses it, and loads would bound the loop.
#if defined(__x86_64__)
#define KEEP_IN_REGISTER(x) asm("" : "+v"(x))
constexpr int REGISTERS = VL == 16 ? 32 : 16;
#elif defined(__aarch64__)
#define KEEP_IN_REGISTER(x) asm("" : "+w"(x))
constexpr int REGISTERS = 32;
#else
#define KEEP_IN_REGISTER(x)
constexpr int REGISTERS = 16;
#endif

constexpr int ROWS = 8;                                  // batches are padded to a multiple of this
constexpr int MOST_COLUMNS = REGISTERS == 32 ? 4 : 3;    // vectors of a tile's row
template <int C> constexpr int tile_rows = C >= 3 ? 4 : REGISTERS == 32 ? 8 : 4;
template <int N> using Number = std::integral_constant<int, N>;

INLINE Vector load(const float* from) { return *(const Vector*)from; }
INLINE void store(float* to, Vector v) { *(Vector*)to = v; }
INLINE Vector broadcast(float x) { return x - Vector{}; }
INLINE int padded(int n, int to = VL) { return (n + to - 1) / to * to; }

// An array of zeros, aligned for vectors.
class Floats {
  public:
    Floats() = default;
    explicit Floats(long count) { reset(count); }
    Floats(const Floats&) = delete;
    Floats& operator=(const Floats&) = delete;
    ~Floats() { std::free(data_); }
    void reset(long count) {
        std::free(data_);
        long bytes = (count * 4 + 127) / 64 * 64;
        data_ = (float*)std::aligned_alloc(64, bytes);
        if (!data_) throw std::bad_alloc();
        __builtin_memset(data_, 0, bytes);
    }
    operator float*() const { return data_; }

  private:
    float* data_ = nullptr;
};

template <int d, int... i> INLINE Vector combined(Vector a, Vector b, std::integer_sequence<int, i...>) {
    return __builtin_shufflevector(a, b, ((i & d) ? VL + i : i)...) +
           __builtin_shufflevector(a, b, ((i & d) ? VL + (i ^ d) : (i ^ d))...);
}
template <int d, int... i> INLINE void swap_halves(Vector& a, Vector& b, std::integer_sequence<int, i...>) {
    Vector x = __builtin_shufflevector(a, b, ((i & d) ? VL + (i ^ d) : i)...);
    b = __builtin_shufflevector(a, b, ((i & d) ? VL + i : (i ^ d))...);
    a = x;
}
using Lanes = std::make_integer_sequence<int, VL>;

template <int d = 1> INLINE void reduce(Vector* p) {
    if constexpr (d < VL) {
        UNROLL for (int j = 0; j < VL / (2 * d); j++) p[j] = combined<d>(p[2 * j], p[2 * j + 1], Lanes{});
        reduce<2 * d>(p);
    }
}
// The sums of VL vectors, as one vector.
INLINE Vector sums(const Vector* of) {
    Vector p[VL];
    UNROLL for (int i = 0; i < VL; i++) p[i] = of[i];
    reduce(p);
    return p[0];
}
INLINE float sum(Vector v) {
    float total = 0;
    UNROLL for (int i = 0; i < VL; i++) total += v[i];
    return total;
}

template <int d = 1> INLINE void transpose_square(Vector* p) {
    if constexpr (d < VL) {
        UNROLL for (int r = 0; r < VL; r++)
            if (!(r & d)) swap_halves<d>(p[r], p[r ^ d], Lanes{});
        transpose_square<2 * d>(p);
    }
}
// to [columns, rows] = from [rows, columns] transposed; both numbers are multiples of VL.
static void transpose(const float* from, int rows, int columns, float* to) {
    for (int i = 0; i < rows; i += VL)
        for (int j = 0; j < columns; j += VL) {
            Vector p[VL];
            UNROLL for (int r = 0; r < VL; r++) p[r] = load(from + (long)(i + r) * columns + j);
            transpose_square(p);
            UNROLL for (int r = 0; r < VL; r++) store(to + (long)(j + r) * rows + i, p[r]);
        }
}

// Calls work(first vector, Number<C>) for blocks of C vectors that cover a width of `vectors`.
template <class Work> INLINE void by_columns(int vectors, Work work) {
    int c = 0;
    for (; c + MOST_COLUMNS <= vectors; c += MOST_COLUMNS) work(c, Number<MOST_COLUMNS>{});
    if (MOST_COLUMNS == 4 && vectors - c == 3) work(c, Number<3>{});
    if (vectors - c == 2) work(c, Number<2>{});
    if (vectors - c == 1) work(c, Number<1>{});
}

// A product's result for R rows and C vectors, while it is in registers.
template <int R, int C> struct Tile {
    static constexpr int rows = R, columns = C;
    Vector at[R][C];
};

// result.at[r][c] += sum over k of a(r, k) B[k, c]; a row of B has `width` floats.
template <int R, int C, class A> INLINE void accumulate(Tile<R, C>& result, A a, const float* B, long width, int K) {
    for (int k = 0; k < K; k++) {
        Vector b[C];
        UNROLL for (int c = 0; c < C; c++) {
            b[c] = load(B + k * width + c * VL);
            KEEP_IN_REGISTER(b[c]);
        }
        UNROLL for (int r = 0; r < R; r++) {
            float x = a(r, k);
            UNROLL for (int c = 0; c < C; c++) result.at[r][c] += x * b[c];
        }
    }
}

// A [rows, K] times B [K, width], plus a bias (or none), handed tile by tile to put(row, column, tile).
template <class Put>
INLINE void product(const float* A, long lda, int K, const float* B, int width, const float* bias, int first, int last, Put put) {
    by_columns(width / VL, [&](int c0, auto columns) INLINE_LAMBDA {
        constexpr int C = decltype(columns)::value, R = tile_rows<C>;
        for (int row = first; row < last; row += R) {
            Tile<R, C> tile;
            UNROLL for (int r = 0; r < R; r++)
                UNROLL for (int c = 0; c < C; c++) tile.at[r][c] = bias ? load(bias + (c0 + c) * VL) : Vector{};
            const float* rows = A + row * lda;
            accumulate(tile, [&](int r, int k) INLINE_LAMBDA { return rows[r * lda + k]; }, B + c0 * VL, width, K);
            put(row, c0 * VL, tile);
        }
    });
}

template <int R, int C> INLINE void outer_tile(const float* A, long lda, const float* B, long width, float* to, int rows) {
    Tile<R, C> tile;
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int c = 0; c < C; c++) tile.at[r][c] = load(to + r * width + c * VL);
    accumulate(tile, [&](int r, int k) INLINE_LAMBDA { return A[k * lda + r]; }, B, width, rows);
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int c = 0; c < C; c++) store(to + r * width + c * VL, tile.at[r][c]);
}
// to [I, width] += A^T B, for A [rows, I] and B [rows, width].
static void outer(const float* A, long lda, int I, const float* B, int width, float* to, int rows) {
    by_columns(width / VL, [&](int c0, auto columns) INLINE_LAMBDA {
        constexpr int C = decltype(columns)::value, R = tile_rows<C>;
        int i = 0;
        for (; i + R <= I; i += R) outer_tile<R, C>(A + i, lda, B + c0 * VL, width, to + (long)i * width + c0 * VL, rows);
        for (; i + 2 <= I; i += 2) outer_tile<2, C>(A + i, lda, B + c0 * VL, width, to + (long)i * width + c0 * VL, rows);
        for (; i < I; i++) outer_tile<1, C>(A + i, lda, B + c0 * VL, width, to + (long)i * width + c0 * VL, rows);
    });
}

}  // namespace metagan
