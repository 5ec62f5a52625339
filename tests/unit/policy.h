/* policy.h: what the tests of augmentation share. */
#ifndef MQ_UNIT_POLICY_H
#define MQ_UNIT_POLICY_H

#include "unit/unit.h"

#include "data/augment.h"

/* A policy that must be right; the caller frees it. */
static inline mq_augment *policy(const char *text) {
    mq_err err = {0};
    mq_augment *augment = NULL;
    assert_ok(err, mq_augment_parse(&err, text, &augment));
    return augment;
}

#endif
