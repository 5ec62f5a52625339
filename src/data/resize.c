/* resize.c: bilinear resizing as Pillow and as TensorFlow do it. Called by
 * prepare.c and the importer. Invariant: the weights of both passes are the
 * 22-bit integers Pillow rounds them to, and each pass rounds to 8 bits, so
 * that sums come out the same in any order. */
#include "data/resize.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    WEIGHT_BITS = 32 - 8 - 2, /* a sum of weights times 255 stays inside an int32_t */
    HALF = 1 << (WEIGHT_BITS - 1),
    OVERREAD = 8, /* bytes */
    BLOCK = 96,   /* bytes of a row that the vertical pass keeps in registers or L1 */
    EIGHTHS = 8,  /* of a pixel: what parts are given in */
};

/* What one side of a resize begins with: the pixels at hand, and which part of them is resized. */
typedef struct {
    uint32_t pixels;
    double start, length; /* in pixels */
} extent;

static extent extent_of(uint32_t pixels, int32_t from, int32_t to) {
    return (extent){pixels, (double)from / EIGHTHS, (double)(to - from) / EIGHTHS};
}

/* Whether out pixels of it are just what is there. */
static bool stays(const extent *e, uint32_t out) {
    return e->pixels == out && e->length == out;
}

/* For each place along one side of the output: which input pixels, and how much of each. */
typedef struct {
    uint32_t *first;  /* [out] */
    uint32_t *count;  /* [out] at least 1 */
    int32_t *weights; /* [out, taps], in units of 2^-22 */
    size_t taps;
} axis;

static void axis_free(axis *a) {
    free(a->first);
    free(a->count);
    free(a->weights);
    *a = (axis){0};
}

/* The triangle 1 - |x| over the taps of one output place, made to sum to 1 and rounded. triangle is scratch.
 */
static void fill_place(axis *a, uint32_t place, const extent *in, double scale, double *triangle) {
    const double stretch = scale < 1 ? 1 : scale; /* shrinking widens the triangle: antialiasing */
    const double centre = in->start + (place + 0.5) * scale;
    const int64_t low = (int64_t)(centre - stretch + 0.5), high = (int64_t)(centre + stretch + 0.5);
    const int64_t first = low < 0 ? 0 : low, last = high > (int64_t)in->pixels ? (int64_t)in->pixels : high;
    const double unit = 1.0 / stretch;
    const size_t count = (size_t)(last - first);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double distance = fabs(((double)((int64_t)i + first) - centre + 0.5) * unit);
        triangle[i] = distance < 1 ? 1 - distance : 0;
        sum += triangle[i];
    }
    int32_t *weights = a->weights + place * a->taps;
    for (size_t i = 0; i < count; i++) {
        const double share = sum != 0 ? triangle[i] / sum : triangle[i];
        weights[i] = (int32_t)(0.5 + share * (1 << WEIGHT_BITS));
    }
    a->first[place] = (uint32_t)first;
    a->count[place] = (uint32_t)count;
}

static mq_status axis_make(mq_err *err, const extent *in, uint32_t out, axis *a) {
    mq_status status = MQ_OK;
    double *triangle = NULL;
    const double scale = in->length / out;
    a->taps = (size_t)ceil(scale < 1 ? 1 : scale) * 2 + 2; /* one more than needed, to be even */
    size_t weights = 0;
    MQ_REQUIRE(mq_mul(out, a->taps, &weights), err, MQ_NO_MEMORY, "no memory to resize %u pixels to %u",
               in->pixels, out);
    MQ_TRY(mq_calloc(err, out, sizeof *a->first, "a resize", &a->first));
    MQ_TRY(mq_calloc(err, out, sizeof *a->count, "a resize", &a->count));
    MQ_TRY(mq_calloc(err, weights, sizeof *a->weights, "a resize", &a->weights));
    MQ_TRY(mq_calloc(err, a->taps, sizeof *triangle, "a resize", &triangle));
    for (uint32_t place = 0; place < out; place++) fill_place(a, place, in, scale, triangle);
cleanup:
    free(triangle);
    return status;
}

static uint8_t round_weighted(int32_t sum) {
    const int32_t value = sum >> WEIGHT_BITS;
    return (uint8_t)(value > 255 ? 255 : value); /* no weight is negative */
}

/* One row: in [in width, 3] to out [width, 3]. */
static void shrink_row(const axis *a, const uint8_t *in, uint32_t width, uint8_t *restrict out) {
    for (uint32_t x = 0; x < width; x++, out += 3) {
        const uint8_t *pixel = in + (size_t)a->first[x] * 3;
        const int32_t *weights = a->weights + x * a->taps;
        int32_t r = HALF, g = HALF, b = HALF;
        for (uint32_t i = 0; i < a->count[x]; i++, pixel += 3) {
            r += pixel[0] * weights[i];
            g += pixel[1] * weights[i];
            b += pixel[2] * weights[i];
        }
        out[0] = round_weighted(r);
        out[1] = round_weighted(g);
        out[2] = round_weighted(b);
    }
}

/* One output row from count rows of size bytes, stride apart. */
static inline __attribute__((always_inline)) void mix_rows(const mq_view *in, const int32_t *weights,
                                                           uint32_t count, uint8_t *restrict out) {
    const size_t size = (size_t)in->width * 3;
    for (size_t start = 0; start < size; start += BLOCK) {
        const size_t width = size - start < BLOCK ? size - start : BLOCK;
        int32_t sums[BLOCK];
        for (size_t i = 0; i < width; i++) sums[i] = HALF;
        for (uint32_t row = 0; row < count; row++) {
            const uint8_t *bytes = in->rgb + row * in->stride + start;
            const int32_t weight = weights[row];
            for (size_t i = 0; i < width; i++) sums[i] += bytes[i] * weight;
        }
        for (size_t i = 0; i < width; i++) out[start + i] = round_weighted(sums[i]);
    }
}

static void mix_rows_plain(const mq_view *in, const int32_t *weights, uint32_t count, uint8_t *out) {
    mix_rows(in, weights, count, out);
}

#if defined(__x86_64__)

/* As shrink_row, two pixels at a time: lanes 0 to 2 and 3 to 5; the last two lanes are never looked at. Reads
 * up to OVERREAD bytes behind the last pixel. */
__attribute__((target("avx2"))) static void shrink_row_avx2(const axis *a, const uint8_t *in, uint32_t width,
                                                            uint8_t *restrict out) {
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 1, 1, 1, 0, 0);
    for (uint32_t x = 0; x < width; x++, out += 3) {
        const uint8_t *pixel = in + (size_t)a->first[x] * 3;
        const int32_t *weights = a->weights + x * a->taps; /* an even number, 0 behind the last tap */
        __m256i sum = _mm256_setzero_si256();
        for (uint32_t i = 0; i < a->count[x]; i += 2, pixel += 6) {
            const __m128i bytes = _mm_loadl_epi64((const void *)pixel);
            const __m128i pair = _mm_loadl_epi64((const void *)(weights + i));
            const __m256i weight = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(pair), spread);
            sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(bytes), weight));
        }
        int32_t lanes[8];
        _mm256_storeu_si256((void *)lanes, sum);
        for (size_t c = 0; c < 3; c++) out[c] = round_weighted(HALF + lanes[c] + lanes[c + 3]);
    }
}

__attribute__((target("avx2"))) static void mix_rows_avx2(const mq_view *in, const int32_t *weights,
                                                          uint32_t count, uint8_t *out) {
    mix_rows(in, weights, count, out);
}

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2");
}

#else

#define shrink_row_avx2 shrink_row
#define mix_rows_avx2 mix_rows_plain

static bool has_avx2(void) {
    return false;
}

#endif

/* Columns first: the rows that the vertical pass needs, [last - first, width, 3], into *rows. */
static mq_status shrink_columns(mq_err *err, mq_view in, const extent *columns, uint32_t width, mq_view *out,
                                uint8_t **rows) {
    mq_status status = MQ_OK;
    axis a = {0};
    size_t stride = 0;
    MQ_REQUIRE(mq_mul(width, 3, &stride), err, MQ_NO_MEMORY, "no memory to resize to %u pixels", width);
    MQ_TRY(mq_alloc_aligned(err, in.height, stride, "a resize", rows));
    MQ_TRY(axis_make(err, columns, width, &a));
    /* The fast way reads a little into the next row, which the last row does not have. */
    const size_t fast = has_avx2() && in.stride >= OVERREAD ? in.height - 1 : 0;
    for (size_t y = 0; y < in.height; y++)
        (y < fast ? shrink_row_avx2 : shrink_row)(&a, in.rgb + y * in.stride, width, *rows + y * stride);
    *out = (mq_view){*rows, stride, width, in.height};
cleanup:
    axis_free(&a);
    return status;
}

mq_status mq_resize_pillow_part(mq_err *err, mq_view in, mq_box part, uint32_t width, uint32_t height,
                                uint8_t *out) {
    mq_status status = MQ_OK;
    const extent columns = extent_of(in.width, part.x1, part.x2),
                 lines = extent_of(in.height, part.y1, part.y2);
    axis vertical = {0};
    uint8_t *rows = NULL;
    const size_t size = (size_t)width * 3;
    /* An axis that keeps its size is not filtered at all. */
    if (!stays(&columns, width)) MQ_TRY(shrink_columns(err, in, &columns, width, &in, &rows));
    if (stays(&lines, height)) {
        for (size_t y = 0; y < height; y++) memcpy(out + y * size, in.rgb + y * in.stride, size);
        goto cleanup;
    }
    MQ_TRY(axis_make(err, &lines, height, &vertical));
    void (*const mix)(const mq_view *, const int32_t *, uint32_t, uint8_t *) = has_avx2() ? mix_rows_avx2
                                                                                          : mix_rows_plain;
    for (size_t y = 0; y < height; y++) {
        const mq_view from = {in.rgb + vertical.first[y] * in.stride, in.stride, width, vertical.count[y]};
        mix(&from, vertical.weights + y * vertical.taps, vertical.count[y], out + y * size);
    }
cleanup:
    axis_free(&vertical);
    free(rows);
    return status;
}

mq_status mq_resize_pillow(mq_err *err, mq_view in, uint32_t width, uint32_t height, uint8_t *out) {
    const mq_box all = {0, 0, (int32_t)in.width * EIGHTHS, (int32_t)in.height * EIGHTHS};
    return mq_resize_pillow_part(err, in, all, width, height, out);
}

/* Where an output place falls between two input pixels. */
typedef struct {
    uint32_t low, high;
    float part; /* of the way from low to high */
} between;

/* In single precision, with half-pixel centres, as TensorFlow computes it. */
static mq_status make_betweens(mq_err *err, uint32_t in, uint32_t out, between **places) {
    const mq_status status = mq_calloc(err, out, sizeof **places, "a resize", places);
    if (status != MQ_OK) return status;
    const float scale = (float)in / (float)out;
    for (uint32_t i = 0; i < out; i++) {
        const float at = ((float)i + 0.5f) * scale - 0.5f, below = floorf(at), above = ceilf(at);
        between *place = &(*places)[i];
        place->low = below < 0 ? 0 : (uint32_t)below;
        place->high = above < 0 ? 0 : (uint32_t)above;
        if (place->high > in - 1) place->high = in - 1;
        if (place->low > in - 1) place->low = in - 1;
        place->part = at - below;
    }
    return MQ_OK;
}

mq_status mq_resize_tensorflow(mq_err *err, mq_view in, uint32_t width, uint32_t height, float *out) {
    mq_status status = MQ_OK;
    between *columns = NULL, *lines = NULL;
    MQ_TRY(make_betweens(err, in.width, width, &columns));
    MQ_TRY(make_betweens(err, in.height, height, &lines));
    for (uint32_t y = 0; y < height; y++) {
        const uint8_t *upper = in.rgb + lines[y].low * in.stride, *lower = in.rgb + lines[y].high * in.stride;
        for (uint32_t x = 0; x < width; x++)
            for (size_t c = 0; c < 3; c++) {
                const size_t left = (size_t)columns[x].low * 3 + c, right = (size_t)columns[x].high * 3 + c;
                const float top = (float)upper[left] + (float)(upper[right] - upper[left]) * columns[x].part;
                const float bottom = (float)lower[left] +
                                     (float)(lower[right] - lower[left]) * columns[x].part;
                *out++ = top + (bottom - top) * lines[y].part;
            }
    }
cleanup:
    free(columns);
    free(lines);
    return status;
}
