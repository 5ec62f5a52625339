/* metrics.c: counters over predictions. Called by validation in training and by
 * eval. Invariant: every figure comes from integer counts and two sums in
 * double, so the order of batches shows only in the last digits of loss and mae. */
#include "train/metrics.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* The bits of a float in [0, 1] rise with its value; their upper 22 bits make a million bins, 8,192 to each
 * power of two. */
enum { BIN_SHIFT = 10, BINS = (0x3f800000 >> BIN_SHIFT) + 1, THRESHOLDS = 200, TOP = 5 };

/* Pictures of a class, those taken for it, and those rightly so. */
typedef struct {
    size_t pictures, answers, right;
} class_counts;

struct mq_metrics {
    size_t classes, pictures, top1, top5;
    double loss, absolute;
    class_counts *by_class;        /* [classes] */
    uint64_t *positive, *negative; /* [BINS]: scores of the true class, of all others */
    uint64_t above_positive[THRESHOLDS + 1],
        above_negative[THRESHOLDS + 1]; /* by thresholds below the score */
    float thresholds[THRESHOLDS];
};

void mq_metrics_free(mq_metrics **metrics) {
    if (!*metrics) return;
    free((*metrics)->by_class);
    free((*metrics)->positive);
    free((*metrics)->negative);
    free(*metrics);
    *metrics = NULL;
}

mq_status mq_metrics_create(mq_err *err, size_t classes, mq_metrics **metrics) {
    mq_status status = MQ_OK;
    mq_metrics *m = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *m, "metrics", &m));
    m->classes = classes;
    MQ_TRY(mq_calloc(err, classes, sizeof *m->by_class, "metrics", &m->by_class));
    MQ_TRY(mq_calloc(err, BINS, sizeof *m->positive, "metrics", &m->positive));
    MQ_TRY(mq_calloc(err, BINS, sizeof *m->negative, "metrics", &m->negative));
    /* tf.keras.metrics.AUC: -1e-7, 1/199 ... 198/199, 1 + 1e-7 */
    for (int i = 0; i < THRESHOLDS; i++) m->thresholds[i] = (float)((double)i / (THRESHOLDS - 1));
    m->thresholds[0] = -1e-7f;
    m->thresholds[THRESHOLDS - 1] = 1 + 1e-7f;
    *metrics = m;
    m = NULL;
cleanup:
    mq_metrics_free(&m);
    return status;
}

void mq_metrics_reset(mq_metrics *m) {
    m->pictures = m->top1 = m->top5 = 0;
    m->loss = m->absolute = 0;
    memset(m->by_class, 0, m->classes * sizeof *m->by_class);
    memset(m->positive, 0, BINS * sizeof *m->positive);
    memset(m->negative, 0, BINS * sizeof *m->negative);
    memset(m->above_positive, 0, sizeof m->above_positive);
    memset(m->above_negative, 0, sizeof m->above_negative);
}

static size_t bin_of(float p) {
    uint32_t bits;
    if (!(p > 0)) return 0; /* NaN too */
    if (p >= 1) return BINS - 1;
    memcpy(&bits, &p, sizeof bits);
    return bits >> BIN_SHIFT;
}

/* How many thresholds lie below p. */
static size_t thresholds_below(const mq_metrics *m, float p) {
    size_t k = p > 0 ? (size_t)(p * (THRESHOLDS - 1)) : 0;
    if (k > THRESHOLDS - 1) k = THRESHOLDS - 1;
    while (k > 0 && m->thresholds[k - 1] >= p) k--;
    while (k < THRESHOLDS && m->thresholds[k] < p) k++;
    return k;
}

/* Returns the answer. */
static uint32_t add_row(mq_metrics *m, const float *p, uint32_t label) {
    size_t rank = 0, answer = 0;
    for (size_t j = 0; j < m->classes; j++) {
        const bool truth = j == label;
        const bool behind = p[j] < p[label] || (p[j] == p[label] && j > label);
        if (!truth && !behind) rank++; /* NaN is behind nothing, and before nothing */
        if (p[j] > p[answer]) answer = j;
        m->absolute += fabs((truth ? 1.0 : 0.0) - (double)p[j]);
        (truth ? m->positive : m->negative)[bin_of(p[j])]++;
        (truth ? m->above_positive : m->above_negative)[thresholds_below(m, p[j])]++;
    }
    m->top1 += rank == 0;
    m->top5 += rank < TOP;
    m->by_class[label].pictures++;
    m->by_class[answer].answers++;
    m->by_class[label].right += rank == 0;
    return (uint32_t)answer;
}

void mq_metrics_add(mq_metrics *m, const float *p, const float *loss, const uint32_t *labels, size_t n,
                    uint32_t *answers) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t answer = add_row(m, p + i * m->classes, labels[i]);
        if (answers) answers[i] = answer;
        m->loss += (double)loss[i];
    }
    m->pictures += n;
}

/* ROC's area by Mann-Whitney: the share of (positive, negative) pairs in right order; half of the pairs
 * within one bin, which is also how far the figure can be off. */
static double exact_auc(const mq_metrics *m, double *error) {
    double below = 0, right = 0, tied = 0, positives = 0;
    for (size_t i = 0; i < BINS; i++) {
        const double p = (double)m->positive[i], n = (double)m->negative[i];
        right += p * below;
        tied += p * n / 2;
        below += n;
        positives += p;
    }
    const double pairs = positives * below;
    *error = pairs > 0 ? tied / pairs : NAN;
    return pairs > 0 ? (right + tied) / pairs : NAN;
}

/* Trapezoids between TensorFlow's 200 points. */
static double tf_auc(const mq_metrics *m) {
    double positives = 0, negatives = 0, area = 0;
    for (int i = 0; i <= THRESHOLDS; i++)
        positives += (double)m->above_positive[i], negatives += (double)m->above_negative[i];
    if (positives <= 0 || negatives <= 0) return NAN;
    double tp = positives, fp = negatives, last_tpr = 0, last_fpr = 0;
    for (int i = 0; i < THRESHOLDS; i++) {
        tp -= (double)m->above_positive[i]; /* left: scores above threshold i */
        fp -= (double)m->above_negative[i];
        const double tpr = tp / positives, fpr = fp / negatives;
        if (i) area += (last_fpr - fpr) * (last_tpr + tpr) / 2;
        last_tpr = tpr, last_fpr = fpr;
    }
    return area;
}

/* E. Wilson, Probable inference, the law of succession, and statistical inference, 1927; z = 1.96. */
void mq_wilson(double share, size_t pictures, double *low, double *high) {
    const double z = 1.959964, n = (double)pictures, d = 1 + z * z / n;
    const double middle = share + z * z / (2 * n),
                 half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
    *low = n > 0 ? fmax(0, (middle - half) / d) : NAN; /* rounding leads beyond 0 and 1 */
    *high = n > 0 ? fmin(1, (middle + half) / d) : NAN;
}

void mq_metrics_class(const mq_metrics *m, size_t index, mq_class_scores *scores) {
    const class_counts *c = &m->by_class[index];
    const double pictures = (double)c->pictures, answers = (double)c->answers, right = (double)c->right;
    scores->pictures = c->pictures;
    scores->precision = answers > 0 ? right / answers : NAN;
    scores->recall = pictures > 0 ? right / pictures : NAN;
    scores->f1 = pictures + answers > 0 ? 2 * right / (pictures + answers) : NAN;
}

void mq_metrics_scores(const mq_metrics *m, mq_scores *scores) {
    const double n = (double)m->pictures;
    *scores = (mq_scores){.pictures = m->pictures,
                          .loss = m->loss / n,
                          .top1 = (double)m->top1 / n,
                          .top5 = (double)m->top5 / n,
                          .mae = m->absolute / (n * (double)m->classes),
                          .auc_tf200 = tf_auc(m)};
    scores->auc = exact_auc(m, &scores->auc_error);
    mq_wilson(scores->top1, scores->pictures, &scores->top1_low, &scores->top1_high);
    double filled = 0;
    for (size_t i = 0; i < m->classes; i++) {
        mq_class_scores one;
        mq_metrics_class(m, i, &one);
        if (!one.pictures) continue;
        filled++;
        scores->precision += isnan(one.precision) ? 0 : one.precision;
        scores->recall += one.recall;
        scores->f1 += one.f1;
    }
    scores->precision /= filled;
    scores->recall /= filled;
    scores->f1 /= filled;
}
