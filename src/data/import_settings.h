/* import_settings.h: how a data set was imported, as its dataset.json tells; an update goes on so. */
#ifndef MQ_IMPORT_SETTINGS_H
#define MQ_IMPORT_SETTINGS_H

#include "data/import.h"

typedef struct {
    char *group_by; /* NULL: none; owned */
    bool leaf;
    mq_boxes boxes;
    bool boxless; /* no picture has a box, so both ways of taking them are one */
    double margin, test, val;
    mq_store store;
    mq_decode decode;
    mq_follow follow;
    mq_truncated truncated;
    uint32_t presize, max_side, folds;
    uint64_t seed;
} mq_import_settings;

/* Reads a dataset.json; a number that no import writes is MQ_BAD_DATA. *settings is the caller's, for
 * mq_import_settings_free, also after a failure. */
MQ_MUST_USE mq_status mq_import_settings_load(mq_err *err, const char *path, mq_import_settings *settings);
void mq_import_settings_free(mq_import_settings *settings);

/* MQ_USAGE where plan would mix two ways of importing in its output; names the option. */
MQ_MUST_USE mq_status mq_import_settings_check(mq_err *err, const mq_import_settings *settings,
                                               const mq_import_plan *plan);

#endif
