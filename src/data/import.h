/* import.h: `marque import` as a call: labelled pictures become a data set (dataset.h). */
#ifndef MQ_IMPORT_H
#define MQ_IMPORT_H

#include "data/folds.h"
#include "data/split.h"

/* What dataset.json says of classes that are named by the folders pictures lie in. */
#define MQ_RULE_LEAF "class = folder of the picture"

enum { MQ_JPEG_QUALITY = 95 /* of what is stored as JPEG and did not come so */ };

typedef enum { MQ_BOXES_CROP, MQ_BOXES_IGNORE } mq_boxes;
typedef enum { MQ_STORE_ORIGINAL, MQ_STORE_CROP } mq_store;
typedef enum { MQ_TRUNCATED_REJECT, MQ_TRUNCATED_ACCEPT } mq_truncated;

/* Which symbolic links are followed: none, those that stay in the source's folder, all. */
typedef enum { MQ_FOLLOW_NONE, MQ_FOLLOW_INSIDE, MQ_FOLLOW_ALL } mq_follow;

/* All text is borrowed while mq_import runs; NULL where there is none. */
typedef struct {
    size_t size; /* sizeof(mq_import_plan) */
    const char *source, *output;
    const char
        *root; /* folder that paths of a list begin at; NULL: the list's own, of a text the current one */
    const char *list;        /* text of a list, in place of source, which is then only its name in messages */
    size_t list_size;        /* bytes; NUL may be among them */
    const char *split_file;  /* CSV with columns path and split */
    const char *group_by;    /* regular expression: pictures that match alike stay in one split */
    const char *annotations; /* .mat or COCO's .json, where it is not found by itself */
    const char *meta;        /* .mat with class_names, the same */
    mq_follow follow;
    bool leaf; /* class = the folder a picture lies in, else the top folder */
    mq_boxes boxes;
    double margin; /* proposed to recipes; applied here by MQ_STORE_CROP */
    mq_store store;
    mq_decode decode;       /* proposed to recipes */
    mq_truncated truncated; /* pictures that are cut short: left out, or stored as what is left of them */
    uint32_t presize;       /* store what a network of this side takes, pixels; 0: not */
    uint32_t max_side;      /* shrink stored pictures to this side, pixels; 0: never */
    double test, val;       /* shares: of all, and of what is not test; val 0 with folds */
    uint32_t folds;         /* parts of the training pictures for cross-validation; 0: none */
    uint64_t seed;
    uint32_t shard_mb;  /* about that many million bytes a shard */
    bool allow_missing; /* annotation rows without a picture are passed over */
    bool update;        /* output is a data set: its pictures keep their splits, its classes their numbers */
    bool dry_run;       /* report only */
    size_t workers;     /* at least 1 */
    bool (*stop)(void *user); /* asked between pictures; NULL: never */
    void (*progress)(void *user, const char *what, size_t done,
                     size_t total); /* total 0: unknown; NULL: none */
    void *user;
} mq_import_plan;

typedef struct {
    char *name; /* owned by the report */
    size_t count[MQ_SPLITS];
} mq_import_class;

enum { MQ_EXAMPLES = 3 };

typedef struct {
    char *text; /* owned by the report */
    size_t count;
    char *examples[MQ_EXAMPLES]; /* names of the first pictures, NULL behind the last; owned */
} mq_import_reason;

typedef struct {
    size_t pictures; /* taken */
    size_t count[MQ_SPLITS];
    mq_import_class *classes; /* owned, as is reasons */
    size_t class_count;
    const char *class_rule; /* "class = top folder"; static */
    size_t left_out;
    mq_import_reason *reasons; /* why pictures were left out, the most frequent first */
    size_t reason_count;
    size_t missing;   /* annotation rows without picture */
    size_t unlisted;  /* pictures beside those of annotations that none of them names */
    size_t litter;    /* hidden names and what other systems leave in folders, passed over */
    size_t small;     /* classes with fewer than 5 pictures, but at least one */
    size_t empty;     /* classes without picture */
    size_t untrained; /* classes with pictures, but none to train on */
    mq_split_found placed;
    size_t twins;       /* pictures whose content an earlier picture has */
    size_t kept, fresh; /* with update: pictures placed before and now */
    size_t moved;       /* with update: pictures that the source has in another part than before */
    size_t gone;        /* with update: pictures of before that are in the set no more */
    size_t boxes;       /* pictures with a box */
    size_t turned;      /* boxes that were drawn on a picture as EXIF turns it */
    size_t originals;   /* pictures they are of: fewer where one has several boxes */
    size_t as_png;      /* TIFF, BMP and GIF, which are stored as PNG */
    size_t as_jpeg;     /* HEIC and AVIF, which are stored as JPEG */
    size_t animated;    /* pictures of which the first of several is taken */
    char **truncated;   /* names of those that are cut short and taken all the same; owned, as the list is */
    size_t truncated_count;
    bool taken; /* a dry run without update, and output holds a data set: an import would be refused */
    size_t shards;
    uint64_t bytes;     /* of the shards; with dry_run about what they would be */
    uint64_t cut_bytes; /* what they would be, about, with MQ_STORE_CROP */
} mq_import_report;

/* Imports. A picture that fails goes to quarantine.csv with its reason; originals are never touched. The
 * output holds the same bytes whatever the number of workers. *report is the caller's, for
 * mq_import_report_free, also after a failure. Nothing is left in output unless the status is MQ_OK. */
MQ_MUST_USE mq_status mq_import(mq_err *err, const mq_import_plan *plan, mq_import_report *report);

void mq_import_report_free(mq_import_report *report);

#endif
