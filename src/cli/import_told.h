/* import_told.h: the options of `marque import`, and what it says of an import. */
#ifndef MQ_IMPORT_TOLD_H
#define MQ_IMPORT_TOLD_H

#include "data/import.h"

typedef struct {
    const char *output, *root, *split_file, *group_by, *annotations, *meta;
    double val, test, margin;
    int class_level, follow, boxes, store, decode,
        truncated; /* index of the word; but for class_level as their enums */
    int64_t folds, presize, max_side, seed, shard_mb, jobs;
    bool allow_missing, update, dry_run, json;
} mq_import_options;

/* For people: the table of classes and what there is to know of the import, to stdout; warnings to stderr. */
void mq_import_print(const mq_import_options *o, const mq_import_report *r);

/* The same for programs. */
MQ_MUST_USE mq_status mq_import_print_json(mq_err *err, const mq_import_options *o,
                                           const mq_import_report *r);

#endif
