/* scan.h: `marque scan` as a call: everything about a data set that somebody should look at before training.
 *
 * Pictures count through train, val and test (mq_picture_place). */
#ifndef MQ_SCAN_H
#define MQ_SCAN_H

#include "curate/duplicates.h"
#include "curate/quality.h"

typedef struct {
    size_t size; /* sizeof(mq_scan_plan) */
    const mq_dataset *dataset;
    const mq_recipe *recipe; /* says what part of a picture is looked at; borrowed */
    mq_viewer *viewer;       /* confirms near copies; borrowed; NULL: nothing is confirmed */
    size_t workers;
    bool (*stop)(void *user);
    void (*progress)(void *user, const char *what, size_t done, size_t total, double seconds);
    void *user;
} mq_scan_plan;

/* What is kept of each picture. */
typedef struct {
    float measures[MQ_MEASURES];    /* NAN: corrupt */
    uint32_t width, height;         /* as stored; 0: corrupt */
    uint32_t box_width, box_height; /* 0: no box */
    uint32_t flaws;                 /* a bit (1 << mq_flaw) each */
} mq_scan_row;

/* How many of a kind. */
typedef struct {
    char *name; /* owned */
    size_t count;
} mq_tally;
typedef struct {
    mq_tally *items; /* in the order in which they were met; owned */
    size_t count, capacity;
} mq_tallies;

typedef struct {
    uint32_t picture;
    char *text; /* the sentence; owned */
} mq_scan_problem;

enum { MQ_SCAN_QUANTILES = 5 }; /* smallest, 5 %, middle, 95 %, largest */

/* Sides of pictures or boxes, in pixels, by quantiles. */
typedef struct {
    size_t count;
    uint32_t width[MQ_SCAN_QUANTILES], height[MQ_SCAN_QUANTILES];
} mq_scan_sizes;

typedef struct {
    const mq_dataset *dataset; /* borrowed */
    size_t pictures;
    mq_scan_row *rows; /* [pictures]; owned, as is what follows */
    mq_limits limits;
    size_t flaws[MQ_FLAWS]; /* pictures with each */
    size_t flawed;          /* pictures with any */
    size_t flagged;         /* pictures with any, or with copies */
    mq_scan_problem *problems;
    size_t problem_count, problem_capacity;
    mq_duplicates duplicates;
    size_t leaks, conflicts,
        copies;     /* groups across the split, across classes, and within one class and part */
    bool confirmed; /* the network was asked */
    mq_tallies formats, colours, orientations; /* EXIF's: "1" to "8" */
    mq_tallies left_out;                       /* reasons in quarantine.csv */
    size_t left_out_count;
    mq_scan_sizes sizes, boxes;
    size_t *balance;                 /* [classes][MQ_SPLITS] pictures */
    size_t small, largest, smallest; /* classes of fewer than 5 pictures; pictures of the largest, smallest */
} mq_scan;

enum { MQ_SMALL_CLASS = 5 };

/* Looks at every picture. A picture that cannot be read is a finding, not a failure. *scan is the caller's,
 * for mq_scan_free. Stopped: MQ_INTERRUPTED. */
MQ_MUST_USE mq_status mq_scan_run(mq_err *err, const mq_scan_plan *plan, mq_scan *scan);
void mq_scan_free(mq_scan *scan);

/* How EXIF's orientation, a name among orientations, turns a picture: words; static. */
const char *mq_scan_turn(const char *orientation);

/* The worst pictures with a flaw, at most `most` of them, the very worst first, into pictures; returns how
 * many. */
size_t mq_scan_worst(const mq_scan *scan, mq_flaw flaw, uint32_t *pictures, size_t most);

/* Reads the picture's record and name again, for reports; sample borrows from record. A record that cannot be
 * read: the sample has no bytes, and for a name its shard's and its number there. */
void mq_scan_sample(const mq_scan *scan, uint32_t picture, mq_buf *record, mq_sample *sample);

#endif
