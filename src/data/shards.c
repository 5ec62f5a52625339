/* shards.c: writes a split's shards and index; reads indexes. Called by the
 * importer and by dataset.c. Owns the open shard and the rows written so far.
 * Invariant: each record lies whole in one shard, and the index has its row. */
#include "data/shards.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/bytes.h"
#include "data/tfrecord.h"

#include <stdio.h>
#include <string.h>

enum { INDEX_HEADER = 40, INDEX_ROW = 56, INDEX_VERSION = 1, INDEX_LIMIT = 1 << 30 };

static const char MAGIC[8] = "marqueIX";

struct mq_shards {
    char *folder;
    mq_split split;
    size_t *sizes; /* of the records to come; owned */
    size_t count, written;
    size_t shards;     /* in all */
    size_t shard;      /* the one being written */
    uint64_t expected; /* bytes of all records */
    uint64_t planned;  /* bytes expected of the records written */
    uint64_t offset;   /* in the shard */
    uint64_t bytes;    /* of finished shards */
    size_t first;      /* record the shard began with */
    mq_writer *writer; /* of the shard; NULL between shards */
    mq_buf rows;       /* of the index, behind room for its header */
    mq_json *list;     /* of finished shards */
};

void mq_shard_name(mq_split split, size_t index, size_t count, char out[MQ_SHARD_NAME]) {
    snprintf(out, MQ_SHARD_NAME, "%s-%05zu-of-%05zu.tfrecord", mq_split_name(split), index, count);
}

bool mq_shard_is_ours(const char *name) {
    char wanted[MQ_SHARD_NAME];
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        size_t index = 0, count = 0;
        const size_t prefix = strlen(mq_split_name(split));
        if (strncmp(name, mq_split_name(split), prefix) != 0) continue;
        if (strcmp(name + prefix, ".idx") == 0) return true;
        if (sscanf(name + prefix, "-%5zu-of-%5zu.tfrecord", &index, &count) != 2) continue;
        mq_shard_name(split, index, count, wanted);
        if (strcmp(name, wanted) == 0) return true;
    }
    return false;
}

size_t mq_shards_needed(uint64_t bytes, size_t count, uint32_t mb) {
    const uint64_t target = (uint64_t)mb * 1000000, wanted = (bytes + target - 1) / target;
    return wanted < count ? (size_t)wanted : count;
}

mq_status mq_shards_open(mq_err *err, const mq_shards_plan *plan, mq_shards **shards) {
    mq_status status = MQ_OK;
    mq_shards *s = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *s, "shards", &s));
    s->split = plan->split;
    s->count = plan->count;
    s->rows = mq_buf_init(INDEX_LIMIT);
    MQ_TRY(mq_strdup(err, plan->folder, &s->folder));
    MQ_TRY(mq_calloc(err, plan->count, sizeof *s->sizes, "shards", &s->sizes));
    if (plan->count) memcpy(s->sizes, plan->sizes, plan->count * sizeof *s->sizes);
    for (size_t i = 0; i < plan->count; i++) s->expected += plan->sizes[i];
    s->shards = mq_shards_needed(s->expected, plan->count, plan->mb);
    MQ_REQUIRE(s->shards <= MQ_SHARDS_MAX, err, MQ_USAGE, "more than %d shards; choose a larger --shard-mb",
               MQ_SHARDS_MAX);
    MQ_TRY(mq_buf_add(err, &s->rows, (uint8_t[INDEX_HEADER]){0}, INDEX_HEADER));
    MQ_TRY(mq_json_pack(err, &s->list, "[]"));
    *shards = s;
    s = NULL;
cleanup:
    mq_shards_free(&s);
    return status;
}

static mq_status finish_shard(mq_err *err, mq_shards *s) {
    mq_status status = MQ_OK;
    char name[MQ_SHARD_NAME];
    mq_json *item = NULL;
    mq_shard_name(s->split, s->shard, s->shards, name);
    MQ_TRY(mq_writer_commit(err, &s->writer));
    MQ_TRY(mq_json_pack(err, &item, "{s:s,s:I,s:I}", "file", name, "pictures",
                        (long long)(s->written - s->first), "bytes", (long long)s->offset));
    MQ_TRY(mq_json_append(err, s->list, item));
    s->bytes += s->offset;
    s->shard++;
    s->offset = 0;
    s->first = s->written;
cleanup:
    return status;
}

static mq_status start_shard(mq_err *err, mq_shards *s) {
    mq_status status = MQ_OK;
    char name[MQ_SHARD_NAME], *path = NULL;
    mq_shard_name(s->split, s->shard, s->shards, name);
    MQ_TRY(mq_path_join(err, s->folder, name, &path));
    MQ_TRY(mq_writer_open(err, path, &s->writer));
cleanup:
    free(path);
    return status;
}

/* Whether the shard ends before the next record: when that one's middle lies behind the shard's share of all
 * bytes, or when only one record is left for each shard still to come. */
static bool is_full(const mq_shards *s) {
    if (s->shard + 1 == s->shards) return false;
    const double share = (double)s->expected * (double)(s->shard + 1) / (double)s->shards;
    const size_t others = s->shards - s->shard - 1;
    return (double)s->planned + 0.5 * (double)s->sizes[s->written] > share || s->count - s->written <= others;
}

mq_status mq_shards_add(mq_err *err, mq_shards *s, const mq_buf *frame, uint32_t label,
                        const uint8_t digest[MQ_SHA256_SIZE]) {
    mq_status status = MQ_OK;
    uint8_t row[INDEX_ROW];
    MQ_REQUIRE(s->written < s->count, err, MQ_INTERNAL, "more records than were announced");
    if (s->writer && is_full(s)) MQ_TRY(finish_shard(err, s));
    if (!s->writer) MQ_TRY(start_shard(err, s));
    MQ_TRY(mq_writer_add(err, s->writer, frame->data, frame->size));
    mq_write_u32(row, (uint32_t)s->shard);
    mq_write_u32(row + 4, label);
    mq_write_u64(row + 8, s->offset);
    mq_write_u64(row + 16, frame->size - MQ_TFRECORD_HEADER - MQ_TFRECORD_FOOTER);
    memcpy(row + 24, digest, MQ_SHA256_SIZE);
    MQ_TRY(mq_buf_add(err, &s->rows, row, sizeof row));
    s->offset += frame->size;
    s->planned += s->sizes[s->written];
    s->written++;
cleanup:
    return status;
}

mq_status mq_shards_commit(mq_err *err, mq_shards *s, mq_json **part) {
    mq_status status = MQ_OK;
    char name[MQ_SHARD_NAME], digest[MQ_HEX_SIZE], *path = NULL;
    MQ_REQUIRE(s->written == s->count, err, MQ_INTERNAL, "fewer records than were announced");
    if (s->writer) MQ_TRY(finish_shard(err, s));
    uint8_t *head = s->rows.data;
    memcpy(head, MAGIC, sizeof MAGIC);
    mq_write_u32(head + 8, INDEX_VERSION);
    mq_write_u32(head + 12, INDEX_ROW);
    mq_write_u64(head + 16, s->count);
    mq_write_u32(head + 24, (uint32_t)s->shards);
    mq_write_u32(head + 28, mq_crc32c(head + INDEX_HEADER, s->rows.size - INDEX_HEADER));
    mq_write_u32(head + 32, mq_crc32c(head, 32));
    snprintf(name, sizeof name, "%s.idx", mq_split_name(s->split));
    MQ_TRY(mq_path_join(err, s->folder, name, &path));
    MQ_TRY(mq_file_write(err, path, s->rows.data, s->rows.size));
    MQ_TRY(mq_sha256_hex(err, s->rows.data, s->rows.size, digest));
    MQ_TRY(mq_json_pack(err, part, "{s:I,s:s,s:s,s:O}", "pictures", (long long)s->count, "index", name,
                        "index_sha256", digest, "shards", s->list));
cleanup:
    free(path);
    return status;
}

size_t mq_shards_count(const mq_shards *shards) {
    return shards->shards;
}

uint64_t mq_shards_bytes(const mq_shards *shards) {
    return shards->bytes;
}

void mq_shards_free(mq_shards **shards) {
    mq_shards *s = *shards;
    if (!s) return;
    mq_writer_abort(&s->writer);
    mq_buf_free(&s->rows);
    mq_json_free(&s->list);
    free(s->sizes);
    free(s->folder);
    free(s);
    *shards = NULL;
}

mq_status mq_index_read(mq_err *err, const char *path, const char *digest, mq_index *index) {
    mq_status status = MQ_OK;
    char found[MQ_HEX_SIZE];
    *index = (mq_index){.bytes = mq_buf_init(INDEX_LIMIT)};
    MQ_TRY(mq_file_read(err, path, &index->bytes));
    const uint8_t *head = index->bytes.data;
    MQ_REQUIRE(index->bytes.size >= INDEX_HEADER && memcmp(head, MAGIC, sizeof MAGIC) == 0, err, MQ_BAD_DATA,
               "%s: not an index of marque; import the pictures again", path);
    MQ_REQUIRE(mq_read_u32(head + 8) == INDEX_VERSION && mq_read_u32(head + 12) == INDEX_ROW, err,
               MQ_BAD_DATA, "%s: an index of another version of marque; import the pictures again", path);
    const uint64_t rows = mq_read_u64(head + 16);
    MQ_TRY(mq_sha256_hex(err, head, index->bytes.size, found));
    MQ_REQUIRE(mq_read_u32(head + 32) == mq_crc32c(head, 32) &&
                   rows == (index->bytes.size - INDEX_HEADER) / INDEX_ROW &&
                   index->bytes.size == INDEX_HEADER + rows * INDEX_ROW &&
                   mq_read_u32(head + 28) == mq_crc32c(head + INDEX_HEADER, rows * INDEX_ROW),
               err, MQ_BAD_DATA, "%s: damaged; import the pictures again", path);
    MQ_REQUIRE(strcmp(found, digest) == 0, err, MQ_BAD_DATA,
               "%s: not the index that dataset.json names; import the pictures again", path);
    index->count = (size_t)rows;
    index->shards = mq_read_u32(head + 24);
cleanup:
    if (status != MQ_OK) mq_index_free(index);
    return status;
}

mq_index_row mq_index_get(const mq_index *index, size_t i) {
    const uint8_t *p = index->bytes.data + INDEX_HEADER + i * INDEX_ROW;
    mq_index_row row = {mq_read_u32(p), mq_read_u32(p + 4), mq_read_u64(p + 8), mq_read_u64(p + 16), {0}};
    memcpy(row.digest, p + 24, MQ_SHA256_SIZE);
    return row;
}

void mq_index_free(mq_index *index) {
    mq_buf_free(&index->bytes);
    index->count = 0;
}
