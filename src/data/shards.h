/* shards.h: the records of one split in files of about equal size, and their index.
 *
 * Index, little endian: "marqueIX" | u32 version 1 | u32 row size 56 | u64 rows
 * | u32 shards | u32 CRC-32C of the rows | u32 CRC-32C of the bytes before |
 * u32 0 | rows: u32 shard, u32 label from 0, u64 offset of the record's frame,
 * u64 length of its data, SHA-256 of the picture's bytes. */
#ifndef MQ_SHARDS_H
#define MQ_SHARDS_H

#include "base/digest.h"
#include "data/dataset.h"

enum { MQ_SHARD_NAME = 64, MQ_SHARDS_MAX = 100000 };

/* "train-00003-of-00012.tfrecord" in out. */
void mq_shard_name(mq_split split, size_t index, size_t count, char out[MQ_SHARD_NAME]);

/* Whether name is one that a shard or an index could have. */
bool mq_shard_is_ours(const char *name);

typedef struct {
    uint32_t shard, label;
    uint64_t offset, length;
    uint8_t digest[MQ_SHA256_SIZE];
} mq_index_row;

/* Rows and their checksums; owned, for mq_index_free. */
typedef struct {
    mq_buf bytes;
    size_t count;
    uint32_t shards;
} mq_index;

/* Reads an index and compares it with its SHA-256 (hex); damaged: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_index_read(mq_err *err, const char *path, const char *digest, mq_index *index);
mq_index_row mq_index_get(const mq_index *index, size_t i);
void mq_index_free(mq_index *index);

/* Into how many shards of about mb million bytes so many records of bytes in all go. */
size_t mq_shards_needed(uint64_t bytes, size_t count, uint32_t mb);

typedef struct mq_shards mq_shards;

/* What is to be written; borrowed while mq_shards_open runs. */
typedef struct {
    const char *folder;
    mq_split split;
    const size_t *sizes; /* bytes expected of each record */
    size_t count;
    uint32_t mb; /* about that many million bytes a shard */
} mq_shards_plan;

/* Starts the shards of a split. *shards is the caller's. */
MQ_MUST_USE mq_status mq_shards_open(mq_err *err, const mq_shards_plan *plan, mq_shards **shards);

/* Appends the next record, a sealed frame (tfrecord.h). */
MQ_MUST_USE mq_status mq_shards_add(mq_err *err, mq_shards *shards, const mq_buf *frame, uint32_t label,
                                    const uint8_t digest[MQ_SHA256_SIZE]);

/* Finishes the last shard, writes the index and describes both for dataset.json: *part is the caller's. */
MQ_MUST_USE mq_status mq_shards_commit(mq_err *err, mq_shards *shards, mq_json **part);

/* Shards and bytes written so far. */
size_t mq_shards_count(const mq_shards *shards);
uint64_t mq_shards_bytes(const mq_shards *shards);

void mq_shards_free(mq_shards **shards);

#endif
