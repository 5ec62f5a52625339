/* mix.h: pictures blended with others of their batch, their labels with them. */
#ifndef MQ_MIX_H
#define MQ_MIX_H

#include "base/status.h"

/* How often and how. Both alphas above 0: each batch draws one of the two.
 * mixup: H. Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018.
 * cutmix: S. Yun et al., CutMix, ICCV 2019. */
typedef struct {
    double mixup, cutmix; /* alpha of the Beta distribution of the share; 0: not this one */
    double probability;   /* that a batch is mixed at all */
} mq_mix_rule;

/* Whether the rule ever mixes. */
bool mq_mix_wanted(const mq_mix_rule *rule);

/* Which batch: what it draws is a function of this alone. */
typedef struct {
    uint64_t seed;
    uint32_t epoch;
    uint64_t first; /* place of its first picture in the epoch */
} mq_mix_place;

/* What becomes of one picture of a batch: partner's pixels in the rectangle, or, where that has no area, of
 * every pixel share from the picture and the rest from partner. */
typedef struct {
    float share;                       /* of the picture and its label; the rest is partner's */
    uint32_t partner;                  /* row of the batch */
    uint32_t left, top, right, bottom; /* pixels [left, right) x [top, bottom) */
} mq_mix_row;

/* Draws for the n pictures of side x side pixels of a batch into rows [n]: each with the one before it, the
 * first with the last, and a share of its own, from Beta(alpha, alpha). cutmix: the rectangle has the rest of
 * the area, its sides in the ratio of the picture's and its middle anywhere; it is cut at the picture's edge,
 * and share is what it leaves of the pixels, exactly. False: the batch stays as it is. */
bool mq_mix_draw(const mq_mix_rule *rule, const mq_mix_place *place, uint32_t side, mq_mix_row *rows,
                 size_t n);

/* out [n, side, side, 3] = pixels of the same shape, mixed. Nothing overlaps. Called from the compute thread.
 */
void mq_mix_pixels(float *out, const float *pixels, const mq_mix_row *rows, size_t n, uint32_t side);

/* A share of the Beta distribution with both parameters alpha > 0, from draws of place and row; 0..1. */
double mq_mix_share(const mq_mix_place *place, size_t row, double alpha);

#endif
