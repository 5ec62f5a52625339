/* metrics.h: what is counted over predictions, in memory that grows with the classes and not with the
 * pictures. */
#ifndef MQ_METRICS_H
#define MQ_METRICS_H

#include "base/status.h"

typedef struct mq_metrics mq_metrics;

MQ_MUST_USE mq_status mq_metrics_create(mq_err *err, size_t classes, mq_metrics **metrics);
void mq_metrics_free(mq_metrics **metrics);
void mq_metrics_reset(mq_metrics *metrics);

/* Adds n rows: p [n, classes], loss [n], labels [n]. answers [n] becomes the class of the largest p of each;
 * NULL: not wanted. */
void mq_metrics_add(mq_metrics *metrics, const float *p, const float *loss, const uint32_t *labels, size_t n,
                    uint32_t *answers);

typedef struct {
    size_t pictures;
    double loss;                  /* mean of -ln p[label] */
    double top1, top5;            /* shares; equal p: the lower class first */
    double top1_low, top1_high;   /* Wilson's 95 % interval */
    double mae;                   /* mean of |one-hot - p| over pictures and classes */
    double auc;                   /* micro one-vs-rest over the flattened one-hot, area under ROC */
    double auc_error;             /* auc is exact to +- this (pairs that share one of a million bins) */
    double auc_tf200;             /* the same with TensorFlow's 200 thresholds */
    double precision, recall, f1; /* macro over classes with pictures; a precision of 0/0 counts as 0 */
} mq_scores;

/* Wilson's 95 % interval of a share among pictures (E. Wilson, 1927). */
void mq_wilson(double share, size_t pictures, double *low, double *high);

/* NaN stands for undefined (no pictures). */
void mq_metrics_scores(const mq_metrics *metrics, mq_scores *scores);

typedef struct {
    size_t pictures;
    double precision, recall, f1; /* NaN where undefined */
} mq_class_scores;

void mq_metrics_class(const mq_metrics *metrics, size_t index, mq_class_scores *scores);

#endif
