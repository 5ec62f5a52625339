/* quality.c: measures of a picture and their bounds. Called by scan.c. Owns
 * nothing that outlives a call. Invariant: bounds depend on the measures alone,
 * not on the order of pictures; a measure that is NAN flags nothing. */
#include "curate/quality.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

const char *mq_measure_name(mq_measure_kind kind) {
    static const char *const names[MQ_MEASURES] = {"sharpness", "bright", "dim",  "clipped",
                                                   "entropy",   "side",   "area", "shape"};
    return names[kind];
}

/* Grey level that this share of the pixels does not exceed. */
static float level_of(const size_t histogram[256], double share) {
    size_t seen = 0;
    for (size_t level = 0; level < 256; level++)
        if ((double)(seen += histogram[level]) >= share * MQ_LOOK_PIXELS) return (float)level;
    return 255;
}

/* Over all pixels but the edge, with the kernel 0 1 0, 1 -4 1, 0 1 0. */
static double laplacian_variance(const uint8_t *luma) {
    int64_t sum = 0, squares = 0;
    const size_t side = MQ_LOOK_SIDE;
    for (size_t y = 1; y + 1 < side; y++) {
        const uint8_t *row = luma + y * side, *above = row - side, *below = row + side;
        for (size_t x = 1; x + 1 < side; x++) {
            const int v = row[x - 1] + row[x + 1] + above[x] + below[x] - 4 * row[x];
            sum += v;
            squares += v * v;
        }
    }
    const double count = (double)(side - 2) * (double)(side - 2), mean = (double)sum / count;
    return (double)squares / count - mean * mean;
}

void mq_quality_measure(const uint8_t luma[MQ_LOOK_PIXELS], float measures[MQ_MEASURES]) {
    size_t histogram[256] = {0}, clipped = 0;
    double entropy = 0;
    for (size_t i = 0; i < MQ_LOOK_PIXELS; i++) histogram[luma[i]]++;
    for (size_t level = 0; level < 256; level++) {
        const double share = (double)histogram[level] / MQ_LOOK_PIXELS;
        if (share > 0) entropy -= share * log2(share);
        if (level >= 250) clipped += histogram[level];
    }
    measures[MQ_SHARPNESS] = (float)laplacian_variance(luma);
    measures[MQ_BRIGHT] = level_of(histogram, 0.95);
    measures[MQ_DIM] = level_of(histogram, 0.05);
    measures[MQ_CLIPPED] = (float)clipped / MQ_LOOK_PIXELS;
    measures[MQ_ENTROPY] = (float)entropy;
}

static const mq_flaw_text TEXTS[MQ_FLAWS] = {
    [MQ_FLAW_CORRUPT] = {"corrupt", "cannot be read", MQ_MEASURES},
    [MQ_FLAW_EMPTY] = {"empty", "hardly anything to see", MQ_ENTROPY},
    [MQ_FLAW_DARK] = {"dark", "no bright place", MQ_BRIGHT},
    [MQ_FLAW_OVEREXPOSED] = {"overexposed", "no dark place, white cut off", MQ_DIM},
    [MQ_FLAW_BLURRED] = {"blurred", "no sharp edge", MQ_SHARPNESS},
    [MQ_FLAW_TINY] = {"tiny", "few pixels", MQ_SIDE},
    [MQ_FLAW_ODD_SIZE] = {"odd-size", "far from the others' size", MQ_AREA},
    [MQ_FLAW_ODD_SHAPE] = {"odd-shape", "much longer than high, or higher than long", MQ_SHAPE},
};

const mq_flaw_text *mq_flaw_name(mq_flaw flaw) {
    return &TEXTS[flaw];
}

/* How a flaw is told. Deviations are those of the measure's logarithm where `ratio` is set: sharpness and
 * sizes spread over orders of magnitude. A deviation is at least `least`: where nearly all are alike, a small
 * difference is none. INFINITY as a hard bound: the relative rule alone; as deviations:
 * the hard bound alone. */
typedef struct {
    mq_flaw flaw;
    bool above; /* large numbers are the flaw */
    bool ratio;
    double deviations, mild, hard, least;
} rule;

#define ALIKE 0.28 /* five of them are a factor of four */
#define LEVELS 3   /* of grey, which are whole numbers: half of the pictures may share one */

/* docs/SCANNING.md shows what these find. */
static const rule RULES[] = {
    {MQ_FLAW_EMPTY, false, false, 6, 4, 2.5, 0},
    {MQ_FLAW_DARK, false, false, 4, 110, 50, LEVELS},
    {MQ_FLAW_OVEREXPOSED, true, false, 6, 120, 190, LEVELS},
    {MQ_FLAW_BLURRED, false, true, 4, 60, 8, 0},
    {MQ_FLAW_TINY, false, true, INFINITY, 0, 64, 0},
    {MQ_FLAW_ODD_SIZE, false, true, 5, INFINITY, -INFINITY, ALIKE},
    {MQ_FLAW_ODD_SIZE, true, true, 5, 0, INFINITY, ALIKE},
    {MQ_FLAW_ODD_SHAPE, true, true, 5, 2.5, 6, 0},
};
enum { RULES_COUNT = sizeof RULES / sizeof *RULES };

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Sorts values and gives the middle one. */
static double median_of(float *values, size_t count) {
    qsort(values, count, sizeof *values, by_value);
    return ((double)values[(count - 1) / 2] + (double)values[count / 2]) / 2;
}

/* Median and robust deviation of one measure, or of its logarithm; values has room for all. */
static void spread_of(const float *measures, size_t count, const rule *r, float *values, double spread[2]) {
    size_t known = 0;
    const mq_measure_kind kind = TEXTS[r->flaw].measure;
    for (size_t i = 0; i < count; i++) {
        const float value = measures[i * MQ_MEASURES + kind];
        if (!isnan(value)) values[known++] = r->ratio ? logf(value + 1e-3f) : value;
    }
    spread[0] = spread[1] = NAN;
    if (!known) return;
    const double middle = median_of(values, known);
    for (size_t i = 0; i < known; i++) values[i] = fabsf(values[i] - (float)middle);
    spread[0] = middle;
    spread[1] = 1.4826 * median_of(values, known);
}

mq_status mq_limits_find(mq_err *err, const float *measures, size_t count, mq_limits *limits) {
    mq_status status = MQ_OK;
    float *values = NULL;
    for (size_t i = 0; i < MQ_FLAWS; i++) limits->below[i] = limits->above[i] = NAN;
    MQ_TRY(mq_calloc(err, count, sizeof *values, "measures", &values));
    for (size_t i = 0; i < RULES_COUNT; i++) {
        const rule *r = &RULES[i];
        double spread[2], bound = r->hard;
        if (isfinite(r->deviations)) {
            spread_of(measures, count, r, values, spread);
            const double far = spread[0] + (r->above ? 1 : -1) * r->deviations * fmax(spread[1], r->least);
            const double value = r->ratio ? exp(far) : far;
            /* Both the rare and the mild bound must be passed, or the hard one alone. */
            if (!isnan(value))
                bound = r->above ? fmin(r->hard, fmax(value, r->mild)) : fmax(r->hard, fmin(value, r->mild));
        }
        *(r->above ? &limits->above[r->flaw] : &limits->below[r->flaw]) = (float)bound;
    }
cleanup:
    free(values);
    return status;
}

/* A drawing of few tones has as little entropy as a picture of nothing, but it has edges. Noise of s grey
 * levels has 2.05 + log2 s bits and a Laplacian of variance 20 s^2: with less than 2.5 bits less than this.
 */
static const float EDGES = 40;

unsigned mq_quality_flaws(const mq_limits *limits, const float measures[MQ_MEASURES]) {
    unsigned flaws = 0;
    for (unsigned flaw = 0; flaw < MQ_FLAWS; flaw++) {
        if (TEXTS[flaw].measure == MQ_MEASURES) continue;
        const float value = measures[TEXTS[flaw].measure];
        if (value < limits->below[flaw] || value > limits->above[flaw]) flaws |= 1u << flaw;
    }
    if (measures[MQ_SHARPNESS] > EDGES) flaws &= ~(1u << MQ_FLAW_EMPTY);
    return flaws;
}

float mq_quality_excess(const mq_limits *limits, mq_flaw flaw, const float measures[MQ_MEASURES]) {
    if (TEXTS[flaw].measure == MQ_MEASURES) return 0;
    const float value = measures[TEXTS[flaw].measure];
    return value < limits->below[flaw] ? limits->below[flaw] / value : value / limits->above[flaw];
}
