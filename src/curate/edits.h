/* edits.h: the list of edits: what `marque clean` proposes, a person changes and `--apply` takes.
 *
 * A CSV "picture,class,reason,score,copy_of,suggestion,action", the most certain first; docs/CLEANING.md
 * describes it. */
#ifndef MQ_EDITS_H
#define MQ_EDITS_H

#include "data/dataset.h"
#include "data/rewrite.h"

typedef enum { MQ_KEEP, MQ_DROP, MQ_RELABEL } mq_action;

typedef struct {
    const char *picture, *class; /* its name and the class it bears; borrowed */
    const char *reason;          /* static */
    double score;                /* how sure that is, 0..1 */
    const char *copy_of;         /* the picture it is a copy of; "": none; borrowed */
    const char *suggestion;      /* another class; "": none; borrowed */
    mq_action action;
} mq_edit;

/* "keep", "drop", "relabel"; static. */
const char *mq_action_name(mq_action action);

/* Refuses a file that is there already: it may hold a person's work. MQ_CANNOT_CREATE. */
MQ_MUST_USE mq_status mq_edits_check(mq_err *err, const char *path);

/* Writes the list, in the order of edits, after mq_edits_check. */
MQ_MUST_USE mq_status mq_edits_write(mq_err *err, const char *path, const mq_edit *edits, size_t count);

/* A list read for a data set. */
typedef struct {
    mq_rewrite_change *changes; /* [count] of what is dropped or relabelled; owned */
    size_t count;
    char **reasons; /* [reason_count], which changes borrow; owned */
    size_t reason_count;
    size_t kept;              /* rows that change nothing */
    char digest[MQ_HEX_SIZE]; /* SHA-256 of the file */
} mq_edit_list;

/* Reads a list and holds every row against dataset: an unknown picture, class or action, a relabelling
 * without a class, a picture that bears another class than the list says or has two rows is MQ_BAD_DATA,
 * naming the line. Reads every record; stop (NULL: never) is asked between them. *list is the caller's, for
 * mq_edits_free, also after a failure. */
MQ_MUST_USE mq_status mq_edits_read(mq_err *err, const char *path, const mq_dataset *dataset,
                                    bool (*stop)(void *user), mq_edit_list *list);
void mq_edits_free(mq_edit_list *list);

/* Every picture of a data set by name. */
typedef struct {
    char *name; /* owned */
    mq_split split;
    size_t index; /* in its split */
    uint32_t label;
} mq_named;

/* All pictures, split by split in the order of their indexes: *named [*count] is the caller's, for
 * mq_named_free. Reads every record; stop (NULL: never) is asked between them. */
MQ_MUST_USE mq_status mq_named_read(mq_err *err, const mq_dataset *dataset, bool (*stop)(void *user),
                                    mq_named **named, size_t *count);
void mq_named_free(mq_named **named, size_t count);

#endif
