/* import_labels.h: classes that a source tells by number, by text or by both; only import_*.c include this.
 */
#ifndef MQ_IMPORT_LABELS_H
#define MQ_IMPORT_LABELS_H

#include "data/import_parts.h"

typedef struct {
    bool has_id;
    int64_t id;
    const char *text; /* NULL: none; borrowed while it is added */
} mq_label;

typedef struct mq_labels mq_labels;

/* *labels is the caller's. */
MQ_MUST_USE mq_status mq_labels_new(mq_err *err, mq_labels **labels);
void mq_labels_free(mq_labels **labels);

/* The place of a label, which has a number or a text, among those seen: what its entries have for a class
 * until mq_labels_end. A number that comes with another text than before: MQ_BAD_DATA, beginning with what.
 */
MQ_MUST_USE mq_status mq_labels_add(mq_err *err, mq_labels *labels, const char *what, const mq_label *label,
                                    uint32_t *place);

/* Makes classes of the labels, in the order of their numbers, and gives them to all entries of the job. A
 * class is called after its text (with the number behind it where two have the same), else after its line in
 * the file names (NULL: none), else after its number. Lines may begin with their number and a colon; else the
 * first is that of 0 or of 1: of 0 when there is a label 0, of 1 when there is one as high as lines, and
 * otherwise as from_one says, with a warning. */
MQ_MUST_USE mq_status mq_labels_end(mq_err *err, mq_labels *labels, mq_import_job *job, const char *names,
                                    bool from_one);

#endif
