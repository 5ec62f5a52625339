/* names.c: names of any bytes. Called by whatever looks into folders or keeps their names. Owns nothing.
 * Invariant: a folder's names come in one order, whatever its file system does, and all of them or an error.
 */
#include "base/names.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

mq_status mq_names_add(mq_err *err, mq_names *names, const char *name) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_grow(err, &names->items, &names->capacity, names->count + 1, sizeof *names->items));
    MQ_TRY(mq_strdup(err, name, &names->items[names->count]));
    names->count++;
cleanup:
    return status;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void mq_names_sort(mq_names *names) {
    if (names->count) qsort(names->items, names->count, sizeof *names->items, by_bytes);
}

void mq_names_free(mq_names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->items[i]);
    free(names->items);
    *names = (mq_names){0};
}

mq_status mq_names_in(mq_err *err, const char *folder, mq_names *names) {
    mq_status status = MQ_OK;
    DIR *dir = opendir(folder);
    MQ_REQUIRE(dir, err, errno == ENOENT ? MQ_NO_INPUT : mq_status_of_errno(errno, MQ_IO), "%s: %s", folder,
               strerror(errno));
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        MQ_REQUIRE(entry || !errno, err, MQ_IO, "%s: %s", folder, strerror(errno));
        if (!entry) break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            MQ_TRY(mq_names_add(err, names, entry->d_name));
    }
    mq_names_sort(names);
cleanup:
    if (dir) closedir(dir);
    return status;
}

bool mq_name_is_litter(const char *name) {
    static const char *const litter[] = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"};
    for (size_t i = 0; i < sizeof litter / sizeof *litter; i++)
        if (strcmp(name, litter[i]) == 0) return true;
    return name[0] == '.';
}

/* JSON text is UTF-8 by definition; names of folders are not. */
mq_status mq_name_to_json(mq_err *err, const char *name, mq_json **json) {
    mq_status status = MQ_OK;
    char *clean = mq_text_utf8(name), *hex = NULL;
    MQ_REQUIRE(clean, err, MQ_NO_MEMORY, "no memory for a name");
    if (strcmp(clean, name) == 0) {
        *json = mq_json_text(name);
        MQ_REQUIRE(*json, err, MQ_NO_MEMORY, "no memory for a name");
    } else {
        const size_t size = strlen(name);
        MQ_TRY(mq_calloc(err, 2 * size + 1, 1, "a name", &hex));
        mq_hex((const uint8_t *)name, size, hex);
        MQ_TRY(mq_json_pack(err, json, "{s:s}", "bytes", hex));
    }
cleanup:
    free(hex);
    free(clean);
    return status;
}

/* -1 for what is no lower-case digit. */
static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

mq_status mq_name_from_json(mq_err *err, const char *what, const mq_json *json, char **name) {
    mq_status status = MQ_OK;
    char *out = NULL;
    const char *text = mq_json_string(json);
    if (text) return mq_strdup(err, text, name);
    const char *hex = mq_json_string(mq_json_get(json, "bytes"));
    MQ_REQUIRE(hex && strlen(hex) % 2 == 0, err, MQ_BAD_DATA, "%s: a class without a proper name", what);
    const size_t size = strlen(hex) / 2;
    MQ_TRY(mq_calloc(err, size + 1, 1, "a name", &out));
    for (size_t i = 0; i < size; i++) {
        const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        /* A NUL would end the name early, and make two classes of one name. */
        MQ_REQUIRE(high >= 0 && low >= 0 && high + low, err, MQ_BAD_DATA, "%s: a class without a proper name",
                   what);
        out[i] = (char)(high << 4 | low);
    }
    *name = out;
    out = NULL;
cleanup:
    free(out);
    return status;
}
