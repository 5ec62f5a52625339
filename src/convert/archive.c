/* archive.c: all of libzip. Called by main.c for .keras files. Invariant:
 * nothing is unpacked to disk, and no member is read whose size was not
 * announced, in bounds and in proportion to what is stored of it. */
#include "convert/archive.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>
#include <zip.h>

enum { MEMBERS_MAX = 4096, RATIO_MAX = 100 };

struct mq_archive {
    const char *path;
    zip_t *zip;
};

/* Nothing is unpacked, but a name that climbs out says that the archive was made to harm. */
static bool is_safe(const char *name) {
    if (name[0] == '/' || strchr(name, '\\')) return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2])) return false;
    }
    return true;
}

/* One member's entry in the central directory. libzip tells sizes before anything is unpacked. */
static mq_status check_member(mq_err *err, const mq_archive *archive, zip_uint64_t index) {
    mq_status status = MQ_OK;
    zip_stat_t st;
    char safe[96] = "";
    const zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD |
                                ZIP_STAT_ENCRYPTION_METHOD;
    MQ_REQUIRE(zip_stat_index(archive->zip, index, 0, &st) == 0 && (st.valid & wanted) == wanted, err,
               MQ_BAD_DATA, "%s: its list of members is damaged", archive->path);
    mq_text_safe(st.name, safe, sizeof safe);
    MQ_REQUIRE(is_safe(st.name), err, MQ_BAD_DATA, "%s: its member %s leads out of the archive",
               archive->path, safe);
    MQ_REQUIRE(st.encryption_method == ZIP_EM_NONE, err, MQ_BAD_DATA, "%s: its member %s is encrypted",
               archive->path, safe);
    MQ_REQUIRE(st.comp_method == ZIP_CM_STORE || st.comp_method == ZIP_CM_DEFLATE, err, MQ_BAD_DATA,
               "%s: its member %s is compressed by method %d; marque knows stored and deflated ones",
               archive->path, safe, (int)st.comp_method);
    MQ_REQUIRE(st.size / RATIO_MAX <= st.comp_size, err, MQ_BAD_DATA,
               "%s: its member %s would grow from %llu to %llu bytes", archive->path, safe,
               (unsigned long long)st.comp_size, (unsigned long long)st.size);
    MQ_REQUIRE(zip_name_locate(archive->zip, st.name, 0) == (zip_int64_t)index, err, MQ_BAD_DATA,
               "%s: has two members named %s", archive->path, safe);
cleanup:
    return status;
}

mq_status mq_archive_open(mq_err *err, const char *path, mq_archive **archive) {
    mq_status status = MQ_OK;
    mq_archive *a = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *a, path, &a));
    a->path = path;
    a->zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, NULL);
    MQ_REQUIRE(a->zip, err, MQ_BAD_DATA, "%s: not a readable zip file; it is cut or damaged", path);
    const zip_int64_t count = zip_get_num_entries(a->zip, 0);
    MQ_REQUIRE(count >= 0 && count <= MEMBERS_MAX, err, MQ_BAD_DATA, "%s: has %lld members", path,
               (long long)count);
    for (zip_int64_t i = 0; i < count; i++) MQ_TRY(check_member(err, a, (zip_uint64_t)i));
    *archive = a;
    a = NULL;
cleanup:
    mq_archive_free(&a);
    return status;
}

void mq_archive_free(mq_archive **archive) {
    if (!*archive) return;
    if ((*archive)->zip) zip_discard((*archive)->zip);
    free(*archive);
    *archive = NULL;
}

mq_status mq_archive_read(mq_err *err, mq_archive *archive, const char *name, mq_buf *data, bool *has) {
    mq_status status = MQ_OK;
    zip_stat_t st;
    zip_file_t *file = NULL;
    char more;
    *has = zip_stat(archive->zip, name, 0, &st) == 0;
    if (!*has) return MQ_OK;
    MQ_REQUIRE(st.size <= data->limit, err, MQ_BAD_DATA, "%s: its member %s has %llu bytes, too many",
               archive->path, name, (unsigned long long)st.size);
    MQ_TRY(mq_buf_reserve(err, data, st.size));
    file = zip_fopen_index(archive->zip, st.index, 0);
    MQ_REQUIRE(file, err, MQ_BAD_DATA, "%s: its member %s cannot be read", archive->path, name);
    /* exactly the announced size: neither less nor more may come out of the compressed stream */
    for (zip_uint64_t left = st.size; left;) {
        const zip_int64_t n = zip_fread(file, data->data + data->size, left);
        MQ_REQUIRE(n > 0, err, MQ_BAD_DATA, "%s: its member %s is cut or damaged", archive->path, name);
        data->size += (size_t)n;
        left -= (zip_uint64_t)n;
    }
    data->data[data->size] = 0;
    MQ_REQUIRE(zip_fread(file, &more, 1) == 0, err, MQ_BAD_DATA, "%s: its member %s is damaged",
               archive->path, name); /* the checksum is compared at the end */
cleanup:
    if (file) zip_fclose(file);
    return status;
}
