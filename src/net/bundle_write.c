/* bundle_write.c: mq_bundle_write. Called by whoever keeps tensors on disk.
 * Owns nothing. Invariant: the bytes are those the reference implementation
 * writes for the same tensors (tests/golden/make_bundle.py). */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/bundle.h"

#include <string.h>

enum { HEADER_PADDING = 8 };

/* In the reference's falling order of types: larger alignment first, floats before integers. */
static const struct {
    const char *name;
    int rank;
} types[MQ_DTYPES] = {
    [MQ_I64] = {"I64", 0},   [MQ_F32] = {"F32", 1}, [MQ_I32] = {"I32", 2},
    [MQ_BF16] = {"BF16", 3}, [MQ_I8] = {"I8", 4},   [MQ_U8] = {"U8", 5},
};

static int by_type_and_name(const void *left, const void *right) {
    const mq_tensor *l = *(const mq_tensor *const *)left, *r = *(const mq_tensor *const *)right;
    const int order = types[l->dtype].rank - types[r->dtype].rank;
    return order ? order : strcmp(l->name, r->name);
}

static int by_name(const void *left, const void *right) {
    return strcmp((*(const mq_tensor *const *)left)->name, (*(const mq_tensor *const *)right)->name);
}

static int by_key(const void *left, const void *right) {
    return strcmp((*(const mq_meta *const *)left)->key, (*(const mq_meta *const *)right)->key);
}

/* Text as a JSON string, escaped as serde does; it must be UTF-8. */
static mq_status add_string(mq_err *err, mq_buf *out, const char *text) {
    mq_status status = MQ_OK;
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: byte, letter behind the backslash */
    char *clean = mq_text_utf8(text);
    MQ_REQUIRE(clean && strcmp(clean, text) == 0, err, clean ? MQ_INTERNAL : MQ_NO_MEMORY,
               "a name or text of a bundle is not UTF-8: %s", clean ? clean : "");
    MQ_TRY(mq_buf_add(err, out, "\"", 1));
    for (const char *c = text; *c; c++) {
        const char *pair = letters;
        while (*pair && *pair != *c) pair += 2;
        if (*pair)
            MQ_TRY(mq_buf_printf(err, out, "\\%c", pair[1]));
        else if ((unsigned char)*c < 0x20)
            MQ_TRY(mq_buf_printf(err, out, "\\u%04x", (unsigned)*c));
        else
            MQ_TRY(mq_buf_add(err, out, c, 1));
    }
    MQ_TRY(mq_buf_add(err, out, "\"", 1));
cleanup:
    free(clean);
    return status;
}

/* Texts in the order of their keys: the reference leaves their order to chance, marque writes the same bytes
 * each time. */
static mq_status add_meta(mq_err *err, mq_buf *out, const mq_meta *const *meta, size_t count) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_add_text(err, out, "\"__metadata__\":{"));
    for (size_t i = 0; i < count; i++) {
        MQ_REQUIRE(i == 0 || by_key(&meta[i - 1], &meta[i]) != 0, err, MQ_INTERNAL,
                   "two texts of a bundle are both named %s", meta[i]->key);
        if (i) MQ_TRY(mq_buf_add(err, out, ",", 1));
        MQ_TRY(add_string(err, out, meta[i]->key));
        MQ_TRY(mq_buf_add(err, out, ":", 1));
        MQ_TRY(add_string(err, out, meta[i]->value));
    }
    MQ_TRY(mq_buf_add(err, out, "}", 1));
cleanup:
    return status;
}

/* One tensor's entry; its data begin at *at, which moves behind them. */
static mq_status add_tensor(mq_err *err, mq_buf *out, const mq_tensor *tensor, size_t *at) {
    mq_status status = MQ_OK;
    size_t bytes = mq_dtype_size(tensor->dtype);
    bool fits = tensor->rank <= MQ_RANK_MAX;
    for (size_t i = 0; fits && i < tensor->rank; i++) fits = mq_mul(bytes, tensor->shape[i], &bytes);
    MQ_REQUIRE(fits && bytes == tensor->bytes, err, MQ_INTERNAL,
               "tensor %s has %zu bytes, which is not what its shape says", tensor->name, tensor->bytes);
    MQ_TRY(add_string(err, out, tensor->name));
    MQ_TRY(mq_buf_printf(err, out, ":{\"dtype\":\"%s\",\"shape\":[", types[tensor->dtype].name));
    for (size_t i = 0; i < tensor->rank; i++)
        MQ_TRY(mq_buf_printf(err, out, i ? ",%zu" : "%zu", tensor->shape[i]));
    MQ_TRY(mq_buf_printf(err, out, "],\"data_offsets\":[%zu,%zu]}", *at, *at + bytes));
    *at += bytes;
cleanup:
    return status;
}

/* Sorted pointers to the items of an array; *sorted is the caller's, for free(). */
static mq_status sort_items(mq_err *err, const void *items, size_t count, size_t size,
                            int (*compare)(const void *, const void *), const void ***sorted) {
    const mq_status status = mq_calloc(err, count, sizeof **sorted, "a bundle's header", sorted);
    if (status != MQ_OK) return status;
    for (size_t i = 0; i < count; i++) (*sorted)[i] = (const char *)items + i * size;
    qsort(*sorted, count, sizeof **sorted, compare);
    return MQ_OK;
}

/* Everything before the data, padded so that they begin on a multiple of eight. */
static mq_status write_header(mq_err *err, mq_buf *out, const mq_tensor *const *tensors, size_t count,
                              const mq_meta *const *meta, size_t meta_count) {
    mq_status status = MQ_OK;
    size_t at = 0;
    MQ_TRY(mq_buf_add(err, out, "{", 1));
    if (meta_count) MQ_TRY(add_meta(err, out, meta, meta_count));
    for (size_t i = 0; i < count; i++) {
        if (i || meta_count) MQ_TRY(mq_buf_add(err, out, ",", 1));
        MQ_TRY(add_tensor(err, out, tensors[i], &at));
    }
    MQ_TRY(mq_buf_add(err, out, "}", 1));
    while (out->size % HEADER_PADDING) MQ_TRY(mq_buf_add(err, out, " ", 1));
cleanup:
    return status;
}

mq_tensor mq_tensor_row(const char *name, const float *numbers, size_t count) {
    return (mq_tensor){.name = name,
                       .dtype = MQ_F32,
                       .rank = 1,
                       .shape = {count},
                       .data = numbers,
                       .bytes = count * sizeof *numbers};
}

/* The hashes of tensors in the order of the file, added to seal. */
static mq_status add_hashes(mq_err *err, const mq_tensor *const *tensors, size_t count, mq_buf *seal) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < count; i++) {
        char hex[MQ_HASH_HEX_SIZE];
        mq_hash_of(tensors[i]->data, tensors[i]->bytes, hex);
        MQ_TRY(mq_buf_add_text(err, seal, hex));
    }
cleanup:
    return status;
}

mq_status mq_bundle_write(mq_err *err, const char *path, const mq_tensor *tensors, size_t count,
                          const mq_meta *meta, size_t meta_count) {
    mq_status status = MQ_OK;
    const void **sorted = NULL, **sorted_meta = NULL;
    mq_buf header = mq_buf_init(MQ_BUNDLE_HEADER_MOST), seal = mq_buf_init(MQ_BUNDLE_HEADER_MOST);
    mq_meta sealed = {MQ_BUNDLE_SEAL, ""};
    mq_writer *writer = NULL;
    MQ_TRY(sort_items(err, tensors, count, sizeof *tensors, by_name, &sorted));
    for (size_t i = 1; i < count; i++)
        MQ_REQUIRE(by_name(&sorted[i - 1], &sorted[i]) != 0, err, MQ_INTERNAL,
                   "%s: two of its tensors have the same name", path);
    qsort(sorted, count, sizeof *sorted, by_type_and_name);
    MQ_TRY(sort_items(err, meta, meta_count, sizeof *meta, by_key, &sorted_meta));
    for (size_t i = 0; i < meta_count; i++) {
        if (strcmp(((const mq_meta *)sorted_meta[i])->key, MQ_BUNDLE_SEAL) != 0) continue;
        MQ_TRY(add_hashes(err, (const mq_tensor *const *)sorted, count, &seal));
        if (count) sealed.value = (const char *)seal.data;
        sorted_meta[i] = &sealed;
    }
    MQ_TRY(write_header(err, &header, (const mq_tensor *const *)sorted, count,
                        (const mq_meta *const *)sorted_meta, meta_count));
    const uint64_t header_size = header.size;
    MQ_TRY(mq_writer_open(err, path, &writer));
    MQ_TRY(mq_writer_add(err, writer, &header_size, sizeof header_size));
    MQ_TRY(mq_writer_add(err, writer, header.data, header.size));
    for (size_t i = 0; i < count; i++) {
        const mq_tensor *tensor = sorted[i];
        MQ_TRY(mq_writer_add(err, writer, tensor->data, tensor->bytes));
    }
    MQ_TRY(mq_writer_commit(err, &writer));
cleanup:
    mq_writer_abort(&writer);
    mq_buf_free(&header);
    mq_buf_free(&seal);
    free(sorted);
    free(sorted_meta);
    return status;
}
