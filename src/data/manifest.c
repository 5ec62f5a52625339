/* manifest.c: the importer's list of pictures and classes. Filled by
 * import_*.c, placed by split.c, written by shards.c. Owns all names in it.
 * Invariant: the class of an entry that is taken is below class_count. */
#include "data/manifest.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *mq_entry_file(const mq_entry *entry) {
    return entry->file ? entry->file : entry->name;
}

bool mq_entry_same_picture(const mq_entry *a, const mq_entry *b) {
    return a->offset == b->offset && a->length == b->length &&
           strcmp(mq_entry_file(a), mq_entry_file(b)) == 0;
}

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t hash_of(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

/* The slot of a name: where its class stands, or the free one where it would. */
static uint32_t *slot_of(const mq_manifest *manifest, const char *name) {
    const size_t mask = manifest->slot_count - 1;
    size_t i = (size_t)hash_of(name) & mask;
    while (manifest->slots[i] && strcmp(manifest->classes[manifest->slots[i] - 1], name) != 0)
        i = (i + 1) & mask;
    return &manifest->slots[i];
}

/* Makes the table so that, with one more class, it is at most half full. Of two classes of one name it holds
 * the first. */
static mq_status make_slots(mq_err *err, mq_manifest *manifest) {
    mq_status status = MQ_OK;
    size_t count = 16;
    if (manifest->slots && manifest->class_count < manifest->slot_count / 2) return MQ_OK;
    while (count / 2 <= manifest->class_count) count *= 2;
    free(manifest->slots);
    manifest->slot_count = count;
    MQ_TRY(mq_calloc(err, count, sizeof *manifest->slots, "a table of classes", &manifest->slots));
    for (size_t i = 0; i < manifest->class_count; i++) {
        uint32_t *slot = slot_of(manifest, manifest->classes[i]);
        if (!*slot) *slot = (uint32_t)i + 1;
    }
cleanup:
    return status;
}

mq_status mq_manifest_find_class(mq_err *err, mq_manifest *manifest, const char *name, uint32_t *index,
                                 bool *found) {
    mq_status status = MQ_OK;
    MQ_TRY(make_slots(err, manifest));
    const uint32_t number = *slot_of(manifest, name);
    *found = number != 0;
    if (number) *index = number - 1;
cleanup:
    return status;
}

mq_status mq_manifest_add_class(mq_err *err, mq_manifest *manifest, const char *name, uint32_t *index) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(manifest->class_count < INT32_MAX, err, MQ_BAD_DATA, "too many classes");
    MQ_TRY(mq_grow(err, &manifest->classes, &manifest->class_capacity, manifest->class_count + 1,
                   sizeof *manifest->classes));
    MQ_TRY(make_slots(err, manifest));
    MQ_TRY(mq_strdup(err, name, &manifest->classes[manifest->class_count]));
    *index = (uint32_t)manifest->class_count++;
    uint32_t *slot = slot_of(manifest, name);
    if (!*slot) *slot = *index + 1;
cleanup:
    return status;
}

mq_status mq_manifest_add(mq_err *err, mq_manifest *manifest, const char *name, uint32_t class,
                          mq_entry **entry) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_grow(err, &manifest->entries, &manifest->capacity, manifest->count + 1,
                   sizeof *manifest->entries));
    mq_entry *e = &manifest->entries[manifest->count]; /* counts only once its name is there */
    *e = (mq_entry){.class = class, .split = MQ_SPLITS};
    MQ_TRY(mq_strdup(err, name, &e->name));
    manifest->count++;
    *entry = e;
cleanup:
    return status;
}

mq_status mq_manifest_file(mq_err *err, mq_manifest *m, const char *path, const char **file) {
    mq_status status = MQ_OK;
    if (!m->file_count || strcmp(m->files[m->file_count - 1], path) != 0) {
        MQ_TRY(mq_grow(err, &m->files, &m->file_capacity, m->file_count + 1, sizeof *m->files));
        MQ_TRY(mq_strdup(err, path, &m->files[m->file_count]));
        m->file_count++;
    }
    *file = m->files[m->file_count - 1];
cleanup:
    return status;
}

mq_status mq_manifest_leave_out(mq_err *err, mq_entry *entry, const char *format, ...) {
    if (entry->reason) return MQ_OK;
    va_list args;
    va_start(args, format);
    const int n = vasprintf(&entry->reason, format, args);
    va_end(args);
    if (n >= 0) return MQ_OK;
    entry->reason = NULL;
    return mq_fail(err, MQ_NO_MEMORY, "no memory for a line of text");
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Two classes of one name could not be told apart in any table or answer. */
mq_status mq_manifest_check_classes(mq_err *err, const mq_manifest *manifest) {
    mq_status status = MQ_OK;
    char **sorted = NULL, safe[256];
    MQ_TRY(mq_calloc(err, manifest->class_count, sizeof *sorted, "class names", &sorted));
    for (size_t i = 0; i < manifest->class_count; i++) sorted[i] = manifest->classes[i];
    qsort(sorted, manifest->class_count, sizeof *sorted, compare_names);
    for (size_t i = 1; i < manifest->class_count; i++)
        MQ_REQUIRE(strcmp(sorted[i - 1], sorted[i]) != 0, err, MQ_BAD_DATA,
                   "two classes are called %s; rename one", mq_text_safe(sorted[i], safe, sizeof safe));
cleanup:
    free(sorted);
    return status;
}

/* A class by what its name is to people. */
typedef struct {
    char *folded; /* owned */
    const char *name;
    bool gone; /* of an older set, and no picture has it now */
} read_name;

static int compare_read(const void *a, const void *b) {
    const read_name *x = a, *y = b;
    const int by_look = strcmp(x->folded, y->folded);
    return by_look ? by_look : strcmp(x->name, y->name);
}

/* Two classes that people would read as one. */
static mq_status told_alike(mq_err *err, const char *what, const read_name *x, const read_name *y) {
    char a[128], b[128];
    const char *one = mq_text_safe(x->name, a, sizeof a), *other = mq_text_safe(y->name, b, sizeof b);
    if (x->gone || y->gone)
        return mq_fail(
            err, MQ_BAD_DATA,
            "%s: the class that was called %s is called %s now, which differs only in case or in the "
            "bytes that write its accents; call it as before, or import into another folder",
            what, x->gone ? one : other, x->gone ? other : one);
    return mq_fail(err, MQ_BAD_DATA,
                   "%s: the classes %s and %s differ only in case or in the bytes that write their accents; "
                   "give one of them another name, or both the same if they are one class",
                   what, one, other);
}

mq_status mq_manifest_check_alike(mq_err *err, const mq_manifest *manifest, const char *what, size_t keep) {
    mq_status status = MQ_OK;
    read_name *names = NULL;
    bool *used = NULL;
    size_t count = 0;
    MQ_TRY(mq_calloc(err, manifest->class_count, sizeof *names, "class names", &names));
    MQ_TRY(mq_calloc(err, manifest->class_count, sizeof *used, "classes", &used));
    for (size_t i = 0; i < manifest->count; i++)
        if (!manifest->entries[i].reason) used[manifest->entries[i].class] = true;
    for (size_t i = 0; i < manifest->class_count; i++) {
        if (i >= keep && !used[i]) continue;
        names[count].name = manifest->classes[i];
        names[count].gone = !used[i];
        MQ_TRY(mq_unicode_fold(err, manifest->classes[i], &names[count].folded));
        count++;
    }
    if (count) qsort(names, count, sizeof *names, compare_read);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1].folded, names[i].folded) == 0)
            MQ_TRY(told_alike(err, what, &names[i - 1], &names[i]));
cleanup:
    for (size_t i = 0; names && i < manifest->class_count; i++) free(names[i].folded);
    free(names);
    free(used);
    return status;
}

mq_status mq_manifest_drop_classes(mq_err *err, mq_manifest *manifest, size_t keep, size_t *dropped) {
    mq_status status = MQ_OK;
    uint32_t *number = NULL, next = 0; /* first: has a picture; then: its new number */
    *dropped = 0;
    MQ_TRY(mq_calloc(err, manifest->class_count, sizeof *number, "class numbers", &number));
    for (size_t i = 0; i < manifest->count; i++)
        if (!manifest->entries[i].reason) number[manifest->entries[i].class] = 1;
    for (size_t i = 0; i < manifest->class_count; i++) {
        const bool stays = number[i] || i < keep;
        number[i] = stays ? next : 0;
        if (stays)
            manifest->classes[next++] = manifest->classes[i];
        else
            free(manifest->classes[i]);
    }
    free(manifest->slots);
    manifest->slots = NULL;
    *dropped = manifest->class_count - next;
    manifest->class_count = next;
    for (size_t i = 0; i < manifest->count; i++)
        if (!manifest->entries[i].reason) manifest->entries[i].class = number[manifest->entries[i].class];
cleanup:
    free(number);
    return status;
}

static int compare_numbered(const void *a, const void *b, void *classes) {
    char *const *names = classes;
    return strcmp(names[*(const uint32_t *)a], names[*(const uint32_t *)b]);
}

mq_status mq_manifest_sort_classes(mq_err *err, mq_manifest *manifest, size_t keep) {
    mq_status status = MQ_OK;
    const size_t count = manifest->class_count;
    uint32_t *order = NULL, *number = NULL; /* old numbers in the new order; new numbers of the old ones */
    char **classes = NULL;
    MQ_TRY(mq_calloc(err, count, sizeof *order, "class numbers", &order));
    MQ_TRY(mq_calloc(err, count, sizeof *number, "class numbers", &number));
    MQ_TRY(mq_calloc(err, count, sizeof *classes, "classes", &classes));
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    if (count > keep) qsort_r(order + keep, count - keep, sizeof *order, compare_numbered, manifest->classes);
    for (size_t i = 0; i < count; i++) {
        classes[i] = manifest->classes[order[i]];
        number[order[i]] = (uint32_t)i;
    }
    if (count) memcpy(manifest->classes, classes, count * sizeof *classes);
    for (size_t i = 0; i < manifest->count; i++)
        if (!manifest->entries[i].reason) manifest->entries[i].class = number[manifest->entries[i].class];
    free(manifest->slots);
    manifest->slots = NULL;
cleanup:
    free(order);
    free(number);
    free(classes);
    return status;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const mq_entry *)a)->name, ((const mq_entry *)b)->name);
}

void mq_manifest_sort(mq_manifest *manifest) {
    if (manifest->count)
        qsort(manifest->entries, manifest->count, sizeof *manifest->entries, compare_entries);
}

void mq_manifest_free(mq_manifest *manifest) {
    for (size_t i = 0; i < manifest->count; i++) {
        free(manifest->entries[i].name);
        free(manifest->entries[i].group);
        free(manifest->entries[i].reason);
    }
    for (size_t i = 0; i < manifest->class_count; i++) free(manifest->classes[i]);
    for (size_t i = 0; i < manifest->file_count; i++) free(manifest->files[i]);
    free(manifest->files);
    free(manifest->entries);
    free(manifest->classes);
    free(manifest->slots);
    *manifest = (mq_manifest){0};
}
