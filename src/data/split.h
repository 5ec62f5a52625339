/* split.h: which pictures are for training, validation and test. */
#ifndef MQ_SPLIT_H
#define MQ_SPLIT_H

#include "data/manifest.h"

typedef struct {
    double test; /* share of each class, 0..1 */
    double val;  /* share of what is not test */
    uint64_t seed;
    uint32_t folds;       /* parts of the training pictures for cross-validation; 0: none */
    const char *group_by; /* POSIX extended regular expression on names; borrowed; NULL: none */
} mq_split_rule;

/* What came of it. */
typedef struct {
    size_t copies;  /* pictures of which an equal one lies in another split */
    size_t torn;    /* other pictures of which one of their group lies in another split */
    size_t near;    /* contents that look nearly as another one does, which counts for them */
    size_t crowded; /* contents that look nearly as more than 15 others do, and may lie apart from them */
    size_t apart;   /* other pictures of which a near copy lies in another split */
    size_t groups;  /* different ones, of two pictures or one */
    size_t matched; /* pictures whose names group_by matches */
    size_t
        wanted[MQ_SPLITS]; /* what the shares come to, of val and test; 0 where the source sets the split */
} mq_split_found;

/* Places every picture that is taken (reason NULL) and sets its key, SHA-256 of (seed as u64 little endian,
 * its digest). Pictures that are placed already stay. Inside each class, in the order of keys, the first
 * round(test n) go to test and the next round(val m) of the other m to validation; a class never goes without
 * training picture while it has one to give. A split that the source sets itself gets nothing drawn. Pictures
 * of equal content stay together, and so do those that look nearly the same (data/looks.h) and those of one
 * group: the entry's own, else what its name matches
 * of group_by (the first group, or the whole match when it has no group). They go by the key of the one with
 * the smallest digest, which has nothing to do with how many they are, and a group, or pictures of one look,
 * that would exceed a share by more than is missing of it are passed over.
 *
 * With folds every training picture gets one: in the order of keys, each to the fold that has the fewest of
 * its class, then the fewest in all, then the lowest; those that stay together share a fold, and those that
 * have one keep it. */
MQ_MUST_USE mq_status mq_split_place(mq_err *err, const mq_split_rule *rule, mq_manifest *manifest,
                                     mq_split_found *found);

#endif
