/* mix.h: pictures blended with others of their batch, their labels with them. */
#ifndef MQ_MIX_H
#define MQ_MIX_H

/* How often and how. Both alphas above 0: each batch draws one of the two.
 * mixup: H. Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018.
 * cutmix: S. Yun et al., CutMix, ICCV 2019. */
typedef struct {
    double mixup, cutmix; /* alpha of the Beta distribution of the share; 0: not this one */
    double probability;   /* that a batch is mixed at all */
} mq_mix_rule;

#endif
