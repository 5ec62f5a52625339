/* dataset.h: a folder made by `marque import`: dataset.json, split.csv, shards and their indexes. */
#ifndef MQ_DATASET_H
#define MQ_DATASET_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/recipe.h"

typedef enum { MQ_TRAIN, MQ_VAL, MQ_TEST, MQ_SPLITS } mq_split;

/* "train", "val", "test"; static. */
const char *mq_split_name(mq_split split);

enum { MQ_PRESIZE_MAX = 4096 };

typedef struct mq_dataset mq_dataset;

/* Opens folder and checks dataset.json, the indexes and the sizes of the shards; no shard is read yet. A
 * folder of plain pictures is MQ_USAGE with the import line to type. *dataset is the caller's. */
MQ_MUST_USE mq_status mq_dataset_open(mq_err *err, const char *folder, mq_dataset **dataset);
void mq_dataset_free(mq_dataset **dataset);

/* Borrowed from the dataset. */
const char *mq_dataset_folder(const mq_dataset *dataset);
size_t mq_dataset_classes(const mq_dataset *dataset);
const char *mq_dataset_class(const mq_dataset *dataset, size_t index); /* any bytes but NUL */
size_t mq_dataset_count(const mq_dataset *dataset, mq_split split);
uint32_t mq_dataset_label(const mq_dataset *dataset, mq_split split,
                          size_t index); /* 0-based, from the index */
bool mq_dataset_has_boxes(const mq_dataset *dataset);

/* SHA-256 hex of dataset.json: changes with classes, splits and every picture's content. */
const char *mq_dataset_digest(const mq_dataset *dataset);

/* SHA-256 of the picture's bytes as they were imported, from the index. */
void mq_dataset_sha256(const mq_dataset *dataset, mq_split split, size_t index,
                       uint8_t digest[MQ_SHA256_SIZE]);

/* Where the record is: its shard's path, borrowed, and its number there, from 0. */
const char *mq_dataset_shard(const mq_dataset *dataset, mq_split split, size_t index, size_t *number);

/* Bytes of the record's frame in its shard. */
size_t mq_dataset_bytes(const mq_dataset *dataset, mq_split split, size_t index);

/* The lists of edits that made this data set from another (docs/FORMATS.md, "cleaned"); NULL: it is as it was
 * imported. Borrowed. */
const mq_json *mq_dataset_cleaned(const mq_dataset *dataset);

/* Whether the pictures as stored give what recipe would make of the originals: those stored for one size
 * (import's --presize) do so for that size alone, and scaled decoding has its filter. Else MQ_USAGE. */
MQ_MUST_USE mq_status mq_dataset_check_recipe(mq_err *err, const mq_dataset *dataset,
                                              const mq_recipe *recipe);

/* The side its pictures were stored for (import's --presize); 0: they are as they came. */
uint32_t mq_dataset_presize(const mq_dataset *dataset);

/* What the importer proposes for recipes: crop to boxes, margin, and how JPEGs are decoded. */
void mq_dataset_recipe(const mq_dataset *dataset, mq_recipe *recipe);

typedef struct {
    const uint8_t *bytes; /* the encoded picture, borrowed from the record */
    size_t size;
    const char *name; /* the picture's path as imported, borrowed from the record */
    uint32_t label;   /* 0-based */
    bool has_box;
    mq_box box; /* pixels of the picture as stored */
} mq_sample;

/* Reads and checks one record into record (of the caller, reused); sample borrows from it. Any thread, each
 * with a record of its own. A damaged shard is MQ_BAD_DATA, naming shard, record and offset. */
MQ_MUST_USE mq_status mq_dataset_read(mq_err *err, const mq_dataset *dataset, mq_split split, size_t index,
                                      mq_buf *record, mq_sample *sample);

/* The record's whole frame (tfrecord.h), checked, into frame. */
MQ_MUST_USE mq_status mq_dataset_frame(mq_err *err, const mq_dataset *dataset, mq_split split, size_t index,
                                       mq_buf *frame);

/* Tells the system that count pictures will be read soon, in any order: it then reads them in that of the
 * disk. What it does not know how to do is passed over. */
MQ_MUST_USE mq_status mq_dataset_expect(mq_err *err, const mq_dataset *dataset, mq_split split,
                                        const uint32_t *indexes, size_t count);

/* Asks the system to forget what it holds of a split in memory, so that it is read from the disk again. */
void mq_dataset_forget(const mq_dataset *dataset, mq_split split);

#endif
