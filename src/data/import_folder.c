/* import_folder.c: a folder for each class. Called by import.c through its
 * row. Owns the walk. Invariant: nothing but regular files and folders inside
 * the source is ever opened, and the order is that of the bytes of names. */
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH_MAX = 32 };

/* Top folders that name a split, in place of a class. */
static const struct {
    const char *name;
    mq_split split;
} SPLIT_FOLDERS[] = {
    {"train", MQ_TRAIN}, {"val", MQ_VAL}, {"valid", MQ_VAL}, {"validation", MQ_VAL}, {"test", MQ_TEST},
};

bool mq_import_split_folder(const char *name, size_t length, mq_split *split) {
    for (size_t i = 0; i < sizeof SPLIT_FOLDERS / sizeof *SPLIT_FOLDERS; i++) {
        if (strlen(SPLIT_FOLDERS[i].name) != length || memcmp(name, SPLIT_FOLDERS[i].name, length) != 0)
            continue;
        *split = SPLIT_FOLDERS[i].split;
        return true;
    }
    return false;
}

/* Where the walk is. */
typedef struct {
    mq_import_job *job;
    char *name;     /* path below the source, "" at the top; the walk's */
    size_t depth;   /* folders between the source and here */
    bool in_split;  /* the top folder was a split, so classes begin one folder lower */
    mq_split split; /* of what lies here; MQ_SPLITS: none */
    bool has_class;
    uint32_t class;
} place;

typedef struct {
    char **names;
    size_t count, capacity;
    size_t litter; /* names that are not among them */
} name_list;

static void free_names(name_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->names[i]);
    free(list->names);
    *list = (name_list){0};
}

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folder itself and the one above. */
static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Hidden files and what file managers leave behind. */
static bool is_litter(const char *name) {
    static const char *const litter[] = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"};
    if (name[0] == '.') return true;
    for (size_t i = 0; i < sizeof litter / sizeof *litter; i++)
        if (strcmp(name, litter[i]) == 0) return true;
    return false;
}

/* The names in a folder in the order of their bytes. */
static mq_status list_folder(mq_err *err, const char *path, name_list *list) {
    mq_status status = MQ_OK;
    DIR *dir = opendir(path);
    MQ_REQUIRE(dir, err, MQ_NO_INPUT, "%s: %s", path, strerror(errno));
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        MQ_REQUIRE(entry || errno == 0, err, MQ_IO, "%s: %s", path, strerror(errno));
        if (!entry) break;
        if (is_dots(entry->d_name)) continue;
        if (is_litter(entry->d_name)) {
            list->litter++;
            continue;
        }
        MQ_TRY(mq_grow(err, &list->names, &list->capacity, list->count + 1, sizeof *list->names));
        MQ_TRY(mq_strdup(err, entry->d_name, &list->names[list->count]));
        list->count++;
    }
    if (list->count) qsort(list->names, list->count, sizeof *list->names, compare);
cleanup:
    if (dir) closedir(dir);
    return status;
}

static mq_status leave_out(mq_err *err, mq_import_job *job, const char *name, const char *reason) {
    mq_entry *entry = NULL;
    mq_status status = MQ_OK;
    MQ_TRY(mq_manifest_add(err, &job->manifest, name, 0, &entry));
    MQ_TRY(mq_manifest_leave_out(err, entry, "%s", reason));
cleanup:
    return status;
}

/* What a link leads to: 'f' a file inside the source, else *reason says why it is not taken. A folder behind
 * a link is never entered: inside the source it is read under its own name anyway, so no loop can be. */
static bool follow_link(const mq_import_job *job, const char *path, struct stat *st, const char **reason) {
    char *target = realpath(path, NULL);
    const size_t root = strlen(job->root);
    bool inside = false;
    if (target)
        inside = strncmp(target, job->root, root) == 0 && (!target[root] || target[root] == '/' || root == 1);
    const bool there = target && stat(target, st) == 0;
    free(target);
    *reason = !there    ? "a link that leads nowhere"
              : !inside ? "a link that leads out of the source folder"
                        : "a link to a folder of the source, which is read by itself";
    return there && inside && !S_ISDIR(st->st_mode);
}

static const char *describe(mode_t mode) {
    return S_ISFIFO(mode)   ? "a named pipe, not a file"
           : S_ISSOCK(mode) ? "a socket, not a file"
                            : "a device, not a file";
}

static mq_status walk(mq_err *err, const place *here);

static mq_status enter_folder(mq_err *err, const place *here, const char *base, char *name) {
    mq_status status = MQ_OK;
    place below = *here;
    below.name = name;
    below.depth = here->depth + 1;
    if (here->in_split && here->depth == 0) {
        if (mq_import_split_folder(base, strlen(base), &below.split))
            here->job->manifest.sets_split[below.split] = true;
    } else if (!here->has_class || here->job->plan->leaf) {
        below.has_class = true;
        MQ_TRY(mq_import_class_of(err, here->job, base, &below.class));
    }
    MQ_TRY(walk(err, &below));
cleanup:
    return status;
}

/* One name in a folder: a folder to enter, a picture to take, or something to leave out. */
static mq_status visit(mq_err *err, const place *here, const char *base) {
    mq_status status = MQ_OK;
    mq_import_job *job = here->job;
    char *name = NULL, *path = NULL;
    const char *reason = NULL;
    mq_entry *entry = NULL;
    struct stat st;
    MQ_TRY(mq_import_go_on(err, job));
    MQ_TRY(mq_format(err, &name, "%s%s%s", here->name, here->name[0] ? "/" : "", base));
    MQ_TRY(mq_path_join(err, job->root, name, &path));
    if (lstat(path, &st) != 0)
        reason = strerror(errno);
    else if (S_ISLNK(st.st_mode) && follow_link(job, path, &st, &reason))
        reason = NULL;
    if (!reason && S_ISDIR(st.st_mode)) {
        if (job->output.st_ino && st.st_ino == job->output.st_ino && st.st_dev == job->output.st_dev)
            goto cleanup;
        if (here->depth < DEPTH_MAX) {
            MQ_TRY(enter_folder(err, here, base, name));
            goto cleanup;
        }
        reason = "a folder below too many others";
    }
    if (!reason && !S_ISREG(st.st_mode)) reason = describe(st.st_mode);
    if (!reason && !here->has_class) reason = "lies in no class folder";
    if (reason) {
        MQ_TRY(leave_out(err, job, name, reason));
    } else {
        MQ_TRY(mq_manifest_add(err, &job->manifest, name, here->class, &entry));
        entry->split = here->split;
    }
cleanup:
    free(name);
    free(path);
    return status;
}

static mq_status walk(mq_err *err, const place *here) {
    mq_status status = MQ_OK;
    name_list list = {0};
    char *path = NULL;
    MQ_TRY(mq_path_join(err, here->job->root, here->name, &path));
    status = list_folder(err, path, &list);
    if (status == MQ_NO_INPUT && here->depth) { /* a folder that may not be read is no end of the import */
        *err = (mq_err){0};
        MQ_TRY(leave_out(err, here->job, here->name, "a folder that may not be read"));
        goto cleanup;
    }
    MQ_TRY(status);
    here->job->report->litter += list.litter;
    for (size_t i = 0; i < list.count; i++) MQ_TRY(visit(err, here, list.names[i]));
cleanup:
    free_names(&list);
    free(path);
    return status;
}

/* The top folders are splits when all of them are called so and train is among them; a class called "train"
 * beside "bus" stays a class. */
static mq_status has_split_folders(mq_err *err, const mq_import_job *job, bool *splits) {
    mq_status status = MQ_OK;
    name_list list = {0};
    char *path = NULL;
    size_t folders = 0, named = 0, train = 0;
    MQ_TRY(list_folder(err, job->root, &list));
    for (size_t i = 0; i < list.count; i++) {
        struct stat st;
        free(path);
        path = NULL;
        MQ_TRY(mq_path_join(err, job->root, list.names[i], &path));
        if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode)) continue;
        if (job->output.st_ino && st.st_ino == job->output.st_ino && st.st_dev == job->output.st_dev)
            continue;
        folders++;
        mq_split split;
        if (!mq_import_split_folder(list.names[i], strlen(list.names[i]), &split)) continue;
        named++;
        train += split == MQ_TRAIN;
    }
    *splits = folders > 1 && named == folders && train;
cleanup:
    free_names(&list);
    free(path);
    return status;
}

static bool probe(const mq_import_job *job) {
    return !job->list;
}

mq_status mq_import_check_leaves(mq_err *err, const mq_import_job *job) {
    mq_status status = MQ_OK;
    const char **folder = NULL; /* of each class, the first picture's name */
    char safe[256];
    MQ_TRY(mq_calloc(err, job->manifest.class_count, sizeof *folder, "classes", &folder));
    for (size_t i = 0; i < job->manifest.count; i++) {
        const mq_entry *entry = &job->manifest.entries[i];
        if (entry->reason) continue;
        const char *name = entry->split == MQ_SPLITS ? entry->name : strchr(entry->name, '/') + 1;
        const char **first = &folder[entry->class];
        if (!*first) *first = name;
        const size_t length = (size_t)(strrchr(name, '/') - name);
        MQ_REQUIRE(strncmp(*first, name, length + 1) == 0 && !strchr(*first + length + 1, '/'), err,
                   MQ_BAD_DATA, "two folders are called %s, in different places; rename one",
                   mq_text_safe(job->manifest.classes[entry->class], safe, sizeof safe));
    }
cleanup:
    free(folder);
    return status;
}

static mq_status read_folder(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    bool splits = false;
    MQ_TRY(has_split_folders(err, job, &splits));
    place top = {.job = job, .name = "", .in_split = splits, .split = MQ_SPLITS};
    MQ_TRY(walk(err, &top));
    job->report->class_rule = job->plan->leaf ? MQ_RULE_LEAF
                              : splits        ? "class = folder below train, val and test"
                                              : "class = top folder";
    if (job->plan->leaf) MQ_TRY(mq_import_check_leaves(err, job));
    mq_manifest_sort(&job->manifest);
cleanup:
    return status;
}

const mq_import_source mq_import_folder = {"folder", probe, read_folder, false};
