/* duplicates.h: pictures that occur more than once: the same bytes, or nearly the same look.
 *
 * Pictures of one digest are exact copies, but for several boxes of one file. Others are candidates when
 * their fingerprints are near (phash.h), and copies when the frozen network, too, sees almost the same in
 * both. Copies of copies form one group. */
#ifndef MQ_DUPLICATES_H
#define MQ_DUPLICATES_H

#include "curate/viewer.h"
#include "data/phash.h"

/* Pictures count through train, val and test: the first of val has the number of training pictures. */
typedef struct {
    size_t size; /* sizeof(mq_duplicates_plan) */
    const mq_dataset *dataset;
    const mq_phash *hashes; /* [count] of all pictures; borrowed */
    const bool *passed;     /* [count] pictures whose look says nothing: compared by their bytes alone */
    mq_viewer *viewer;      /* confirms candidates; borrowed; NULL: nothing is confirmed */
    bool (*stop)(void *user);
    void (*progress)(void *user, const char *what, size_t done, size_t total, double seconds);
    void *user;
} mq_duplicates_plan;

typedef struct {
    uint32_t *pictures; /* borrowed from the list, rising */
    size_t count;       /* at least 2 */
    bool exact;         /* all have the same bytes */
    bool confirmed;     /* by the network, or by their bytes */
    bool mirrored;      /* some are mirror images */
    bool conflict;      /* of more than one class */
    bool leak;          /* in more than one of train, val and test */
    unsigned distance;  /* the largest of the pairs that made it, bits of 64 */
    float cosine;       /* the smallest of them; NAN: not computed */
} mq_duplicate_group;

typedef struct {
    mq_duplicate_group *groups; /* leaks first, then conflicts, larger ones first; owned, as is all */
    size_t count;
    uint32_t *pictures;
    unsigned distance; /* bits of 64 that candidates may differ in */
    size_t candidates; /* pairs of near fingerprints */
    size_t refused;    /* of them, those the network tells apart */
    bool complete;     /* false: so many candidates that not all were looked at */
} mq_duplicates;

/* Finds all groups. *duplicates is the caller's, for mq_duplicates_free. */
MQ_MUST_USE mq_status mq_duplicates_find(mq_err *err, const mq_duplicates_plan *plan,
                                         mq_duplicates *duplicates);
void mq_duplicates_free(mq_duplicates *duplicates);

/* Whether pictures whose fingerprints differ in `distance` bits, and whose features have this cosine, are
 * copies. The fewer bits, the less the features need to agree: a copy may be blurred beyond the network's
 * recognition, while from 8 bits on two pictures of one kind of thing in one pose come up to 0.945
 * (docs/SCANNING.md has the measurement). Where the search was narrowed to `searched` bits below 12, for many
 * pictures are near by chance, the features decide. */
bool mq_looks_copied(unsigned searched, unsigned distance, float cosine);

/* The part of the data set that a picture lies in, and its number there. */
mq_split mq_picture_place(const mq_dataset *dataset, size_t picture, size_t *index);

#endif
