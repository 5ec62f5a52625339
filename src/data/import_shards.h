/* import_shards.h: the TFRecord files that a source is or holds; only import_*.c include this. */
#ifndef MQ_IMPORT_SHARDS_H
#define MQ_IMPORT_SHARDS_H

#include "data/import_parts.h"
#include "data/tfrecord.h"

typedef struct {
    char **names; /* below the source, in the order of their bytes; owned */
    size_t count, capacity;
    uint64_t bytes; /* of them all */
} mq_shard_list;

/* The shards of a source: itself, or those of the folder it is; known by their names. */
MQ_MUST_USE mq_status mq_shard_list_find(mq_err *err, const mq_import_job *job, mq_shard_list *list);
void mq_shard_list_free(mq_shard_list *list);

/* A name with 00003-of-00010 in it tells that there are others: one that is not there is MQ_NO_INPUT. */
MQ_MUST_USE mq_status mq_shard_list_check(mq_err *err, const mq_import_job *job, const mq_shard_list *list);

/* Whether the names give a part for training and another. */
bool mq_shard_list_splits(const mq_shard_list *list);

/* Opens a shard. One that is compressed as a whole (TensorFlow's GZIP and ZLIB) is unpacked into the import's
 * scratch, where mq_import_read finds it; it may grow a hundredfold, as archives may. *reader and *path, of
 * the file as it came, are the caller's. */
MQ_MUST_USE mq_status mq_shard_open(mq_err *err, mq_import_job *job, const char *name, mq_tfrecord **reader,
                                    char **path);

#endif
