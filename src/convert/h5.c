/* h5.c: all of HDF5. Called by legacy.c, keras3.c and match.c to look around
 * and by main.c to read. Invariant: an object is reached one name at a time,
 * never outside the file, by a bounded number of steps, and a data set's whole
 * layout is checked before a byte of it is read. */
#include "convert/h5.h"
#include "base/mem.h"
#include "convert/heaps.h"

#include <float.h>
#include <hdf5.h>
#include <math.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 512,
    STEPS_MAX = 64,     /* names on the way to an object */
    SOFT_LINKS_MAX = 8, /* of those, soft links: a circle of them ends */
    LINKS_MAX = 65536,
    TEXT_BYTES_MAX = 16 << 20,
    CHUNK_BYTES_MAX = 64 << 20,
    CHUNK_WASTE = 8,            /* stored pieces may hold so many times the numbers ... */
    CHUNK_BYTES_FREE = 1 << 20, /* ... when they are larger than this */
};

/* A path in a sentence: a hostile one must not push out what is wrong with it. */
#define NAMED "%.200s"

struct mq_h5 {
    const char *what;
    hid_t id;
};

void mq_texts_free(mq_texts *texts) {
    for (size_t i = 0; i < texts->count; i++) free(texts->items[i]);
    free(texts->items);
    *texts = (mq_texts){0};
}

/* size bounds the copy: texts of fixed length need not end with NUL. */
static mq_status add_text(mq_err *err, mq_texts *texts, const char *text, size_t size) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_grow(err, &texts->items, &texts->capacity, texts->count + 1, sizeof *texts->items));
    char *copy = strndup(text, size);
    MQ_REQUIRE(copy, err, MQ_NO_MEMORY, "no memory for a name");
    texts->items[texts->count++] = copy;
cleanup:
    return status;
}

mq_status mq_texts_add(mq_err *err, mq_texts *texts, const char *text) {
    return add_text(err, texts, text, strlen(text));
}

mq_status mq_h5_open(mq_err *err, const char *what, mq_buf *image, mq_h5 **file) {
    mq_status status = MQ_OK;
    mq_h5 *f = NULL;
    hid_t access = -1;
    MQ_TRY(mq_guard_heaps(err, what, image->data, image->size));
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0); /* no filter from a shared library */
    MQ_TRY(mq_calloc(err, 1, sizeof *f, what, &f));
    f->what = what;
    f->id = -1;
    access = H5Pcreate(H5P_FILE_ACCESS);
    MQ_REQUIRE(access >= 0 && H5Pset_fapl_core(access, 1 << 20, false) >= 0 &&
                   H5Pset_file_image(access, image->data, image->size) >= 0,
               err, MQ_NO_MEMORY, "%s: no memory for its %zu bytes", what, image->size);
    mq_buf_free(image); /* the access list has a copy */
    f->id = H5Fopen("image", H5F_ACC_RDONLY, access);
    MQ_REQUIRE(f->id >= 0, err, MQ_BAD_DATA, "%s: not a readable HDF5 file; it is cut or damaged", what);
    *file = f;
    f = NULL;
cleanup:
    if (access >= 0) H5Pclose(access);
    mq_h5_free(&f);
    return status;
}

void mq_h5_free(mq_h5 **file) {
    if (!*file) return;
    if ((*file)->id >= 0) H5Fclose((*file)->id);
    free(*file);
    *file = NULL;
}

const char *mq_h5_what(const mq_h5 *file) {
    return file->what;
}

/* What has been gone through on the way to one object. */
typedef struct {
    size_t steps, soft_links;
} way;

static mq_status walk_from(mq_err *err, const mq_h5 *file, way *trail, const char *path, hid_t *object);

/* Goes on at what a soft link of the group from names: a path from the root or from that group. */
static mq_status follow(mq_err *err, const mq_h5 *file, way *trail, hid_t from, const char *name,
                        hid_t *next) {
    mq_status status = MQ_OK;
    char target[NAME_MAX_BYTES] = "";
    MQ_REQUIRE(H5Lget_val(from, name, target, sizeof target, H5P_DEFAULT) >= 0 &&
                   memchr(target, 0, sizeof target),
               err, MQ_BAD_DATA, "%s: its link " NAMED " cannot be read", file->what, name);
    MQ_REQUIRE(++trail->soft_links <= SOFT_LINKS_MAX, err, MQ_BAD_DATA,
               "%s: its link " NAMED " leads in a circle", file->what, name);
    *next = H5Oopen(from, *target == '/' ? "/" : ".", H5P_DEFAULT);
    MQ_TRY(walk_from(err, file, trail, target, next));
cleanup:
    return status;
}

/* One name further from an open group; *next is -1 where there is nothing. */
static mq_status step(mq_err *err, const mq_h5 *file, way *trail, hid_t from, const char *name, hid_t *next) {
    mq_status status = MQ_OK;
    H5L_info_t info;
    *next = -1;
    const htri_t exists = H5Lexists(from, name, H5P_DEFAULT);
    if (exists == 0) return MQ_OK;
    MQ_REQUIRE(exists > 0 && H5Lget_info(from, name, &info, H5P_DEFAULT) >= 0, err, MQ_BAD_DATA,
               "%s: its entry " NAMED " cannot be read; the file is damaged", file->what, name);
    if (info.type == H5L_TYPE_SOFT) return follow(err, file, trail, from, name, next);
    MQ_REQUIRE(info.type == H5L_TYPE_HARD, err, MQ_BAD_DATA,
               "%s: its entry " NAMED " is a link to elsewhere, which marque does not follow", file->what,
               name);
    *next = H5Oopen(from, name, H5P_DEFAULT);
    MQ_REQUIRE(*next >= 0, err, MQ_BAD_DATA, "%s: its entry " NAMED " cannot be read; the file is damaged",
               file->what, name);
cleanup:
    return status;
}

/* Walks path from the open *object, which becomes what stands there: -1 for nothing, also on errors. */
static mq_status walk_from(mq_err *err, const mq_h5 *file, way *trail, const char *path, hid_t *object) {
    mq_status status = MQ_OK;
    char name[NAME_MAX_BYTES];
    while (*object >= 0 && *path) {
        hid_t next = -1;
        const size_t n = strcspn(path, "/");
        MQ_REQUIRE(n < sizeof name, err, MQ_BAD_DATA, "%s: a name of %zu bytes", file->what, n);
        memcpy(name, path, n);
        name[n] = 0;
        path += n + (path[n] == '/');
        if (!n || strcmp(name, ".") == 0) continue;
        MQ_REQUIRE(++trail->steps <= STEPS_MAX, err, MQ_BAD_DATA, "%s: nests groups more than %d deep",
                   file->what, STEPS_MAX);
        if (H5Iget_type(*object) == H5I_GROUP) MQ_TRY(step(err, file, trail, *object, name, &next));
        H5Oclose(*object);
        *object = next;
    }
cleanup:
    if (status != MQ_OK && *object >= 0) {
        H5Oclose(*object);
        *object = -1;
    }
    return status;
}

/* Opens what stands at path; *object is -1 where there is nothing, else the caller's for H5Oclose. */
static mq_status walk(mq_err *err, const mq_h5 *file, const char *path, hid_t *object) {
    *object = H5Oopen(file->id, "/", H5P_DEFAULT);
    return walk_from(err, file, &(way){0}, path, object);
}

mq_status mq_h5_has_group(mq_err *err, mq_h5 *file, const char *path, bool *has) {
    hid_t object = -1;
    const mq_status status = walk(err, file, path, &object);
    *has = object >= 0 && H5Iget_type(object) == H5I_GROUP;
    if (object >= 0) H5Oclose(object);
    return status;
}

typedef struct {
    mq_err *err;
    mq_texts *names;
} listing;

/* H5Literate's callback; a negative result ends the walk. */
static herr_t list_one(hid_t group, const char *name, const H5L_info_t *info, void *user) {
    (void)group, (void)info;
    listing *l = user;
    return add_text(l->err, l->names, name, NAME_MAX_BYTES) == MQ_OK ? 0 : -1;
}

static int by_text(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* In the order of storage, and sorted here: HDF5 1.10 frees what it never had when it sorts a damaged group.
 */
mq_status mq_h5_list(mq_err *err, mq_h5 *file, const char *path, mq_texts *names) {
    mq_status status = MQ_OK;
    hid_t group = -1;
    H5G_info_t info;
    listing l = {err, names};
    MQ_TRY(walk(err, file, path, &group));
    MQ_REQUIRE(group >= 0 && H5Gget_info(group, &info) >= 0 && info.nlinks <= LINKS_MAX, err, MQ_BAD_DATA,
               "%s: its group " NAMED " cannot be read, or has too many entries", file->what,
               *path ? path : "/");
    MQ_REQUIRE(H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_one, &l) >= 0, err, MQ_BAD_DATA,
               "%s: its group " NAMED " cannot be read; the file is damaged", file->what, *path ? path : "/");
    if (names->count) qsort(names->items, names->count, sizeof *names->items, by_text);
cleanup:
    if (group >= 0) H5Oclose(group);
    return status;
}

/* The length of a text of fixed length: some writers fill up with blanks instead of NULs. */
static size_t padded_length(const char *text, size_t size, bool blanks) {
    size_t n = strnlen(text, size);
    while (blanks && n && text[n - 1] == ' ') n--;
    return n;
}

/* Texts of count elements as stored: fixed length or pointers. */
static mq_status copy_texts(mq_err *err, mq_h5 *file, hid_t attribute, hid_t type, size_t count,
                            mq_texts *texts) {
    mq_status status = MQ_OK;
    char *block = NULL;
    size_t bytes = 0;
    hid_t space = -1, memory = H5Tcopy(type);
    const bool pointers = H5Tis_variable_str(type) > 0, blanks = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
    const size_t size = H5Tget_size(type);
    MQ_REQUIRE(memory >= 0 && mq_mul(count, size, &bytes) && bytes <= TEXT_BYTES_MAX, err, MQ_BAD_DATA,
               "%s: an attribute of %zu texts is impossibly large", file->what, count);
    MQ_TRY(mq_calloc(err, bytes, 1, file->what, &block));
    MQ_REQUIRE(H5Aread(attribute, memory, block) >= 0, err, MQ_BAD_DATA,
               "%s: an attribute cannot be read; the file is damaged", file->what);
    space = H5Aget_space(attribute);
    for (size_t i = 0; i < count && status == MQ_OK; i++) {
        const char *item = block + i * size, *text = item;
        if (pointers) memcpy(&text, item, sizeof(char *));
        if (!text) text = "";
        status = add_text(err, texts, text, pointers ? TEXT_BYTES_MAX : padded_length(text, size, blanks));
    }
    if (pointers) H5Dvlen_reclaim(memory, space, H5P_DEFAULT, block);
cleanup:
    if (space >= 0) H5Sclose(space);
    if (memory >= 0) H5Tclose(memory);
    free(block);
    return status;
}

/* Appends the texts of the attribute name of group; *found is false where there is none. */
static mq_status read_texts(mq_err *err, mq_h5 *file, hid_t group, const char *name, mq_texts *texts,
                            bool *found) {
    mq_status status = MQ_OK;
    hid_t attribute = -1, type = -1, space = -1;
    const htri_t exists = H5Aexists(group, name);
    *found = exists > 0;
    if (exists == 0) return MQ_OK;
    attribute = H5Aopen(group, name, H5P_DEFAULT);
    type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    space = attribute >= 0 ? H5Aget_space(attribute) : -1;
    MQ_REQUIRE(type >= 0 && space >= 0, err, MQ_BAD_DATA, "%s: its attribute %s cannot be read", file->what,
               name);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (count == 0) goto cleanup; /* Keras writes an empty list as numbers */
    MQ_REQUIRE(H5Tget_class(type) == H5T_STRING && count > 0, err, MQ_BAD_DATA,
               "%s: its attribute %s is not a list of texts", file->what, name);
    MQ_REQUIRE((size_t)count <= LINKS_MAX - texts->count, err, MQ_BAD_DATA,
               "%s: its attribute %s lists more than %d texts", file->what, name, LINKS_MAX);
    MQ_TRY(copy_texts(err, file, attribute, type, (size_t)count, texts));
cleanup:
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    return status;
}

mq_status mq_h5_texts(mq_err *err, mq_h5 *file, const char *path, const char *name, mq_texts *texts,
                      bool *found) {
    mq_status status = MQ_OK;
    hid_t group = -1;
    bool more = true;
    char part[64];
    *found = false;
    MQ_TRY(walk(err, file, path, &group));
    if (group < 0) goto cleanup;
    MQ_TRY(read_texts(err, file, group, name, texts, found));
    if (*found) goto cleanup;
    for (int i = 0; more; i++) {
        snprintf(part, sizeof part, "%s%d", name, i);
        MQ_TRY(read_texts(err, file, group, part, texts, &more));
        *found = *found || more;
    }
cleanup:
    if (group >= 0) H5Oclose(group);
    return status;
}

/* -1 in *dataset where there is nothing, or something else than numbers. */
static mq_status open_dataset(mq_err *err, mq_h5 *file, const char *path, hid_t *dataset) {
    const mq_status status = walk(err, file, path, dataset);
    if (status == MQ_OK && *dataset >= 0 && H5Iget_type(*dataset) != H5I_DATASET) {
        H5Oclose(*dataset);
        *dataset = -1;
    }
    return status;
}

/* A shape as the file declares it. It is compared with the expected one before memory is taken for it. */
static mq_status read_shape(mq_err *err, mq_h5 *file, hid_t dataset, const char *path,
                            mq_expected_param *shape) {
    mq_status status = MQ_OK;
    hsize_t sides[H5S_MAX_RANK];
    const hid_t space = H5Dget_space(dataset);
    const int rank = space >= 0 ? H5Sget_simple_extent_dims(space, sides, NULL) : -1;
    MQ_REQUIRE(rank >= 0 && rank <= MQ_PARAM_RANK_MAX, err, MQ_BAD_DATA,
               "%s: " NAMED " has no shape marque knows", file->what, path);
    shape->rank = (size_t)rank;
    shape->count = 1;
    for (int i = 0; i < rank; i++) {
        shape->shape[i] = sides[i];
        if (!mq_mul(shape->count, sides[i], &shape->count)) shape->count = SIZE_MAX; /* equals none wanted */
    }
cleanup:
    if (space >= 0) H5Sclose(space);
    return status;
}

mq_status mq_h5_shape(mq_err *err, mq_h5 *file, const char *path, mq_expected_param *shape, bool *has) {
    hid_t dataset = -1;
    mq_status status = open_dataset(err, file, path, &dataset);
    *has = dataset >= 0;
    if (status == MQ_OK && *has) status = read_shape(err, file, dataset, path, shape);
    if (dataset >= 0) H5Oclose(dataset);
    return status;
}

/* IEEE numbers of 64, 32 or 16 bits (5 of exponent: bfloat16 has 8). */
static bool type_is_known(hid_t type) {
    size_t sign, exponent, exponent_size, mantissa, mantissa_size;
    if (H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0) return true;
    if (H5Tequal(type, H5T_IEEE_F64LE) > 0 || H5Tequal(type, H5T_IEEE_F64BE) > 0) return true;
    return H5Tget_class(type) == H5T_FLOAT && H5Tget_size(type) == 2 && H5Tget_precision(type) == 16 &&
           H5Tget_ebias(type) == 15 &&
           H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) >= 0 &&
           sign == 15 && exponent == 10 && exponent_size == 5 && mantissa == 0 && mantissa_size == 10;
}

/* Chunks: all are there, and they hold not much more than the numbers, so that reading them ends. */
static mq_status check_chunks(mq_err *err, const mq_h5 *file, hid_t dataset, hid_t plist, const char *path) {
    mq_status status = MQ_OK;
    hsize_t chunk[H5S_MAX_RANK], sides[H5S_MAX_RANK], stored = 0;
    size_t one = sizeof(double), all = 1, bytes = sizeof(double);
    const hid_t space = H5Dget_space(dataset);
    const int rank = H5Pget_chunk(plist, H5S_MAX_RANK, chunk);
    bool fits = rank > 0 && space >= 0 && rank == H5Sget_simple_extent_dims(space, sides, NULL);
    for (int i = 0; fits && i < rank; i++)
        fits = chunk[i] && mq_mul(one, chunk[i], &one) && mq_mul(bytes, sides[i], &bytes) &&
               mq_mul(all, sides[i] / chunk[i] + (sides[i] % chunk[i] != 0), &all);
    size_t total = 0;
    MQ_REQUIRE(fits && one <= CHUNK_BYTES_MAX && mq_mul(all, one, &total) &&
                   (total <= CHUNK_BYTES_FREE || total / CHUNK_WASTE <= bytes),
               err, MQ_BAD_DATA, "%s: " NAMED " is stored in impossible pieces", file->what, path);
    MQ_REQUIRE(H5Dget_num_chunks(dataset, space, &stored) >= 0 && stored == all, err, MQ_BAD_DATA,
               "%s: holds %llu of the %zu pieces of " NAMED "; it is cut or damaged", file->what,
               (unsigned long long)stored, all, path);
cleanup:
    if (space >= 0) H5Sclose(space);
    return status;
}

/* Filters that HDF5 itself brings and that cannot blow up what they store without bound. */
static mq_status check_filters(mq_err *err, const mq_h5 *file, hid_t plist, const char *path) {
    mq_status status = MQ_OK;
    const int filters = H5Pget_nfilters(plist);
    for (int i = 0; i < filters; i++) {
        unsigned flags = 0;
        size_t values = 0;
        const H5Z_filter_t filter = H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, 0, NULL, NULL);
        MQ_REQUIRE(filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE ||
                       filter == H5Z_FILTER_FLETCHER32,
                   err, MQ_BAD_DATA,
                   "%s: " NAMED " is compressed by filter %d; marque knows deflate, shuffle and fletcher32",
                   file->what, path, (int)filter);
    }
cleanup:
    return status;
}

/* Where and how the numbers are stored; bytes is what all of them take. */
static mq_status check_layout(mq_err *err, mq_h5 *file, hid_t dataset, const char *path, size_t bytes) {
    mq_status status = MQ_OK;
    const hid_t plist = H5Dget_create_plist(dataset);
    const H5D_layout_t layout = plist >= 0 ? H5Pget_layout(plist) : H5D_LAYOUT_ERROR;
    const hsize_t storage = H5Dget_storage_size(dataset);
    MQ_REQUIRE(layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED, err, MQ_BAD_DATA,
               "%s: " NAMED " is a virtual data set, which marque does not read", file->what, path);
    MQ_REQUIRE(layout == H5D_CHUNKED || H5Pget_external_count(plist) == 0, err, MQ_BAD_DATA,
               "%s: the numbers of " NAMED " are in another file, which marque does not open", file->what,
               path);
    MQ_REQUIRE(layout == H5D_CHUNKED || storage == bytes, err, MQ_BAD_DATA,
               "%s: holds %llu of the %zu bytes of " NAMED "; it is cut or damaged", file->what,
               (unsigned long long)storage, bytes, path);
    if (layout == H5D_CHUNKED) MQ_TRY(check_chunks(err, file, dataset, plist, path));
    MQ_TRY(check_filters(err, file, plist, path));
cleanup:
    if (plist >= 0) H5Pclose(plist);
    return status;
}

/* Numbers of 64 bits, each rounded to the nearest of 32. */
static mq_status read_doubles(mq_err *err, mq_h5 *file, hid_t dataset, const char *path, size_t count,
                              float *values) {
    mq_status status = MQ_OK;
    double *wide = NULL;
    MQ_TRY(mq_calloc(err, count, sizeof *wide, "a tensor", &wide));
    MQ_REQUIRE(H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, wide) >= 0, err,
               MQ_BAD_DATA, "%s: " NAMED " cannot be read; the file is cut or damaged", file->what, path);
    for (size_t i = 0; i < count; i++) {
        MQ_REQUIRE(!isfinite(wide[i]) || fabs(wide[i]) <= FLT_MAX, err, MQ_BAD_DATA,
                   "%s: " NAMED " holds %g, which is out of the range of float32", file->what, path, wide[i]);
        values[i] = (float)wide[i];
    }
cleanup:
    free(wide);
    return status;
}

mq_status mq_h5_read(mq_err *err, mq_h5 *file, const char *path, const mq_expected_param *wanted,
                     float *values) {
    mq_status status = MQ_OK;
    hid_t dataset = -1, type = -1;
    mq_expected_param shape = {0};
    MQ_TRY(open_dataset(err, file, path, &dataset));
    MQ_REQUIRE(dataset >= 0, err, MQ_BAD_DATA, "%s: lacks " NAMED, file->what, path);
    MQ_TRY(read_shape(err, file, dataset, path, &shape));
    MQ_REQUIRE(mq_same_shape(&shape, wanted), err, MQ_BAD_DATA,
               "%s: " NAMED " has another shape than expected", file->what, path);
    type = H5Dget_type(dataset);
    MQ_REQUIRE(type >= 0 && type_is_known(type), err, MQ_BAD_DATA,
               "%s: the numbers of " NAMED " are no floats of 16, 32 or 64 bits; save the model in float32",
               file->what, path);
    MQ_TRY(check_layout(err, file, dataset, path, wanted->count * H5Tget_size(type)));
    if (H5Tget_size(type) == sizeof(double))
        MQ_TRY(read_doubles(err, file, dataset, path, wanted->count, values));
    else
        MQ_REQUIRE(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, err,
                   MQ_BAD_DATA, "%s: " NAMED " cannot be read; the file is cut or damaged", file->what, path);
    for (size_t i = 0; i < wanted->count; i++)
        MQ_REQUIRE(isfinite(values[i]), err, MQ_BAD_DATA,
                   "%s: " NAMED " holds a number that is not finite; training went wrong there", file->what,
                   path);
cleanup:
    if (type >= 0) H5Tclose(type);
    if (dataset >= 0) H5Oclose(dataset);
    return status;
}
