/* clean.h: what of a data set is doubtful: copies, pictures that show little, and labels that the pictures
 * themselves speak against. */
#ifndef MQ_CLEAN_H
#define MQ_CLEAN_H

#include "curate/edits.h"
#include "curate/scan.h"
#include "curate/vectors.h"

typedef struct {
    size_t size;               /* sizeof(mq_clean_plan) */
    const mq_dataset *dataset; /* borrowed, as is what follows */
    const mq_scan *scan;       /* of the data set: copies and flaws */
    mq_vectors *vectors;       /* of all splits; standardised by mq_clean_find */
    size_t folds;              /* at least 2 */
    uint64_t seed;
    double least; /* labels are listed from this chance of being wrong */
    bool (*stop)(void *user);
    void (*progress)(void *user, size_t done, size_t total); /* folds answered */
    void *user;
} mq_clean_plan;

/* What was found; owned, for mq_clean_report_free. */
typedef struct {
    mq_edit *edits; /* [count], the most certain first; they borrow from named and the data set */
    size_t count;
    mq_named *named; /* [pictures], as mq_named_read */
    size_t pictures;
    size_t copies;    /* pictures that another one of their class, which stays, shows too */
    size_t conflicts; /* pictures that another class has too */
    size_t flawed;    /* pictures that show little */
    size_t doubtful;  /* labels listed */
    size_t unfounded; /* labels among them that are likely wrong by what is too little to change them */
    size_t small;     /* classes with too few pictures for their labels to be judged */
    size_t confident; /* labels that confident learning counts as of another class */
    double rate;      /* share of all labels that seem wrong at most; NaN: cannot be said */
    size_t actions[MQ_RELABEL + 1];
} mq_clean_report;

/* Looks at every picture. *report is the caller's, also after a failure. */
MQ_MUST_USE mq_status mq_clean_find(mq_err *err, const mq_clean_plan *plan, mq_clean_report *report);
void mq_clean_report_free(mq_clean_report *report);

#endif
