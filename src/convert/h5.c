/* h5.c: all of HDF5. Called by contents.c to look around and by main.c to
 * read. Invariant: an object is reached through hard links only, one name at
 * a time, and a data set's whole layout is checked before a byte of it is read. */
#include "convert/h5.h"
#include "base/mem.h"
#include "base/text.h"

#include <hdf5.h>
#include <math.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 512,
    LINKS_MAX = 65536,
    TEXT_BYTES_MAX = 16 << 20,
    CHUNK_BYTES_MAX = 64 << 20,
};

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

mq_status mq_h5_open(mq_err *err, const char *what, mq_buf *image, mq_h5 **file) {
    mq_status status = MQ_OK;
    mq_h5 *f = NULL;
    hid_t access = -1;
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

/* One name further from an open group; *next is -1 where there is nothing. */
static mq_status step(mq_err *err, const mq_h5 *file, hid_t from, const char *name, hid_t *next) {
    H5L_info_t info;
    char safe[128];
    *next = -1;
    const htri_t exists = H5Lexists(from, name, H5P_DEFAULT);
    if (exists == 0) return MQ_OK;
    mq_text_safe(name, safe, sizeof safe);
    if (exists < 0 || H5Lget_info(from, name, &info, H5P_DEFAULT) < 0)
        return mq_fail(err, MQ_BAD_DATA, "%s: its entry %s cannot be read; the file is damaged", file->what,
                       safe);
    if (info.type != H5L_TYPE_HARD)
        return mq_fail(err, MQ_BAD_DATA,
                       "%s: its entry %s is a link to elsewhere, which marque does not follow", file->what,
                       safe);
    *next = H5Oopen(from, name, H5P_DEFAULT);
    if (*next < 0)
        return mq_fail(err, MQ_BAD_DATA, "%s: its entry %s cannot be read; the file is damaged", file->what,
                       safe);
    return MQ_OK;
}

/* Opens what stands at path; *object is -1 where there is nothing, else the caller's for H5Oclose. */
static mq_status walk(mq_err *err, const mq_h5 *file, const char *path, hid_t *object) {
    mq_status status = MQ_OK;
    char name[NAME_MAX_BYTES];
    hid_t next = -1;
    *object = H5Oopen(file->id, "/", H5P_DEFAULT);
    while (*object >= 0 && *path) {
        const size_t n = strcspn(path, "/");
        MQ_REQUIRE(n < sizeof name, err, MQ_BAD_DATA, "%s: a name of %zu bytes", file->what, n);
        memcpy(name, path, n);
        name[n] = 0;
        path += n + (path[n] == '/');
        if (!n) continue;
        next = -1;
        if (H5Iget_type(*object) == H5I_GROUP) MQ_TRY(step(err, file, *object, name, &next));
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

mq_status mq_h5_list(mq_err *err, mq_h5 *file, const char *path, mq_texts *names) {
    mq_status status = MQ_OK;
    hid_t group = -1;
    H5G_info_t info;
    listing l = {err, names};
    MQ_TRY(walk(err, file, path, &group));
    MQ_REQUIRE(group >= 0 && H5Gget_info(group, &info) >= 0 && info.nlinks <= LINKS_MAX, err, MQ_BAD_DATA,
               "%s: its group %s cannot be read, or has too many entries", file->what, path);
    MQ_REQUIRE(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, list_one, &l) >= 0, err, MQ_BAD_DATA,
               "%s: its group %s cannot be read; the file is damaged", file->what, path);
cleanup:
    if (group >= 0) H5Oclose(group);
    return status;
}

/* Texts of count elements as stored: fixed length (padded by NUL or blanks) or pointers. */
static mq_status copy_texts(mq_err *err, mq_h5 *file, hid_t attribute, hid_t type, size_t count,
                            mq_texts *texts) {
    mq_status status = MQ_OK;
    char *block = NULL;
    size_t bytes = 0;
    hid_t space = -1, memory = H5Tcopy(type);
    const bool pointers = H5Tis_variable_str(type) > 0;
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
        status = add_text(err, texts, text ? text : "", pointers ? TEXT_BYTES_MAX : size);
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
    *found = H5Aexists(group, name) > 0;
    if (!*found) return MQ_OK;
    attribute = H5Aopen(group, name, H5P_DEFAULT);
    type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    space = attribute >= 0 ? H5Aget_space(attribute) : -1;
    MQ_REQUIRE(type >= 0 && space >= 0, err, MQ_BAD_DATA, "%s: its attribute %s cannot be read", file->what,
               name);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (count == 0) goto cleanup; /* Keras writes an empty list as numbers */
    MQ_REQUIRE(H5Tget_class(type) == H5T_STRING && count > 0 && count <= LINKS_MAX, err, MQ_BAD_DATA,
               "%s: its attribute %s is not a list of texts", file->what, name);
    MQ_TRY(copy_texts(err, file, attribute, type, (size_t)count, texts));
cleanup:
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    return status;
}

mq_status mq_h5_texts(mq_err *err, mq_h5 *file, const char *path, const char *name, mq_texts *texts) {
    mq_status status = MQ_OK;
    hid_t group = -1;
    bool found = false;
    char part[64];
    MQ_TRY(walk(err, file, path, &group));
    if (group < 0) goto cleanup;
    MQ_TRY(read_texts(err, file, group, name, texts, &found));
    if (found) goto cleanup;
    for (int i = 0; i == 0 || found; i++) {
        snprintf(part, sizeof part, "%s%d", name, i);
        MQ_TRY(read_texts(err, file, group, part, texts, &found));
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
                            mq_param_shape *shape) {
    mq_status status = MQ_OK;
    hsize_t sides[H5S_MAX_RANK];
    const hid_t space = H5Dget_space(dataset);
    const int rank = space >= 0 ? H5Sget_simple_extent_dims(space, sides, NULL) : -1;
    MQ_REQUIRE(rank >= 0 && rank <= MQ_PARAM_RANK_MAX, err, MQ_BAD_DATA, "%s: %s has no shape marque knows",
               file->what, path);
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

mq_status mq_h5_shape(mq_err *err, mq_h5 *file, const char *path, mq_param_shape *shape, bool *has) {
    hid_t dataset = -1;
    mq_status status = open_dataset(err, file, path, &dataset);
    *has = dataset >= 0;
    if (status == MQ_OK && *has) status = read_shape(err, file, dataset, path, shape);
    if (dataset >= 0) H5Oclose(dataset);
    return status;
}

/* IEEE numbers of 32 bits, or of 16 (5 of exponent: bfloat16 has 8). */
static bool type_is_known(hid_t type) {
    size_t sign, exponent, exponent_size, mantissa, mantissa_size;
    if (H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0) return true;
    return H5Tget_class(type) == H5T_FLOAT && H5Tget_size(type) == 2 && H5Tget_precision(type) == 16 &&
           H5Tget_ebias(type) == 15 &&
           H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) >= 0 &&
           sign == 15 && exponent == 10 && exponent_size == 5 && mantissa == 0 && mantissa_size == 10;
}

/* Where and how the numbers are stored; bytes is what all of them take. */
static mq_status check_layout(mq_err *err, mq_h5 *file, hid_t dataset, const char *path, size_t bytes) {
    mq_status status = MQ_OK;
    hsize_t sides[H5S_MAX_RANK];
    size_t chunk = sizeof(double);
    const hid_t plist = H5Dget_create_plist(dataset);
    const H5D_layout_t layout = plist >= 0 ? H5Pget_layout(plist) : H5D_LAYOUT_ERROR;
    const hsize_t storage = H5Dget_storage_size(dataset);
    MQ_REQUIRE(layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED, err, MQ_BAD_DATA,
               "%s: %s is a virtual data set, which marque does not read", file->what, path);
    MQ_REQUIRE(layout == H5D_CHUNKED || H5Pget_external_count(plist) == 0, err, MQ_BAD_DATA,
               "%s: the numbers of %s are in another file, which marque does not open", file->what, path);
    const int rank = layout == H5D_CHUNKED ? H5Pget_chunk(plist, H5S_MAX_RANK, sides) : 0;
    for (int i = 0; i < rank; i++)
        if (!mq_mul(chunk, sides[i], &chunk)) chunk = SIZE_MAX;
    MQ_REQUIRE(rank >= 0 && chunk <= CHUNK_BYTES_MAX, err, MQ_BAD_DATA,
               "%s: %s is stored in impossible pieces", file->what, path);
    MQ_REQUIRE(layout == H5D_CHUNKED ? storage > 0 : storage == bytes, err, MQ_BAD_DATA,
               "%s: holds %llu of the %zu bytes of %s; it is cut or damaged", file->what,
               (unsigned long long)storage, bytes, path);
    const int filters = H5Pget_nfilters(plist);
    for (int i = 0; i < filters; i++) {
        unsigned flags = 0;
        size_t values = 0;
        const H5Z_filter_t filter = H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, 0, NULL, NULL);
        MQ_REQUIRE(filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE, err, MQ_BAD_DATA,
                   "%s: %s is compressed by filter %d; marque knows deflate and shuffle only", file->what,
                   path, (int)filter);
    }
cleanup:
    if (plist >= 0) H5Pclose(plist);
    return status;
}

/* The only shapes worth reading are those that the network wants. */
static bool same_shape(const mq_param_shape *a, const mq_param_shape *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

mq_status mq_h5_read(mq_err *err, mq_h5 *file, const char *path, const mq_param_shape *wanted,
                     float *values) {
    mq_status status = MQ_OK;
    hid_t dataset = -1, type = -1;
    mq_param_shape shape = {0};
    MQ_TRY(open_dataset(err, file, path, &dataset));
    MQ_REQUIRE(dataset >= 0, err, MQ_BAD_DATA, "%s: lacks %s", file->what, path);
    MQ_TRY(read_shape(err, file, dataset, path, &shape));
    MQ_REQUIRE(same_shape(&shape, wanted), err, MQ_BAD_DATA, "%s: %s has another shape than expected",
               file->what, path);
    type = H5Dget_type(dataset);
    MQ_REQUIRE(type >= 0 && type_is_known(type), err, MQ_BAD_DATA,
               "%s: the numbers of %s are neither float32 nor float16; save the model in one of these",
               file->what, path);
    MQ_TRY(check_layout(err, file, dataset, path, wanted->count * H5Tget_size(type)));
    MQ_REQUIRE(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, err,
               MQ_BAD_DATA, "%s: %s cannot be read; the file is cut or damaged", file->what, path);
    for (size_t i = 0; i < wanted->count; i++)
        MQ_REQUIRE(isfinite(values[i]), err, MQ_BAD_DATA,
                   "%s: %s holds a number that is not finite; training went wrong there", file->what, path);
cleanup:
    if (type >= 0) H5Tclose(type);
    if (dataset >= 0) H5Oclose(dataset);
    return status;
}
