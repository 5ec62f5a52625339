/* confident.h: pictures whose class is doubtful, by confident learning on features.
 *
 * Every picture is answered by a linear classifier that has not learned from it (k folds), and its label is
 * held against that answer: C. Northcutt, L. Jiang, I. Chuang, Confident Learning: Estimating Uncertainty in
 * Dataset Labels, Journal of Artificial Intelligence Research 70 (2021). */
#ifndef MQ_CONFIDENT_H
#define MQ_CONFIDENT_H

#include "base/status.h"

typedef struct {
    size_t size;            /* sizeof(mq_confident_plan) */
    const float *x;         /* [count, features] standardised; borrowed, as is what follows */
    const uint32_t *labels; /* [count], below classes */
    const uint32_t *groups; /* [count], below count: pictures of one group are copies and stay in one fold */
    size_t count, features, classes;
    size_t folds; /* at least 2 */
    uint64_t seed;
    bool (*stop)(void *user);                                /* NULL: never */
    void (*progress)(void *user, size_t done, size_t total); /* folds answered; NULL: none */
    void *user;
} mq_confident_plan;

/* Deals the pictures to folds, class by class in a drawn order, so that every fold has about as many of a
 * class; a picture whose group has a fold goes there. fold [count] is the caller's. */
MQ_MUST_USE mq_status mq_confident_folds(mq_err *err, const mq_confident_plan *plan, uint32_t *fold);

/* Answers every picture by a classifier that learned from the other folds: p [count, classes], the caller's.
 * As reproducible as mq_logistic_fit. */
MQ_MUST_USE mq_status mq_confident_answers(mq_err *err, const mq_confident_plan *plan, float *p);

/* What the answers say of labels. */
typedef struct {
    const float *p;         /* [count, classes] */
    const uint32_t *labels; /* [count] */
    size_t count, classes;
    const uint32_t *groups; /* [count] the first picture of each one's copies; NULL: there are none */
} mq_answers_given;

/* Whether a picture counts: of copies, which share a fold and so teach nothing of each other, the first
 * alone. */
bool mq_confident_counts_as_one(const mq_answers_given *given, size_t picture);

/* Adds up the pictures of each class that count; counts [classes] is 0. */
void mq_confident_counts(const mq_answers_given *given, size_t *counts);

/* The threshold of each class: the mean probability of the class over the pictures that bear it and count
 * (equation 2 of the paper); 2, which none reaches, for a class without pictures. thresholds [classes]. */
void mq_confident_thresholds(const mq_answers_given *given, double *thresholds);

/* The class that a picture is confidently counted as: the likeliest of those that reach their thresholds;
 * `classes` where none does.
 * Counted by given class they are the paper's confident joint. */
size_t mq_confident_class(const mq_answers_given *given, const double *thresholds, size_t picture);

/* What is thought of one label. */
typedef struct {
    float given;        /* probability of the class it bears ("self-confidence") */
    float best;         /* of the likeliest other one */
    uint32_t other;     /* which that is */
    uint32_t confident; /* class it is confidently counted as; `classes`: none */
    double wrong;       /* chance that the label is wrong, see mq_confident_judge */
    bool founded;       /* on enough pictures, and on answers right often enough, to change the label */
} mq_doubt;

/* Judges all labels, copies of one picture as one: doubts [count], the caller's; *rate is the share of labels
 * that are wrong at most, as it seems (no less than those of the first bin), or NaN where there are too few
 * labels, or right answers, to say.
 *
 * A wrong label looks, to a classifier that has not seen the picture, as any class does that the picture does
 * not bear. So the probabilities of all those show what self-confidences wrong labels have, f0, beside those
 * of all labels, f. Of the least sure labels the wrong ones are nearly all: there f is rate f0, and rate f0 /
 * f is the chance that a label is wrong (the local false discovery rate: B. Efron, R. Tibshirani, J. Storey,
 * V. Tusher, Empirical Bayes Analysis of a Microarray Experiment, JASA 96 (2001)), made to fall with
 * self-confidence. */
MQ_MUST_USE mq_status mq_confident_judge(mq_err *err, const mq_answers_given *given, mq_doubt *doubts,
                                         double *rate);

#endif
