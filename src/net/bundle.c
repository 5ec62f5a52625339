/* bundle.c: .safetensors files read and written. Called by whoever keeps
 * tensors on disk: weights, models, checkpoints. A bundle owns its header's
 * JSON (names, texts) and one block with all the numbers. Invariant: every
 * tensor of an open bundle lies inside that block, aligned to its elements, or
 * still in the file; the whole header is checked before the block is allocated. */
#include "net/bundle.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the file's numbers are little endian and used in place"
#endif

enum {
    PREFIX = 8,
    TENSOR_LIMIT = 65536,
    VALUES_LIMIT =
        20 * TENSOR_LIMIT, /* a tensor is a type, at most eight sides, two offsets and what holds them */
    ALIGNMENT = 8
};

/* From so many bytes on a kernel is large. */
enum { LARGE = 1 << 16 };

static const char metadata_key[] = "__metadata__";
static const char *const file_names[MQ_DTYPES] = {"F32", "BF16", "U8", "I8", "I32", "I64"};

/* Of the whole file; open until it is asked for. */
typedef struct {
    mq_digest *open; /* begun with what comes before the data; NULL: hex is there */
    char hex[MQ_HEX_SIZE];
} bundle_sum;

enum { SEAL = MQ_HASH_HEX_SIZE - 1 };

/* Where a tensor's numbers are; home is in the bundle's data, NULL: in the file, at that byte. */
typedef struct {
    uint8_t *home, *now;
    uint64_t at;
    const char *seal; /* SEAL digits of their hash, in the header; NULL: none */
} place;

struct mq_bundle {
    char *path;
    int fd; /* of a file that numbers stayed in; -1: none did */
    mq_json *header;
    mq_json *meta; /* borrowed from header; NULL: none */
    uint8_t *data; /* all tensors; 64-byte aligned */
    size_t data_size;
    mq_tensor *tensors;
    size_t *begins;          /* of tensors in data, while the header is read */
    place *places;           /* of tensors */
    const mq_tensor **names; /* sorted by name */
    size_t count;
    bundle_sum *sum; /* owned; NULL: opened lightly */
};

void mq_bundle_free(mq_bundle **bundle) {
    mq_bundle *b = *bundle;
    if (!b) return;
    if (b->fd >= 0) close(b->fd);
    free(b->path);
    free(b->data);
    free(b->tensors);
    free(b->begins);
    free(b->places);
    free(b->names);
    if (b->sum) mq_digest_end(&b->sum->open, NULL);
    free(b->sum);
    mq_json_free(&b->header);
    free(b);
    *bundle = NULL;
}

/* elements x dtype size of a shape in *bytes; false on overflow. */
static bool shape_bytes(const mq_tensor *tensor, size_t *bytes) {
    *bytes = mq_dtype_size(tensor->dtype);
    for (size_t i = 0; i < tensor->rank; i++)
        if (!mq_mul(*bytes, tensor->shape[i], bytes)) return false;
    return true;
}

/* Dimensions as integers: JSON's 1.0 and 1e3 are refused, as the reference does. */
static mq_status read_shape(mq_err *err, const char *what, mq_json *shape, mq_tensor *tensor) {
    tensor->rank = mq_json_size(shape);
    if (tensor->rank > MQ_RANK_MAX)
        return mq_fail(err, MQ_BAD_DATA, "%s: has %zu dimensions, more than marque's %d", what, tensor->rank,
                       MQ_RANK_MAX);
    for (size_t i = 0; i < tensor->rank; i++) {
        long long side = 0;
        const mq_status status = mq_json_unpack(err, what, mq_json_at(shape, i), "I", &side);
        if (status != MQ_OK) return status;
        if (side < 0) return mq_fail(err, MQ_BAD_DATA, "%s: has a negative dimension", what);
        tensor->shape[i] = (size_t)side;
    }
    return MQ_OK;
}

/* Types that marque does not compute with are known to others (F16, F64, BOOL): refused by name. */
static bool read_dtype(const char *text, mq_dtype *dtype) {
    for (size_t i = 0; i < MQ_DTYPES; i++) {
        *dtype = (mq_dtype)i;
        if (strcmp(text, file_names[i]) == 0) return true;
    }
    return false;
}

/* One member of the header; the tensor's place is kept in begins until the data are there. */
static mq_status read_entry(mq_err *err, void *user, const char *name, mq_json *entry) {
    mq_status status = MQ_OK;
    mq_bundle *b = user;
    if (strcmp(name, metadata_key) == 0) return MQ_OK;
    mq_tensor *tensor = &b->tensors[b->count];
    const char *dtype = NULL;
    char *what = NULL, safe[128];
    mq_json *shape = NULL;
    long long begin = 0, end = 0;
    size_t bytes = 0;
    MQ_TRY(mq_format(err, &what, "%s: tensor %s", b->path, mq_text_safe(name, safe, sizeof safe)));
    MQ_TRY(mq_json_unpack(err, what, entry, "{s:s,s:o,s:[I,I!]!}", "dtype", &dtype, "shape", &shape,
                          "data_offsets", &begin, &end));
    MQ_TRY(mq_json_unpack(err, what, shape, "[]")); /* an object would have a size, too */
    MQ_REQUIRE(read_dtype(dtype, &tensor->dtype), err, MQ_BAD_DATA,
               "%s: is of type %s, which marque does not read", what, mq_text_safe(dtype, safe, sizeof safe));
    MQ_TRY(read_shape(err, what, shape, tensor));
    MQ_REQUIRE(begin >= 0 && end >= begin && shape_bytes(tensor, &bytes) && (size_t)(end - begin) == bytes,
               err, MQ_BAD_DATA, "%s: its shape does not fit its place in the file", what);
    MQ_REQUIRE((size_t)begin % mq_dtype_size(tensor->dtype) == 0, err, MQ_BAD_DATA,
               "%s: does not begin on a multiple of its elements' size", what);
    tensor->name = name;
    tensor->bytes = bytes;
    tensor->data = NULL;
    b->begins[b->count++] = (size_t)begin;
cleanup:
    free(what);
    return status;
}

/* Metadata are text to text; whoever needs numbers there writes them as text. */
static mq_status check_text(mq_err *err, void *user, const char *key, mq_json *value) {
    const mq_bundle *b = user;
    char safe[128];
    if (mq_json_string(value)) return MQ_OK;
    return mq_fail(err, MQ_BAD_DATA, "%s: its metadata %s is not text", b->path,
                   mq_text_safe(key, safe, sizeof safe));
}

/* qsort_r's order of the tensors in the file; user is the bundle. */
static int by_place(const void *left, const void *right, void *user) {
    const mq_bundle *b = user;
    const size_t l = *(const size_t *)left, r = *(const size_t *)right;
    if (b->begins[l] != b->begins[r]) return b->begins[l] < b->begins[r] ? -1 : 1;
    if (b->tensors[l].bytes != b->tensors[r].bytes) return b->tensors[l].bytes < b->tensors[r].bytes ? -1 : 1;
    return l < r ? -1 : l > r; /* empty tensors share a place: the header's order */
}

static int by_name(const void *left, const void *right) {
    const mq_tensor *const *l = left, *const *r = right;
    return strcmp((*l)->name, (*r)->name);
}

/* Puts the tensors in the order of the file, which must be without holes, and their total in *total. */
static mq_status order_tensors(mq_err *err, mq_bundle *b, size_t *total) {
    mq_status status = MQ_OK;
    size_t *order = NULL;
    mq_tensor *sorted = NULL;
    char safe[128];
    MQ_TRY(mq_calloc(err, b->count, sizeof *order, b->path, &order));
    MQ_TRY(mq_calloc(err, b->count, sizeof *sorted, b->path, &sorted));
    MQ_TRY(mq_calloc(err, b->count, sizeof *b->names, b->path, &b->names));
    for (size_t i = 0; i < b->count; i++) order[i] = i;
    qsort_r(order, b->count, sizeof *order, by_place, b);
    *total = 0;
    for (size_t i = 0; i < b->count; i++) {
        sorted[i] = b->tensors[order[i]];
        MQ_REQUIRE(b->begins[order[i]] == *total, err, MQ_BAD_DATA,
                   "%s: tensor %s does not begin where the one before it ends", b->path,
                   mq_text_safe(sorted[i].name, safe, sizeof safe));
        MQ_REQUIRE(mq_add(*total, sorted[i].bytes, total), err, MQ_BAD_DATA,
                   "%s: its tensors are larger than any file", b->path);
    }
    free(b->tensors);
    b->tensors = sorted;
    sorted = NULL;
    for (size_t i = 0; i < b->count; i++) b->names[i] = &b->tensors[i];
    qsort(b->names, b->count, sizeof *b->names, by_name);
cleanup:
    free(order);
    free(sorted);
    return status;
}

/* Everything the header of header_size bytes says about a file of file_size bytes; *total are its data bytes.
 */
static mq_status read_header(mq_err *err, mq_bundle *b, const uint8_t *text, size_t header_size,
                             uint64_t file_size, size_t *total) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(text[0] == '{', err, MQ_BAD_DATA, "%s: not a .safetensors file", b->path);
    MQ_TRY(mq_json_parse(err, b->path, text, header_size, &b->header));
    const size_t members = mq_json_size(b->header);
    MQ_REQUIRE(members <= TENSOR_LIMIT, err, MQ_BAD_DATA, "%s: names %zu tensors, more than marque's %d",
               b->path, members, TENSOR_LIMIT);
    b->meta = mq_json_get(b->header, metadata_key);
    if (b->meta) {
        MQ_TRY(mq_json_unpack(err, b->path, b->meta, "{}"));
        MQ_TRY(mq_json_each(err, b->meta, check_text, b));
    }
    MQ_TRY(mq_calloc(err, members, sizeof *b->tensors, b->path, &b->tensors));
    MQ_TRY(mq_calloc(err, members, sizeof *b->begins, b->path, &b->begins));
    MQ_TRY(mq_json_each(err, b->header, read_entry, b));
    MQ_TRY(order_tensors(err, b, total));
    MQ_REQUIRE(file_size - PREFIX - header_size == *total, err, MQ_BAD_DATA,
               "%s: %llu bytes, but its header announces %llu; it is cut or damaged", b->path,
               (unsigned long long)file_size,
               (unsigned long long)*total + PREFIX + (unsigned long long)header_size);
cleanup:
    return status;
}

/* Where a bundle's bytes come from: an open file, or memory. */
typedef struct {
    int fd;
    const uint8_t *bytes;
    uint64_t size;
    bool lightly; /* large kernels stay there */
} source;

/* size bytes at offset of either source. */
static mq_status fetch(mq_err *err, const mq_bundle *b, const source *from, void *data, size_t size,
                       uint64_t offset) {
    if (from->fd >= 0) return mq_file_pread(err, from->fd, b->path, data, size, offset);
    if (size) memcpy(data, from->bytes + offset, size);
    return MQ_OK;
}

/* The hash of each tensor, where the file has them. */
static mq_status read_seals(mq_err *err, mq_bundle *b) {
    const char *text = mq_bundle_meta(b, MQ_BUNDLE_SEAL);
    if (!text) return MQ_OK;
    if (strlen(text) != b->count * SEAL)
        return mq_fail(err, MQ_BAD_DATA, "%s: its metadata %s are not those of its %zu tensors", b->path,
                       MQ_BUNDLE_SEAL, b->count);
    for (size_t i = 0; i < b->count; i++) b->places[i].seal = text + i * SEAL;
    return MQ_OK;
}

/* Whether a tensor's numbers are those that were written. */
static mq_status check_seal(mq_err *err, const mq_bundle *b, size_t index, const void *numbers) {
    const mq_tensor *tensor = &b->tensors[index];
    const char *seal = b->places[index].seal;
    char hex[MQ_HASH_HEX_SIZE], safe[128];
    if (!seal) return MQ_OK;
    mq_hash_of(numbers, tensor->bytes, hex);
    if (strncmp(hex, seal, SEAL) == 0) return MQ_OK;
    return mq_fail(
        err, MQ_BAD_DATA,
        "%s: tensor %s is not as it was written: the file is damaged, or was changed without its metadata %s",
        b->path, mq_text_safe(tensor->name, safe, sizeof safe), MQ_BUNDLE_SEAL);
}

static bool is_large_kernel(const mq_tensor *tensor) {
    return tensor->dtype == MQ_F32 && tensor->rank == 4 && tensor->bytes >= LARGE;
}

/* All total bytes of numbers, which begin at that byte. */
static mq_status read_all(mq_err *err, mq_bundle *b, const source *from, uint64_t begin, size_t total) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_alloc_aligned(err, 1, total, b->path, &b->data));
    MQ_TRY(fetch(err, b, from, b->data, total, begin));
    for (size_t i = 0, at = 0; i < b->count; at += b->tensors[i++].bytes) {
        b->places[i].home = b->data + at;
        MQ_TRY(check_seal(err, b, i, b->data + at));
    }
    b->data_size = total;
cleanup:
    return status;
}

/* The numbers of small tensors only. */
static mq_status read_small(mq_err *err, mq_bundle *b, const source *from, uint64_t begin) {
    mq_status status = MQ_OK;
    size_t kept = 0, to = 0;
    for (size_t i = 0; i < b->count; i++)
        if (!is_large_kernel(&b->tensors[i])) kept += mq_round_up(b->tensors[i].bytes, ALIGNMENT);
    MQ_TRY(mq_alloc_aligned(err, 1, kept, b->path, &b->data));
    for (size_t i = 0; i < b->count; i++) {
        const size_t bytes = b->tensors[i].bytes;
        b->places[i].at = begin;
        begin += bytes;
        if (is_large_kernel(&b->tensors[i])) continue;
        MQ_TRY(fetch(err, b, from, b->data + to, bytes, b->places[i].at));
        MQ_TRY(check_seal(err, b, i, b->data + to));
        b->places[i].home = b->data + to;
        to += mq_round_up(bytes, ALIGNMENT);
    }
cleanup:
    return status;
}

/* About as many values as JSON text has: parsed, each takes some hundred times the room of its text. */
static size_t count_values(const uint8_t *text, size_t size) {
    size_t values = 1;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted)
            values += text[i] == ',' || text[i] == '[' || text[i] == '{';
    }
    return values;
}

/* Header first and whole: only when every size in it agrees with the file's is memory taken for the data. */
static mq_status open_source(mq_err *err, const char *path, const source *from, mq_bundle **bundle) {
    mq_status status = MQ_OK;
    mq_bundle *b = NULL;
    uint8_t prefix[PREFIX], *header = NULL;
    uint64_t header_size = 0;
    size_t total = 0;
    MQ_TRY(mq_calloc(err, 1, sizeof *b, path, &b));
    b->fd = -1;
    MQ_TRY(mq_strdup(err, path, &b->path));
    MQ_REQUIRE(from->size >= PREFIX + 2, err, MQ_BAD_DATA, "%s: %llu bytes are no .safetensors file", path,
               (unsigned long long)from->size);
    MQ_TRY(fetch(err, b, from, prefix, PREFIX, 0));
    memcpy(&header_size, prefix, PREFIX);
    MQ_REQUIRE(header_size >= 2 && header_size <= MQ_BUNDLE_HEADER_MOST && header_size <= from->size - PREFIX,
               err, MQ_BAD_DATA, "%s: not a .safetensors file, or cut in its header", path);
    MQ_TRY(mq_calloc(err, 1, header_size, path, &header));
    MQ_TRY(fetch(err, b, from, header, header_size, PREFIX));
    MQ_REQUIRE(count_values(header, header_size) <= VALUES_LIMIT, err, MQ_BAD_DATA,
               "%s: a header of more than %d values is none of a .safetensors file", path, VALUES_LIMIT);
    MQ_TRY(read_header(err, b, header, header_size, from->size, &total));
    MQ_TRY(mq_calloc(err, b->count, sizeof *b->places, path, &b->places));
    MQ_TRY(read_seals(err, b));
    MQ_TRY(from->lightly ? read_small(err, b, from, PREFIX + header_size)
                         : read_all(err, b, from, PREFIX + header_size, total));
    for (size_t i = 0; i < b->count; i++) b->tensors[i].data = b->places[i].now = b->places[i].home;
    if (!from->lightly) {
        MQ_TRY(mq_calloc(err, 1, sizeof *b->sum, path, &b->sum));
        MQ_TRY(mq_digest_begin(err, MQ_SHA256, &b->sum->open));
        mq_digest_add(b->sum->open, prefix, PREFIX);
        mq_digest_add(b->sum->open, header, header_size);
    }
    *bundle = b;
    b = NULL;
cleanup:
    mq_bundle_free(&b);
    free(header);
    return status;
}

static mq_status open_file(mq_err *err, const char *path, bool lightly, mq_bundle **bundle) {
    mq_status status = MQ_OK;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    MQ_REQUIRE(fd >= 0, err, mq_status_of_errno(errno, MQ_NO_INPUT), "%s: %s", path, strerror(errno));
    MQ_REQUIRE(fstat(fd, &st) == 0 && S_ISREG(st.st_mode), err, MQ_NO_INPUT, "%s: not a regular file", path);
    MQ_TRY(open_source(err, path, &(source){.fd = fd, .size = (uint64_t)st.st_size, .lightly = lightly},
                       bundle));
    if (lightly) {
        (*bundle)->fd = fd;
        fd = -1;
    }
cleanup:
    if (fd >= 0) close(fd);
    return status;
}

mq_status mq_bundle_open(mq_err *err, const char *path, mq_bundle **bundle) {
    return open_file(err, path, false, bundle);
}

mq_status mq_bundle_open_lightly(mq_err *err, const char *path, mq_bundle **bundle) {
    return open_file(err, path, true, bundle);
}

mq_status mq_bundle_numbers(mq_err *err, const mq_bundle *bundle, const mq_tensor *tensor, void *room,
                            const void **numbers) {
    mq_status status = MQ_OK;
    const size_t index = (size_t)(tensor - bundle->tensors);
    *numbers = tensor->data ? tensor->data : room;
    if (tensor->data) return MQ_OK;
    MQ_TRY(mq_file_pread(err, bundle->fd, bundle->path, room, tensor->bytes, bundle->places[index].at));
    MQ_TRY(check_seal(err, bundle, index, room));
cleanup:
    return status;
}

mq_status mq_bundle_parse(mq_err *err, const char *what, const void *bytes, size_t size, mq_bundle **bundle) {
    return open_source(err, what, &(source){.fd = -1, .bytes = bytes, .size = size}, bundle);
}

void mq_bundle_narrow(mq_bundle *bundle, const char *prefix) {
    const size_t length = strlen(prefix);
    size_t kept = 0;
    for (size_t i = 0; i < bundle->count; i++) {
        mq_tensor t = bundle->tensors[i];
        if (strncmp(t.name, prefix, length) != 0) continue;
        t.name += length;
        bundle->places[kept] = bundle->places[i];
        bundle->tensors[kept++] = t;
    }
    bundle->count = kept;
    for (size_t i = 0; i < kept; i++) bundle->names[i] = &bundle->tensors[i];
    qsort(bundle->names, kept, sizeof *bundle->names, by_name);
}

const char *mq_bundle_path(const mq_bundle *bundle) {
    return bundle->path;
}

size_t mq_bundle_count(const mq_bundle *bundle) {
    return bundle->count;
}

const mq_tensor *mq_bundle_at(const mq_bundle *bundle, size_t index) {
    return &bundle->tensors[index];
}

const mq_tensor *mq_bundle_find(const mq_bundle *bundle, const char *name) {
    const mq_tensor wanted = {.name = name}, *key = &wanted;
    const mq_tensor *const *found = bsearch(&key, bundle->names, bundle->count, sizeof *bundle->names,
                                            by_name);
    return found ? *found : NULL;
}

void *mq_bundle_data(mq_bundle *bundle, const char *name) {
    const mq_tensor *tensor = mq_bundle_find(bundle, name);
    mq_bundle_digest(bundle); /* of the file, so before anything is changed */
    return tensor ? bundle->places[tensor - bundle->tensors].now : NULL;
}

void mq_bundle_move(mq_bundle *bundle, const char *name, void *to) {
    const mq_tensor *const found = mq_bundle_find(bundle, name);
    if (!found) return;
    const size_t index = (size_t)(found - bundle->tensors);
    place *const at = &bundle->places[index];
    uint8_t *const then = to ? to : at->home;
    if (then == at->now) return;
    memcpy(then, mq_bundle_data(bundle, name), found->bytes);
    bundle->tensors[index].data = at->now = then;
    if (to) mq_release_pages(at->home, found->bytes);
}

const char *mq_bundle_meta(const mq_bundle *bundle, const char *key) {
    return mq_json_string(mq_json_get(bundle->meta, key));
}

typedef struct {
    mq_meta *list;
    size_t count;
} meta_list;

static mq_status add_meta(mq_err *err, void *user, const char *key, mq_json *value) {
    (void)err;
    meta_list *metas = user;
    metas->list[metas->count++] = (mq_meta){key, mq_json_string(value)};
    return MQ_OK;
}

mq_status mq_bundle_metas(mq_err *err, const mq_bundle *bundle, mq_meta **list, size_t *count) {
    mq_status status = MQ_OK;
    meta_list metas = {0};
    MQ_TRY(mq_calloc(err, bundle->meta ? mq_json_size(bundle->meta) : 0, sizeof *metas.list, "metadata",
                     &metas.list));
    if (bundle->meta) MQ_TRY(mq_json_each(err, bundle->meta, add_meta, &metas));
    *list = metas.list;
    *count = metas.count;
    metas.list = NULL;
cleanup:
    free(metas.list);
    return status;
}

const char *mq_bundle_digest(const mq_bundle *bundle) {
    bundle_sum *sum = bundle->sum;
    if (!sum) return NULL;
    if (sum->open) {
        mq_digest_add(sum->open, bundle->data, bundle->data_size);
        mq_digest_end(&sum->open, sum->hex);
    }
    return sum->hex;
}
